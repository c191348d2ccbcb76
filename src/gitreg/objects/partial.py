"""Keep what has come of a blob, so that who goes on after a kill fetches only the rest.

Beside the bytes, `partial/<64 hex>`, lies a journal, `partial/<64 hex>.journal`: a line that names the format and the
size, then a record for each range whose bytes are all there: begin and end, 64 bits each, and a CRC-32 of both. A
record is written after its bytes, and one that was cut off is none. Whoever holds the journal's lock fills the blob. A
small blob has no journal: to fetch it again costs less than to keep one. It lies here only as it is written, under a
name of its own.
"""

from __future__ import annotations

import os
import time
import zlib
from contextlib import contextmanager, suppress
from pathlib import Path
from struct import Struct
from typing import TYPE_CHECKING, TypeVar

from gitreg.objects.faults import writing
from gitreg.objects.locks import open_locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import ReadableBuffer

    from gitreg.digest import Digest

FOLDER = "partial"
JOURNAL = ".journal"
STALE_AFTER = 7 * 24 * 60 * 60  # seconds: what nobody goes on with for a week is removed
SMALL = 1 << 20  # bytes
_SHOW = 1.0  # seconds between two signs that a blob is being read
_RECORD = Struct("<QQI")
_MOST = 64 << 20  # bytes of a journal: three million ranges
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


_Done = TypeVar("_Done")


class Partial:
    """A blob on its way into the cache; ranges of it may be written by several threads at once."""

    def __init__(self, path: Path, size: int, journal: int | None) -> None:
        """Take up what an earlier run left, where that was for a blob of this size; else begin anew."""
        self.path = path
        self.size = size
        self.resumed = 0
        self._journal = journal
        self._shown = time.monotonic()
        self._file = os.open(path, _FLAGS, 0o600)
        try:
            self._done = None if journal is None else self._read_journal(journal)
            if self._done is None or os.fstat(self._file).st_size != size:
                self.reset()
            self.resumed = size - sum(end - begin for begin, end in self.missing())
        except BaseException:
            os.close(self._file)
            raise

    def missing(self) -> list[tuple[int, int]]:
        """List the ranges that are not there yet, in their order."""
        gaps, at = [], 0
        for begin, end in sorted(self._done or ()):
            if begin > at:
                gaps.append((at, begin))
            at = max(at, end)
        if at < self.size:
            gaps.append((at, self.size))
        return gaps

    def write(self, offset: int, data: ReadableBuffer) -> None:
        """Put bytes in their place; they count only once they are noted."""
        left = memoryview(data)
        while left:
            count = os.pwrite(self._file, left, offset)
            offset, left = offset + count, left[count:]

    def copy_from(self, source: int, start: int, offset: int, count: int) -> int:
        """Copy bytes of an open file to their place within the kernel, and say how many it did."""
        return os.copy_file_range(source, self._file, count, start, offset)

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Read bytes that were written, and so that those who wait see that this process goes on; 0 past the end."""
        if time.monotonic() - self._shown >= _SHOW:
            self._shown = time.monotonic()
            os.utime(self._file)
        return os.preadv(self._file, [buffer], offset)

    def note(self, begin: int, end: int) -> None:
        """Record that all bytes of a range are there."""
        if self._journal is not None:
            packed = _RECORD.pack(begin, end, 0)[:-4]
            # O_APPEND: one write, one record, whichever thread it comes from.
            os.write(self._journal, packed + zlib.crc32(packed).to_bytes(4, "little"))
        if self._done is not None:
            self._done.append((begin, end))

    def forget(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Forget ranges that turned out wrong; all others are there."""
        at = 0
        self._clear_journal()
        self._done = []
        for begin, end in [*sorted(ranges), (self.size, self.size)]:
            if begin > at:
                self.note(at, begin)
            at = max(at, end)
        self.resumed = sum(end - begin for begin, end in self._done)

    def reset(self) -> None:
        """Forget everything that came."""
        self._clear_journal()
        if os.fstat(
            self._file
        ).st_size:  # ext4 sends all of a file to the disk that was cut to nothing, when it is closed
            os.ftruncate(self._file, 0)
        os.ftruncate(self._file, self.size)
        self._done = []
        self.resumed = 0

    def publish(self, final: Path, mode: int) -> os.stat_result:
        """Give the complete blob its name, and say how it is found from now on; a damaged one gives way to it."""
        os.fchmod(self._file, mode)
        final.parent.mkdir(parents=True, exist_ok=True)
        self.path.replace(final)
        if self._journal is not None:
            self.path.with_name(self.path.name + JOURNAL).unlink(missing_ok=True)
        return os.fstat(self._file)

    def close(self) -> None:
        """Close the blob's file; the journal's lock is its holder's to end."""
        os.close(self._file)

    def _clear_journal(self) -> None:
        if self._journal is not None:
            os.ftruncate(self._journal, 0)
            os.write(self._journal, self._header())

    def _header(self) -> bytes:
        return f"gitreg/partial/v1 {self.size}\n".encode("ascii")

    def _read_journal(self, journal: int) -> list[tuple[int, int]] | None:
        """Read the ranges that are there; None where it is no journal for a blob of this size."""
        length = os.fstat(journal).st_size
        header = self._header()
        if not len(header) <= length <= _MOST:
            return None
        data = os.pread(journal, length, 0)
        if not data.startswith(header):
            return None
        records = data[len(header) :]
        whole = len(records) - len(records) % _RECORD.size
        # A record that was cut off would put all that follow it out of step.
        os.ftruncate(journal, len(header) + whole)
        return [found for found in map(self._range, _RECORD.iter_unpack(records[:whole])) if found is not None]

    def _range(self, record: tuple[int, int, int]) -> tuple[int, int] | None:
        begin, end, check = record
        sound = zlib.crc32(_RECORD.pack(begin, end, 0)[:-4]) == check and 0 <= begin < end <= self.size
        return (begin, end) if sound else None


