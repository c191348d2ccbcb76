"""Cut files where their contents say, and keep the list of the pieces.

A chunk list is three things: a line that names the format, a line of JSON (the algorithm with its parameters, the size
of the blob, the number of chunks, a BLAKE3 of what follows), then for each chunk its length, 32 bits with the lowest
byte first, and its BLAKE3 of 32 bytes. FastCDC is that of Xia et al., IEEE TPDS 2020, as `pyfastcdc` has it.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import BinaryIO

    from _typeshed import ReadableBuffer


MAGIC = b"gitreg/chunks/v1\n"
# ADR 0022 says why these: the size from which on FastCDC looks for a cut, and after how many times that it is made.
SMALLEST = 64 << 10
LARGEST = 8
# Of large blobs the chunks are larger, so that the lists of all take about as much memory: (size, smallest chunk).
_STEPS = ((16 << 30, SMALLEST), (64 << 30, 4 * SMALLEST))
_LAST_STEP = 16 * SMALLEST
LISTED_FROM = 4 << 20  # bytes: a smaller blob has no list, and is never put together from others
MOST = 1 << 18  # chunks: a blob that is cut into more has no list either
_HEADER = 4096  # bytes of a list's header
_TENSORS = 16 << 20  # bytes of a safetensors header that is looked at
_MOST_TENSORS = 1 << 17
_OFFSETS = re.compile(rb'"data_offsets"\s*:\s*\[\s*([0-9]{1,16})\s*,\s*([0-9]{1,16})\s*\]')
_APART = 16 << 10  # bytes between the borders of tensors
_ENTRY = Struct("<I32s")


class Chunk(NamedTuple):
    """A piece of a blob: where it lies, how long it is, and its BLAKE3."""

    offset: int
    size: int
    digest: bytes

    def matches(self, data: ReadableBuffer) -> bool:
        """Whether these bytes are the chunk's."""
        from blake3 import blake3

        return blake3(data).digest() == self.digest


