"""Hold and try the locks by which processes share a folder: flock(2), which ends with whoever holds it."""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
# What a file system says that has no locks, or none of folders. Without them each process still keeps to files of its
# own name.
_NO_LOCKS = frozenset({errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF})


def open_locked(path: Path, *, shared: bool = False, wait: bool = False) -> int | None:
    """Open a file, made where it is missing, with its lock; None where another process holds that and `wait` is off.

    The file that the path names when the lock is had is the one that is locked, even where somebody removed it
    meanwhile. The lock ends when the descriptor is closed.
    """
    kind = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    while True:
        opened = os.open(path, _FLAGS, 0o600)
        try:
            if not _lock(opened, kind):
                os.close(opened)
                return None
            if _is(opened, path):
                return opened
        except BaseException:
            os.close(opened)
            raise
        os.close(opened)


@contextmanager
def locked(path: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold the lock of a file inside the block, having waited for it."""
    opened = open_locked(path, shared=shared, wait=True)
    try:
        yield
    finally:
        if opened is not None:
            os.close(opened)


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder itself inside the block, having waited for it: nothing is written for it."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _lock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _lock(opened: int, kind: int) -> bool:
    try:
        fcntl.flock(opened, kind)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


def _is(opened: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), path.lstat())
    except FileNotFoundError:
        return False
