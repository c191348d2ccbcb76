"""Let people's pushes through beside a server that writes without a pause.

A push takes some tenths of a second from where its client reads main to where main moves; a group takes a few
hundredths. A busy server would be first each time.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from gitreg.gate import Code
from gitreg.gate_hooks.audit import audit_path

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RETRY = 1.5
"""Seconds in which who was refused, because main had moved on, may push again."""
JUDGED = 1.5
"""Seconds in which a push that has arrived may be judged."""
MOST = 4.0
"""Seconds of waiting that are saved up at most, while groups are written."""
_PAUSE = 0.005
_TICK = 0.05  # seconds; more than any kernel's
_MOST_READ = 1 << 18
_LOST = f'"code":"{Code.REF_STALE}"'.encode()


class Courtesy:
    """When a server's next group gives way: half of the time at most, however many push.

    Each push is waited for once, so that one that is slow, or was killed, holds nobody up again.
    """

    def __init__(self, git_dir: Path) -> None:
        self._objects = git_dir / "objects"
        self._log = audit_path(git_dir)
        self._seen: tuple[float, set[str]] = (0, set())
        self._known = self._pushes()
        self._read = self._size()
        self._saved, self._ended = MOST, time.monotonic()
        self._until = self._ended

    def give_way(self) -> float:
        """Wait for a push that is under way, and for one that has just lost to come again; give the seconds it took."""
        began = time.monotonic()
        self._saved = min(MOST, self._saved + began - self._ended)
        self._until = began + self._saved
        while self._is_awaited():
            fresh = self._pushes() - self._known
            self._wait(JUDGED, fresh.isdisjoint)
            self._known = self._known | fresh
        self._known = self._known & self._pushes()
        self._ended = time.monotonic()
        self._saved -= self._ended - began
        return self._ended - began

    def _is_awaited(self) -> bool:
        """Whether a push is under way; where one has just lost, wait whether it comes again."""
        if self._has_lost():
            self._wait(RETRY, lambda pushes: not pushes <= self._known)
        return bool(self._pushes() - self._known) and time.monotonic() < self._until

    def _wait(self, seconds: float, is_over: Callable[[set[str]], bool]) -> None:
        until = min(self._until, time.monotonic() + seconds)
        while time.monotonic() < until and not is_over(self._pushes()):
            time.sleep(_PAUSE)

    def _pushes(self) -> set[str]:
        """Name the quarantines, in which git keeps what is pushed until it was judged."""
        try:
            changed = self._objects.stat().st_mtime
            if self._seen[0] != changed:
                found = {each.name for each in os.scandir(self._objects) if "incoming-" in each.name}
                # Two changes within one tick of the file system's clock look like one.
                self._seen = (changed if time.time() - changed > _TICK else 0, found)
        except OSError:
            return set()
        return self._seen[1]

    def _size(self) -> int:
        try:
            return self._log.stat().st_size
        except OSError:
            return 0

    def _has_lost(self) -> bool:
        """Whether a push was refused since the last look because main had moved on."""
        start, self._read = self._read, self._size()
        if self._read <= start:
            return False
        try:
            with self._log.open("rb") as file:
                file.seek(max(start, self._read - _MOST_READ))
                return _LOST in file.read(self._read - file.tell())
        except OSError:
            return False
