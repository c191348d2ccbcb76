from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.recommend import vectors
from gitreg.recommend.corpus import Corpus
from gitreg.recommend.documents import Document
from gitreg.recommend.ranking import Ranker
from tests.recommend.models import write_model

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.recommend.vectors import StaticModel

DOCUMENTS = [
    Document(key="a", name="a", description="rain radar"),
    Document(key="b", name="b", description="abusive comments"),
    Document(key="c", name="c", description="weather forecast"),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> StaticModel:
    return vectors.named(write_model(tmp_path_factory.mktemp("model")))


def test_without_a_model_only_shared_words_count(tmp_path: Path) -> None:
    with Ranker(Corpus.of(DOCUMENTS, None)) as ranker:
        (match,) = ranker.rank("toxic comments", 10)
        assert (match.key, match.shared, match.similarity) == ("b", ("comments",), None)
        assert ranker.rank("toxic", 10) == []


def test_a_model_finds_what_shares_no_word_and_leaves_out_what_is_unlike(model: StaticModel) -> None:
    with Ranker(Corpus.of(DOCUMENTS, model)) as ranker:
        (match,) = ranker.rank("toxic", 10)
    assert match.key == "b"
    assert match.shared == ()
    assert match.similarity == pytest.approx(match.relevance)


def test_shared_words_decide_between_like_meanings(model: StaticModel) -> None:
    with Ranker(Corpus.of(DOCUMENTS, model)) as ranker:
        by_radar = [match.key for match in ranker.rank("rain radar", 10)]
        by_forecast = [match.key for match in ranker.rank("weather forecast", 10)]
    assert (by_radar, by_forecast) == (["a", "c"], ["c", "a"])


def test_a_limit_keeps_the_best_and_equals_stand_by_key(model: StaticModel) -> None:
    same = [Document(key=key, name="x", description="rain") for key in "zyxw"]
    with Ranker(Corpus.of([*DOCUMENTS, *same], model)) as ranker:
        assert [match.key for match in ranker.rank("rain", 3)] == ["w", "x", "y"]


def test_a_need_that_the_model_has_no_token_of_goes_by_its_words(model: StaticModel) -> None:
    named = Document(key="n", name="halcyon", description="weather")
    with Ranker(Corpus.of([*DOCUMENTS, named], model)) as ranker:
        assert [match.key for match in ranker.rank("Halcyon", 10)] == ["n"]


def test_a_need_without_words_is_refused_with_and_without_a_model(model: StaticModel) -> None:
    for used in (model, None):
        with Ranker(Corpus.of(DOCUMENTS, used)) as ranker, pytest.raises(InvalidError, match="has no words"):
            ranker.rank("?", 10)


def test_no_documents_are_no_matches(model: StaticModel) -> None:
    with Ranker(Corpus.of([], model)) as ranker:
        assert ranker.rank("rain", 10) == []
