"""Fetch the ranges of a blob side by side, while its SHA-256 is computed behind them."""

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

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import Chunk
    from gitreg.objects.partial import Partial
    from gitreg.objects.recipes import Layout

PIECE = 8 << 20  # bytes
# Threads that fetch: a disk is busy with one, a network answers late; but two for each processor are enough for that.
NEAR, FAR = 1, 8
_READ = 1 << 20


class Piece(NamedTuple):
    """A range of a blob, from `begin` up to `end`, that one thread fetches."""

    begin: int
    end: int


def fetch(
    layout: Layout, bucket: Bucket, into: Partial, moved: Callable[[int], None] | None = None, *, near: bool = False
) -> Digest:
    """Fetch what is missing of a blob, and give the digest of the whole.

    A store that is `near`, in folders of this machine, is copied from within the kernel. `moved` hears of all bytes,
    those of an earlier run first, and never from two threads at once. Where the digest is another, `damaged_chunks`
    tells what is to be fetched again.
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
        self._pieces = pieces(into.missing())
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
            for offset, data in self._ranges.read(piece.begin, piece.end):
                self._into.write(offset, data)
                self._tell(memoryview(data).nbytes)
        self._into.note(piece.begin, piece.end)

    def _tell(self, count: int) -> None:
        with self._state:
            if self._stopped:
                raise _Stopped
            if self._moved is not None:
                self._moved(count)


def pieces(missing: Iterable[tuple[int, int]]) -> Iterator[Piece]:
    """Cut the missing ranges of a blob into pieces, in their order."""
    for begin, end in missing:
        for at in range(begin, end, PIECE):
            yield Piece(at, min(at + PIECE, end))


def _chunks(layout: Layout) -> Iterable[Chunk] | None:
    try:
        return layout.chunks
    except IntegrityError:  # a damaged list says nothing about the blob, whose own digest decides
        return None
