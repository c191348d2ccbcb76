"""Put files into a folder, each whole or not at all, without ever leaving it through a symlink."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, Self

from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.objects.faults import read_error, writing
from gitreg.objects.local import NO_LINKS
from gitreg.objects.settling import settle
from gitreg.objects.stamps import WORTH
from gitreg.objects.streams import Blob, copy

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import TracebackType

    from gitreg.objects.stamps import Stamps

_FICLONE = 0x40049409  # linux/fs.h: share the extents of another file, copy on write
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOENT, errno.ENOSYS})
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> tuple[str, ...]:
    """Split a relative POSIX path; InvalidError for one that would leave its folder or reach into git's."""
    parts = tuple(path.split("/"))
    if any(part in {"", ".", ".."} or part.casefold() == ".git" for part in parts) or "\0" in path or "\\" in path:
        raise InvalidError(f"{path[:200]!r} is not a path that a file may be written to")
    return parts


class Place(NamedTuple):
    """A name in an open folder that a file is to get, and whether it may replace another."""

    parent: int
    name: str
    replace: bool


class Destination:
    """An open folder that files are put into; every step below it refuses symlinks."""

    def __init__(self, folder: Path, *, within: Path | None = None, make: bool = True) -> None:
        """Open the folder, made where it is missing; it may itself be a symlink, as its user named it.

        Where only the folder that it lies `within` was named by a user, no symlink below that is followed.
        """
        self.folder = folder
        self._clones = True  # until it shows that it cannot
        base = folder if within is None else within
        below = [] if base == folder else list(parts_of(folder.relative_to(base).as_posix()))
        if not make and not base.exists():
            raise NotFoundError(f"there is no folder {str(folder)!r}")
        with writing(folder):
            opened = _open_made(base)
            try:
                self._opened = _descend(opened, base, below, make=make)
            except FileNotFoundError as error:
                raise NotFoundError(f"there is no folder {str(folder)!r}") from error
            finally:
                os.close(opened)

    def __enter__(self) -> Self:
        """Give itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the folder."""
        os.close(self._opened)

    def holds(self, path: str, blob: Blob, stamps: Stamps | None = None) -> bool | None:
        """Say whether a file has these bytes: None where nothing is there, ConflictError for a folder in its place.

        It is read, unless it is stamped as one that has them.
        """
        *folders, name = parts_of(path)
        try:
            with self._parent(folders, make=False) as parent:
                mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    raise ConflictError(f"{str(self.folder / path)!r} is a folder")
                return stat.S_ISREG(mode) and _has(parent, name, blob, stamps)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise read_error(self.folder / path, error) from error

    def read(self, path: str, moved: Callable[[int], None] | None = None) -> Blob | None:
        """Read a file and tell what it holds; None where there is none, or something else in its place."""
        *folders, name = parts_of(path)
        try:
            with self._parent(folders, make=False) as parent:
                opened = os.open(name, _READ, dir_fd=parent)
                with os.fdopen(opened, "rb", buffering=0) as file:
                    return copy(file, moved=moved) if stat.S_ISREG(os.fstat(opened).st_mode) else None
        except (FileNotFoundError, ConflictError):
            return None
        except OSError as error:
            if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
                return None
            raise read_error(self.folder / path, error) from error

    def place(self, path: str, source: io.FileIO, blob: Blob, *, link: bool, replace: bool) -> os.stat_result:
        """Give a blob's verified file a name in the folder, and say how the file of that name is found.

        It becomes a clone that shares its extents where the file system can; else, with `link`, a hard link to the
        read-only blob; else a copy, hashed on the way (IntegrityError: the bytes that were read are not the blob's).
        Clones and copies get the mode of any new file. What a killed process leaves is a file of the name `.gitreg-…`,
        and only where there is something to replace, or no file without a name.
        """
        *folders, name = parts_of(path)
        with writing(self.folder), self._parent(folders, make=True) as parent:
            try:
                clones, placed = _place(source, blob, Place(parent, name, replace), clone=self._clones, link=link)
            except (FileExistsError, IsADirectoryError) as error:
                raise ConflictError(f"{str(self.folder / path)!r} appeared meanwhile") from error
        self._clones = clones
        return placed

    @contextmanager
    def _parent(self, folders: list[str], *, make: bool) -> Iterator[int]:
        opened = _descend(self._opened, self.folder, folders, make=make)
        try:
            yield opened
        finally:
            os.close(opened)


def check_way(folder: Path, within: Path | None) -> None:
    """Raise ConflictError where a symlink or a file lies on the way from one folder to one below it."""
    try:
        with suppress(NotFoundError), Destination(folder, within=within, make=False):
            pass
    except ConflictError as error:
        raise ConflictError(
            error.message,
            hint="a project does not lead elsewhere; where that is meant, name the folder yourself: -o FOLDER",
        ) from error


