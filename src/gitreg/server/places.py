"""Take places that are there once for all workers of a server."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

_MOST = 256  # places of one name
_SOON, _LATER = 0.01, 0.2


class Places:
    """So many places for each name. One is a byte of a file, and who has it holds the system's lock on it.

    The lock falls when its process ends, however it ends. Nobody is told that a place is free again: who waits looks
    now and then. A process opens one file once, and for as long as it lives: with the first that it closes it would
    lose all of its locks.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._own: set[int] = set()

    @contextlib.asynccontextmanager
    async def place(self, name: str, of: int) -> AsyncIterator[None]:
        """Wait until one of so many places is free, and have it."""
        first, pause = _first(name), _SOON
        while (found := self._taken(range(first, first + min(of, _MOST)))) is None:
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LATER)
        try:
            yield
        finally:
            self._own.discard(found)
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, found)

    def _taken(self, places: range) -> int | None:
        """Take the first that is free; the system sees no conflict in what this process has itself."""
        for place in places:
            if place not in self._own:
                with contextlib.suppress(BlockingIOError, PermissionError):
                    fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
                    self._own.add(place)
                    return place
        return None


def shared(folder: Path | None, name: str) -> Places | None:
    """Open the places of one kind that workers share in a folder; None where there is one process alone."""
    return Places(folder / f"places-{name}") if folder is not None else None


def _first(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=6).digest()) * _MOST
