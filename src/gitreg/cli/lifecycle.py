"""`gitreg yank`, `archive` and `delete`: the end of a version, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.cli.options import reason_option, selector_argument, undo_option, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written

if TYPE_CHECKING:
    from gitreg.registry import Mode


@command("yank")
@selector_argument
@undo_option
@reason_option
@writes
def yank(session: Session, selector: str, undo: bool, reason: str | None, mode: Mode) -> None:
    """Hide a version from resolution.

    `latest` and ranges pass it over; by its exact version it can still be fetched, and what runs goes on running.
    """
    with session.registry() as registry:
        answer_written(session, registry, registry.yank(selector, mode, undo=undo, reason=reason))


@command("archive")
@selector_argument
@undo_option
@reason_option
@writes
def archive(session: Session, selector: str, undo: bool, reason: str | None, mode: Mode) -> None:
    """Keep a version for the record; it cannot be deployed."""
    with session.registry() as registry:
        answer_written(session, registry, registry.archive(selector, mode, undo=undo, reason=reason))


@command("delete")
@selector_argument
@undo_option
@reason_option
@writes
def delete(session: Session, selector: str, undo: bool, reason: str | None, mode: Mode) -> None:
    """Replace a version by a tombstone.

    Its number stays taken. What an environment or an alias points at cannot be deleted; --undo brings the very same
    bytes back.
    """
    with session.registry() as registry:
        answer_written(session, registry, registry.delete(selector, mode, undo=undo, reason=reason))