def most_bytes(size: int) -> int:
    """Bound the bytes of the chunk list of a blob: a hostile store is not to fill the memory."""
    # Two borders of tensors are _APART from each other, and each may cut a short chunk off.
    return len(MAGIC) + _HEADER + _ENTRY.size * min(2 * size // _APART + 16, MOST)


class ChunkList:
    """The chunks of a blob in their order, which together are all of it."""

    def __init__(self, size: int, entries: bytes, smallest: int = SMALLEST) -> None:
        """Take the size of the blob, the chunks as they are stored, and what they were cut by."""
        self.size = size
        self._entries = entries
        self._smallest = smallest

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> ChunkList:
        """Make the list of chunks that follow each other."""
        return cls(
            sum(chunk.size for chunk in chunks), b"".join(_ENTRY.pack(each.size, each.digest) for each in chunks)
        )

    def __len__(self) -> int:
        """Count the chunks."""
        return len(self._entries) // _ENTRY.size

    def __iter__(self) -> Iterator[Chunk]:
        """Give the chunks, first to last."""
        at = 0
        for size, digest in _ENTRY.iter_unpack(self._entries):
            yield Chunk(at, size, digest)
            at += size

    def to_bytes(self) -> bytes:
        """Write the list as it is stored."""
        from blake3 import blake3

        cut = {"min": self._smallest, "average": self._smallest, "max": self._smallest * LARGEST}
        told = {"size": self.size, "count": len(self), "check": blake3(self._entries).hexdigest()}
        header = {"algorithm": "fastcdc2020", **cut, "digest": "blake3", **told}
        return MAGIC + json.dumps(header).encode() + b"\n" + self._entries

    @classmethod
    def parse(cls, data: bytes, size: int) -> ChunkList:
        """Read the list of a blob of that size; InvalidError for anything else, a flipped bit included."""
        from blake3 import blake3

        line, newline, _ = data[len(MAGIC) : len(MAGIC) + _HEADER].partition(b"\n")
        if not data.startswith(MAGIC) or not newline:
            raise InvalidError("it does not begin as a chunk list does")
        entries = data[len(MAGIC) + len(line) + 1 :]
        try:
            header = json.loads(line)
            told = (header["size"], header["count"] * _ENTRY.size, header["check"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidError("its header is not one") from error
        if told != (size, len(entries), blake3(entries).hexdigest()):
            raise InvalidError("its size, its count or its own digest is wrong")
        if len(entries) % _ENTRY.size or sum(length for length, _ in _ENTRY.iter_unpack(entries)) != size:
            raise InvalidError("its chunks are not the whole of the blob")
        return cls(size, entries)


class ChunkCheck:
    """The comparison of bytes with the chunks that they are made of, as they come."""

    def __init__(self, chunks: Iterable[Chunk]) -> None:
        """Expect the bytes of these chunks, one after the other."""
        self.damaged: list[Chunk] = []
        self._chunks = iter(chunks)
        self._chunk: Chunk | None = None
        self._left = 0
        self._begin()

    def update(self, data: ReadableBuffer) -> None:
        """Hear of the bytes that follow those before."""
        left = memoryview(data).cast("B")
        while left and self._chunk is not None:
            part = left[: self._left]
            self._hasher.update(part)
            self._left -= len(part)
            left = left[len(part) :]
            if not self._left:
                if self._hasher.digest() != self._chunk.digest:
                    self.damaged.append(self._chunk)
                self._begin()

    def _begin(self) -> None:
        self._chunk = next((chunk for chunk in self._chunks if chunk.size), None)
        if self._chunk is not None:
            from blake3 import blake3

            self._hasher = blake3()
            self._left = self._chunk.size


class Cutting:
    """Cut a stream whose pieces come one after the other, at given borders as well."""

    def __init__(self, borders: Sequence[int] = (), size: int = 0) -> None:
        """Expect a stream of about so many bytes; `borders` are rising offsets in it."""
        from blake3 import blake3
        from pyfastcdc import FastCDC

        self._digest = blake3
        self._smallest = next((smallest for limit, smallest in _STEPS if size <= limit), _LAST_STEP)
        self._largest = self._smallest * LARGEST
        self._cdc = FastCDC(self._smallest, min_size=self._smallest, max_size=self._largest)
        self._borders = iter([*borders, 1 << 62])
        self._border = next(self._borders)
        self._entries: list[bytes] = []
        self._at = 0  # where the chunk begins that is next
        self._left = b""  # its bytes so far

    def add(self, piece: memoryview) -> None:
        """Cut all but the end of what came so far, which belongs to a chunk that is not complete."""
        if self._is_over:
            return
        if self._left:
            # Only the beginning of a piece is copied, for the chunks that begin in what was left.
            head = memoryview(self._left + bytes(piece[: self._largest]))
            taken = self._cut(head, enough=len(self._left)) - len(self._left)
            if taken < 0:  # too short a piece to complete one
                self._left = bytes(head[taken + len(self._left) :])
                return
            piece = piece[taken:]
        self._left = bytes(piece[self._cut(piece) :])

    def finish(self) -> ChunkList | None:
        """Take what is left as the last chunks, and give the list; None where it would be too long."""
        self._cut(memoryview(self._left), last=True)
        return None if self._is_over else ChunkList(self._at, b"".join(self._entries), self._smallest)

    @property
    def _is_over(self) -> bool:
        return len(self._entries) > MOST

    def _cut(self, data: memoryview, *, enough: int | None = None, last: bool = False) -> int:
        """Cut chunks off the beginning of `data` until `enough` is covered, and say how much they cover."""
        done = 0
        while done < len(data) and (enough is None or done < enough):
            room = min(len(data) - done, self._border - self._at)
            ends = last or self._at + room == self._border
            for chunk in self._cdc.cut_buf(data[done : done + room]):
                if chunk.offset + chunk.length == room and not ends:
                    return done  # it ends where the data does, not where a chunk would
                self._take(data[done : done + chunk.length])
                done += chunk.length
                if enough is not None and done >= enough:
                    break
            if self._at == self._border:
                self._border = next(self._borders)
        return done

    def _take(self, chunk: memoryview) -> None:
        self._entries.append(_ENTRY.pack(len(chunk), self._digest(chunk).digest()))
        self._at += len(chunk)


def tensor_borders(file: BinaryIO) -> list[int]:
    """Name the offsets at which the tensors of a safetensors file begin and end; none for any other file.

    So each tensor is cut by itself, and one that did not change is found wherever it lies. Small tensors stay together.
    A header that lies costs nothing but a worse cut. The format: <https://github.com/huggingface/safetensors>.
    """
    file.seek(0)
    begin = file.read(8)
    length = int.from_bytes(begin, "little")
    if len(begin) < 8 or not 2 <= length <= _TENSORS or file.read(1) != b"{":  # noqa: PLR2004 - the format's first field
        return []
    # Looked for and not parsed: a parser of JSON takes what memory the JSON asks for. In a name, a quote is escaped.
    header = file.read(length - 1)
    offsets = {int(each) for found in islice(_OFFSETS.finditer(header), _MOST_TENSORS) for each in found.groups()}
    return _apart(sorted({8 + length, *(8 + length + offset for offset in offsets)}))


def _apart(offsets: Sequence[int]) -> list[int]:
    """Leave out what comes too soon after the one before; the first, the end of the header, always stays."""
    kept = [offsets[0]]
    for offset in offsets:
        if offset - kept[-1] >= _APART:
            kept.append(offset)
    return kept
