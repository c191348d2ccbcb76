"""Keep objects in a folder, each a read-only file that is there whole or not at all.

What is being written lies in `tmp/` until it is complete; what a killed process left there is removed a day later.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.objects.bucket import Found
from gitreg.objects.faults import NoStoreError, reading, writing
from gitreg.objects.streams import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer

MODE = 0o444
# What a file system says that has no hard links, or none between these two places.
NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK})
STALE_AFTER = 24 * 60 * 60  # seconds
_TEMPORARY = "tmp"
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}(?:/[A-Za-z0-9_-][A-Za-z0-9._-]{0,200}){0,15}")
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_SENT = 32 << 20  # bytes that are written before the disk is asked to begin with them
_DIRECT = 4 << 20  # bytes of a piece that goes to the disk past the kernel's cache


class LocalBucket:
    """Objects in a folder of this machine, that many processes may fill at once."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched before the first use."""
        self.folder = folder
        self._swept = False

    @property
    def uri(self) -> str:
        """The folder as a URI."""
        from urllib.parse import quote

        return "file:" + quote(os.fsencode(self.folder))

    def path_of(self, key: str) -> Path:
        """Name the read-only file that an object is, whether it is there or not."""
        if not _KEY.fullmatch(key) or key.startswith(f"{_TEMPORARY}/"):
            raise InvalidError(f"{key[:200]!r} is not the key of an object")
        return self.folder / key

    def size(self, key: str) -> int | None:
        """Look up the size of an object in bytes by one `stat`; NotFoundError where the folder itself is not there."""
        found = self.find(key)
        return None if found is None else found.size

    def find(self, key: str) -> Found | None:
        """Look up an object by one `stat`; NotFoundError where the folder itself is not there."""
        path = self.path_of(key)
        with reading(path):
            try:
                found = path.lstat()
            except (FileNotFoundError, NotADirectoryError):
                self._need_folder()
                return None
        return Found(key, found.st_size, found.st_mtime) if stat.S_ISREG(found.st_mode) else None

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[ReadableBuffer]:
        """Give the bytes of a range in pieces, fewer where the object ends before; NotFoundError without an object."""
        path = self.path_of(key)
        with reading(path):
            try:
                opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except FileNotFoundError:
                self._need_folder()
                raise NotFoundError(f"there is no {key} in the store {str(self.folder)!r}") from None
        try:
            left = size
            while left is None or left > 0:
                with reading(path):
                    piece = os.pread(opened, CHUNK if left is None else min(CHUNK, left), start)
                if not piece:
                    return
                start += len(piece)
                left = None if left is None else left - len(piece)
                yield piece
        finally:
            os.close(opened)

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Read a small object whole; None where there is none, IntegrityError where it has more than `limit` bytes."""
        try:
            data = b"".join(map(bytes, self.read(key, 0, limit + 1)))
        except NotFoundError:
            self._need_folder()
            return None
        if len(data) > limit:
            raise IntegrityError(f"{str(self.path_of(key))!r} has more than the {limit} bytes that it may have")
        return data

    def put(self, key: str, data: bytes, *, replace: bool = False) -> None:
        """Write a small object; what is there already stays, unless it is to be replaced."""
        path = self.path_of(key)
        if not replace and self.folder.is_dir() and self.size(key) is not None:
            return
        if data or replace:
            with self.incoming() as entering:
                entering.write(data)
                entering.commit(key, replace=replace)
            return
        # An empty object is whole at once. It only says that it is there, and its loss with the power costs little.
        self._need_place()
        with writing(self.folder), suppress(FileExistsError):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(path, _NEW, MODE))

    def put_file(
        self, key: str, file: BinaryIO, size: int, *, moved: Callable[[int], None] | None = None, replace: bool = False
    ) -> None:
        """Copy a large object in; ConflictError, and nothing kept, where the file has not `size` bytes."""
        buffer = memoryview(bytearray(CHUNK))
        left = size
        with self.incoming() as entering:
            while left and (count := file.readinto(buffer[: min(CHUNK, left)])):  # type: ignore[attr-defined]
                entering.write(buffer[:count])
                left -= count
                if moved is not None:
                    moved(count)
            if left:
                raise ConflictError(f"a file of {size} bytes ended {left} bytes early as it was stored as {key}")
            entering.commit(key, replace=replace)

    @contextmanager
    def incoming(self) -> Iterator[LocalIncoming]:
        """Begin an object whose name is not known yet; it is gone at the end of the block if it got none."""
        self._need_place()
        folder = self.folder / _TEMPORARY
        with writing(self.folder):
            make_folder(folder)
            self._sweep(folder)
            path = folder / f"{os.getpid()}-{os.urandom(8).hex()}"
            file = os.open(path, _NEW, 0o600)
        entering = LocalIncoming(self, path, file)
        try:
            yield entering
        finally:
            entering.close()
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def list(self, prefix: str) -> Iterator[Found]:
        """List the objects whose key begins with `prefix`; what comes or goes meanwhile may be missing."""
        folder, _, begin = prefix.rpartition("/")
        if folder:
            self.path_of(folder)  # no way out of the bucket
        self._need_folder()
        yield from _walk(self.folder / folder, f"{folder}/" if folder else "", begin)

    def rename(self, key: str, to: str) -> None:
        """Give an object another name, in one step; NotFoundError where there is none."""
        path, target = self.path_of(key), self.path_of(to)
        if self.size(key) is None:
            raise NotFoundError(f"there is no {key} in the store {str(self.folder)!r}")
        with writing(self.folder):
            make_folder(target.parent)
            try:
                path.replace(target)
            except FileNotFoundError:  # somebody else was first
                raise NotFoundError(f"there is no {key} in the store {str(self.folder)!r}") from None
            sync_folder(target.parent)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        path = self.path_of(key)
        with writing(self.folder), suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
            sync_folder(path.parent)

    def _need_folder(self) -> None:
        if not self.folder.is_dir():
            raise NoStoreError(
                f"the object store {str(self.folder)!r} does not exist",
                hint="check `store` in registry.yaml (a relative path counts from the git directory), or name this"
                " machine's own in its configuration",
            )

    def _need_place(self) -> None:
        """Make sure of the folder around the store: a disk that is not mounted is not to be written beside."""
        if not self.folder.parent.is_dir():
            raise NoStoreError(
                f"the object store {str(self.folder)!r} cannot be made: the folder around it does not exist",
                hint="check `store` in registry.yaml, or make the folder",
            )

    def _sweep(self, folder: Path) -> None:
        """Remove, once, what killed processes left behind more than a day ago."""
        if self._swept:
            return
        self._swept = True
        oldest = time.time() - STALE_AFTER
        for left in folder.iterdir():
            with suppress(OSError):
                if left.lstat().st_mtime < oldest:
                    left.unlink()


class LocalIncoming:
    """A file in `tmp/` that gets its name when all of it is there."""

    def __init__(self, bucket: LocalBucket, path: Path, file: int) -> None:
        self._bucket = bucket
        self._path = path
        self._file: int | None = file
        self._written = self._asked = 0
        self._is_direct = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Add bytes at its end; the disk begins with them before the last ones come.

        Pieces of 4 MiB, in memory that begins with a page, go to the disk directly: nothing is copied, and what others
        read often stays in the kernel's cache.
        """
        left = memoryview(data).cast("B")
        count = len(left)
        with writing(self._bucket.folder):
            self._go(directly=count >= _DIRECT)
            while left:
                left = left[self._some(left) :]
            self._written += count
            if self._written - self._asked >= _SENT:
                self._begin()
        return count

    def _some(self, data: memoryview) -> int:
        """Write what goes in one call, and say how much that was."""
        try:
            return os.write(self._opened, data)
        except OSError as error:
            if error.errno != errno.EINVAL or not self._is_direct:
                raise
        self._go(directly=False)  # it does not begin or end as this disk wants it
        return os.write(self._opened, data)

    def _go(self, *, directly: bool) -> None:
        """Write past the kernel's cache from now on, or through it, where the file system has both."""
        if directly == self._is_direct or not hasattr(os, "O_DIRECT"):  # macOS has none
            return
        flags = fcntl.fcntl(self._opened, fcntl.F_GETFL)
        with suppress(OSError):
            fcntl.fcntl(self._opened, fcntl.F_SETFL, flags | os.O_DIRECT if directly else flags & ~os.O_DIRECT)
            self._is_direct = directly

    def commit(self, key: str, *, replace: bool = False) -> None:
        """Make it visible, durably; what is there under that name already stays, unless it is to be replaced."""
        final = self._bucket.path_of(key)
        with writing(self._bucket.folder):
            os.fchmod(self._opened, MODE)
            os.fsync(self._opened)
            self.close()  # a network file system may say only now that there was no room
            make_folder(final.parent)
            if replace:
                self._path.replace(final)
            else:
                _link_new(self._path, final)
            sync_folder(final.parent)

    def _begin(self) -> None:
        """Let the disk begin: of pages that are still dirty this drops none, and less is left for fsync."""
        if hasattr(os, "posix_fadvise"):  # macOS has none
            os.posix_fadvise(self._opened, self._asked, self._written - self._asked, os.POSIX_FADV_DONTNEED)
        self._asked = self._written

    def close(self) -> None:
        """Close the file, once."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    @property
    def _opened(self) -> int:
        if self._file is None:
            raise ValueError("it has its name, or was given up")
        return self._file


def make_folder(folder: Path) -> None:
    """Make a folder, and those around it, so that they outlive a power cut."""
    if folder.is_dir():
        return
    make_folder(folder.parent)
    with suppress(FileExistsError):
        folder.mkdir()
    sync_folder(folder.parent)


def write_whole(path: Path, data: bytes) -> None:
    """Give a file its bytes, so that nobody ever sees a part of them; UnavailableError where that is not possible."""
    draft = path.with_name(f".gitreg-{os.urandom(8).hex()}")
    with writing(path.parent):
        try:
            with draft.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _link_new(path: Path, final: Path) -> None:
    """Give a file its final name without replacing what is there; the first of several writers wins."""
    try:
        with suppress(FileExistsError):
            os.link(path, final)
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # No hard links here. A rename may replace the file of another writer, by the very same bytes.
        path.rename(final)


def _walk(folder: Path, above: str, begin: str) -> Iterator[Found]:
    """Go through a folder: names that begin with `begin`, and all that is below them."""
    folders: list[str] = []
    with reading(folder):
        try:
            entries = os.scandir(folder)
        except (FileNotFoundError, NotADirectoryError):
            return
        with entries:
            for entry in entries:
                if not entry.name.startswith(begin) or (not above and entry.name == _TEMPORARY):
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                    continue
                with suppress(FileNotFoundError):  # removed since
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(found.st_mode):
                        yield Found(above + entry.name, found.st_size, found.st_mtime)
    for name in sorted(folders):
        yield from _walk(folder / name, f"{above}{name}/", "")
