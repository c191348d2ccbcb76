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
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from gitreg.recommend.documents import Document
    from gitreg.recommend.vectors import StaticModel

_FORMAT = 1
# A file that is whole has this time of change, in nanoseconds; whoever writes to it gives it another.
_WHOLE = 1_000_000_000
_TABLES = (
    "CREATE TABLE meta (format INTEGER, tag TEXT, model TEXT)",
    "CREATE TABLE texts (place INTEGER PRIMARY KEY, key TEXT NOT NULL, digest BLOB NOT NULL, vector BLOB)",
)


class Corpus:
    """Documents by their place in a list: their keys, the words of their fields, and the vectors of their texts."""

    def __init__(self, connection: sqlite3.Connection, model: StaticModel | None) -> None:
        self.model = model
        self._connection = connection
        self.keys: tuple[str, ...] = tuple(key for (key,) in connection.execute("SELECT key FROM texts ORDER BY place"))
        self.wording = Wording(connection, len(self.keys))

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
            rows = _rows(documents, model, known or {})
            connection.executemany("INSERT INTO texts VALUES (?, ?, ?, ?)", rows)
            connection.execute("INSERT INTO meta VALUES (?, ?, ?)", (_FORMAT, tag, _identity(model)))
            connection.execute("COMMIT")
            return cls(connection, model)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Forget it, or leave the file that it is kept in."""
        self._connection.close()

    def vectors(self) -> NDArray[np.float32]:
        """Give the vectors, a row a document; there is one."""
        import numpy as np

        rows = self._connection.execute("SELECT vector FROM texts ORDER BY place")
        return np.frombuffer(b"".join(vector for (vector,) in rows), dtype=np.float32).reshape(len(self.keys), -1)

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


def _rows(
    documents: Sequence[Document], model: StaticModel | None, known: Mapping[bytes, bytes]
) -> list[tuple[int, str, bytes, bytes | None]]:
    texts = [document.text() for document in documents]
    digests = [sha256(text.encode("utf-8", "surrogatepass")).digest() for text in texts]
    vectors = dict(known)
    if model:
        new = {digest: text for digest, text in zip(digests, texts, strict=True) if digest not in known}
        made = model.vectors(list(new.values()))
        vectors.update((digest, row.tobytes()) for digest, row in zip(new, made, strict=True))
    return [
        (place, document.key, digest, vectors[digest] if model else None)
        for place, (document, digest) in enumerate(zip(documents, digests, strict=True))
    ]


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
                known = dict(connection.execute("SELECT digest, vector FROM texts"))
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
