"""Documents made ready to be asked: an index of their words and a vector of each text, in memory or kept in a file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING, Self

from gitreg.errors import GitregError
from gitreg.objects.locks import locked
from gitreg.recommend import wording
from gitreg.recommend.wording import Wording

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from gitreg.recommend.documents import Document
    from gitreg.recommend.vectors import StaticModel

_FORMAT = 2
_TOGETHER = 1024  # vectors in a row: one of 10,000 rows costs more to fetch than its kilobyte
# A file that is whole has this time of change, in nanoseconds; whoever writes to it gives it another.
_WHOLE = 1_000_000_000
_TABLES = (
    "CREATE TABLE meta (format INTEGER, tag TEXT, model TEXT)",
    "CREATE TABLE texts (place INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, digest BLOB NOT NULL)",
    "CREATE TABLE vectors (place INTEGER PRIMARY KEY, several BLOB NOT NULL)",
)


class Corpus:
    """Documents by their place in a list: their keys, the words of their fields, and the vectors of their texts."""

    # A question needs the keys of what suits it, and no others.

    def __init__(self, connection: sqlite3.Connection, model: StaticModel | None) -> None:
        self.model = model
        self._connection = connection
        (self.count,) = connection.execute("SELECT count(*) FROM texts").fetchone()
        self.wording = Wording(connection, self.count)

    @classmethod
    def of(
        cls,
        documents: Sequence[Document],
        model: StaticModel | None,
        known: Mapping[bytes, bytes] | None = None,
        tag: str = "",
    ) -> Self:
        """Make documents ready, in memory; `known` are vectors by the digest of their text, of the same model."""
        connection = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        try:
            connection.execute("BEGIN")
            for table in _TABLES:
                connection.execute(table)
            wording.fill(connection, documents)
            digests = [sha256(document.text().encode("utf-8", "surrogatepass")).digest() for document in documents]
            rows = enumerate(zip(documents, digests, strict=True))
            connection.executemany(
                "INSERT INTO texts VALUES (?, ?, ?)", ((place, each.key, digest) for place, (each, digest) in rows)
            )
            if model:
                vectors = _vectors(documents, digests, model, known or {})
                blocks = range(0, len(vectors), _TOGETHER)
                several = ((place, b"".join(vectors[place : place + _TOGETHER])) for place in blocks)
                connection.executemany("INSERT INTO vectors VALUES (?, ?)", several)
            connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (_FORMAT, tag, _identity(model)))
            connection.execute("COMMIT")
            return cls(connection, model)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Forget it, or leave the file that it is kept in."""
        self._connection.close()

    def key(self, place: int) -> str:
        """Give the key of the document at a place."""
        (key,) = self._connection.execute("SELECT key FROM texts WHERE place = ?", (place,)).fetchone()
        return str(key)

    def places(self, keys: Iterable[str]) -> list[int]:
        """Give the places of the documents that keys name, of those there are."""
        found = (self._connection.execute("SELECT place FROM texts WHERE key = ?", (key,)).fetchone() for key in keys)
        return [place for (place,) in filter(None, found)]

    def vectors(self) -> NDArray[np.float32]:
        """Give the vectors, a row a document; there is one."""
        import numpy as np

        return np.frombuffer(_joined(self._connection), dtype=np.float32).reshape(self.count, -1)

    def keep(self, path: Path) -> None:
        """Write it to a file, whole or not at all."""
        with locked(path.with_suffix(".lock")):
            draft = path.with_name(f"{path.name}-new")
            try:
                draft.unlink(missing_ok=True)  # of one that was killed
                self._connection.execute("VACUUM INTO ?", (str(draft),))
                with draft.open("rb") as file:
                    os.fsync(file.fileno())
                os.utime(draft, ns=(_WHOLE, _WHOLE))
                draft.replace(path)
            finally:
                draft.unlink(missing_ok=True)


def _vectors(
    documents: Sequence[Document], digests: Sequence[bytes], model: StaticModel, known: Mapping[bytes, bytes]
) -> list[bytes]:
    new = {digest: each.text() for each, digest in zip(documents, digests, strict=True) if digest not in known}
    made = dict(zip(new, model.vectors(list(new.values())), strict=True))
    return [known[digest] if digest in known else made[digest].tobytes() for digest in digests]


def _joined(connection: sqlite3.Connection) -> bytes:
    return b"".join(several for (several,) in connection.execute("SELECT several FROM vectors ORDER BY place"))


def _known(connection: sqlite3.Connection) -> dict[bytes, bytes]:
    """Give the vectors by the digest of their text."""
    digests = [digest for (digest,) in connection.execute("SELECT digest FROM texts ORDER BY place")]
    vectors = _joined(connection)
    size = len(vectors) // max(1, len(digests))
    return {digest: vectors[place * size : (place + 1) * size] for place, digest in enumerate(digests)}


def _identity(model: StaticModel | None) -> str:
    return model.identity if model else ""


def kept(
    path: Path, tag: str, model: StaticModel | None, documents: Callable[[], Sequence[Document]], *, keep: bool
) -> Corpus:
    """Open what a file keeps, where that is of a tag; else make the documents ready: texts that stayed cost little.

    `tag` says what the documents were made from. With `keep` the file is of this tag afterwards, unless it cannot be
    written: it only saves time.
    """
    known: dict[bytes, bytes] = {}
    if connection := _opened(path):
        with suppress(sqlite3.DatabaseError):
            said = connection.execute("SELECT format, tag, model FROM meta").fetchone()
            if said == (_FORMAT, tag, _identity(model)):
                return Corpus(connection, model)
            if model and said[::2] == (_FORMAT, model.identity):
                known = _known(connection)
        connection.close()
    corpus = Corpus.of(documents(), model, known, tag)
    if keep:
        with suppress(OSError, GitregError, sqlite3.Error):
            corpus.keep(path)
    return corpus


def _opened(path: Path) -> sqlite3.Connection | None:
    """Open a file that is as it was written; None where there is none."""
    try:
        if path.stat().st_mtime_ns != _WHOLE:
            return None
        # It never changes: another one takes its place.
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False, isolation_level=None
        )
    except (OSError, sqlite3.Error):
        return None
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection
