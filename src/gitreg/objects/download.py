"""Bring the files of a version from a store, through the cache, into a folder."""

from __future__ import annotations

import os
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Protocol

from gitreg.errors import ConflictError, GitregError, NotFoundError, Problem
from gitreg.objects.destination import Destination, parts_of
from gitreg.objects.faults import reading
from gitreg.objects.recipes import blob_key
from gitreg.objects.stamps import WORTH
from gitreg.objects.streams import Blob
from gitreg.objects.upload import Expecting

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.cache import Cache
    from gitreg.objects.store import Store
    from gitreg.objects.upload import Progress


_SMALL = 8 << 20  # bytes: fetched as one range
_AT_ONCE = 8  # small files that come side by side from another machine; a disk is busy with one


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
    within: Path | None = None,
) -> list[Path]:
    """Write files of a version into a folder, every byte verified, and return their paths.

    `only` is a shell pattern for the whole name, where `*` crosses slashes. A file that is there with the right bytes
    is left alone; another one is a ConflictError, unless `force` replaces it. The folder is touched only once
    everything is in the cache, so that a failure before leaves it as it was. With `link`, files may become hard links
    to the read-only ones of the cache; without, each has bytes of its own. A store given as a function is opened only
    where the cache lacks something. The folder may be a symlink, as its user named it; where the user named only the
    one that it lies `within`, none below that is followed.
    """
    wanted = select(files, only)
    missing = _missing(wanted, to, cache, within, force=force)
    if missing:
        with cache.using():
            fetching = _Fetching(store, cache, progress)
            fetching.all(missing)
            with Destination(to, within=within) as destination:
                _place(missing, fetching, destination, link=link, force=force)
    return [to / file.path for file in wanted]


def _place(files: Sequence[Wanted], fetching: _Fetching, destination: Destination, *, link: bool, force: bool) -> None:
    """Give every file its name, and stamp those that are known to have the right bytes to the end."""
    cache, placed = fetching.cache, []
    for file in files:
        with fetching.opened(file) as source:
            blob = Blob(file.digest, file.size)
            found = destination.place(file.path, source, blob, link=link, replace=force)
            now = os.fstat(source.fileno())
        if file.size >= WORTH and cache.is_still_right(file.digest, now):
            placed += [
                (file.digest, destination.folder / file.path, found),
                (file.digest, cache.path_of(file.digest), now),
            ]
    cache.stamps.note(placed)


def select(files: Sequence[Wanted], only: str | None) -> list[Wanted]:
    """Choose files by a shell pattern; NotFoundError where none matches."""
    from fnmatch import fnmatchcase

    chosen = [file for file in files if only is None or fnmatchcase(file.path, only)]
    if files and not chosen:
        names = ", ".join(file.path for file in files[:10]) + (", …" if len(files) > 10 else "")  # noqa: PLR2004
        raise NotFoundError(f"no file of this version matches {only!r}", hint=f"it has {names}")
    return chosen


def _missing(files: Sequence[Wanted], to: Path, cache: Cache, within: Path | None, *, force: bool) -> list[Wanted]:
    """List the files that are not there yet, having checked every name and every conflict first."""
    for file in files:
        parts_of(file.path)
    if not os.path.lexists(to):
        return list(files)
    with Destination(to, within=within) as destination:
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
        self.cache = cache
        self._store = store
        self._progress = progress
        self._lock = Lock()
        self._stopped = False

    def all(self, files: Sequence[Wanted]) -> None:
        """Bring every blob into the cache; the first failure stops the others."""
        first: dict[Digest, Wanted] = {}
        for file in files:
            first.setdefault(file.digest, file)
        lacking = {digest for digest in first if self.cache.lacks(digest)}
        self.cache.make_room(sum(first[digest].size for digest in lacking))
        if isinstance(self._progress, Expecting):
            self._progress.expect(sum(file.size for file in files))
        small = [file for file in first.values() if file.size <= _SMALL]
        for file in first.values():
            if file.size > _SMALL:
                self._fetch(file)
        if len(small) > 1 and self._is_far(small, lacking):
            self._side_by_side(small)
        else:
            for file in small:
                self._fetch(file)
        for file in files:
            if first[file.digest] is not file:
                self._tell(file.path, file.size)

    @contextmanager
    def opened(self, file: Wanted) -> Iterator[io.FileIO]:
        """Open a blob that was brought, with every byte still right; where it is not any more it is brought again."""
        with _naming(file):
            source = self.cache.open(file.digest, noted=True)
            if source is None:
                self.cache.fetch(file.digest, self._opened(), size=file.size)
                source = self.cache.open(file.digest, noted=True)
            if source is None:
                raise ConflictError(
                    f"the cached blob {file.digest} was changed or removed as it was pulled, twice",
                    hint=f"find out who writes in {str(self.cache.folder)!r}, and pull again",
                )
        with source:
            yield source

    def _is_far(self, files: Sequence[Wanted], lacking: set[Digest]) -> bool:
        """Whether most of the time is waiting for an answer, so that many files come at once."""
        wanted = next((file.digest for file in files if file.digest in lacking), None)
        return wanted is not None and self._opened().bucket.path_of(blob_key(wanted)) is None

    def _side_by_side(self, files: Sequence[Wanted]) -> None:
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        with ThreadPoolExecutor(min(_AT_ONCE, len(files))) as pool:
            futures = [pool.submit(self._fetch, file) for file in files]
            try:
                for done in wait(futures, return_when=FIRST_EXCEPTION).done:
                    done.result()
            finally:
                self._stopped = True
                pool.shutdown(cancel_futures=True)

    def _fetch(self, file: Wanted) -> None:
        with _naming(file), reading(self.cache.folder):
            found = self.cache.open(file.digest)
            if found is not None:
                with found:
                    size = os.fstat(found.fileno()).st_size
                if size == file.size:
                    self._tell(file.path, file.size)
                    return
        store = self._opened()
        with _naming(file), reading(self.cache.folder):
            self.cache.fetch(file.digest, store, size=file.size, moved=lambda count: self._tell(file.path, count))

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