def _open_made(folder: Path) -> int:
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
    if not folder.is_dir():
        raise ConflictError(f"{str(folder)!r} is not a folder")
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def _descend(base: int, named: Path, folders: list[str], *, make: bool) -> int:
    """Open a folder below an open one; ConflictError for a symlink on the way."""
    opened = os.dup(base)
    try:
        for depth, folder in enumerate(folders, 1):
            if make:
                with suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=opened)
            try:
                below = os.open(folder, _FOLDER, dir_fd=opened)
            except OSError as error:
                if error.errno not in {errno.ELOOP, errno.ENOTDIR}:
                    raise
                where = named.joinpath(*folders[:depth])
                raise ConflictError(f"{str(where)!r} is a symlink or a file, where a folder is needed") from error
            os.close(opened)
            opened = below
    except BaseException:
        os.close(opened)
        raise
    return opened


def _has(parent: int, name: str, blob: Blob, stamps: Stamps | None) -> bool:
    opened = os.open(name, _READ, dir_fd=parent)
    with os.fdopen(opened, "rb", buffering=0) as file:
        found = os.fstat(opened)
        if found.st_size != blob.size:
            return False
        if stamps is not None and stamps.is_verified(blob.digest, found):
            return True
        settled = stamps is not None and found.st_size >= WORTH and settle(opened, found)
        if copy(file) != blob:
            return False
        if settled and stamps is not None:
            stamps.note([(blob.digest, opened, found)])
        return True


def _place(source: io.FileIO, blob: Blob, place: Place, *, clone: bool, link: bool) -> tuple[bool, os.stat_result]:
    """Give a blob's bytes a name: those of a clone, of the blob itself or of a copy, at once or not at all.

    Says whether it is worth to try a clone for the next one, and how the file is found.
    """
    if not clone and link and _link_open(source.fileno(), place):
        return False, os.fstat(source.fileno())
    opened = _unnamed(place.parent)
    if opened is None:
        return _place_through_name(source, blob, place, clone=clone, link=link)
    try:
        cloned = clone and _clone(source, opened)
        if not cloned and clone and link and _link_open(source.fileno(), place):
            return False, os.fstat(source.fileno())
        if not cloned:
            _copy(source, opened, blob)
        if _link_open(opened, place):
            return cloned, os.fstat(opened)
    finally:
        os.close(opened)
    return _place_through_name(source, blob, place, clone=clone, link=False)


def _unnamed(parent: int) -> int | None:
    """Open a new file without a name, which a kill leaves nothing of; None where the file system has none."""
    try:
        opened = os.open(".", os.O_RDWR | os.O_TMPFILE | os.O_CLOEXEC, 0o666, dir_fd=parent)
    except OSError as error:
        if error.errno not in _NO_UNNAMED:
            raise
        return None
    if os.access(f"/proc/self/fd/{opened}", os.F_OK):
        return opened
    os.close(opened)  # without /proc it could not be given a name
    return None


def _clone(source: io.FileIO, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source.fileno())
    except OSError:  # another file system, or one that cannot
        return False
    return True


def _link_open(opened: int, place: Place) -> bool:
    """Give the very file that is open a name; False where that cannot be, FileExistsError for what is to stay."""
    existing = f"/proc/self/fd/{opened}"
    try:
        if not place.replace:
            os.link(existing, place.name, dst_dir_fd=place.parent, follow_symlinks=True)
            return True
        with _temporary(place.parent) as temporary:
            os.link(existing, temporary, dst_dir_fd=place.parent, follow_symlinks=True)
            os.replace(temporary, place.name, src_dir_fd=place.parent, dst_dir_fd=place.parent)
    except OSError as error:
        # ENOENT: there is no /proc, or nobody has a name for the file any more.
        if error.errno not in {*NO_LINKS, errno.ENOENT}:
            raise
        return False
    return True


def _copy(source: io.FileIO, target: int, blob: Blob) -> None:
    source.seek(0)
    with os.fdopen(os.dup(target), "wb") as sink:
        found = copy(source, sink)
    if found != blob:
        raise IntegrityError(
            f"the cached blob {blob.digest} read as {found.digest} as it was copied, and was right a moment before",
            hint="run it again; if it comes again, the cache's disk or this machine's memory is failing",
        )


def _place_through_name(
    source: io.FileIO, blob: Blob, place: Place, *, clone: bool, link: bool
) -> tuple[bool, os.stat_result]:
    """Clone or copy under a name of its own first, for file systems without nameless files or without links."""
    with _temporary(place.parent) as temporary:
        opened = os.open(temporary, _NEW, 0o666, dir_fd=place.parent)
        try:
            cloned = clone and _clone(source, opened)
            if not cloned and clone and link and _link_open(source.fileno(), place):
                return False, os.fstat(source.fileno())
            if not cloned:
                _copy(source, opened, blob)
            if place.replace:
                os.replace(temporary, place.name, src_dir_fd=place.parent, dst_dir_fd=place.parent)
            else:
                _name_new(place.parent, temporary, place.name)
            return cloned, os.fstat(opened)
        finally:
            os.close(opened)


@contextmanager
def _temporary(parent: int) -> Iterator[str]:
    name = f".gitreg-{os.urandom(8).hex()}"
    try:
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=parent)


def _name_new(parent: int, temporary: str, name: str) -> None:
    """Rename without replacing what is there (FileExistsError)."""
    try:
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
