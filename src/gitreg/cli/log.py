"""`gitreg log`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_model
from gitreg.cli.options import at_option, in_registry
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.reader import LogEntry

_CHANGES = 3


@command("log")
@click.argument("model", required=False, callback=in_registry, shell_complete=complete_model)
@click.option(
    "-n", "--limit", type=click.IntRange(min=0), default=20, show_default=True, metavar="N", help="So many; 0: all."
)
@at_option
def log(session: Session, model: str | None, limit: int, at: str | None) -> None:
    """List what happened on main.

    The newest comes first; only what concerns MODEL where one is given.
    """
    with session.registry() as registry:
        session.answer(registry.log(model, limit=limit or None, at=at), _render)


def _render(screen: Screen, entries: Sequence[LogEntry]) -> None:
    headers = ("TIME", "COMMIT", "AUTHOR", "SUBJECT", "CHANGES")
    rows = [(entry.time, entry.commit[:10], entry.author, entry.subject, _few(entry.changes)) for entry in entries]
    screen.table(headers, rows)


def _few(changes: Sequence[str]) -> str:
    more = len(changes) - _CHANGES
    return "; ".join([*changes[:_CHANGES], *([f"{more} more"] if more > 0 else [])])
