"""Order documents by how well they suit a need: their words, and what their words mean."""

from __future__ import annotations

from heapq import nlargest
from typing import TYPE_CHECKING, Self

from gitreg.recommend.documents import words
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from gitreg.recommend.corpus import Corpus

# How much a fully answered wording adds to a similarity; benchmarks/recommending.py chose it, on its dev queries.
WORDING_WEIGHT = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A document that suits: how well in all, by meaning (None without a model), and the words that it shares."""

    key: str
    relevance: float
    similarity: float | None
    shared: tuple[str, ...]


class Ranker:
    """Documents that are asked. Without a model they go by words alone."""

    def __init__(self, corpus: Corpus) -> None:
        self._corpus = corpus
        self._vectors = corpus.vectors() if corpus.model and corpus.count else None

    def __enter__(self) -> Self:
        """Use it in a `with`."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the documents."""
        self._corpus.close()

    def rank(self, need: str, limit: int, only: Collection[str] | None = None) -> list[Match]:
        """Give the best documents first, at most `limit`; those that share nothing with the need are left out.

        `only` are the keys of those that may be given; how rare a word is, all of them tell.
        """
        wording = self._corpus.wording.scores(need)
        meaning = self.similarities(need)
        if meaning is None:
            relevance = wording
        else:
            relevance = dict(enumerate(meaning))
            for place, answered in wording.items():
                relevance[place] += WORDING_WEIGHT * answered
        if only is not None:
            relevance = {place: relevance[place] for place in self._corpus.places(only) if place in relevance}
        best = self._best(relevance, limit)
        return [
            Match(
                key=key,
                relevance=relevance[place],
                similarity=None if meaning is None else meaning[place],
                shared=self._corpus.wording.shared(need, place),
            )
            for key, place in best
        ]

    def _best(self, relevance: Mapping[int, float], limit: int) -> list[tuple[str, int]]:
        """Choose the most relevant that are at all, with their keys, by which equals stand."""
        suiting = {place: score for place, score in relevance.items() if score > 0}
        least = min(nlargest(limit, suiting.values()), default=0.0)
        keys = {place: self._corpus.key(place) for place, score in suiting.items() if score >= least}
        return sorted(((key, place) for place, key in keys.items()), key=lambda each: (-suiting[each[1]], each[0]))[
            :limit
        ]

    def similarities(self, need: str) -> list[float] | None:
        """Give the cosine between a need and each document; None without a model."""
        words(need)  # bounds it
        if self._corpus.model is None or self._vectors is None:
            return None
        similarities: list[float] = (self._vectors @ self._corpus.model.vectors([need])[0]).tolist()
        return similarities