@contextmanager
def partial(cache: Path, digest: Digest, size: int, *, own: bool = False) -> Iterator[Partial | None]:
    """Open what has come of a blob so far, for this process alone; None where another is at it.

    With `own` it is a file that no other process goes on with, and that is gone at the end.
    """
    folder = cache / FOLDER
    with writing(cache):
        folder.mkdir(parents=True, exist_ok=True)
    if own:
        with _alone(cache, folder / f"{digest.hex}.{os.urandom(8).hex()}", size) as alone:
            yield alone
        return
    path = folder / digest.hex
    with writing(cache):
        journal = open_locked(path.with_name(path.name + JOURNAL))
    if journal is None:
        yield None
        return
    try:
        with writing(cache):
            _append(journal)
            opened = Partial(path, size, journal)
        try:
            yield opened
        finally:
            opened.close()
    finally:
        os.close(journal)


def write_small(cache: Path, final: str, data: bytes, mode: int) -> os.stat_result:
    """Give a small blob its name, with all of its bytes, and say how it is found; a damaged one gives way to it."""
    new = f"{cache}/{FOLDER}/{final.rpartition('/')[2]}.{os.urandom(8).hex()}"
    opened = _in_folder(new, lambda: os.open(new, _FLAGS | os.O_EXCL, 0o600))
    try:
        left = memoryview(data)
        while left:
            left = left[os.write(opened, left) :]
        os.fchmod(opened, mode)
        _in_folder(final, lambda: os.replace(new, final))  # noqa: PTH105 - of many files, a Path for each takes long
        return os.fstat(opened)
    except BaseException:
        with suppress(OSError):
            os.unlink(new)  # noqa: PTH108 - as above
        raise
    finally:
        os.close(opened)


def _in_folder(path: str, do: Callable[[], _Done]) -> _Done:
    """Do what needs the folder of a path, which is there but for the first time."""
    try:
        return do()
    except FileNotFoundError:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        return do()


@contextmanager
def _alone(cache: Path, path: Path, size: int) -> Iterator[Partial]:
    with writing(cache):
        opened = Partial(path, size, None)
    try:
        yield opened
    finally:
        opened.close()
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _append(journal: int) -> None:
    import fcntl

    fcntl.fcntl(journal, fcntl.F_SETFL, fcntl.fcntl(journal, fcntl.F_GETFL) | os.O_APPEND)
