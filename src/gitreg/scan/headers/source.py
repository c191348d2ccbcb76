"""Give a header's reader bounded bytes of a file, and the words to refuse it with."""

from __future__ import annotations

import os
import struct
from math import prod
from typing import TYPE_CHECKING, BinaryIO, NoReturn, cast

from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_TENSORS = 200_000  # of a file: the largest mixtures of experts have 100,000
MAX_RANK = 32  # as NumPy had, and the manifest's schema
MAX_NAME = 1_024  # bytes of a tensor's name
MAX_HEADER = 256 * 1024 * 1024  # bytes that are read of all headers of a file together
_MAX_ELEMENTS = 1 << 62


class HeaderError(Exception):
    """A header that is truncated, oversized or untrue; the message says where and how."""


class TooMuchError(HeaderError):
    """More than is looked into: what comes after is not known."""


class TwoWaysError(HeaderError):
    """What programs read in different ways: what comes after is not known."""


class BreaksOffError(HeaderError):
    """The bytes end before what they began: with more of them it might go on."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor, or an input or output: its name, its type of element, its dimensions (None where unknown)."""

    name: str
    dtype: str
    shape: tuple[int | str | None, ...]

    @property
    def elements(self) -> int:
        """How many numbers it holds, where all dimensions are known; else 0."""
        return prod(size for size in self.shape if isinstance(size, int)) if self.is_fixed else 0

    @property
    def is_fixed(self) -> bool:
        """Whether every dimension is a known size."""
        return all(isinstance(size, int) and size >= 0 for size in self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a header says, where all of it holds.

    `inputs` and `outputs` are None where the format has none. `details` are a few words by name, `imports` what a
    pickle asks for (`module.name`), `code` what runs when the file is loaded, `holds` the formats of what is inside an
    archive, `files` what the file needs beside it, with the bytes that it expects there.
    """

    tensors: tuple[Tensor, ...] = ()
    inputs: tuple[Tensor, ...] | None = None
    outputs: tuple[Tensor, ...] | None = None
    details: dict[str, str | int] = field(default_factory=dict)
    imports: tuple[str, ...] = ()
    dangers: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    files: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


class Source:
    """An open file of a known size; every read is checked against it and against one budget."""

    def __init__(self, file: BinaryIO, size: int, budget: int = MAX_HEADER) -> None:
        self.file = file
        self.size = size
        self._left = budget

    def read(self, start: int, count: int, what: str) -> bytes:
        """Read exactly `count` bytes; HeaderError where the file, or what may be read of it, ends before."""
        if start < 0 or count < 0 or start + count > self.size:
            raise HeaderError(f"{what} at byte {start} would end at byte {start + count} of {self.size}: truncated")
        self._left -= count
        if self._left < 0:
            raise HeaderError(f"{what} at byte {start}: more header than is read of one file")
        self.file.seek(start)
        data = self.file.read(count)
        if len(data) != count:
            raise HeaderError(f"{what} at byte {start}: the file ended while it was read")
        return data

    def peek(self, start: int, count: int) -> bytes:
        """Read up to `count` bytes, fewer where the file ends; they count against no budget."""
        self.file.seek(min(max(start, 0), self.size))
        return self.file.read(max(0, min(count, self.size - start)))

    def payload(self, start: int, count: int, what: str) -> bytes:
        """Read exactly `count` bytes that are no header: they count against no budget."""
        data = self.peek(start, count)
        if start < 0 or len(data) != count:
            raise HeaderError(f"{what} at byte {start} would end at byte {start + count} of {self.size}: truncated")
        return data

    def part(self, start: int, size: int) -> Source:
        """Give a part of the file as a source of its own: nothing is read or copied for it."""
        return Source(cast("BinaryIO", _Part(self.file, start, size)), size)

    def number(self, start: int, kind: str, what: str) -> int:
        """Read one little-endian number; `kind` is a letter of `struct`."""
        code = f"<{kind}"
        found: int = struct.unpack(code, self.read(start, struct.calcsize(code), what))[0]
        return found


class _Part:
    """A part of an open file, as a file."""

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        self._file = file
        self._start = start
        self._size = size
        self._at = 0

    def seekable(self) -> bool:
        """Say that it can be read anywhere."""
        return True

    def tell(self) -> int:
        """Give the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        self._at = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at}.get(whence, self._size))
        return self._at

    def read(self, count: int = -1) -> bytes:
        """Read to the part's end at most."""
        left = max(0, self._size - self._at)
        self._file.seek(self._start + self._at)
        data = self._file.read(left if count < 0 else min(count, left))
        self._at += len(data)
        return data


def refuse(message: str) -> NoReturn:
    """Refuse a header."""
    raise HeaderError(message)


def name_of(data: bytes, what: str) -> str:
    """Read a name: UTF-8 of a bounded length."""
    if len(data) > MAX_NAME:
        refuse(f"{what}: a name of {len(data):,} bytes, at most {MAX_NAME:,} are read")
    try:
        return data.decode()
    except UnicodeDecodeError:
        refuse(f"{what}: a name that is not UTF-8")


def checked_shape(name: str, shape: Iterable[object]) -> tuple[int, ...]:
    """Accept the dimensions of a tensor that is stored: sizes from 0, whose product a machine can count."""
    sizes = tuple(shape)
    if len(sizes) > MAX_RANK:
        refuse(f"tensor {name!r} has {len(sizes)} dimensions, at most {MAX_RANK} are read")
    for size in sizes:
        if type(size) is not int or not 0 <= size < 1 << 63:
            refuse(f"tensor {name!r} has a dimension of {str(size)[:40]}")
    if prod(size for size in sizes if isinstance(size, int)) > _MAX_ELEMENTS:
        refuse(f"tensor {name!r} has more elements than a file can hold")
    return tuple(size for size in sizes if isinstance(size, int))


def check_spans(spans: list[tuple[int, int, str]], end: int) -> None:
    """Refuse tensors that overlap or reach beyond the data; each span is start, end, name."""
    reached, before = 0, ""
    for start, stop, name in sorted(spans):
        if stop > end:
            refuse(f"tensor {name!r} would end at byte {stop} of {end} bytes of data: truncated")
        if start < reached and start != stop:
            refuse(f"tensors {before!r} and {name!r} overlap")
        if stop > reached:
            reached, before = stop, name


def bytes_of(elements: int, bits: int) -> int:
    """Count the bytes of packed elements."""
    return (elements * bits + 7) // 8
