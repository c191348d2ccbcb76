"""Remember when a blob of the cache was last used, and which files are known to hold its bytes.

For each blob a small file `used/<ab>/<64 hex>`: its modification time is the last use, its lines are stamps of files
whose every byte was verified. A stamp holds until the machine starts again, or until anything touches the file: what
is written to sets its times, and what a power cut spoils is read after a restart.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitreg.digest import Digest

FOLDER = "used"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_KEPT = 32  # stamps of one blob
_LIMIT = 64 * 1024  # bytes of one file of stamps
# A kernel's clock for files stands still for up to 10 ms; what changes twice within that shows one time.
_TICK = 0.02


class Stamps:
    """The stamps and last uses of a cache's blobs."""

    def __init__(self, cache: Path) -> None:
        """Name the cache's folder; nothing is touched."""
        self.folder = cache / FOLDER

    def path_of(self, digest: Digest) -> Path:
        """Name the file of a blob's stamps."""
        return self.folder / digest.hex[:2] / digest.hex

    def touch(self, digest: Digest) -> None:
        """Note that a blob is used now; in a cache that may only be read nobody notes it."""
        path = self.path_of(digest)
        with suppress(OSError):
            try:
                os.utime(path)
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def used(self, digest: Digest) -> float:
        """Tell when a blob was last used, in seconds since 1970; 0 where nobody noted it."""
        with suppress(OSError):
            return self.path_of(digest).lstat().st_mtime
        return 0.0

    def is_verified(self, digest: Digest, found: os.stat_result) -> bool:
        """Whether a file, as it is found now, is known to hold a blob's bytes."""
        stamp = _stamp(found)
        return stamp is not None and stamp in self._read(digest)

    def note(self, verified: Iterable[tuple[Digest, Path | int, os.stat_result]]) -> None:
        """Stamp files that were verified, each as it was found then, where they are still that.

        A file is a path or an open descriptor. Waits for up to a fiftieth of a second, until each change of theirs
        would show. What cannot be noted is read again another time.
        """
        rows = [row for row in verified if _stamp(row[2]) is not None]
        if not rows:
            return
        newest = max(found.st_ctime for _, _, found in rows)
        time.sleep(min(max(0.0, newest + _TICK - time.time()), _TICK))
        by_digest: dict[Digest, list[str]] = {}
        for digest, file, found in rows:
            with suppress(OSError):
                now = os.fstat(file) if isinstance(file, int) else file.lstat()
                stamp = _stamp(now)
                if stamp is not None and stamp == _stamp(found) and time.time() - now.st_ctime >= _TICK:
                    by_digest.setdefault(digest, []).append(stamp)
        for digest, stamps in by_digest.items():
            with suppress(OSError):
                self._write(digest, stamps)

    def _read(self, digest: Digest) -> list[str]:
        with suppress(OSError, UnicodeDecodeError):
            opened = os.open(self.path_of(digest), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with os.fdopen(opened, "rb", buffering=0) as file:
                return (file.read(_LIMIT) or b"").decode("ascii").splitlines()
        return []

    def _write(self, digest: Digest, stamps: list[str]) -> None:
        path = self.path_of(digest)
        boot = _boot()
        kept = [line for line in self._read(digest) if line not in stamps and line.startswith(f"{boot} ")]
        new = path.with_name(f".{os.urandom(8).hex()}")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            new.write_text("".join(f"{line}\n" for line in [*kept, *stamps][-_KEPT:]), encoding="ascii")
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        """Give the name of every file of stamps, the digits of a blob's digest, and when it was last used."""
        with suppress(FileNotFoundError):
            for folder in os.scandir(self.folder):
                for entry in os.scandir(folder.path):
                    with suppress(FileNotFoundError):
                        yield entry.name, entry.stat(follow_symlinks=False).st_mtime


def _stamp(found: os.stat_result) -> str | None:
    """Write what tells one state of a file from any other; None on a machine that does not tell its starts apart."""
    boot = _boot()
    if boot is None:
        return None
    return f"{boot} {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


@cache
def _boot() -> str | None:
    with suppress(OSError, UnicodeDecodeError):
        return _BOOT.read_text(encoding="ascii").strip() or None
    return None
