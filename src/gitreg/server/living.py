"""Tell whether a process that began something is still there: it holds a file locked for as long as it lives."""

from __future__ import annotations

import fcntl
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Living:
    """The processes that share a folder, and this one among them, each under a name that no other ever has.

    The system takes the lock back from a process that ends, however it ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = -1
        self._name = ""

    @property
    def name(self) -> str:
        """The name of this process; from now on it is known to live."""
        if self._file < 0:
            self._folder.mkdir(parents=True, exist_ok=True)
            for each in self._folder.iterdir():
                if not each.suffix:  # a draft may be about to be locked
                    self.lives(each.name)
            name = secrets.token_hex(16)
            draft = self._folder / f"{name}.draft"
            self._file = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            draft.rename(self._folder / name)
            self._name = name
        return self._name

    def lives(self, name: str) -> bool:
        """Whether a process is still there; what cannot be known counts as yes."""
        path = self._folder / name
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            return not isinstance(error, FileNotFoundError)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink(missing_ok=True)
        except OSError:
            return True
        finally:
            os.close(file)
        return False

    def close(self) -> None:
        """Count as gone."""
        if self._file >= 0:
            with suppress(OSError):
                (self._folder / self._name).unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1
