"""Keep room for those who ask: of the connections on which nothing is asked, the oldest make way."""

from __future__ import annotations

from typing import Protocol


class Idle(Protocol):
    """A connection."""

    def make_way(self) -> None:
        """End it: another one needs the place."""


class Crowd:
    """The connections on which no request is whole yet, by where they come from, each list oldest first."""

    def __init__(self) -> None:
        self._all: dict[Idle, str] = {}
        self._of_site: dict[str, dict[Idle, None]] = {}

    def enter(self, one: Idle, site: str, of_site: int) -> None:
        """Take in a connection as the newest; the oldest of its site makes way where there are more than so many."""
        self.leave(one)
        self._all[one] = site
        beside = self._of_site.setdefault(site, {})
        beside[one] = None
        if len(beside) > of_site:
            self._end(next(iter(beside)))

    def leave(self, one: Idle) -> None:
        """Count a connection no more: a request is whole, or it has ended."""
        site = self._all.pop(one, None)
        if site is not None:
            beside = self._of_site[site]
            del beside[one]
            if not beside:
                del self._of_site[site]

    def shrink(self, newest: Idle) -> None:
        """Have the oldest of all make way for the newest, if there is another one."""
        oldest = next(iter(self._all), newest)
        if oldest is not newest:
            self._end(oldest)

    def _end(self, one: Idle) -> None:
        self.leave(one)
        one.make_way()
