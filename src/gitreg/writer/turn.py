"""Take turns with the other servers of one repository, so that none of them judges in vain."""

from __future__ import annotations

import contextlib
import fcntl
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

_LONGEST = 5.0  # seconds to wait for another server's groups
_PAUSE = 0.002


class Turn:
    """A lock beside the repository, and a second one that whoever is next holds: who had the turn waits behind them.

    It is a courtesy, and compare-and-swap on main what keeps servers apart: where the disk takes no lock, or another
    server does not give it back in time, this one goes on without.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for the turn, not for ever, and have it."""
        with contextlib.ExitStack() as stack:
            try:
                self._folder.mkdir(exist_ok=True)
                turn, place = (
                    stack.enter_context((self._folder / name).open("w")) for name in ("group.lock", "next.lock")
                )
            except OSError:
                yield  # the disk is full, for one; what follows says so
                return
            deadline = time.monotonic() + _LONGEST
            if _locked(place, deadline):
                _locked(turn, deadline)
                fcntl.flock(place, fcntl.LOCK_UN)
            yield


def _locked(file: IO[str], deadline: float) -> bool:
    """Lock a file; False where that is not done in time."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_PAUSE)
        else:
            return True
