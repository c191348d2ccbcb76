"""Send collected files to a store."""

from __future__ import annotations

import os
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from gitreg.errors import DeniedError, UnavailableError
from gitreg.objects.faults import reading
from gitreg.objects.settling import settle
from gitreg.objects.streams import SteadyFile
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from gitreg.digest import Digest
    from gitreg.objects.digests import Digests
    from gitreg.objects.sources import Source
    from gitreg.objects.store import Store

LARGE = 8 << 20  # bytes
AT_ONCE = 2  # large files: hashing leaves the interpreter's lock, so two keep two processors busy
FAR = 8  # files on their way to a store that answers late


class Progress(Protocol):
    """Hears how many more bytes of a file were moved; never called by two threads at once."""

    def __call__(self, path: str, moved: int, /) -> None:
        """Note the bytes."""


@runtime_checkable
class Expecting(Progress, Protocol):
    """Hears as well how many bytes there are in all, before the first of them."""

    def expect(self, size: int, /) -> None:
        """Note the bytes."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file of a version that is in the store now: name, digest, size in bytes, format as `scan` names it."""

    path: str
    digest: Digest
    size: int
    format: str


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """Another file failed, or the user interrupted."""


def store_sources(
    store: Store, sources: Sequence[Source], progress: Progress | None = None, digests: Digests | None = None
) -> tuple[StoredFile, ...]:
    """Store files, a few at a time, and return them in the order given.

    A file whose digest is known from earlier, as `digests` tells, is neither read nor sent where the store has it. The
    first failure stops the others; what is complete by then stays in the store, so that the next attempt goes on there.
    """
    if isinstance(progress, Expecting):
        progress.expect(sum(_size(source) for source in sources))
    if len(sources) == 1:
        return (_send(store, sources[0], digests, _told(progress, sources[0].path) if progress else None),)
    return _send_all(store, sources, progress, digests)


def _send_all(
    store: Store, sources: Sequence[Source], progress: Progress | None, digests: Digests | None
) -> tuple[StoredFile, ...]:
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
    from threading import BoundedSemaphore, Event, Lock

    stop, lock, room = Event(), Lock(), BoundedSemaphore(AT_ONCE)

    def tell(path: str, moved: int) -> None:
        if stop.is_set():
            raise _Stopped
        if progress is not None:
            with lock:
                progress(path, moved)

    def send(source: Source) -> StoredFile:
        with room if _size(source) > LARGE else nullcontext():
            return _send(store, source, digests, _told(tell, source.path))

    with ThreadPoolExecutor(_workers(store)) as pool:
        futures = [pool.submit(send, source) for source in sources]
        try:
            return _results(futures, wait(futures, return_when=FIRST_EXCEPTION).done)
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


def _workers(store: Store) -> int:
    """Choose how many files are on their way at once: a disk is busy with few, a network is waited for."""
    return AT_ONCE if store.bucket.path_of("blobs") is not None else FAR


def _results(futures: Sequence[Future[StoredFile]], done: set[Future[StoredFile]]) -> tuple[StoredFile, ...]:
    for future in done:
        future.result()
    return tuple(future.result() for future in futures)


def _size(source: Source) -> int:
    with reading(source.file):
        return source.file.stat().st_size


def _told(progress: Progress, path: str) -> Callable[[int], None]:
    return lambda moved: progress(path, moved)


def _send(store: Store, source: Source, digests: Digests | None, moved: Callable[[int], None] | None) -> StoredFile:
    # Imported here: a pull needs no formats.
    from gitreg.scan import detect_file

    with SteadyFile(source.file) as file:
        format_ = source.format or detect_file(file, source.path)
        file.seek(0)
        found = os.fstat(file.fileno())
        known = digests.find(found) if digests else None
        # Asked of every store that is written to: one that lacks the blob gets it.
        if known is not None and store.renewed(known, found.st_size):
            if moved is not None:
                moved(found.st_size)
            return StoredFile(source.path, known, found.st_size, format_)
        settled = settle(file.fileno(), found) if digests else False
        try:
            blob = store.put_open(file, moved=moved)
        except (UnavailableError, DeniedError) as error:
            raise error.within(source.path)  # noqa: B904 - the same error
        if digests and settled and os.fstat(file.fileno()).st_ctime_ns == found.st_ctime_ns:
            digests.note(found, blob.digest)
    return StoredFile(source.path, blob.digest, blob.size, format_)
