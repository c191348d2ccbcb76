"""Remember the digests of files by what `stat` says of them, so that a file that did not change is not read again.

One small file for each, `digests/<ab>/<device>-<inode>`, in the user's cache. It holds as long as size, modification
time and change time are the same; the change time no program can set. It is kept only of files of which every change
will show there (`settling`). What is damaged is taken for absent.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = "gitreg/digest/v2"
_LIMIT = 1024  # bytes of one
_KEPT_FOR = 90 * 24 * 60 * 60  # seconds


class Digests:
    """Digests of files of this machine, known from earlier."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched before the first use."""
        self.folder = folder

    def find(self, found: os.stat_result) -> Digest | None:
        """Give the digest of a file that is as it was when it was hashed; None where that is not known."""
        try:
            with self._path(found).open("rb") as file:
                text = file.read(_LIMIT).decode("ascii")
        except (OSError, UnicodeDecodeError):
            return None
        begin, _, check = text.rstrip("\n").rpartition(" ")
        stamp, _, digest = begin.rpartition(" ")
        if stamp != _stamp(found) or check != _check(begin):
            return None
        try:
            return Digest.parse(digest)
        except InvalidError:
            return None

    def note(self, found: os.stat_result, digest: Digest) -> None:
        """Remember the digest of a file that was settled before it was read, and found to be the same at the end.

        What cannot be written is read again another time.
        """
        path = self._path(found)
        begin = f"{_stamp(found)} {digest}"
        new = path.with_name(f".{os.urandom(8).hex()}")
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                new.write_text(f"{begin} {_check(begin)}\n", encoding="ascii")
                new.replace(path)
            finally:
                new.unlink(missing_ok=True)
            if digest.hex.startswith("00"):  # now and then
                _prune(path.parent)

    def _path(self, found: os.stat_result) -> Path:
        return self.folder / f"{found.st_ino % 256:02x}" / f"{found.st_dev:x}-{found.st_ino:x}"


def _stamp(found: os.stat_result) -> str:
    return f"{_FORMAT} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"


def _check(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _prune(folder: Path) -> None:
    oldest = time.time() - _KEPT_FOR
    for path in folder.iterdir():
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < oldest:
                path.unlink()
