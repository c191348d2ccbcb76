from __future__ import annotations

import pytest

from gitreg.errors import InvalidError
from gitreg.recommend.advice import recommend
from gitreg.recommend.corpus import Corpus
from gitreg.recommend.documents import Document
from gitreg.recommend.pareto import aims
from gitreg.recommend.ranking import Ranker

TOXIC = "finds toxic comments in Finnish"
DOCUMENTS = [
    Document(key="large", name="large", description=TOXIC),
    Document(key="small", name="small", description=TOXIC),
    Document(key="poor", name="poor", description=TOXIC),
    Document(key="mute", name="mute", description=TOXIC),
    Document(key="rain", name="rain", description="rain in Finnish Lapland by radar"),
    *(Document(key=f"other{n}", name=f"o{n}", description="something else") for n in range(9)),
]
MEASURES: dict[str, dict[str, float]] = {
    "large": {"metrics.f1": 0.9, "size": 100},
    "small": {"metrics.f1": 0.8, "size": 10},
    "poor": {"metrics.f1": 0.7, "size": 50},
    "mute": {"size": 1},
    "rain": {"size": 0.1},
}


def keys(need: str, maximize: list[str], minimize: list[str], limit: int = 10) -> list[str]:
    with Ranker(Corpus.of(DOCUMENTS, None)) as ranker:
        return [placed.key for placed in recommend(ranker.rank(need, limit), aims(maximize, minimize), MEASURES)]


def test_the_front_comes_first_then_the_beaten_then_who_cannot_be_compared() -> None:
    assert keys("toxic comments Finnish", ["metrics.f1"], ["size"]) == ["large", "small", "poor", "mute"]


def test_what_hardly_suits_is_not_compared_however_small_it_is() -> None:
    assert "rain" in keys("toxic comments Finnish", [], [])
    assert "rain" not in keys("toxic comments Finnish", [], ["size"])


def test_without_aims_all_that_suit_come_by_relevance() -> None:
    assert keys("toxic comments Finnish", [], []) == ["large", "mute", "poor", "small", "rain"]
    assert keys("toxic comments Finnish", [], [], limit=2) == ["large", "mute"]
    assert keys("unheard", ["metrics.f1"], []) == []


def test_each_place_has_its_reasons() -> None:
    with Ranker(Corpus.of(DOCUMENTS, None)) as ranker:
        matches = ranker.rank("toxic comments", 10)
    placed = {one.key: one for one in recommend(matches, aims(["metrics.f1"], ["size"]), MEASURES)}
    unaimed = recommend(matches, (), MEASURES)
    words = "its texts have toxic, comments"
    assert placed["large"].reasons == (words, "nobody is better at metrics.f1, and nobody beats it")
    assert placed["poor"].reasons == (words, "beaten by small")
    assert placed["mute"].reasons == (words, "not compared: has no metrics.f1")
    assert {key: one.front for key, one in placed.items()} == {
        "large": True,
        "small": True,
        "poor": False,
        "mute": None,
    }
    assert placed["mute"].measures == {"size": 1}
    assert {(one.front, one.reasons, len(one.measures)) for one in unaimed} == {(None, (words,), 0)}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([(1, 1), (2, 2), (3, 3)], "nobody is better at a or b"),
        ([(3, 1), (2, 2), (1, 3)], "nobody beats it: who is better at one measure is worse at another"),
        ([(1, 1), (2, 2), (3, 2)], "beaten by 2"),
        ([(9, 9), (9, 8), (8, 9), (1, 1)], "beaten by 0, 1 and 1 more"),
    ],
)
def test_reasons_tell_the_kind_of_place(values: list[tuple[float, float]], reason: str) -> None:
    documents = [Document(key=str(place), name="x", description="cats") for place in range(len(values))]
    measures = {str(place): {"a": a, "b": b} for place, (a, b) in enumerate(values)}
    others = [Document(key=f"o{n}", name="y", description="dogs") for n in range(9)]
    with Ranker(Corpus.of([*documents, *others], None)) as ranker:
        placed = recommend(ranker.rank("cats", 10), aims(["a", "b"], []), measures)
    middle = {one.key: one for one in placed}["1" if len(values) == 3 else "3"]
    top = {one.key: one for one in placed}["2"]
    assert reason in {middle.reasons[-1], top.reasons[-1]}


def test_a_measure_that_no_near_candidate_has_is_refused() -> None:
    with pytest.raises(InvalidError, match=r"'metrics\.f' ?; did you mean metrics\.f1"):
        keys("toxic comments", ["metrics.f"], [])
