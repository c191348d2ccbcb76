"""Put files into a folder, each whole or not at all, without ever leaving it through a symlink."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from gitreg.errors import ConflictError, InvalidError
from gitreg.objects.faults import read_error, writing
from gitreg.objects.folder import NO_LINKS
from gitreg.objects.streams import Blob, copy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import TracebackType

_FICLONE = 0x40049409  # linux/fs.h: share the extents of another file, copy on write
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def parts_of(path: str) -> tuple[str, ...]:
    """Split a relative POSIX path; InvalidError for one that would leave its folder or reach into git's."""
    parts = tuple(path.split("/"))
    if any(part in {"", ".", ".."} or part.casefold() == ".git" for part in parts) or "\0" in path or "\\" in path:
        raise InvalidError(f"{path[:200]!r} is not a path that a file may be written to")
    return parts


class Destination:
    """An open folder that files are put into; every step below it refuses symlinks."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, made where it is missing; it may itself be a symlink, as its user named it."""
        self.folder = folder
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

    def holds(self, path: str, blob: Blob) -> bool | None:
        """Say whether a file has these bytes: None where nothing is there, ConflictError for a folder in its place."""
        *folders, name = parts_of(path)
        try:
            with self._parent(folders, make=False) as parent:
                mode = os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode
                if stat.S_ISDIR(mode):
                    raise ConflictError(f"{str(self.folder / path)!r} is a folder")
                return stat.S_ISREG(mode) and _has(parent, name, blob)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise read_error(self.folder / path, error) from error

    def place(self, path: str, blob: Path, *, link: bool, replace: bool) -> Path:
        """Give a blob's verified file a name in the folder and return it.

        It becomes a clone that shares its extents where the file system can; else, with `link`, a hard link to the
        read-only blob; else a copy. Clones and copies get the mode of any new file.
        """
        *folders, name = parts_of(path)
        with writing(self.folder), self._parent(folders, make=True) as parent:
            temporary = f".gitreg-{os.urandom(8).hex()}"
            try:
                _bring(blob, parent, temporary, link=link)
                if replace:
                    os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
                else:
                    _name_new(parent, temporary, name)
            except (FileExistsError, IsADirectoryError) as error:
                raise ConflictError(f"{str(self.folder / path)!r} appeared meanwhile") from error
            finally:
                with suppress(FileNotFoundError):
                    os.unlink(temporary, dir_fd=parent)
        return self.folder / path

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


def _has(parent: int, name: str, blob: Blob) -> bool:
    opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
    with os.fdopen(opened, "rb", buffering=0) as file:
        return os.fstat(file.fileno()).st_size == blob.size and copy(file) == blob


def _bring(blob: Path, parent: int, name: str, *, link: bool) -> None:
    """Make a new file with a blob's bytes: a clone, a hard link or a copy."""
    if _clone(blob, parent, name):
        return
    if link:
        try:
            os.link(blob, name, dst_dir_fd=parent)
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
        else:
            return
    from shutil import copyfileobj

    with blob.open("rb") as source, os.fdopen(os.open(name, _NEW, 0o666, dir_fd=parent), "wb") as target:
        copyfileobj(source, target, 1 << 20)


def _clone(blob: Path, parent: int, name: str) -> bool:
    with blob.open("rb") as source, os.fdopen(os.open(name, _NEW, 0o666, dir_fd=parent), "wb") as target:
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:  # another file system, or one that cannot
            os.unlink(name, dir_fd=parent)
            return False
    return True


def _name_new(parent: int, temporary: str, name: str) -> None:
    """Rename without replacing what is there (FileExistsError)."""
    try:
        os.link(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        os.rename(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
