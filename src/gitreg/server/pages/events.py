"""Tell what became of pointers: the index's rows, with what their commits say."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.reader.history import NOT_TOLD, is_told, iso
from gitreg.server.pages import listing

if TYPE_CHECKING:
    from gitreg.server.pages.site import Page


class Event(NamedTuple):
    """A change of a pointer: what was done, when, by whom and why."""

    moved: listing.Moved
    action: str
    time: str
    author: str
    reason: str


def events(page: Page, wanted: dict[str, str]) -> tuple[list[Event], int | None]:
    """List what the caller may read of the changes that are wanted, newest first; and where the next page begins."""
    moves, before = page.ask(lambda index: listing.moves(index, page.readable, wanted))
    return [_event(page, each) for each in moves], before


def _event(page: Page, moved: listing.Moved) -> Event:
    commit = page.at.repository.objects.commit(moved.commit)
    trailers = commit.trailers
    reason = trailers.get("Reason") or commit.subject
    if not page.readable.everything and not is_told(page.at.repository, moved.commit, page.readable.of_path):
        reason = NOT_TOLD
    return Event(
        moved,
        moved.action(trailers.get("Action")),
        iso(moved.time),
        commit.author.name,
        reason,
    )
