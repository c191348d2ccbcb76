"""Measure recommendations: how good their order is, against plain BM25, and how long a question takes.

    python -m benchmarks.recommending

The cards, the queries and their judgements are in `benchmarks/recommend/`, made up for this. Weights were chosen on the
queries marked `dev`; the figures that count are those of `test`.
"""

from __future__ import annotations

import contextlib
import json
import math
import random
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.recommend.corpus import Corpus
from gitreg.recommend.documents import Document, language
from gitreg.recommend.ranking import Ranker
from gitreg.recommend.vectors import packaged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitreg.recommend.vectors import StaticModel

FOLDER = Path(__file__).parent / "recommend"
DEPTH = 10
_SAMPLES = 5000
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Query:
    """A need, its part of the set, and how relevant each card is that is at all: 1, 2 or 3."""

    need: str
    split: str
    relevant: dict[str, int]


def cards() -> list[Document]:
    """Read the made-up cards."""
    documents = []
    for line in (FOLDER / "cards.jsonl").read_text(encoding="utf-8").splitlines():
        card = json.loads(line)
        documents.append(
            Document(
                key=card["model"],
                name=card["model"],
                description=card["description"],
                task=card["task"],
                facts=(*map(language, card["languages"]), card["framework"], card["license"]),
                card=card["card"],
            )
        )
    return documents


def queries() -> list[Query]:
    """Read the queries with their judgements."""
    lines = (FOLDER / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    return [Query(row["query"], row["split"], row["relevant"]) for row in map(json.loads, lines)]


def ndcg(order: Sequence[str], relevant: dict[str, int]) -> float:
    """Give nDCG@10 with gains of 2^grade - 1 (Burges et al., ICML 2005)."""

    def gained(grades: Sequence[int]) -> float:
        return sum(float(2**grade - 1) / math.log2(place + 2) for place, grade in enumerate(grades[:DEPTH]))

    return gained([relevant.get(key, 0) for key in order]) / gained(sorted(relevant.values(), reverse=True))


def interval(values: Sequence[float], seed: int = 1) -> tuple[float, float]:
    """Give the 95 % interval of a mean, by bootstrap over the queries."""
    draw = random.Random(seed)
    means = sorted(statistics.fmean(draw.choices(values, k=len(values))) for _ in range(_SAMPLES))
    return means[int(0.025 * _SAMPLES)], means[int(0.975 * _SAMPLES)]


@contextlib.contextmanager
def orders(documents: Sequence[Document], model: StaticModel | None) -> Iterator[dict[str, Callable[[str], list[str]]]]:
    """Give the ways to order the cards for a need, by name."""
    words = Corpus.of(documents, None)
    with Ranker(words) as text, Ranker(Corpus.of(documents, model)) as both:

        def by_meaning(need: str) -> list[str]:
            return _best(dict(enumerate(both.similarities(need) or [])), documents)

        ways: dict[str, Callable[[str], list[str]]] = {
            "plain BM25 (every word)": lambda need: _best(words.wording.scores(need, every=True), documents),
            "BM25 without words of grammar": lambda need: [match.key for match in text.rank(need, DEPTH)],
        }
        if model:
            ways["vectors alone"] = by_meaning
            ways["both, as `recommend` does"] = lambda need: [match.key for match in both.rank(need, DEPTH)]
        yield ways


def _best(scores: dict[int, float], documents: Sequence[Document]) -> list[str]:
    order = sorted(scores, key=lambda place: (-scores[place], documents[place].key))
    return [documents[place].key for place in order[:DEPTH]]


def _quality(documents: Sequence[Document], model: StaticModel | None) -> None:
    asked = queries()
    print(f"{len(documents)} cards; nDCG@{DEPTH} with its 95 % interval over the queries\n")
    plain: dict[str, list[float]] = {}
    with orders(documents, model) as ways:
        for name, order in ways.items():
            for split in ("dev", "test"):
                values = [ndcg(order(query.need), query.relevant) for query in asked if query.split == split]
                print(_line(name, split, values, plain.setdefault(split, values)))


def _line(name: str, split: str, values: Sequence[float], plain: Sequence[float]) -> str:
    low, high = interval(values)
    line = f"{name:32} {split:5} {len(values):3} queries  {statistics.fmean(values):.3f}  [{low:.3f}, {high:.3f}]"
    gain = [ours - theirs for ours, theirs in zip(values, plain, strict=True)]
    if not any(gain):
        return line
    low, high = interval(gain)
    return f"{line}  over plain BM25 {statistics.fmean(gain):+.3f} [{low:+.3f}, {high:+.3f}]"


def _times(documents: Sequence[Document], model: StaticModel | None) -> None:
    needs = [query.need for query in queries()]
    print("\ntime to make ready, and for a question (median)\n")
    for count in (len(documents), _MANY):
        many = [_renamed(documents[place % len(documents)], place) for place in range(count)]
        for name, used in (("text", None), ("text and vectors", model)):
            begun = time.perf_counter()
            with Ranker(Corpus.of(many, used)) as ranker:
                ready = time.perf_counter() - begun
                took = [_timed(ranker, need) for need in needs]
            print(f"{count:6,} cards, {name:17} {ready * 1e3:7.0f} ms  {statistics.median(took) * 1e3:6.1f} ms")


def _timed(ranker: Ranker, need: str) -> float:
    begun = time.perf_counter()
    ranker.rank(need, DEPTH)
    return time.perf_counter() - begun


def _renamed(document: Document, place: int) -> Document:
    return Document(
        key=f"{document.key}-{place}",
        name=document.name,
        description=document.description,
        task=document.task,
        facts=document.facts,
        card=document.card,
    )


if __name__ == "__main__":
    begun = time.perf_counter()
    static = packaged()
    opened = time.perf_counter() - begun
    print(f"model: {static.name} (opened in {opened * 1e3:.0f} ms)" if static else "model: none is installed")
    made_up = cards()
    _quality(made_up, static)
    _times(made_up, static)
