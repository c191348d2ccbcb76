"""Hash, cut and write a stream in one pass, on two processors where that is worth it."""

from __future__ import annotations

import hashlib
import mmap
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple, Self

from gitreg.digest import Digest
from gitreg.objects.chunks import LISTED_FROM, ChunkList, Cutting
from gitreg.objects.streams import CHUNK, Blob

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitreg.objects.streams import Readable

_Queue = SimpleQueue["memoryview | None"]
_BUFFERS = 6  # of LISTED_FROM bytes: one is filled and cut while others wait to be hashed, and to be written


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
    first = _buffer()
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
    """Read and cut on this thread, hash on one of its own, and write on another, which mostly waits for the disk."""
    hasher, size = hashlib.sha256(), 0
    with _Line([hasher.update] if write is None else [hasher.update, write]) as line:
        piece = first
        while len(piece):
            line.add(piece)
            cutting.add(piece)
            size += len(piece)
            if len(piece) < LISTED_FROM:
                break
            buffer = line.free_buffer()
            piece = buffer[: _fill(source, buffer, moved)]
        line.finish()
    return Taken(Blob(Digest(hasher.hexdigest()), size), cutting.finish())


def _buffer() -> memoryview:
    """Make a buffer that begins where a page of memory does: only such a one is written past the kernel's cache."""
    return memoryview(mmap.mmap(-1, LISTED_FROM, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def _fill(source: Readable, buffer: memoryview, moved: Callable[[int], None] | None) -> int:
    """Read until the buffer is full, or to the end."""
    filled = 0
    while filled < len(buffer) and (count := source.readinto(buffer[filled : filled + CHUNK])):
        filled += count
        if moved is not None:
            moved(count)
    return filled


class _Line:
    """Threads that each do one thing with every piece, in their order; behind the last one its buffer is free again."""

    def __init__(self, steps: Sequence[Callable[[memoryview], object]]) -> None:
        queues = [_Queue() for _ in range(len(steps) + 1)]
        self._pieces, self._free = queues[0], queues[-1]
        self._made = 1  # the first piece comes with a buffer of its own
        self._failed: BaseException | None = None
        self._threads = [
            Thread(target=self._run, args=each, daemon=True) for each in zip(steps, queues, queues[1:], strict=False)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._pieces.put(None)
        for thread in self._threads:
            thread.join()

    def add(self, piece: memoryview) -> None:
        self._pieces.put(piece)

    def free_buffer(self) -> memoryview:
        """Give a buffer that nobody reads any more; waits for one where all are in use. Raises what a step raised."""
        buffer = None
        if self._made == _BUFFERS or not self._free.empty():
            buffer = self._free.get()
        if self._failed is not None:
            raise self._failed
        if buffer is None:
            self._made += 1
            buffer = _buffer()
        return buffer

    def finish(self) -> None:
        """Wait for the last piece, and raise what a step raised."""
        self.__exit__()
        if self._failed is not None:
            raise self._failed

    def _run(self, step: Callable[[memoryview], object], pieces: _Queue, done: _Queue) -> None:
        while (piece := pieces.get()) is not None:
            try:
                if self._failed is None:
                    step(piece)
            except BaseException as error:  # noqa: BLE001 - whatever ends a step is raised where it is waited for
                self._failed = error
            done.put(piece)
        done.put(None)
