"""Remember when a blob of the cache was last used, and which files are known to hold its bytes.

For each blob a small file `used/<ab>/<64 hex>`: its modification time is the last use, its lines are stamps of files
whose every byte was verified. A stamp holds until the machine starts again, or until anything touches the file: what
is written to sets its times (`settling`), and what a power cut spoils is read after a restart. A small file has none:
to read it takes less time than to write down that it was.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.objects.settling import TICK, is_seen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitreg.digest import Digest

FOLDER = "used"
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_KEPT = 32  # stamps of one blob
_LIMIT = 64 * 1024  # bytes of one file of stamps
WORTH = 64 << 10  # bytes of a file that is worth a stamp


class Stamps:
    """The stamps and last uses of a cache's blobs."""

    def __init__(self, cache: Path) -> None:
        """Name the cache's folder; nothing is touched."""
        self.folder = cache / FOLDER

    def path_of(self, digest: Digest) -> Path:
        """Name the file of a blob's stamps."""
        return Path(f"{self.folder}/{digest.hex[:2]}/{digest.hex}")

    def touch(self, digest: Digest) -> None:
        """Note that a blob is used now; in a cache that may only be read nobody notes it."""
        if not self.renew(digest):
            with suppress(OSError):
                path = self.path_of(digest)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.touch()

    def renew(self, digest: Digest) -> bool:
        """Note that a blob is used now, where an earlier use was noted; one that was never used is as old as it is."""
        try:
            os.utime(f"{self.folder}/{digest.hex[:2]}/{digest.hex}")
        except OSError:
            return False
        return True

    def is_verified(self, digest: Digest, found: os.stat_result) -> bool:
        """Whether a file, as it is found now, is known to hold a blob's bytes."""
        stamp = _stamp(found) if found.st_size >= WORTH else None
        return stamp is not None and stamp in self._read(digest)

    def note(self, verified: Iterable[tuple[Digest, Path | int, os.stat_result]]) -> None:
        """Stamp files that were verified, each as it was found then, where they are still that.

        A file is a path or an open descriptor, and one of which every change since shows in its times: it was settled
        before it was read, or nobody else had a name for it. Waits for up to a fiftieth of a second, until the last
        change shows. What cannot be noted is read again another time.
        """
        rows = [row for row in verified if row[2].st_size >= WORTH and _stamp(row[2]) is not None]
        if not rows:
            return
        newest = max(found.st_ctime for _, _, found in rows)
        time.sleep(min(max(0.0, newest + TICK - time.time()), TICK))
        by_digest: dict[Digest, dict[str, None]] = {}
        for digest, file, found in rows:
            with suppress(OSError), _opened(file) as opened:
                now = os.fstat(opened)
                stamp = _stamp(now)
                if stamp == _stamp(found) and stamp and time.time() - now.st_ctime >= TICK and is_seen(opened):
                    by_digest.setdefault(digest, {})[stamp] = None
        for digest, stamps in by_digest.items():
            with suppress(OSError):
                self._write(digest, list(stamps))

    def _read(self, digest: Digest) -> list[str]:
        with suppress(OSError, UnicodeDecodeError), _opened(self.path_of(digest)) as opened:
            return os.read(opened, _LIMIT).decode("ascii").splitlines()
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


@contextmanager
def _opened(file: Path | int) -> Iterator[int]:
    opened = os.dup(file) if isinstance(file, int) else os.open(file, _OPEN)
    try:
        yield opened
    finally:
        os.close(opened)


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
