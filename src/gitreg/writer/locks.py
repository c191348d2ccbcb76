"""Take git's locks of main away where whoever held them is gone."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import secrets
import time
from typing import TYPE_CHECKING

from gitreg.git.refs import KilledError, locks_of
from gitreg.layout import MAIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_LONG = 300.0  # seconds; git itself holds a lock for some thousandths of one
_SHORT = 1.0
_TICK = 0.05  # of a file system's clock
_FOLDER = "moving"
_BEGUN = b"begun"
_DRAFT = ".draft"

_log = logging.getLogger("gitreg.writer")


class Locks:
    """Tells other servers, and those after it, whether this one was killed in the middle of a move.

    A file says that a move is under way. It stays locked for as long as this process lives, or the git that moves and
    that inherits `fd`: a lock of the kernel's goes with the last of them. So a server that was killed alone does not
    count as gone, while its git may still hold main.
    """

    def __init__(self, git_dir: Path, common_dir: Path) -> None:
        self._folder = git_dir / "gitreg" / _FOLDER
        self._common_dir = common_dir
        self._lost: list[float] = []
        self._own = self._folder / secrets.token_hex(8)
        self.fd: int | None = None
        with contextlib.suppress(OSError):  # where it cannot be written, a lock that was left is told by its age
            self._folder.mkdir(parents=True, exist_ok=True)
            draft = self._own.with_suffix(_DRAFT)  # that it is not locked yet must not count
            self.fd = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX)
            draft.rename(self._own)

    @contextlib.contextmanager
    def moving(self) -> Iterator[None]:
        """Say that a move is under way."""
        self._say(_BEGUN)
        since = time.time()
        try:
            yield
        except KilledError:
            self._lost.append(since - _TICK)
            raise
        finally:
            self._say(b"")

    def _say(self, what: bytes) -> None:
        if self.fd is not None:
            with contextlib.suppress(OSError):
                os.pwrite(self.fd, what, 0) if what else os.ftruncate(self.fd, 0)

    def close(self) -> None:
        """Leave nothing behind."""
        if self.fd is not None:
            with contextlib.suppress(OSError):
                self._own.unlink()
            os.close(self.fd)
            self.fd = None

    def break_left(self) -> None:
        """Take away the locks of a move that was killed, and those that are old, as after a power cut."""
        begun = list(self._killed())
        since = [*self._lost, *(moment for _, moment in begun)]
        for lock in locks_of(self._common_dir, MAIN):
            with contextlib.suppress(OSError):
                found = lock.stat()
                age = time.time() - found.st_mtime
                is_of_killed = any(0 <= found.st_mtime - moment < _SHORT for moment in since)
                if age > (_SHORT if is_of_killed else _LONG):
                    self._break(lock, found)
        past = time.time() - 3 * _SHORT
        self._lost = [moment for moment in self._lost if moment > past]
        for note, moment in begun:
            if moment <= past:
                with contextlib.suppress(OSError):
                    note.unlink()

    def _killed(self) -> Iterator[tuple[Path, float]]:
        """Find the moves that were killed, and when they began; notes of those that ended well are tidied up."""
        try:
            notes = [each for each in self._folder.iterdir() if each != self._own and each.suffix != _DRAFT]
        except OSError:
            return
        for note in notes:
            with contextlib.suppress(OSError), note.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails where its server lives
                if file.read():
                    yield note, os.fstat(file.fileno()).st_mtime
                else:
                    note.unlink()

    def _break(self, lock: Path, found: os.stat_result) -> None:
        aside = self._folder.parent / f"{lock.name}.{secrets.token_hex(8)}"
        lock.rename(aside)
        try:
            moved = aside.stat()
            if (moved.st_ino, moved.st_mtime_ns) == (found.st_ino, found.st_mtime_ns):
                _log.warning("%s was left by a process that is gone; it is removed", lock)
            else:  # somebody else removed it first, and this is the one of a git that has taken it since
                lock.hardlink_to(aside)
        finally:
            aside.unlink()
