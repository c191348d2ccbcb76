"""`gitreg fsck`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command
from gitreg.cli.text import listed
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.keep.fsck import Checked, Damage

_DAMAGED = 6  # IntegrityError's
_SHOWN = 3  # versions named for one blob


@command("fsck")
@click.option("--deep", is_flag=True, help="Read every byte, and compare it with its digest.")
@click.option(
    "--repair", is_flag=True, help="Bring what is wrong back from a mirror, the trash or this machine's cache."
)
def fsck(session: Session, deep: bool, repair: bool) -> None:
    """Find weights that are missing or damaged, and repair them.

    Every version of main is held against every store: its blobs are there and have their size, and with --deep every
    byte of them. Exits with 6 where something is wrong and was not repaired.
    """
    from gitreg.cli.progress import progress

    with session.registry() as registry, progress("checking", quiet=session.as_json) as moved:
        checked = registry.fsck(deep=deep, repair=repair, progress=moved)
    session.answer(checked, _render)
    if not all(each.is_sound for each in checked):
        click.get_current_context().exit(_DAMAGED)


def _render(screen: Screen, checked: Sequence[Checked]) -> None:
    for each in checked:
        if each.problem is not None:
            screen.line(f"{each.store} was not checked: {each.problem}", "red")
            continue
        for damage in each.damage:
            _render_damage(screen, damage)
        left = sum(not damage.is_repaired for damage in each.damage)
        state = f"{left} of {each.blobs} blobs are wrong" if left else "is sound"
        how = "every byte read" if each.deep else "sizes compared; --deep reads every byte"
        screen.line(f"{each.store} {state} ({how})", "red" if left else None)
        screen.fields(
            [
                ("needed", f"{each.blobs} blobs of {each.versions} versions, {human_size(each.bytes)}"),
                ("elsewhere", _without_weights(each.elsewhere)),
                ("repaired", sum(damage.is_repaired for damage in each.damage) or None),
                ("orphans", _sized(each.orphans, each.orphan_bytes, "gitreg gc tells which may go")),
                ("trash", _sized(each.trash, each.trash_bytes, "gitreg gc removes it in time")),
                ("strangers", listed(each.strangers) or None),
            ]
        )


def _without_weights(count: int) -> str | None:
    return f"{count}, of versions that came without their weights in a bundle" if count else None


def _sized(count: int, size: int, what: str) -> str | None:
    return f"{count}, {human_size(size)}; {what}" if count else None


def _render_damage(screen: Screen, damage: Damage) -> None:
    more = damage.needs - _SHOWN
    who = listed(damage.needed_by[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
    end = f"repaired from {damage.repaired_from}" if damage.repaired_from else damage.remedy
    style = "yellow" if damage.is_repaired else "red"
    screen.line(f"{damage.kind}: {damage.digest} of {who}: {damage.message}; {end}", style)
