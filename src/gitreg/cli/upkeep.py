"""`gitreg upkeep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.git.upkeep import Shape, Upkept


@command("upkeep")
@click.option("--full", is_flag=True, help="Rewrite all packs into one, and remove what has had no name for two weeks.")
def upkeep(session: Session, full: bool) -> None:
    """Keep the repository quick to read, fetch and clone.

    Packs its objects and refs, and writes the indexes that git reads them by. It may run at any time, beside readers
    and pushes; on a server, once a day is a good measure. Of a URL it is the mirror that this machine keeps. The
    weights are the business of `gitreg gc`.
    """
    with session.registry() as registry:
        session.answer(registry.upkeep(full=full), _render)


def _render(screen: Screen, done: Upkept) -> None:
    screen.line(f"kept up {done.path}")
    names = ("loose objects", "packs", "size", "loose refs")
    cells = zip(names, _cells(done.before), _cells(done.after), strict=True)
    screen.table(("", "BEFORE", "AFTER"), list(cells), right={"BEFORE", "AFTER"})
    screen.fields([(each.command, f"{each.seconds:.1f} s") for each in done.steps])
    if done.kept:
        screen.line(f"nothing was removed: {done.kept}; run it again later")


def _cells(shape: Shape) -> tuple[str, ...]:
    return f"{shape.loose_objects:,}", f"{shape.packs:,}", human_size(shape.bytes), f"{shape.loose_refs:,}"
