"""`gitreg lineage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import at_option, selector_argument
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from gitreg.cli.screen import Branch, Screen
    from gitreg.registry import LineageNode


@command("lineage")
@selector_argument
@click.option(
    "--depth", type=click.IntRange(1, 32), default=20, show_default=True, metavar="N", help="So many generations."
)
@at_option
def lineage(session: Session, selector: str, depth: int, at: str | None) -> None:
    """Show what a version came from.

    Its parents, their parents and so on, each with its relation to what stands above it.
    """
    with session.registry() as registry:
        session.answer(registry.lineage(selector, depth=depth, at=at), _render)


def _render(screen: Screen, node: LineageNode) -> None:
    screen.tree(_branch(node))


def _branch(node: LineageNode) -> Branch:
    from gitreg.cli.screen import Branch

    notes = [note for note in (node.relation, node.state) if note]
    label = f"{node.name} ({', '.join(notes)})" if notes else node.name
    return Branch(label, tuple(map(_branch, node.parents)))
