"""Write and read the plain tar files that bundles are: regular files with short names, one after the other."""

from __future__ import annotations

import io
import tarfile
from typing import TYPE_CHECKING, BinaryIO, Protocol

from gitreg.errors import IntegrityError, InvalidError
from gitreg.objects.streams import CHUNK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.objects.streams import Readable

BLOCK = tarfile.BLOCKSIZE
_MAX_SIZE = 1 << 50


class Source(Protocol):
    """What a tar is read from: a file, or one that is hashed on the way."""

    def read(self, size: int, /) -> bytes:
        """Give that many bytes, fewer only at the end."""


def add(sink: BinaryIO, name: str, size: int, source: Readable) -> None:
    """Append a file; IntegrityError, and not a byte more written, where the source does not have `size` bytes."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o444
    sink.write(info.tobuf(tarfile.GNU_FORMAT))
    buffer, done = memoryview(bytearray(CHUNK)), 0
    while done <= size and (count := source.readinto(buffer)):
        sink.write(buffer[: min(count, size - done)])
        done += count
    if done != size:
        raise IntegrityError(f"{name} has {'more' if done > size else 'fewer'} than {size} bytes")
    sink.write(b"\0" * (-size % BLOCK))


def finish(sink: BinaryIO) -> None:
    """Write the end of the file."""
    sink.write(b"\0" * (2 * BLOCK))


class Member(io.RawIOBase):
    """One file in a tar, to be read once and before the next one is asked for."""

    def __init__(self, file: Source, name: str, size: int) -> None:
        super().__init__()
        self.name = name
        self.size = size
        self._file = file
        self._left = size

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: object, /) -> int:
        """Fill the buffer; InvalidError where the tar ends inside the file."""
        view = memoryview(buffer).cast("B")[: self._left]  # type: ignore[arg-type] # a buffer, as its callers know
        if not view:
            return 0
        data = self._file.read(len(view))
        if not data:
            raise InvalidError(f"the bundle ends inside {self.name}")
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    def skip(self) -> None:
        """Pass over what was not read, and over what fills the last block."""
        left = self._left + -self.size % BLOCK
        self._left = 0
        while left:
            data = self._file.read(min(left, CHUNK))
            if not data:
                raise InvalidError(f"the bundle ends inside {self.name}")
            left -= len(data)


def members(file: Source) -> Iterator[Member]:
    """Give the files of a tar, in their order; InvalidError for anything but plain files, or where its end is missing.

    One header of 512 bytes a file is all that is looked at: extensions that tell of what is to come are refused.
    """
    while True:
        header = _block(file)
        if header == b"\0" * BLOCK:
            if _block(file) != header or file.read(1):
                raise InvalidError("the bundle goes on after its end")
            return
        try:
            info = tarfile.TarInfo.frombuf(header, "ascii", "strict")
        except (tarfile.HeaderError, ValueError) as error:
            raise InvalidError(f"the bundle is damaged: {error}") from error
        if info.type != tarfile.REGTYPE or not 0 <= info.size <= _MAX_SIZE:
            raise InvalidError(f"the bundle holds {info.name[:200]!r}, which is no plain file")
        member = Member(file, info.name, info.size)
        yield member
        member.skip()


def _block(file: Source) -> bytes:
    data = file.read(BLOCK)
    if len(data) != BLOCK:
        raise InvalidError("the bundle is cut off")
    return data
