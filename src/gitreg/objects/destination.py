"""Put files into a folder, each whole or not at all, without ever leaving it through a symlink."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Self

from gitreg.errors import ConflictError, InvalidError, NotFoundError
from gitreg.objects.faults import read_error, reading, writing
from gitreg.objects.local import NO_LINKS
from gitreg.objects.streams import Blob, copy

if TYPE_CHECKING:
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


class Way(NamedTuple):
    """How a file is put into a folder: whether clones and hard links are tried, and whether it may replace another."""

    clone: bool
    link: bool
    replace: bool


class Destination:
    """An open folder that files are put into; every step below it refuses symlinks."""

    def __init__(self, folder: Path, *, make: bool = True) -> None:
        """Open the folder, made where it is missing; it may itself be a symlink, as its user named it."""
        self.folder = folder
        self._clones = True  # until it shows that it cannot
        if not make and not folder.exists():
            raise NotFoundError(f"there is no folder {str(folder)!r}")
        with writing(folder):
            with suppress(FileExistsError):
                folder.mkdir(parents=True)
            if not folder.is_dir():
                raise ConflictError(f"{str(folder)!r} is not a folder")
            self._opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

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

    def place(self, path: str, blob: Path, *, link: bool, replace: bool) -> Path:
        """Give a blob's verified file a name in the folder and return it.

        It becomes a clone that shares its extents where the file system can; else, with `link`, a hard link to the
        read-only blob; else a copy. Clones and copies get the mode of any new file. What a killed process leaves is a
        file of the name `.gitreg-…`, and only where there is something to replace, or no file without a name.
        """
        *folders, name = parts_of(path)
        with writing(self.folder), self._parent(folders, make=True) as parent:
            try:
                self._clones = _place(blob, parent, name, Way(self._clones, link, replace))
            except (FileExistsError, IsADirectoryError) as error:
                raise ConflictError(f"{str(self.folder / path)!r} appeared meanwhile") from error
        return self.folder / path

    def stamp(self, path: str) -> os.stat_result:
        """Say how a file that was placed is found."""
        *folders, name = parts_of(path)
        with reading(self.folder / path), self._parent(folders, make=False) as parent:
            return os.stat(name, dir_fd=parent, follow_symlinks=False)

    @contextmanager
    def _parent(self, folders: list[str], *, make: bool) -> Iterator[int]:
        opened = os.dup(self._opened)
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
                    where = self.folder.joinpath(*folders[:depth])
                    raise ConflictError(f"{str(where)!r} is a symlink or a file, where a folder is needed") from error
                os.close(opened)
                opened = below
            yield opened
        finally:
            os.close(opened)


def _has(parent: int, name: str, blob: Blob, stamps: Stamps | None) -> bool:
    opened = os.open(name, _READ, dir_fd=parent)
    with os.fdopen(opened, "rb", buffering=0) as file:
        found = os.fstat(opened)
        if found.st_size != blob.size:
            return False
        if stamps is not None and stamps.is_verified(blob.digest, found):
            return True
        if copy(file) != blob:
            return False
        if stamps is not None:
            stamps.note([(blob.digest, opened, found)])
        return True


def _place(blob: Path, parent: int, name: str, way: Way) -> bool:
    """Give a blob's bytes a name: those of a clone, of the blob itself or of a copy, at once or not at all.

    Says whether it is worth to try a clone for the next one.
    """
    if not way.clone and way.link and _link(str(blob), parent, name, replace=way.replace):
        return False
    with blob.open("rb") as source:
        opened = _unnamed(parent)
        try:
            if opened is not None and way.clone and _clone(source, opened):
                if _name(opened, parent, name, replace=way.replace):
                    return True
            elif way.clone and way.link and _link(str(blob), parent, name, replace=way.replace):
                return opened is None
            if opened is not None:
                _copy_where_empty(source, opened)
                if _name(opened, parent, name, replace=way.replace):
                    return False
        finally:
            if opened is not None:
                os.close(opened)
        _place_through_name(source, parent, name, replace=way.replace)
    return False


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


def _clone(source: BinaryIO, target: int) -> bool:
    try:
        fcntl.ioctl(target, _FICLONE, source.fileno())
    except OSError:  # another file system, or one that cannot
        return False
    return True


def _name(opened: int, parent: int, name: str, *, replace: bool) -> bool:
    return _link(f"/proc/self/fd/{opened}", parent, name, replace=replace, follow=True)


def _link(existing: str, parent: int, name: str, *, replace: bool, follow: bool = False) -> bool:
    """Link a file into the folder; False where that cannot be, FileExistsError for what is not to be replaced."""
    try:
        if not replace:
            os.link(existing, name, dst_dir_fd=parent, follow_symlinks=follow)
            return True
        with _temporary(parent) as temporary:
            os.link(existing, temporary, dst_dir_fd=parent, follow_symlinks=follow)
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return False
    return True


def _copy_where_empty(source: BinaryIO, target: int) -> None:
    """Copy the bytes, unless a clone has them already."""
    if os.fstat(target).st_size == 0:
        from shutil import copyfileobj

        with os.fdopen(os.dup(target), "wb") as sink:
            copyfileobj(source, sink, 1 << 20)


def _place_through_name(source: BinaryIO, parent: int, name: str, *, replace: bool) -> None:
    """Clone or copy under a name of its own first, for file systems without nameless files or without links."""
    source.seek(0)
    with _temporary(parent) as temporary:
        opened = os.open(temporary, _NEW, 0o666, dir_fd=parent)
        try:
            _clone(source, opened)
            _copy_where_empty(source, opened)
        finally:
            os.close(opened)
        if replace:
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        else:
            _name_new(parent, temporary, name)


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
