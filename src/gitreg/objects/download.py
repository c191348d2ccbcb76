"""Bring the files of a version from a store, through the cache, into a folder."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from gitreg.errors import ConflictError, GitregError, NotFoundError, Problem
from gitreg.objects.destination import Destination, parts_of
from gitreg.objects.faults import reading
from gitreg.objects.recipes import blob_key
from gitreg.objects.streams import Blob
from gitreg.objects.upload import Expecting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.cache import Cache
    from gitreg.objects.store import Store
    from gitreg.objects.upload import Progress


_SMALL = 8 << 20  # bytes: fetched as one range
_NEAR, _AT_ONCE = 1, 8  # small files that come side by side: from this machine, and from another


class _Stopped(Exception):  # noqa: N818 - never leaves this module
    """Another file failed, or the user interrupted."""


class Wanted(Protocol):
    """A file of a version, as its manifest lists it."""

    @property
    def path(self) -> str:
        """Its name, a relative POSIX path."""

    @property
    def digest(self) -> Digest:
        """The digest of its bytes."""

    @property
    def size(self) -> int:
        """Its size in bytes."""


def pull(  # noqa: PLR0913 - four things and four flags
    files: Sequence[Wanted],
    store: Store | Callable[[], Store],
    cache: Cache,
    to: Path,
    *,
    only: str | None = None,
    link: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Write files of a version into a folder, every byte verified, and return their paths.

    `only` is a shell pattern for the whole name, where `*` crosses slashes. A file that is there with the right bytes
    is left alone; another one is a ConflictError, unless `force` replaces it. The folder is touched only once
    everything is in the cache, so that a failure before leaves it as it was. With `link`, files may become hard links
    to the read-only ones of the cache; without, each has bytes of its own. A store given as a function is opened only
    where the cache lacks something.
    """
    wanted = select(files, only)
    missing = _missing(wanted, to, cache, force=force)
    if missing:
        with cache.using():
            cached = _Fetching(store, cache, progress).all(missing)
            _place(missing, cached, cache, to, link=link, force=force)
    return [to / file.path for file in wanted]


def _place(  # noqa: PLR0913 - four things and two flags
    files: Sequence[Wanted], cached: Mapping[Digest, Path], cache: Cache, to: Path, *, link: bool, force: bool
) -> None:
    with Destination(to) as destination:
        for file in files:
            destination.place(file.path, cached[file.digest], link=link, replace=force)
        with reading(to):
            placed = [(file.digest, to / file.path, destination.stamp(file.path)) for file in files]
    blobs = [(digest, path, path.stat()) for digest, path in cached.items() if path.exists()]
    cache.stamps.note([*placed, *blobs])


def select(files: Sequence[Wanted], only: str | None) -> list[Wanted]:
    """Choose files by a shell pattern; NotFoundError where none matches."""
    from fnmatch import fnmatchcase

    chosen = [file for file in files if only is None or fnmatchcase(file.path, only)]
    if files and not chosen:
        names = ", ".join(file.path for file in files[:10]) + (", …" if len(files) > 10 else "")  # noqa: PLR2004
        raise NotFoundError(f"no file of this version matches {only!r}", hint=f"it has {names}")
    return chosen


def _missing(files: Sequence[Wanted], to: Path, cache: Cache, *, force: bool) -> list[Wanted]:
    """List the files that are not there yet, having checked every name and every conflict first."""
    for file in files:
        parts_of(file.path)
    if not to.exists():
        return list(files)
    with Destination(to) as destination:
        held = [(file, destination.holds(file.path, Blob(file.digest, file.size), cache.stamps)) for file in files]
    others = [file.path for file, state in held if state is False]
    if others and not force:
        raise ConflictError(
            f"files of other content are already in {str(to)!r}",
            hint="remove them, or pull into another folder",
            problems=[Problem(f"{path!r} differs") for path in others],
        )
    return [file for file, state in held if not state]


class _Fetching:
    """The fetching of a version's blobs: large ones one by one, each in parallel ranges, small ones side by side."""

    def __init__(self, store: Store | Callable[[], Store], cache: Cache, progress: Progress | None) -> None:
        self._store = store
        self._cache = cache
        self._progress = progress
        self._lock = Lock()
        self._stopped = False

    def all(self, files: Sequence[Wanted]) -> dict[Digest, Path]:
        """Bring every blob into the cache and name the files there; the first failure stops the others."""
        if self._cache.limit is not None:
            sizes = {file.digest: file.size for file in files if not self._cache.path_of(file.digest).exists()}
            self._cache.make_room(sum(sizes.values()))
        first: dict[Digest, Wanted] = {}
        for file in files:
            first.setdefault(file.digest, file)
        if isinstance(self._progress, Expecting):
            self._progress.expect(sum(file.size for file in files))
        small = [file for file in first.values() if file.size <= _SMALL]
        found = {file.digest: self._fetch(file) for file in first.values() if file.size > _SMALL}
        found |= self._side_by_side(small) if len(small) > 1 else {file.digest: self._fetch(file) for file in small}
        for file in files:
            if first[file.digest] is not file:
                self._tell(file.path, file.size)
        return found

    def _side_by_side(self, files: Sequence[Wanted]) -> dict[Digest, Path]:
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        with ThreadPoolExecutor(min(self._workers(files), len(files))) as pool:
            futures = [pool.submit(self._fetch, file) for file in files]
            try:
                for done in wait(futures, return_when=FIRST_EXCEPTION).done:
                    done.result()
                return {file.digest: future.result() for file, future in zip(files, futures, strict=True)}
            finally:
                self._stopped = True
                pool.shutdown(cancel_futures=True)

    def _workers(self, files: Sequence[Wanted]) -> int:
        """Choose how many files come at once: few from a disk, many where most of the time is waiting for an answer."""
        lacking = next((file for file in files if not self._cache.path_of(file.digest).exists()), None)
        if lacking is None:
            return _NEAR
        is_near = self._opened().bucket.path_of(blob_key(lacking.digest))
        return _NEAR if is_near is not None else _AT_ONCE

    def _fetch(self, file: Wanted) -> Path:
        with _naming(file), reading(self._cache.folder):
            found = self._cache.find(file.digest)
            if found is not None and found.stat().st_size == file.size:
                self._tell(file.path, file.size)
                return found
        store = self._opened()
        with _naming(file), reading(self._cache.folder):
            return self._cache.fetch(
                file.digest, store, size=file.size, moved=lambda count: self._tell(file.path, count)
            )

    def _opened(self) -> Store:
        with self._lock:
            if callable(self._store):
                self._store = self._store()
            return self._store

    def _tell(self, path: str, count: int) -> None:
        if self._stopped:
            raise _Stopped
        if self._progress is not None:
            with self._lock:
                self._progress(path, count)


@contextmanager
def _naming(file: Wanted) -> Iterator[None]:
    """Say in every error which file of the version it is about."""
    try:
        yield
    except GitregError as error:
        raise type(error)(f"{file.path}: {error.message}", hint=error.hint, problems=error.problems) from error
