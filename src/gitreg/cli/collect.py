"""`gitreg gc`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command
from gitreg.cli.text import listed
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.keep.collect import Collected, Gone


@command("gc")
@click.option("--delete", is_flag=True, help="Do it; without, it only tells what would go.")
@click.option(
    "--grace", metavar="SPAN", help="Keep what is younger, such as 14d or 12h; default: retention.grace, or 14d."
)
@click.option("--trash", metavar="SPAN", help="Keep in the trash for so long; default: retention.trash, or 7d.")
@click.option(
    "--also", metavar="PATH|URL", multiple=True, help="A further registry that keeps weights in the same store."
)
def gc(session: Session, delete: bool, grace: str | None, trash: str | None, also: tuple[str, ...]) -> None:
    """Take weights out of the store that no version needs.

    Needed is what any commit of main, any tag and any open proposal names; of deleted versions, as long as
    `retention` in registry.yaml says. What goes leaves a tombstone, and lies in the store's trash for a while.
    """
    with session.registry() as registry:
        collected = registry.gc(dry_run=not delete, grace=grace, trash=trash, also=also)
    session.answer(collected, _render)


def _render(screen: Screen, collected: Sequence[Collected]) -> None:
    for each in collected:
        if each.taken:
            screen.table(("DIGEST", "SIZE", "SINCE", "OF"), [_row(gone) for gone in each.taken], right={"SIZE"})
        went, out, back = ("would go", "would be", "would come") if each.dry_run else ("went", "were", "came")
        screen.line(
            f"{each.store}: {_counted(len(each.taken), each.taken_bytes)} {went} to the trash,"
            f" {_counted(len(each.removed), each.removed_bytes)} {out} removed from it"
        )
        if each.rescued:
            screen.line(f"{len(each.rescued)} {back} back out of the trash: something needs them again", "yellow")
        if each.recent:
            screen.line(
                f"{each.recent} of them came within the last hour: a registration that is still going on is refused"
                " without them, and has to be run again",
                "yellow",
            )
        screen.fields(
            [
                ("needed", _counted(each.kept, each.kept_bytes)),
                ("too young", _counted(each.young, each.young_bytes) if each.young else None),
            ]
        )
        if each.dry_run and (each.taken or each.removed):
            screen.line("nothing was changed: --delete does it", "dim")


def _counted(count: int, size: int) -> str:
    return f"{count} blob{'s' if count != 1 else ''} ({human_size(size)})"


def _row(gone: Gone) -> tuple[str, str, str, str]:
    of = listed(gone.needed_by[:2]) + (" …" if len(gone.needed_by) > 2 else "")  # noqa: PLR2004 - as many as fit
    return f"sha256:{gone.digest.short}", human_size(gone.bytes), gone.modified, of or "no version"
