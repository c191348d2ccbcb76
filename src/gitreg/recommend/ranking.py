"""Order documents by how well they suit a need: their words, and what their words mean."""

from __future__ import annotations

from heapq import nsmallest
from typing import TYPE_CHECKING, Self

from gitreg.recommend.documents import words
from gitreg.recommend.wording import Wording
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.recommend.documents import Document
    from gitreg.recommend.vectors import StaticModel

# How much a fully answered wording adds to a similarity; benchmarks/recommending.py chose it, on its dev queries.
WORDING_WEIGHT = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A document that suits: how well in all, by meaning (None without a model), and the words that it shares."""

    document: Document
    relevance: float
    similarity: float | None
    shared: tuple[str, ...]


class Ranker:
    """Documents, ready to be asked. Without a model it goes by words alone."""

    def __init__(self, documents: Sequence[Document], model: StaticModel | None) -> None:
        self._documents = documents
        self._wording = Wording(documents)
        self._model = model
        self._vectors = model.vectors([document.text() for document in documents]) if model else None

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Forget the index."""
        self._wording.close()

    def rank(self, need: str, limit: int) -> list[Match]:
        """Give the best documents first, at most `limit`; those that share nothing with the need are left out."""
        wording = self._wording.scores(need)
        meaning = self.similarities(need)
        if meaning is None:
            relevance = wording
        else:
            relevance = {
                place: similarity + WORDING_WEIGHT * wording.get(place, 0.0) for place, similarity in enumerate(meaning)
            }
        suiting = (place for place, score in relevance.items() if score > 0)
        best = nsmallest(limit, suiting, key=lambda place: (-relevance[place], self._documents[place].key))
        return [
            Match(
                document=self._documents[place],
                relevance=relevance[place],
                similarity=None if meaning is None else meaning[place],
                shared=self._wording.shared(need, place),
            )
            for place in best
        ]

    def similarities(self, need: str) -> list[float] | None:
        """Give the cosine between a need and each document; None without a model."""
        words(need)  # bounds it
        if self._model is None or self._vectors is None:
            return None
        similarities: list[float] = (self._vectors @ self._model.vectors([need])[0]).tolist()
        return similarities
