from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gitreg.recommend import vectors
from gitreg.recommend.corpus import Corpus, kept
from gitreg.recommend.documents import Document
from gitreg.recommend.ranking import Ranker
from tests.recommend.models import write_model

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np

    from gitreg.recommend.vectors import StaticModel

RAIN = Document(key="rain", name="rain", description="rain radar")
ABUSE = Document(key="abuse", name="abuse", description="abusive comments")


class Counting:
    """A model that notes which texts it was asked for."""

    def __init__(self, model: StaticModel) -> None:
        self._model = model
        self.name, self.identity = model.name, model.identity
        self.texts: list[str] = []

    def vectors(self, texts: Sequence[str]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        self.texts += texts
        return self._model.vectors(texts)


@pytest.fixture
def model(tmp_path: Path) -> Counting:
    return Counting(vectors.named(write_model(tmp_path / "model")))


def best(
    path: Path, tag: str, model: Counting | None, documents: Sequence[Document], *, keep: bool = True
) -> list[str]:
    used: StaticModel | None = model  # type: ignore[assignment] # it does what is asked of one here
    with Ranker(kept(path, tag, used, lambda: documents, keep=keep)) as ranker:
        return [match.key for match in ranker.rank("toxic comments", 10)]


def test_what_is_kept_answers_without_reading_a_document_again(tmp_path: Path, model: Counting) -> None:
    path = tmp_path / "kept.sqlite"
    assert best(path, "one", model, [RAIN, ABUSE]) == ["abuse"]
    model.texts.clear()
    assert best(path, "one", model, []) == ["abuse"]
    assert model.texts == ["toxic comments"]


def test_of_another_state_only_new_texts_are_turned_into_vectors(tmp_path: Path, model: Counting) -> None:
    path = tmp_path / "kept.sqlite"
    best(path, "one", model, [RAIN])
    model.texts.clear()
    assert best(path, "two", model, [ABUSE, RAIN]) == ["abuse"]
    assert model.texts == [ABUSE.text(), "toxic comments"]
    with Ranker(kept(path, "two", model, list, keep=False)) as ranker:  # type: ignore[arg-type] # as above
        known = ranker.similarities("toxic comments")
    with Ranker(Corpus.of([ABUSE, RAIN], model)) as ranker:  # type: ignore[arg-type] # as above
        assert ranker.similarities("toxic comments") == known


def test_vectors_of_another_model_are_not_taken_over(tmp_path: Path, model: Counting) -> None:
    path = tmp_path / "kept.sqlite"
    best(path, "one", model, [RAIN])
    model.identity = "changed"
    model.texts.clear()
    best(path, "one", model, [RAIN])
    assert model.texts[0] == RAIN.text()
    assert best(path, "one", None, [ABUSE]) == ["abuse"]


@pytest.mark.parametrize("place", [0, 30, -40])
def test_a_file_that_was_written_to_is_made_anew(tmp_path: Path, model: Counting, place: int) -> None:
    path = tmp_path / "kept.sqlite"
    best(path, "one", model, [RAIN, ABUSE])
    whole = path.read_bytes()
    bytes_ = bytearray(whole)
    bytes_[place] ^= 0xFF
    path.write_bytes(bytes_)
    assert best(path, "one", model, [RAIN, ABUSE]) == ["abuse"]
    assert path.read_bytes() == whole


def test_a_file_that_is_no_database_whatever_its_time_is_made_anew(tmp_path: Path, model: Counting) -> None:
    path = tmp_path / "kept.sqlite"
    best(path, "one", model, [RAIN, ABUSE])
    kept_at = path.stat().st_mtime_ns
    path.write_bytes(b"no database")
    os.utime(path, ns=(kept_at, kept_at))
    assert best(path, "one", model, [RAIN, ABUSE]) == ["abuse"]
    assert path.read_bytes().startswith(b"SQLite format 3")


def test_what_cannot_be_kept_is_answered_all_the_same(tmp_path: Path, model: Counting) -> None:
    assert best(tmp_path / "file" / "kept.sqlite", "one", model, [RAIN, ABUSE]) == ["abuse"]
    assert best(tmp_path / "kept.sqlite", "one", model, [RAIN, ABUSE], keep=False) == ["abuse"]
    assert {each.name for each in tmp_path.iterdir()} == {"model"}
