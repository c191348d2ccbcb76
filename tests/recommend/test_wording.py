from __future__ import annotations

from contextlib import closing

import pytest

from gitreg.recommend.corpus import Corpus
from gitreg.recommend.documents import Document

DOCUMENTS = [
    Document(key="0", name="shop/spam-filter", description="Finds advertising in comments."),
    Document(key="1", name="shop/sizes", card="Which shoe fits. Comments of buyers are not read."),
    Document(key="2", name="eyes/retina", task="image-classification", facts=("MIT", "Français")),
    Document(key="3", name="forecast/load", description="Electricity for tomorrow."),
]


def test_a_document_that_shares_more_of_a_need_scores_higher_and_one_that_shares_nothing_is_absent() -> None:
    with closing(Corpus.of(DOCUMENTS, None)) as corpus:
        scores = corpus.wording.scores("advertising in comments")
    assert set(scores) == {0, 1}
    assert scores[0] > scores[1]


@pytest.mark.parametrize(
    ("need", "place"),
    [("retina", 2), ("classifications", 2), ("mit", 2), ("francais", 2), ("shoes", 1), ("filtering", 0)],
)
def test_every_field_is_searched_in_any_form_of_a_word(need: str, place: int) -> None:
    with closing(Corpus.of(DOCUMENTS, None)) as corpus:
        assert set(corpus.wording.scores(need)) == {place}
        assert corpus.wording.shared(need, place) == (need,)


def test_a_score_is_of_what_the_need_asks_for_so_words_that_nobody_has_lower_it() -> None:
    with closing(Corpus.of(DOCUMENTS, None)) as corpus:
        alone = corpus.wording.scores("electricity")[3]
        among = corpus.wording.scores("electricity contracts signed yesterday")[3]
    assert 0 < among < alone / 2
    assert alone <= 1


@pytest.mark.parametrize(
    "need", ['"', 'load" OR "retina', "name:load", "load*", "NEAR(load retina)", "load\x00", "-load"]
)
def test_what_fts5_would_take_for_its_own_language_is_words(need: str) -> None:
    with closing(Corpus.of(DOCUMENTS, None)) as corpus:
        found = set(corpus.wording.scores(need)) if any(letter.isalnum() for letter in need) else set()
    assert found <= {2, 3}


def test_no_documents_are_no_matches() -> None:
    with closing(Corpus.of([], None)) as corpus:
        assert corpus.wording.scores("anything") == {}


def test_a_word_that_every_document_has_does_not_break_the_scale() -> None:
    with closing(Corpus.of([Document(key=key, name="a", card="model") for key in "abc"], None)) as corpus:
        assert all(0 <= score <= 1 for score in corpus.wording.scores("model").values())
