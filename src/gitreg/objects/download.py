"""Bring the files of a version from a store, through the cache, into a folder."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from gitreg.errors import ConflictError, GitregError, IntegrityError, NotFoundError, Problem
from gitreg.objects.destination import Destination, parts_of
from gitreg.objects.faults import reading
from gitreg.objects.streams import Blob

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.cache import Cache
    from gitreg.objects.store import Store
    from gitreg.objects.upload import Progress


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
    store: Store,
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
    to the read-only ones of the cache; without, each has bytes of its own.
    """
    wanted = select(files, only)
    missing = _missing(wanted, to, force=force)
    cached = [(file, _fetch(file, store, cache, progress)) for file in missing]
    if cached:
        with Destination(to) as destination:
            for file, blob in cached:
                destination.place(file.path, blob, link=link, replace=force)
    return [to / file.path for file in wanted]


def select(files: Sequence[Wanted], only: str | None) -> list[Wanted]:
    """Choose files by a shell pattern; NotFoundError where none matches."""
    from fnmatch import fnmatchcase

    chosen = [file for file in files if only is None or fnmatchcase(file.path, only)]
    if files and not chosen:
        names = ", ".join(file.path for file in files[:10]) + (", …" if len(files) > 10 else "")  # noqa: PLR2004
        raise NotFoundError(f"no file of this version matches {only!r}", hint=f"it has {names}")
    return chosen


def _missing(files: Sequence[Wanted], to: Path, *, force: bool) -> list[Wanted]:
    """List the files that are not there yet, having checked every name and every conflict first."""
    for file in files:
        parts_of(file.path)
    if not to.exists():
        return list(files)
    with Destination(to) as destination:
        held = [(file, destination.holds(file.path, Blob(file.digest, file.size))) for file in files]
    others = [file.path for file, state in held if state is False]
    if others and not force:
        raise ConflictError(
            f"files of other content are already in {str(to)!r}",
            hint="remove them, or pull into another folder",
            problems=[Problem(f"{path!r} differs") for path in others],
        )
    return [file for file, state in held if not state]


def _fetch(file: Wanted, store: Store, cache: Cache, progress: Progress | None) -> Path:
    def moved(count: int) -> None:
        if progress is not None:
            progress(file.path, count)

    with _naming(file), reading(cache.folder):
        blob = cache.fetch(file.digest, store, moved=moved)
        size = blob.stat().st_size
        if size != file.size:
            raise IntegrityError(f"the manifest says {file.size} bytes, its blob {file.digest} has {size}")
    return blob


@contextmanager
def _naming(file: Wanted) -> Iterator[None]:
    """Say in every error which file of the version it is about."""
    try:
        yield
    except GitregError as error:
        raise type(error)(f"{file.path}: {error.message}", hint=error.hint, problems=error.problems) from error
