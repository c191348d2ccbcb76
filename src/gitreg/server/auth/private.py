"""Keep small files that are the server's own: whole or not there, and for its account alone."""

from __future__ import annotations

import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MODE = 0o600


def folder_of(git_dir: Path) -> Path:
    """Name the folder of a repository in which gitreg keeps what is no part of the registry."""
    return git_dir / "gitreg"


@contextmanager
def held(git_dir: Path) -> Iterator[Path]:
    """Hold the folder of such files alone, made where it is missing; give it."""
    from gitreg.objects.locks import locked_folder

    folder = folder_of(git_dir)
    with told(folder):
        folder.mkdir(exist_ok=True)
        with locked_folder(folder):
            yield folder


@contextmanager
def told(path: Path) -> Iterator[None]:
    """Turn what the disk says into UnavailableError."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror or error}", hint="tell the server's owner") from error


def write(path: Path, data: bytes) -> None:
    """Give a file its bytes, so that nobody ever sees a part of them; it belongs to who owns the folder."""
    from gitreg.objects.local import sync_folder

    draft = path.with_name(f".{path.name}-{os.urandom(8).hex()}")
    fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    try:
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(file.fileno(), MODE)
                if os.geteuid() == 0:  # the server runs as the repository's account, which root works for
                    around = path.parent.stat()
                    os.fchown(file.fileno(), around.st_uid, around.st_gid)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        raise UnavailableError(f"{path}: {error.strerror or error}", hint="tell the server's owner") from error


def open_own(path: Path) -> int | None:
    """Open such a file to read; None where there is none.

    Raises IntegrityError where it is a link or no regular file, somebody else's, or open to others: who can write it
    says who is who.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        if path.is_symlink():
            raise IntegrityError(f"{path} is a link", hint="put the file itself there") from error
        raise UnavailableError(f"{path}: {error.strerror or error}", hint="tell the server's owner") from error
    found = os.fstat(fd)
    owners = {os.geteuid(), 0, path.parent.stat().st_uid}
    if not stat.S_ISREG(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
        os.close(fd)
        raise IntegrityError(
            f"{path} is open to other accounts, or theirs", hint=f"chmod 600 {path}, and look into who changed it"
        )
    return fd
