"""Keep the cache within its limit: what was used longest ago goes first, what is in use never.

A process that uses the cache holds the lock of a file in `users/`, made when it began. What was used since the oldest
of those still held stays. Uses are noted and blobs are removed under one lock, so that neither happens between
another's look and its deed.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.objects.faults import write_error, writing
from gitreg.objects.locks import locked, open_locked
from gitreg.objects.partial import FOLDER as PARTIAL
from gitreg.objects.partial import JOURNAL, STALE_AFTER
from gitreg.objects.stamps import FOLDER as USED
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.objects.stamps import Stamps

SIZE_VARIABLE = "GITREG_CACHE_SIZE"
VERSIONS = "versions"
_USERS = "users"
_LOCK = "lock"
_SIZE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,3}))?\s*([KMGTP]?)(I?)B?", re.ASCII)
_UNITS = "KMGTP"
_READ_ONLY = frozenset({errno.EROFS, errno.EACCES, errno.EPERM})
# A blob that comes without a journal has no lock: it may be on its way for so long.
_ALONE = 60 * 60  # seconds
# A folder that `download()` gave out may be read long after: it stays for a day at least.
_GIVEN_OUT = 24 * 60 * 60  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What lies in a cache: blobs, what came of unfinished ones, folders of versions; sizes in bytes.

    A file that is linked from several places counts once. `limit` None: there is none.
    """

    folder: str
    blobs: int
    blob_bytes: int
    partial: int
    partial_bytes: int
    versions: int
    bytes: int
    limit: int | None
    in_use: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pruned:
    """What was removed from a cache, and what is left, in bytes."""

    blobs: int
    partial: int
    versions: int
    freed: int
    left: int


