"""Turn what the operating system says about a file into gitreg's errors."""

from __future__ import annotations

import errno
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class NoStoreError(NotFoundError):
    """The store itself is not there, which says nothing about what is in it."""


# EFBIG is a file-size limit (`ulimit -f`): for the writer it is one more way of having no room.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def read_error(path: Path, error: OSError) -> GitregError:
    """Describe a failure to read `path`: NotFoundError where it is missing, otherwise UnavailableError."""
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return NotFoundError(f"{str(path)!r} does not exist")
    return UnavailableError(f"cannot read {str(path)!r}: {_reason(error)}")


def write_error(folder: Path, error: OSError) -> GitregError:
    """Describe a failure to write in `folder`, always as UnavailableError."""
    if error.errno in _FULL:
        return UnavailableError(
            f"no room left in {str(folder)!r} ({_reason(error)})",
            hint="nothing was kept of the file; free some space and run it again",
        )
    return UnavailableError(
        f"cannot write in {str(folder)!r}: {_reason(error)}", hint="check that the folder is there and writable"
    )


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Translate every OSError inside the block into a failure to read `path`."""
    try:
        yield
    except OSError as error:
        raise read_error(path, error) from error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Translate every OSError inside the block into a failure to write in `folder`."""
    try:
        yield
    except OSError as error:
        raise write_error(folder, error) from error
