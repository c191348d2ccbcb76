"""Read any range of a blob out of the objects that it lies in, exactly as many bytes as are asked for."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.partial import Partial
    from gitreg.objects.recipes import Layout

_BREAKS = 16  # that often in a row one range may break off, with less than _WORTH bytes in between
_WORTH = 64 << 10
_STEP = 1 << 20
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
# What a kernel says that does not copy between these two files.
_NO_COPY = frozenset({errno.EXDEV, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EPERM, errno.ETXTBSY})


class Ranges:
    """The bytes of a blob, by their places in it."""

    def __init__(self, layout: Layout, bucket: Bucket) -> None:
        self._layout = layout
        self._bucket = bucket

    def read(self, begin: int, end: int) -> Iterator[tuple[int, ReadableBuffer]]:
        """Give the bytes of a range in pieces, each with its place in the blob.

        What breaks off is gone on with for as long as anything comes. IntegrityError: the store has more or fewer.
        """
        at, breaks = begin, 0
        while at < end:
            before = at
            try:
                for data in self._parts(at, end):
                    yield at, data
                    at += memoryview(data).nbytes
            except UnavailableError:
                breaks = breaks + 1 if at - before < _WORTH else 1
                if at == before or breaks > _BREAKS:
                    raise
                continue
            if at == before:
                raise self._short(at)

    def copy(self, begin: int, end: int, into: Partial, moved: Callable[[int], None]) -> bool:
        """Copy a range within the kernel, which shares the bytes where the file system can.

        False, and nothing is copied, where the objects are no files of this machine, or the kernel cannot.
        """
        at = begin
        for part in self._layout.within(begin, end - begin):
            path = self._bucket.path_of(part.key)
            source = None if path is None else _opened(path)
            if source is None:
                if at > begin:
                    raise self._short(at)
                return False
            try:
                done = 0
                while done < part.size:
                    count = into.copy_from(source, part.offset + done, at, min(_STEP, part.size - done))
                    if not count:
                        raise self._short(at)
                    done, at = done + count, at + count
                    moved(count)
            except OSError as error:
                if error.errno not in _NO_COPY or at > begin:
                    raise
                return False
            finally:
                os.close(source)
        return at == end

    def _parts(self, begin: int, end: int) -> Iterator[ReadableBuffer]:
        for part in self._layout.within(begin, end - begin):
            got = 0
            for data in self._bucket.read(part.key, part.offset, part.size):
                got += memoryview(data).nbytes
                if got > part.size:
                    raise IntegrityError(f"the store gave more bytes of {part.key} than were asked for")
                yield data
            if got < part.size:
                return

    def _short(self, at: int) -> IntegrityError:
        key = next((part.key for part in self._layout.within(at, 1)), "it")
        return IntegrityError(
            f"the blob {self._layout.digest} ends at byte {at:,}, where {self._layout.size:,} were promised:"
            f" {key} in {self._bucket.uri!r} is shorter than the store says, or gone",
            hint="restore it from a mirror or a copy of the store",
        )


def _opened(path: Path) -> int | None:
    if not hasattr(os, "copy_file_range"):
        return None
    try:
        return os.open(path, _OPEN)
    except OSError:  # it is read instead, which says what is wrong
        return None
