"""Keep large files that are on their way in, so that one that broke off goes on where it was.

They lie beside the repository, each with who sends it, its digest and its size in its name, and are stored once all of
it is there. Nobody goes on with what somebody else sent. What is not touched for a day is removed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import time
from contextlib import suppress
from io import FileIO
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import ConflictError, InvalidError, UnavailableError
from gitreg.objects.faults import writing
from gitreg.server.arriving import Arriving
from gitreg.server.problems import BadRequestError, UnderwayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects import Store

FOLDER = "gitreg/uploads"
KEPT_FOR = 24 * 60 * 60  # seconds
MOST_OF_ONE = 64
RESERVE = 256 << 20
"""Bytes of the disk that are left to others."""

_RANGE = re.compile(r"bytes (?:([0-9]{1,18})-([0-9]{1,18})|\*)/([0-9]{1,18})")
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


class Part(NamedTuple):
    """What a request brings of a file of `size` bytes; without bytes it asks for what is there to be stored."""

    start: int
    length: int
    size: int

    @classmethod
    def parse(cls, text: str, length: int) -> Part:
        """Read Content-Range, which must agree with the length of the body."""
        found = _RANGE.fullmatch(text.strip())
        if found is None:
            raise BadRequestError(f"{text[:80]!r} is no Content-Range", hint="send bytes FIRST-LAST/SIZE")
        size = int(found[3])
        start, end = (int(found[1]), int(found[2]) + 1) if found[1] is not None else (size, size)
        if end - start != length or end > size or (found[1] is not None and not length):
            raise BadRequestError(f"a body of {length} bytes is not {text[:80]!r}", hint="send bytes FIRST-LAST/SIZE")
        return cls(start, length, size)


class Rest(Arriving):
    """The rest of a file that is kept as far as it came."""

    kept = "what came of it is kept"
    again = "POST /uploads says from where on to send it"


class Staged:
    """The files of a folder that are not whole yet."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._swept = 0.0
        with suppress(OSError):
            self._sweep()

    def progress(self, who: str, digest: Digest) -> tuple[int, int] | None:
        """Say how many bytes of how many one has sent; None where there are none."""
        for name, size in self._of(who, digest.hex):
            with suppress(FileNotFoundError):
                return (self._folder / name).stat().st_size, size
        return None

    def received(self, who: str, digest: Digest, size: int) -> int:
        """Say how many bytes one has sent of a file."""
        try:
            return (self._folder / _name(who, digest, size)).stat().st_size
        except FileNotFoundError:
            return 0

    def open(self, who: str, digest: Digest, part: Part) -> StagedFile:
        """Take a file in hand; UnderwayError where another request has it, ConflictError where the part does not fit.

        UnavailableError where there is no room for the rest of it.
        """
        with writing(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True)
            self._sweep()
            if sum(1 for _ in self._of(who)) >= MOST_OF_ONE and not self.received(who, digest, part.size):
                raise UnavailableError(
                    f"{MOST_OF_ONE} files of yours are on their way already", hint="finish one; they go after a day"
                )
            if shutil.disk_usage(self._folder).free < part.size - part.start + RESERVE:
                raise UnavailableError("there is no room for it on the server's disk", hint="tell the server's owner")
            return StagedFile(self._folder / _name(who, digest, part.size), digest, part)

    def _of(self, who: str, hexes: str = "") -> Iterator[tuple[str, int]]:
        """Name one's files, and the sizes that they will have."""
        begin = f"{_key(who)}-{hexes}"
        with suppress(FileNotFoundError), os.scandir(self._folder) as entries:
            for each in entries:
                if each.name.startswith(begin):
                    yield each.name, int(each.name.rpartition("-")[2])

    def _sweep(self) -> None:
        now = time.time()
        if now - self._swept < KEPT_FOR / 24:
            return
        with os.scandir(self._folder) as entries:
            self._swept = now
            for each in entries:
                with suppress(FileNotFoundError):
                    if each.stat(follow_symlinks=False).st_mtime < now - KEPT_FOR:
                        os.unlink(each.path)  # noqa: PTH108 - scandir's own name


class StagedFile:
    """A file in hand: nobody else writes it before it is closed."""

    def __init__(self, path: Path, digest: Digest, part: Part) -> None:
        self._path = path
        self._digest = digest
        self._part = part
        try:
            opened = os.open(path, _FLAGS | (0 if part.start else os.O_CREAT), 0o600)
        except FileNotFoundError:
            raise self._other(0) from None
        self._file = FileIO(opened, "r+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._check_same()
        except BlockingIOError as error:
            self._file.close()
            raise UnderwayError(f"{digest} is on its way already", hint="GET this address says how far") from error
        except BaseException:
            self._file.close()
            raise

    def _check_same(self) -> None:
        """Make sure that it is still the file of that name, and that the part goes on where it ends."""
        there = os.fstat(self._file.fileno())
        with suppress(FileNotFoundError):
            if os.path.samestat(there, self._path.stat()):
                if there.st_size == self._part.start:
                    return
                raise self._other(there.st_size)
        raise UnderwayError(f"{self._digest} has just been stored", hint="ask again")

    def _other(self, size: int) -> ConflictError:
        return ConflictError(
            f"{size} bytes of {self._digest} are here, and not {self._part.start}",
            hint="POST /uploads says from where on to send it",
        )

    def close(self) -> None:
        """Let go of it."""
        self._file.close()

    def append(self, rest: Rest) -> int:
        """Write what comes as it comes; give the size that the file has then."""
        self._file.seek(0, os.SEEK_END)
        with writing(self._path.parent):
            while piece := rest.piece():
                left = memoryview(piece)
                while left:
                    left = left[self._file.write(left) :]
        return self._part.start + rest.received

    def store(self, store: Store) -> None:
        """Store the whole file, and let go of it; InvalidError, and it is gone, where its bytes are others'."""
        try:
            blob = store.put_open(self._file_to_read())
            self._path.unlink(missing_ok=True)
            if blob.digest != self._digest:
                raise InvalidError(
                    f"the bytes are those of {blob.digest}, not of {self._digest}",
                    hint="hash the file as it is sent, and send all of it",
                )
        finally:
            self.close()

    def _file_to_read(self) -> FileIO:
        self._file.seek(0)
        return self._file


def _name(who: str, digest: Digest, size: int) -> str:
    return f"{_key(who)}-{digest.hex}-{size}"


def _key(who: str) -> str:
    return hashlib.sha256(who.encode()).hexdigest()[:16]
