"""Read files so that their bytes are hashed, checked and found unchanged in one pass."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from typing import TYPE_CHECKING, BinaryIO, Protocol

from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, InvalidError
from gitreg.objects.faults import reading
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer, WriteableBuffer

CHUNK = 256 * 1024  # bytes; larger buffers leave the processor's cache and hash no faster


class Readable(Protocol):
    """What can be copied: a binary file, a pipe, a store's reader."""

    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        """Fill the buffer and say with how many bytes; 0 is the end."""


@dataclass(frozen=True, slots=True)
class Blob:
    """Bytes known by digest, and how many (`size`, in bytes)."""

    digest: Digest
    size: int


def copy(source: Readable, sink: BinaryIO | None = None, moved: Callable[[int], None] | None = None) -> Blob:
    """Copy a stream to its end and hash it on the way; without a sink, only hash it.

    `moved` is told the number of bytes after each chunk; what it raises stops the copy.
    """
    hasher, size = hashlib.sha256(), 0
    buffer = memoryview(bytearray(CHUNK))
    while count := source.readinto(buffer):
        piece = buffer[:count]
        hasher.update(piece)
        if sink is not None:
            sink.write(piece)
        size += count
        if moved is not None:
            moved(count)
    return Blob(Digest(hasher.hexdigest()), size)


class SteadyFile(io.FileIO):
    """A regular file that raises ConflictError at its end where it changed since it was opened.

    Size, modification time and inode are compared, of the open file and of its path, so a file that was replaced is
    found as well.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with reading(path):
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._opened = os.fstat(opened)
        if not stat.S_ISREG(self._opened.st_mode):
            os.close(opened)
            raise InvalidError(f"{str(path)!r} is not a regular file")
        super().__init__(opened, "rb")

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer; at the end of the file, or past where it was, check that it did not change."""
        with reading(self.path):
            count = super().readinto(buffer) or 0
        # A file that grows as it is read would have no end.
        if not count or self.tell() > self._opened.st_size:
            self._check()
        return count

    def _check(self) -> None:
        opened = _identity(self._opened)
        try:
            now = {_identity(os.fstat(self.fileno())), _identity(self.path.stat())}
        except OSError as error:
            raise ConflictError(f"{str(self.path)!r} vanished while it was read") from error
        if now != {opened} or self.tell() != self._opened.st_size:
            raise ConflictError(
                f"{str(self.path)!r} changed while it was read", hint="wait until nothing writes it and run it again"
            )


def _identity(found: os.stat_result) -> tuple[int, int, int, int]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


class VerifiedParts(io.RawIOBase):
    """A blob that comes in pieces and raises IntegrityError, before its last bytes, where they are not the blob's.

    Who stops reading earlier has verified nothing.
    """

    def __init__(self, pieces: Iterator[ReadableBuffer], digest: Digest, size: int, where: str) -> None:
        super().__init__()
        self._pieces = pieces
        self._digest = digest
        self._where = where
        self._hasher = hashlib.sha256()
        self._piece = memoryview(b"")
        self._left = size
        if not size:
            self._verify()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Fill the buffer with checked bytes."""
        view = memoryview(buffer).cast("B")
        if not self._left or not len(view):
            return 0
        while not len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:  # it is shorter than it says
                self._verify()
                return 0
            self._piece = memoryview(piece).cast("B")[: self._left]
        count = min(len(view), len(self._piece))
        view[:count] = self._piece[:count]
        self._piece = self._piece[count:]
        self._hasher.update(view[:count])
        self._left -= count
        if not self._left:
            self._verify()
        return count

    def _verify(self) -> None:
        found = Digest(self._hasher.hexdigest())
        if found != self._digest:
            raise damaged(self._where, self._digest, found)


def damaged(where: Path | str, expected: Digest, found: Digest) -> IntegrityError:
    """Describe stored bytes that are not what their name says."""
    return IntegrityError(
        f"the stored blob {expected} is damaged: expected {expected}, found {found} in {str(where)!r}",
        hint="gitreg fsck --deep --repair brings it back from a mirror, the trash or a machine's cache; without one,"
        " remove the damaged object and register the same file again",
    )


def hash_file(path: Path) -> Blob:
    """Compute digest and size of a file that must not change meanwhile (ConflictError)."""
    with SteadyFile(path) as source:
        return copy(source)