def parse_size(text: str) -> int:
    """Read a size as people write it: `500000000`, `50GB` (powers of 1000), `50GiB` or `50G` (of 1024)."""
    found = _SIZE.fullmatch(text.strip().upper())
    if found is None:
        raise InvalidError(f"{text[:80]!r} is not a size", hint="write bytes, or a number with a unit: 50GiB, 500MB")
    whole, fraction, unit, binary = found.groups()
    decimal = bool(unit) and not binary and text.strip().upper().endswith("B")
    scale = (1000 if decimal else 1024) ** (_UNITS.index(unit) + 1) if unit else 1
    if binary and not unit:
        raise InvalidError(f"{text[:80]!r} is not a size", hint="write KiB, MiB, GiB or TiB")
    return int(whole) * scale + (int(fraction) * scale // 10 ** len(fraction) if fraction else 0)


class _Item(NamedTuple):
    """Something that can be removed: when it was last used, its files by device and inode with their sizes."""

    used: float
    kind: str
    path: Path
    files: dict[tuple[int, int], int]


class Keeper:
    """Who uses a cache, what is in it, and what has to go."""

    def __init__(self, folder: Path, stamps: Stamps) -> None:
        """Name the cache's folder; nothing is touched."""
        self.folder = folder
        self._stamps = stamps

    @contextmanager
    def using(self) -> Iterator[None]:
        """Keep everything that is used from now on until the end of the block."""
        users = self.folder / _USERS
        path = users / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            users.mkdir(parents=True, exist_ok=True)
            with self.noting():
                held = open_locked(path, wait=True)
                for _ in self._users():  # removes what killed processes left
                    pass
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise write_error(self.folder, error) from error
            held = None
        try:
            yield
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if held is not None:
                os.close(held)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Look for a blob and note its use without it being removed in between.

        A cache that may only be read is used without notes.
        """
        try:
            held = open_locked(self.folder / _LOCK, shared=True, wait=True)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise write_error(self.folder, error) from error
            held = None
        try:
            yield
        finally:
            if held is not None:
                os.close(held)

    def usage(self, limit: int | None) -> Usage:
        """Count what is there."""
        items = list(self._items())
        blobs = [item for item in items if item.kind == "blob"]
        partials = [item for item in items if item.kind == "partial"]
        return Usage(
            folder=str(self.folder),
            blobs=len(blobs),
            blob_bytes=_bytes(blobs),
            partial=len(partials),
            partial_bytes=_bytes(partials),
            versions=sum(item.kind == "version" for item in items),
            bytes=_bytes(items),
            limit=limit,
            in_use=sum(1 for _ in self._users()) if items else 0,
        )

    def shrink(self, limit: int) -> None:
        """Prune for who only wants to use the cache: one that may only be read stays as it is."""
        try:
            self._prune(limit, dry_run=False)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise write_error(self.folder, error) from error

    def prune(self, limit: int, *, dry_run: bool = False) -> Pruned:
        """Remove what was used longest ago until at most `limit` bytes are left, or all that is left is in use."""
        with writing(self.folder):
            return self._prune(limit, dry_run=dry_run)

    def _prune(self, limit: int, *, dry_run: bool) -> Pruned:
        if not self.folder.is_dir():
            return Pruned(blobs=0, partial=0, versions=0, freed=0, left=0)
        with locked(self.folder / _LOCK):
            since = min(self._users(), default=float("inf"))
            items = sorted(self._items())
            counts: dict[tuple[int, int], int] = {}
            sizes: dict[tuple[int, int], int] = {}
            for item in items:
                sizes |= item.files
                for file in item.files:
                    counts[file] = counts.get(file, 0) + 1
            left = before = sum(sizes.values())
            gone = {"blob": 0, "partial": 0, "version": 0}
            for item in items:
                stale = item.kind == "partial" and item.used < time.time() - STALE_AFTER
                if (left <= limit and not stale) or not self._may_go(item, since):
                    continue
                if not dry_run and not self._remove(item):
                    continue
                gone[item.kind] += 1
                for file in item.files:
                    counts[file] -= 1
                    left -= sizes[file] if not counts[file] else 0
            if not dry_run:
                self._forget()
        return Pruned(
            blobs=gone["blob"], partial=gone["partial"], versions=gone["version"], freed=before - left, left=left
        )

    def _may_go(self, item: _Item, since: float) -> bool:
        if item.kind == "version":
            since = min(since, time.time() - _GIVEN_OUT)
        return item.used < since

    def _remove(self, item: _Item) -> bool:
        """Remove something; False where another process is filling it."""
        if item.kind == "version":
            shutil.rmtree(item.path, ignore_errors=True)
            return True
        if item.kind == "blob":
            item.path.unlink(missing_ok=True)
            return True
        journal = item.path.with_name(item.path.name + JOURNAL)
        if not journal.exists() and item.used > time.time() - _ALONE:
            return False
        held = open_locked(journal)
        if held is None:
            return False
        item.path.unlink(missing_ok=True)
        journal.unlink(missing_ok=True)
        os.close(held)
        return True

    def _users(self) -> Iterator[float]:
        """Tell when each process that uses the cache now began; what dead ones left is removed."""
        for path in _listed(self.folder / _USERS):
            with suppress(FileNotFoundError):
                began = path.lstat().st_mtime
                opened = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    if _is_held(opened):
                        yield began
                    else:
                        path.unlink(missing_ok=True)
                finally:
                    os.close(opened)

    def _items(self) -> Iterator[_Item]:
        for folder in _listed(self.folder / "blobs" / "sha256"):
            for path in _listed(folder):
                yield from _file(path, "blob", self._used(path.name))
        for path in _listed(self.folder / PARTIAL):
            if not path.name.endswith(JOURNAL):
                yield from _file(path, "partial", None)
        for path in _listed(self.folder / VERSIONS):
            with suppress(OSError):
                yield _Item(path.lstat().st_mtime, "version", path, _files_below(path))

    def _used(self, name: str) -> float | None:
        with suppress(OSError):
            return (self._stamps.folder / name[:2] / name).lstat().st_mtime
        return None

    def _forget(self) -> None:
        """Remove the stamps of blobs that are not there."""
        for name, _ in self._stamps:
            if not (self.folder / "blobs" / "sha256" / name[:2] / name).exists():
                with suppress(OSError):
                    (self.folder / USED / name[:2] / name).unlink(missing_ok=True)


def _is_held(opened: int) -> bool:
    import fcntl

    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # also where there are no locks: then nobody knows, and everything is in use
        return True
    return False


def _bytes(items: list[_Item]) -> int:
    files: dict[tuple[int, int], int] = {}
    for item in items:
        files |= item.files
    return sum(files.values())


def _listed(folder: Path) -> Iterator[Path]:
    with suppress(FileNotFoundError, NotADirectoryError):
        yield from sorted(folder.iterdir())


def _file(path: Path, kind: str, used: float | None) -> Iterator[_Item]:
    with suppress(FileNotFoundError):
        found = path.lstat()
        if stat.S_ISREG(found.st_mode):
            # What is written at random places has holes: only what is there counts.
            size = found.st_blocks * 512 if kind == "partial" else found.st_size
            when = used if used is not None else found.st_mtime
            yield _Item(when, kind, path, {(found.st_dev, found.st_ino): size})


def _files_below(folder: Path) -> dict[tuple[int, int], int]:
    files = {}
    for base, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                found = os.lstat(os.path.join(base, name))  # noqa: PTH118 - as os.walk names it
                files[found.st_dev, found.st_ino] = found.st_size
    return files
