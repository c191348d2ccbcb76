"""Score documents by the words that they share with a need: BM25, by SQLite's FTS5."""

from __future__ import annotations

import math
import sqlite3
from typing import TYPE_CHECKING

from gitreg.errors import UnavailableError
from gitreg.recommend.documents import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.recommend.documents import Document

# FTS5's k1 is fixed at 1.2: no word adds more to a score than its weight (its rarity) times this.
_MOST_A_WORD = 2.2
_TABLE = (
    "CREATE VIRTUAL TABLE document USING"
    " fts5(name, description, task, facts, card, content = '', tokenize = 'porter unicode61 remove_diacritics 2')"
)


def fill(connection: sqlite3.Connection, documents: Sequence[Document]) -> None:
    """Index the words of documents; UnavailableError where this SQLite cannot."""
    try:
        connection.execute(_TABLE)
    except sqlite3.OperationalError as error:  # a SQLite built without FTS5
        raise UnavailableError("this Python's SQLite has no FTS5", hint="use a Python whose SQLite has it") from error
    rows = ((place, *document.fields()) for place, document in enumerate(documents))
    connection.executemany(
        "INSERT INTO document(rowid, name, description, task, facts, card) VALUES (?, ?, ?, ?, ?, ?)", rows
    )


class Wording:
    """The words of so many documents, which `fill` indexed; documents are known by their place in the list."""

    def __init__(self, connection: sqlite3.Connection, count: int) -> None:
        self._connection = connection
        self._count = count

    def scores(self, need: str, *, every: bool = False) -> dict[int, float]:
        """Give the documents that share a word with a need, with how much of it they answer: from 0 to 1.

        BM25 over what it would be at most, so that a hit of one common word among ten stays small. (Divided by the best
        hit, as is often done, the best is 1 however bad.) `every` counts words of grammar too.
        """
        wanted = words(need, every=every)
        most = _MOST_A_WORD * sum(self._rarity(word) for word in wanted)
        found = self._connection.execute(
            "SELECT rowid, -bm25(document) FROM document WHERE document MATCH ?", (" OR ".join(map(_quoted, wanted)),)
        )
        return {place: min(1.0, max(0.0, score / most)) for place, score in found}

    def shared(self, need: str, place: int) -> tuple[str, ...]:
        """Give the words of a need that stand in a document, in any of their forms."""
        return tuple(word for word in words(need) if self._holds(word, place))

    def _holds(self, word: str, place: int) -> bool:
        query = "SELECT 1 FROM document WHERE document MATCH ? AND rowid = ?"
        return self._connection.execute(query, (_quoted(word), place)).fetchone() is not None

    def _rarity(self, word: str) -> float:
        """Weigh a word as FTS5 does; a word of no document weighs most, for it is left unanswered."""
        query = "SELECT count(*) FROM document WHERE document MATCH ?"
        (holding,) = self._connection.execute(query, (_quoted(word),)).fetchone()
        rarity = math.log((self._count - holding + 0.5) / (holding + 0.5))
        return rarity if rarity > 0 else 1e-6


def _quoted(word: str) -> str:
    return '"' + word.replace('"', '""') + '"'
