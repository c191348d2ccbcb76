"""Fetch the ranges of a blob side by side, each checked as it comes, while its SHA-256 is computed behind them."""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from threading import Condition, Thread
from typing import TYPE_CHECKING, NamedTuple

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, UnavailableError
from gitreg.objects.ranges import Ranges

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _typeshed import ReadableBuffer

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import Chunk
    from gitreg.objects.partial import Partial
    from gitreg.objects.recipes import Layout

PIECE = 8 << 20  # bytes; where there is a chunk list as many whole chunks as go into it
# Threads that fetch: a disk is busy with one, a network answers late; but two for each processor are enough for that.
NEAR, FAR = 1, 8
_READ = 1 << 20


class Piece(NamedTuple):
    """A range of a blob, from `begin` up to `end`, that one thread fetches; `chunks` cover it where there is a list."""

    begin: int
    end: int
    chunks: tuple[Chunk, ...] = ()


def fetch(
    layout: Layout, bucket: Bucket, into: Partial, moved: Callable[[int], None] | None = None, *, near: bool = False
) -> Digest:
    """Fetch what is missing of a blob, and give the digest of the whole.

    What comes over a wire is held against the blob's chunk list, where there is one, and a chunk that differs is
    fetched a second time. A store that is `near`, in folders of this machine, is copied from within the kernel. `moved`
    hears of all bytes, those of an earlier run first, and never from two threads at once.
    """
    run = _Run(layout, bucket, into, moved, near=near)
    with run.threads(NEAR if near else min(FAR, 2 * (os.cpu_count() or 1))):
        return run.hash()


def damaged_chunks(layout: Layout, into: Partial) -> list[Chunk]:
    """Read a blob that came whole and has another digest, and list the chunks that are not what their list says."""
    damaged = []
    for chunk in _chunks(layout) or ():
        if chunk.size > 2 * PIECE:  # nobody lists such a chunk; it must not be held in memory
            return []
        data = memoryview(bytearray(chunk.size))
        at = 0
        while at < chunk.size and (count := into.read_into(data[at:], chunk.offset + at)):
            at += count
        if not chunk.matches(data):
            damaged.append(chunk)
    return damaged


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """Another thread failed, or the user interrupted."""


class _Run:
    """The fetching of one blob: threads take its pieces in their order, and the digest follows behind the last gap."""

    def __init__(
        self, layout: Layout, bucket: Bucket, into: Partial, moved: Callable[[int], None] | None, *, near: bool
    ) -> None:
        self._near = near
        self._ranges = Ranges(layout, bucket)
        self._into = into
        self._moved = moved
        self._state = Condition()
        self._error: BaseException | None = None
        self._stopped = False
        self._pieces = pieces(layout, into.missing(), listed=not near)
        self._next = next(self._pieces, None)
        self._taken: set[int] = set()
        if into.resumed:
            self._tell(into.resumed)

    @contextmanager
    def threads(self, count: int) -> Iterator[None]:
        """Fetch with this many threads inside the block, and have ended them behind it; a small blob needs none."""
        if self._into.size <= PIECE:
            self._work()
            yield
            return
        workers = [Thread(target=self._work, name=f"gitreg-fetch-{n}", daemon=True) for n in range(count)]
        try:
            for worker in workers:
                worker.start()
            yield
        finally:
            with self._state:
                self._stopped = True
            for worker in workers:
                if worker.ident is not None:
                    worker.join()

    def hash(self) -> Digest:
        """Read the bytes in their order, each as soon as all before it are there, and give their digest."""
        hasher, at = hashlib.sha256(), 0
        buffer = memoryview(bytearray(min(_READ, self._into.size)))
        while at < (ready := self._wait(at)):
            while at < ready:
                count = self._into.read_into(buffer[: ready - at], at)
                if not count:
                    raise UnavailableError(f"{str(self._into.path)!r} was cut short while it was read")
                hasher.update(buffer[:count])
                at += count
        return Digest(hasher.hexdigest())

    def _wait(self, at: int) -> int:
        """Wait until there is more than was read, and say up to where; the failure of any thread is raised."""
        with self._state:
            self._state.wait_for(lambda: self._error is not None or self._ready() > at or at >= self._into.size)
            if self._error is not None:
                raise self._error
            return self._ready()

    def _ready(self) -> int:
        first = self._next.begin if self._next is not None else self._into.size
        return min(self._taken, default=first)

    def _work(self) -> None:
        try:
            while (piece := self._take()) is not None:
                self._fetch(piece)
                with self._state:
                    self._taken.remove(piece.begin)
                    self._state.notify_all()
        except BaseException as error:  # noqa: BLE001 - whatever ends a thread is raised where it is waited for
            with self._state:
                self._error = self._error or error
                self._stopped = True
                self._state.notify_all()

    def _take(self) -> Piece | None:
        with self._state:
            piece = None if self._stopped else self._next
            if piece is not None:
                self._next = next(self._pieces, None)
                self._taken.add(piece.begin)
            return piece

    def _fetch(self, piece: Piece) -> None:
        if not (self._near and self._ranges.copy(piece.begin, piece.end, self._into, self._tell)):
            check = ChunkCheck(piece.chunks)
            for offset, data in self._ranges.read(piece.begin, piece.end):
                self._into.write(offset, data)
                check.update(data)
                self._tell(memoryview(data).nbytes)
            for chunk in check.damaged:
                self._mend(chunk)
        self._into.note(piece.begin, piece.end)

    def _mend(self, chunk: Chunk) -> None:
        """Fetch a chunk that differs again, for a wire may have spoilt it; if not, the whole digest will tell."""
        ranges = self._ranges.read(chunk.offset, chunk.offset + chunk.size)
        data = b"".join(memoryview(got).cast("B") for _, got in ranges)
        if chunk.matches(data):
            self._into.write(chunk.offset, data)

    def _tell(self, count: int) -> None:
        with self._state:
            if self._stopped:
                raise _Stopped
            if self._moved is not None:
                self._moved(count)


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


def pieces(layout: Layout, missing: Iterable[tuple[int, int]], *, listed: bool = True) -> Iterator[Piece]:
    """Cut the missing ranges of a blob into pieces, in their order: groups of whole chunks where it has a list.

    Its list is asked for only where the pieces are to be `listed`.
    """
    gaps = list(missing)
    chunks = _chunks(layout) if listed and gaps and layout.size > PIECE // 2 else None
    if chunks is None:
        for begin, end in gaps:
            yield from _cut(begin, end)
        return
    for group in _groups(chunks):
        begin, end = group[0].offset, group[-1].offset + group[-1].size
        while gaps and gaps[0][1] <= begin:
            gaps.pop(0)
        if gaps and gaps[0][0] < end:
            # Nobody lists such a chunk; it must not be held in memory.
            yield from [Piece(begin, end, group)] if end - begin <= 2 * PIECE else _cut(begin, end)


def _cut(begin: int, end: int) -> Iterator[Piece]:
    for at in range(begin, end, PIECE):
        yield Piece(at, min(at + PIECE, end))


def _chunks(layout: Layout) -> Iterable[Chunk] | None:
    try:
        return layout.chunks
    except IntegrityError:  # a damaged list says nothing about the blob, whose own digest decides
        return None


def _groups(chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, ...]]:
    group: list[Chunk] = []
    size = 0
    for chunk in chunks:
        if group and size + chunk.size > PIECE:
            yield tuple(group)
            group, size = [], 0
        group.append(chunk)
        size += chunk.size
    if group:
        yield tuple(group)
