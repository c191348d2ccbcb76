"""Keep the order of main's commits, so that a page of events costs its own length and not the whole history."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from gitreg.git.history import first_parents, is_on_first_parent_chain

if TYPE_CHECKING:
    from gitreg.git import Oid, Repository


class Chain:
    """The first-parent chain up to the newest commit that was asked for: 20 bytes a commit, or 32 with SHA-256."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._oids = bytearray()
        self._tip: Oid | None = None

    def after(self, repository: Repository, tip: Oid, oid: Oid | None, limit: int) -> list[Oid] | None:
        """Give the first commits behind one (None: from the beginning), oldest first; None where it is not of main."""
        width = len(tip) // 2
        with self._lock:
            self._follow(repository, tip)
            end = self._place(tip) + width
            start = 0 if oid is None else self._place(oid) + width
            if (oid is not None and start < width) or start > end:
                return None
            chosen = bytes(self._oids[start : min(end, start + limit * width)])
        return [chosen[place : place + width].hex() for place in range(0, len(chosen), width)]

    def _follow(self, repository: Repository, tip: Oid) -> None:
        """Read what is new; all of it for the first time, or where main was moved back."""
        if self._place(tip) >= 0:
            return
        known = self._tip
        if known is not None and not is_on_first_parent_chain(repository, known, tip):
            known = None
        found = b"".join(bytes.fromhex(each)[::-1] for each in first_parents(repository, tip, since=known))[::-1]
        self._oids = self._oids + found if known is not None else bytearray(found)
        self._tip = tip

    def _place(self, oid: Oid) -> int:
        """Find where a commit stands; -1 where it does not."""
        wanted = bytes.fromhex(oid)
        place = self._oids.find(wanted)
        while place > 0 and place % len(wanted):  # a match across the border of two
            place = self._oids.find(wanted, place + 1)
        return place
