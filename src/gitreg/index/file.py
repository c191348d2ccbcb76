"""Open the index's file: many readers, one writer, thrown away where it is of another schema or damaged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
from typing import TYPE_CHECKING

from gitreg.errors import UnavailableError
from gitreg.index.schema import create, create_indexes, is_ours
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 60.0
"""Seconds to wait for another process that is writing the index."""

_PAUSE = 0.02
_CACHE = -65_536  # kibibytes of pages, for who writes
# What the machine refuses, rather than what is wrong with the file.
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)


class DamagedError(Exception):
    """The file is no index of ours, or not what was written."""


@dataclass(frozen=True, slots=True)
class IndexFile:
    """The index of one repository, at `<git directory>/gitreg/index.sqlite`."""

    path: Path

    @property
    def _stamp(self) -> Path:
        return self.path.with_suffix(".stamp")

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Read what there is, as it was at the first question; DamagedError where there is nothing usable."""
        with _told(self.path, "read"):
            before = self._number()
            if before is None or not self._is_as_written():
                raise DamagedError(f"{self.path} is not there, or not what was written")
            with _opened(self.path) as connection:
                connection.execute("PRAGMA query_only = 1")
                connection.execute("BEGIN")
                if not is_ours(connection):
                    raise DamagedError(f"{self.path} is of another schema")
                # SQLite opens the log beside the file by its name, and only now: it may be that of a new file.
                if self._number() != before:
                    raise DamagedError(f"{self.path} was made anew meanwhile")
                yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Change the index in one transaction, alone; what is unusable is thrown away first.

        UnavailableError where another process keeps writing, or where nothing can be written here.
        """
        with _told(self.path, "written"), self._alone():
            with contextlib.suppress(FileNotFoundError):
                if not self._is_as_written() or not _is_usable(self.path):
                    self._discard()
            self._stamp.unlink(missing_ok=True)
            if not self.path.exists():
                with self._made() as connection:
                    yield connection
                return
            with _opened(self.path) as connection:
                connection.execute(f"PRAGMA cache_size = {_CACHE}")
                with _transaction(connection):
                    yield connection
                # What readers hold up now is caught up with by the next writer: nobody waits for them.
                connection.execute("PRAGMA busy_timeout = 0")
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            if not busy:
                self._write_stamp()

    @contextlib.contextmanager
    def _made(self) -> Iterator[sqlite3.Connection]:
        """Make the index beside its place, without a log that nobody would go back to, and put it there whole."""
        new = self.path.with_name(f"{self.path.name}-new")
        _discard_all(new)  # of one that was killed
        try:
            with _opened(new, create=True) as connection:
                _write_at_once(connection)
                with _transaction(connection):
                    yield connection
                connection.execute("PRAGMA journal_mode = WAL")
            with new.open("rb") as file:
                os.fsync(file.fileno())
            _discard_all(self.path)
            new.replace(self.path)
        except BaseException:
            _discard_all(new)
            raise
        self._write_stamp()

    @contextlib.contextmanager
    def copied(
        self, change: Callable[[sqlite3.Connection], object], *, anew: bool = False
    ) -> Iterator[sqlite3.Connection]:
        """Read a copy that is gone afterwards, of what there is or (`anew`) of nothing, once it is changed."""
        with _opened(None) as connection:
            _write_at_once(connection)
            if not anew:
                with (
                    contextlib.suppress(DamagedError, UnavailableError, sqlite3.DatabaseError),
                    self.reading() as source,
                ):
                    source.backup(connection)
            with _transaction(connection):
                change(connection)
            yield connection

    def discard(self) -> None:
        """Throw the index away, once no other process writes it."""
        with _told(self.path, "thrown away"), self._alone():
            self._discard()

    def _discard(self) -> None:
        self._stamp.unlink(missing_ok=True)
        _discard_all(self.path)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as file:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise UnavailableError(f"another process has been writing {self.path} for a minute") from None
                    time.sleep(_PAUSE)
            yield

    # A writer notes the file's size and time of change when it is done, and takes the note away before it begins. Where
    # there is none, a writer was killed, which SQLite itself makes good.

    def _is_as_written(self) -> bool:
        try:
            noted = self._stamp.read_text("ascii")
        except FileNotFoundError:
            return True
        except (OSError, UnicodeDecodeError):
            return False
        return noted == self._now()

    def _number(self) -> int | None:
        return self.path.stat().st_ino if self.path.is_file() else None

    def _now(self) -> str:
        found = self.path.stat()
        return f"{found.st_size} {found.st_mtime_ns}\n"

    def _write_stamp(self) -> None:
        temporary = self._stamp.with_suffix(".stamp-new")  # there is one writer
        temporary.write_text(self._now(), "ascii")
        temporary.replace(self._stamp)


@contextlib.contextmanager
def _opened(path: Path | None, *, create: bool = False) -> Iterator[sqlite3.Connection]:
    """Open a file, or one without a name that goes when it is closed."""
    name = "" if path is None else f"{path.as_uri()}?mode={'rwc' if create else 'rw'}"
    connection = sqlite3.connect(name, uri=path is not None, isolation_level=None, timeout=PATIENCE)
    try:
        connection.execute("PRAGMA synchronous = NORMAL")
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection
    finally:
        connection.close()


def _write_at_once(connection: sqlite3.Connection) -> None:
    """Write without a way back, into a file that nobody sees and that goes where the writing does not end well."""
    for pragma in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = {_CACHE}", "threads = 2"):
        connection.execute(f"PRAGMA {pragma}")


def _discard_all(path: Path) -> None:
    """Take a database away, with the files that SQLite keeps beside it."""
    for each in (path, *(path.with_name(f"{path.name}-{end}") for end in ("wal", "shm", "journal"))):
        each.unlink(missing_ok=True)


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    fresh = not is_ours(connection)
    if fresh:
        create(connection)
    try:
        yield
    except BaseException:
        connection.rollback()
        raise
    if fresh:
        create_indexes(connection)
    connection.commit()


def _is_usable(path: Path) -> bool:
    path.stat()
    try:
        with _opened(path) as connection:
            return is_ours(connection)
    except sqlite3.DatabaseError:
        return False


@contextlib.contextmanager
def _told(path: Path, done: str) -> Iterator[None]:
    """Say of what the disk refuses that it does; damage stays damage."""
    try:
        yield
    except OSError as error:
        raise UnavailableError(f"the index {path} cannot be {done}: {error.strerror}") from error
    except sqlite3.OperationalError as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
        if code & 0xFF not in _REFUSED or code == sqlite3.SQLITE_IOERR_SHORT_READ:
            raise
        raise UnavailableError(f"the index {path} cannot be {done}: {error}") from error
