"""`gitreg recommend` as people see it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gitreg.recommend import vectors

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Result

pytestmark = pytest.mark.usefixtures("registry")


@pytest.fixture(autouse=True)
def _by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go by words alone, whether or not a model is installed."""
    monkeypatch.setattr(vectors, "packaged", lambda: None)


def test_a_table_tells_what_suits_and_why_and_that_there_is_no_model(gitreg: Callable[..., Result]) -> None:
    done = gitreg("recommend", "fraud", "--maximize", "metrics.auc", "--minimize", "size")
    assert done.code == 0
    assert done.err.startswith("note: ranked by shared words alone, for want of an embedding model; pip install")
    header, row, *_ = done.lines
    assert header.split() == ["MODEL", "SUITS", "FRONT", "auc", "size", "WHY"]
    assert row.startswith("risk/fraud@1.1.0 ")
    assert "  yes  " in row
    assert row.endswith("its texts have fraud; nobody is better at metrics.auc or size")


def test_the_same_in_json(gitreg: Callable[..., Result]) -> None:
    found = json.loads(gitreg("recommend", "fraud", "--minimize", "size", "--json").out)
    assert found["aims"] == ["minimize size"]
    assert found["places"][0]["key"] == "risk/fraud@1.1.0"
    assert found["places"][0]["shared"] == ["fraud"]


def test_nothing_that_suits_is_told(gitreg: Callable[..., Result]) -> None:
    done = gitreg("recommend", "submarines")
    assert done.code == 0
    assert "models suits; try other words" in done.lines[0]
    assert gitreg("recommend", "fraud", "--where", "license = Nope").lines[0] == "no model meets the conditions"


def test_a_condition_narrows_it_and_a_mistake_is_pointed_at(gitreg: Callable[..., Result]) -> None:
    assert "risk/fraud@1.0.0" in gitreg("recommend", "fraud", "--where", "version = 1.0.0").out
    done = gitreg("recommend", "fraud", "--where", "versoin = 1.0.0")
    assert done.code == 2
    assert "did you mean version?" in done.err
