"""The labelled set of the benchmark, and that what `recommend` does is better than plain BM25 on it."""

from __future__ import annotations

import json
import statistics
from importlib.util import find_spec

import pytest

from benchmarks.recommending import FOLDER, cards, interval, ndcg, orders, queries
from gitreg.recommend.vectors import packaged


def test_the_set_is_as_large_as_it_says_and_refers_to_its_own_cards() -> None:
    documents, asked = cards(), queries()
    keys = {document.key for document in documents}
    assert len(documents) == len(keys) == 366
    assert len(asked) == len({query.need for query in asked}) == 113
    assert {split: sum(query.split == split for query in asked) for split in ("dev", "test")} == {"dev": 46, "test": 67}
    for query in asked:
        assert query.relevant.keys() <= keys
        assert set(query.relevant.values()) <= {1, 2, 3}
        assert max(query.relevant.values()) == 3


def test_every_card_has_what_a_card_has() -> None:
    for line in (FOLDER / "cards.jsonl").read_text(encoding="utf-8").splitlines():
        card = json.loads(line)
        assert all(card[field] for field in ("description", "task", "license", "framework", "metrics", "size", "card"))
        assert isinstance(card["languages"], list)


def test_ndcg_is_that_of_the_formula() -> None:
    assert ndcg(["a", "b"], {"a": 3, "b": 1}) == 1
    assert ndcg(["b", "a"], {"a": 3, "b": 1}) == pytest.approx((1 + 7 / 1.584963) / (7 + 1 / 1.584963), abs=1e-6)
    assert ndcg(["x"] * 10 + ["a"], {"a": 3}) == 0
    assert ndcg([], {"a": 3}) == 0


def test_the_interval_holds_the_mean_and_narrows_with_the_values() -> None:
    low, high = interval([0.0, 1.0] * 20)
    assert 0.3 < low < 0.5 < high < 0.7
    assert interval([0.5] * 5) == (0.5, 0.5)


@pytest.mark.skipif(find_spec("wordllama") is None, reason="the package has no wheel for this Python")
def test_both_are_better_than_plain_bm25_on_queries_that_nothing_was_tuned_on() -> None:
    asked = [query for query in queries() if query.split == "test"]
    with orders(cards(), packaged()) as ways:
        plain, _, vectors, both = (
            statistics.fmean(ndcg(order(query.need), query.relevant) for query in asked) for order in ways.values()
        )
    assert both > plain + 0.15
    assert both > vectors
    assert both > 0.72
