"""Find versions by conditions, such as `metrics.auc > 0.95 and deployed('prod')`, through the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.index.compile import Surroundings
from gitreg.index.pages import Query, Search
from gitreg.index.schema import SCHEMA
from gitreg.names import ModelName
from gitreg.reader import indexing
from gitreg.reader.history import parse_time
from gitreg.records import dataclass, replace
from gitreg.registry.listing import version_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from sqlite3 import Connection

    from gitreg.reader import Snapshot
    from gitreg.registry.results import VersionSummary


MAX_LIMIT = 1_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of a search: its versions, the commit that it is of, the cursor of the next page (None: the last).

    `notes` is what should be said about it: files that could not be read, an index that cannot be written.
    """

    versions: tuple[VersionSummary, ...]
    commit: str
    next: str | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Count the versions of this page."""
        return len(self.versions)

    def __iter__(self) -> Iterator[VersionSummary]:
        """Go through the versions of this page."""
        return iter(self.versions)

    def __getitem__(self, place: int) -> VersionSummary:
        """Give one version of this page."""
        return self.versions[place]


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """How a search is answered: the SQL with its parameters, and the way that SQLite takes."""

    sql: str
    parameters: tuple[str, ...]
    plan: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexState:
    """What the index of this clone holds, and whether that is what main says."""

    path: Path
    size: int
    schema: int
    commit: str | None
    current: bool
    versions: int = 0
    manifests: int = 0
    models: int = 0
    deployments: int = 0
    problems: tuple[str, ...] = ()
    read: int | None = None
    shallow: bool = False
    """Whether the history of this clone is cut: older deployments are not known here."""


def search(
    snapshot: Snapshot, query: Query, *, now: bool, may_read: Callable[[ModelName], bool] | None = None
) -> Found:
    """Find a page of the versions that meet every condition, all without any; by model, highest version first.

    With `may_read` no row, cursor or note speaks of the others; DeniedError where a condition names one.
    """
    _check(query)

    def question(connection: Connection) -> tuple[tuple[VersionSummary, ...], str | None, list[str]]:
        prepared = prepared_search(snapshot, query, connection, may_read)
        hits, cursor = prepared.run(connection, snapshot.commit)
        if may_read is not None:  # notes tell which fields there are
            return tuple(version_summary(connection, hit.model, hit.version, hit.manifest) for hit in hits), cursor, []
        lacks = not hits or None in hits[0].keys  # what has no value comes last
        said = prepared.unknown(connection) if lacks and query.cursor is None else []
        problems = connection.execute("SELECT count(*) FROM problems").fetchone()[0]
        if problems:
            said.append(f"{problems} files could not be read and are left out; `gitreg check` shows what is wrong")
        return tuple(version_summary(connection, hit.model, hit.version, hit.manifest) for hit in hits), cursor, said

    (versions, cursor, said), notes = indexing.ask(snapshot, question, now=now)
    notes += said
    return Found(versions=versions, commit=snapshot.commit, next=cursor, notes=tuple(notes))


def explain(snapshot: Snapshot, query: Query, *, now: bool) -> Explained:
    """Tell how a search would be answered."""
    _check(query)

    def question(connection: Connection) -> Explained:
        found = prepared_search(snapshot, query, connection)
        sql = found.sql(connection)
        return Explained(sql=sql.text, parameters=tuple(map(repr, sql.values)), plan=tuple(found.plan(connection)))

    return indexing.ask(snapshot, question, now=now)[0]


def _check(query: Query) -> None:
    if query.limit is not None and not 1 <= query.limit <= MAX_LIMIT:
        raise InvalidError(f"--limit: found {query.limit}, allowed: 1 to {MAX_LIMIT:,}")


def prepared_search(
    snapshot: Snapshot, query: Query, connection: Connection, may_read: Callable[[ModelName], bool] | None = None
) -> Search:
    """Compile a search; with `may_read` of some models alone. DeniedError where it asks about another."""
    named = (lambda model: may_read(ModelName.parse(model))) if may_read else None
    return Search(query, replace(surroundings(snapshot, connection), may_read=named))


def surroundings(snapshot: Snapshot, connection: Connection) -> Surroundings:
    """Give what a condition is compiled against."""

    def moment(text: str) -> int:
        if snapshot.repository.is_shallow:
            raise InvalidError("this clone is shallow and has no full history", hint="git fetch --unshallow")
        return parse_time(text)

    names = connection.execute("SELECT name FROM environments ORDER BY place")
    return Surroundings([name for (name,) in names], moment)


def build(snapshot: Snapshot, *, anew: bool) -> IndexState:
    """Bring the index up to main, or make it anew; UnavailableError where it cannot be written."""
    file = indexing.index_file(snapshot.repository)
    if anew:
        file.discard()
    read = indexing.update(snapshot)
    return state(snapshot, read)


def state(snapshot: Snapshot, read: int | None = None) -> IndexState:
    """Tell what the index holds, and change nothing."""
    import sqlite3

    from gitreg.index.file import DamagedError

    file = indexing.index_file(snapshot.repository)
    try:
        with file.reading() as connection:
            commit = connection.execute("SELECT value FROM meta WHERE key = 'commit'").fetchone()
            tables = ("versions", "manifests", "models", "deployments")
            counts = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
            problems = tuple(": ".join(row) for row in connection.execute("SELECT * FROM problems ORDER BY path"))
    except (DamagedError, sqlite3.DatabaseError):
        return IndexState(path=file.path, size=0, schema=SCHEMA, commit=None, current=False)
    return IndexState(
        path=file.path,
        size=file.path.stat().st_size,
        schema=SCHEMA,
        commit=commit[0] if commit else None,
        current=commit == (snapshot.commit,),
        problems=problems,
        read=read,
        shallow=snapshot.repository.is_shallow,
        **counts,
    )
