"""Hash, cut and write a stream in one pass, on two processors where that is worth it."""

from __future__ import annotations

import hashlib
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, Self

from gitreg.digest import Digest
from gitreg.objects.chunks import LISTED_FROM, ChunkList, Cutting
from gitreg.objects.streams import CHUNK, Blob

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.objects.streams import Readable

_BUFFERS = 4  # of LISTED_FROM bytes: one is filled and cut while others wait to be hashed


class Taken(NamedTuple):
    """What a pass over a stream found; a blob that is large enough has chunks."""

    blob: Blob
    chunks: ChunkList | None


def take(
    source: Readable,
    write: Callable[[memoryview], object] | None = None,
    *,
    cutting: Callable[[], Cutting] = Cutting,
    moved: Callable[[int], None] | None = None,
) -> Taken:
    """Read a stream to its end, once: hash it, cut it, and hand its pieces to `write`.

    `cutting` makes what cuts it, where it is large enough for that. `moved` is told the number of bytes after each
    piece; what it raises stops the pass.
    """
    first = memoryview(bytearray(LISTED_FROM))
    count = _fill(source, first, moved)
    if count == LISTED_FROM:
        return _take_large(source, first, write, cutting(), moved)
    if write is not None and count:
        write(first[:count])
    return Taken(Blob(Digest(hashlib.sha256(first[:count]).hexdigest()), count), None)


def _take_large(
    source: Readable,
    first: memoryview,
    write: Callable[[memoryview], object] | None,
    cutting: Cutting,
    moved: Callable[[int], None] | None,
) -> Taken:
    """Hash on a thread of its own; read, write and cut on this one. Each takes about half of the time."""
    size = 0
    with _Hashing() as hashing:
        piece = first
        while True:
            hashing.add(piece)
            if len(piece):
                if write is not None:
                    write(piece)
                cutting.add(piece)
                size += len(piece)
            if len(piece) < LISTED_FROM:
                break
            buffer = hashing.free_buffer()
            piece = buffer[: _fill(source, buffer, moved)]
        digest = hashing.finish()
    return Taken(Blob(digest, size), cutting.finish())


def _fill(source: Readable, buffer: memoryview, moved: Callable[[int], None] | None) -> int:
    """Read until the buffer is full, or to the end."""
    filled = 0
    while filled < len(buffer) and (count := source.readinto(buffer[filled : filled + CHUNK])):
        filled += count
        if moved is not None:
            moved(count)
    return filled


class _Hashing:
    """A thread that computes the SHA-256 of pieces in their order, and gives their buffers back."""

    def __init__(self) -> None:
        self._hasher = hashlib.sha256()
        self._pieces: SimpleQueue[memoryview | None] = SimpleQueue()
        self._free: SimpleQueue[memoryview] = SimpleQueue()
        self._made = 1  # the first piece comes with a buffer of its own
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.put(None)
        self._thread.join()

    def add(self, piece: memoryview) -> None:
        self._pieces.put(piece)

    def free_buffer(self) -> memoryview:
        """Give a buffer that nobody reads any more; waits for one where all are in use."""
        if self._made < _BUFFERS and self._free.empty():
            self._made += 1
            return memoryview(bytearray(LISTED_FROM))
        return self._free.get()

    def finish(self) -> Digest:
        self._pieces.put(None)
        self._thread.join()
        return Digest(self._hasher.hexdigest())

    def _run(self) -> None:
        while (piece := self._pieces.get()) is not None:
            self._hasher.update(piece)
            if len(piece) == LISTED_FROM:
                self._free.put(piece)
