"""Remember what was answered to a request that carries an Idempotency-Key, so that a retry does nothing twice.

The key goes into the commit as well, as a hash in its trailer `Request` (`writer.once`): a server that was killed
between the commit and the note finds the commit again, and one that only was slow finds that of whoever took over.
"""

from __future__ import annotations

import hashlib
import logging
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, UnavailableError
from gitreg.records import dataclass
from gitreg.server.living import Living
from gitreg.server.problems import UnderwayError
from gitreg.writer.once import SURE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = "requests.sqlite"
AT_WORK = "requests.living"
KEPT = 24 * 3600.0
MOST_OF_ONE = 10_000
MOST = 100_000
LONGEST = 255
# What is begun and not answered after so long was begun by a process that is as good as gone.
ABANDONED = 120.0
# And this by one that is gone; its commit may have been under way, and was looked for until a while before.
GONE = SURE + 15.0
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOG = logging.getLogger(__name__)
_SCHEMA = """
CREATE TABLE IF NOT EXISTS requests(
    id TEXT PRIMARY KEY, caller TEXT NOT NULL, body TEXT NOT NULL, begun REAL NOT NULL, tip TEXT NOT NULL,
    status INTEGER, answer BLOB, location TEXT, owner TEXT);
CREATE INDEX IF NOT EXISTS by_caller ON requests(caller, begun);
CREATE INDEX IF NOT EXISTS by_time ON requests(begun);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that may come again: who sends it, the key, what it says, and main's tip when it first came."""

    id: str
    caller: str
    body: str
    tip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What was answered."""

    status: int
    body: bytes
    location: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Abandoned:
    """It was begun, and whoever did it is gone: it may have landed upon this commit."""

    tip: str


def named(caller: str, key: str, said: bytes, tip: str) -> Request:
    """Name a request by its caller and its key; InvalidError for a key that is none."""
    if not 0 < len(key) <= LONGEST or not key.isascii() or not key.isprintable():
        raise InvalidError(f"an Idempotency-Key is 1 to {LONGEST} printable ASCII characters", hint="a UUID will do")
    name = hashlib.sha256(f"{caller}\0{key}".encode()).hexdigest()[:32]
    return Request(id=name, caller=caller, body=hashlib.sha256(said).hexdigest(), tip=tip)


class Remembered:
    """The requests of the last day, in a file beside the repository that several processes share."""

    def __init__(self, git_dir: Path) -> None:
        self._path = git_dir / "gitreg" / NAME
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        # What this process is at, and since when: nobody else has taken it over where the file says the same.
        self._working: dict[str, float] = {}
        self._living = Living(git_dir / "gitreg" / AT_WORK)

    def close(self) -> None:
        """Close the file; nothing is at work any more."""
        with self._lock:
            self._working.clear()
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._living.close()

    def check(self) -> None:
        """Write something that changes nothing; UnavailableError where nothing can be noted."""
        with self._lock, self._transaction() as connection:
            connection.execute(f"PRAGMA user_version = {int(time.time()) & 0xFFFF}")

    def begin(self, request: Request) -> Answer | Abandoned | None:
        """Note that a request is being answered, and give None; or what was answered to it before.

        InvalidError where the key came with another body, UnderwayError while the first one is still being answered.
        """
        now = time.time()
        with self._lock, self._transaction() as connection:
            connection.execute("DELETE FROM requests WHERE begun < ?", (now - KEPT,))
            found = connection.execute(
                "SELECT body, begun, tip, status, answer, location, owner FROM requests WHERE id = ?", (request.id,)
            ).fetchone()
            if request.id in self._working:
                raise _underway()
            if found is None:
                self._make_room(connection, request)
                connection.execute(
                    "INSERT INTO requests(id, caller, body, begun, tip, owner) VALUES (?, ?, ?, ?, ?, ?)",
                    (request.id, request.caller, request.body, now, request.tip, self._living.name),
                )
                self._working[request.id] = now
                return None
            body, begun, tip, status, answer, location, owner = found
            if body != request.body:
                raise InvalidError(
                    "this Idempotency-Key came with another request before", hint="take a new key for a new request"
                )
            if status is not None:
                return Answer(status=status, body=answer, location=location)
            if now - begun < (ABANDONED if owner is None or self._living.lives(owner) else GONE):
                raise _underway()
            connection.execute(
                "UPDATE requests SET begun = ?, owner = ? WHERE id = ?", (now, self._living.name, request.id)
            )
            self._working[request.id] = now
            return Abandoned(tip=tip)

    def done(self, request: Request, answer: Answer) -> None:
        """Note what was answered."""
        with self._ended(request) as (connection, _):
            connection.execute(
                "UPDATE requests SET status = ?, answer = ?, location = ? WHERE id = ?",
                (answer.status, answer.body, answer.location, request.id),
            )

    def undecided(self, request: Request) -> None:
        """Note that nobody works at a request any more, which may have landed: the next try looks for its commit."""
        long_ago = time.time() - ABANDONED - 1
        with suppress(UnavailableError), self._ended(request) as (connection, begun):
            connection.execute(
                "UPDATE requests SET begun = ? WHERE id = ? AND begun = ? AND status IS NULL",
                (long_ago, request.id, begun),
            )

    def failed(self, request: Request) -> None:
        """Forget a request that changed nothing: it may be tried again. One that somebody took over is theirs."""
        with suppress(UnavailableError), self._ended(request) as (connection, begun):
            connection.execute(
                "DELETE FROM requests WHERE id = ? AND begun = ? AND status IS NULL", (request.id, begun)
            )

    @contextmanager
    def _ended(self, request: Request) -> Iterator[tuple[sqlite3.Connection, float]]:
        """Change what is said of a request that this process began, and is at no more."""
        with self._lock:
            begun = self._working.pop(request.id, 0.0)
            with self._transaction() as connection:
                yield connection, begun

    def _make_room(self, connection: sqlite3.Connection, request: Request) -> None:
        for condition, values, most in (
            ("caller = ?", (request.caller,), MOST_OF_ONE),
            ("1 = 1", (), MOST),
        ):
            count = connection.execute(f"SELECT count(*) FROM requests WHERE {condition}", values).fetchone()[0]  # noqa: S608 - our own words
            if count >= most:
                connection.execute(
                    f"DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE {condition}"  # noqa: S608
                    " ORDER BY begun LIMIT ?)",
                    (*values, count - most + 1),
                )

    def _transaction(self) -> _Transaction:
        return _Transaction(self)

    def opened(self) -> sqlite3.Connection:
        """Open the file; it is made where it is missing, and made anew where it is damaged."""
        if self._connection is None:
            self._path.parent.mkdir(exist_ok=True)
            try:
                self._connection = self._made()
            except sqlite3.DatabaseError as error:
                if not self.mended(error):
                    raise
                self._connection = self._made()
        return self._connection

    def mended(self, error: sqlite3.Error) -> bool:
        """Put a damaged file aside, so that the next request begins a new one; False where it is something else."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in _DAMAGED:
            return False
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        aside = self._path.with_name(NAME + ".damaged")
        with suppress(FileNotFoundError):
            self._path.replace(aside)
        for end in ("-wal", "-shm"):
            self._path.with_name(NAME + end).unlink(missing_ok=True)
        _LOG.error("%s is damaged (%s): it is %s now, and what was answered before is forgotten", NAME, error, aside)
        return True

    def _made(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, timeout=30, check_same_thread=False, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(_SCHEMA)
            _add_owner(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection


def _add_owner(connection: sqlite3.Connection) -> None:
    """Add the column that the files of older servers lack."""
    connection.execute("BEGIN IMMEDIATE")
    if "owner" not in {row[1] for row in connection.execute("PRAGMA table_info(requests)")}:
        connection.execute("ALTER TABLE requests ADD COLUMN owner TEXT")
    connection.execute("COMMIT")


def _underway() -> UnderwayError:
    return UnderwayError("the request with this Idempotency-Key is being answered", hint="ask again soon")


class _Transaction:
    """One transaction that begins with the right to write."""

    def __init__(self, remembered: Remembered) -> None:
        self._remembered = remembered

    def __enter__(self) -> sqlite3.Connection:
        try:
            self._connection = self._remembered.opened()
            self._connection.execute("BEGIN IMMEDIATE")
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable(error) from error
        return self._connection

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            self._connection.execute("ROLLBACK" if kind else "COMMIT")
        except sqlite3.Error as fault:
            raise self._unavailable(fault) from fault
        if isinstance(error, (sqlite3.Error, OSError)):
            raise self._unavailable(error) from error

    def _unavailable(self, error: Exception) -> UnavailableError:
        if isinstance(error, sqlite3.Error):
            self._remembered.mended(error)
        return UnavailableError(f"what was asked before cannot be looked up: {error}", hint="try again in a moment")
