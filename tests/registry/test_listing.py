"""Models are listed through the index, as git lists them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import IntegrityError, NotFoundError
from gitreg.names import ModelName
from gitreg.registry import listing
from gitreg.registry.reads import models
from tests.registries import request

if TYPE_CHECKING:
    from gitreg.registry import ModelSummary, Registry
    from tests.registries import Forge, Opener


def _both(registry: Registry, monkeypatch: pytest.MonkeyPatch, project: str | None = None) -> list[ModelSummary]:
    """List through the index, hold that against git's answer, and give it."""
    snapshot = registry.snapshot()
    found = listing.models_from_index(snapshot, project)
    assert found is not None
    with monkeypatch.context() as patch:
        patch.setattr("gitreg.registry.reads.INDEX", "nowhere")
        assert models(snapshot, project) == found
    return found


def test_models_are_listed_as_git_lists_them(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = opened("bare")
    registry.build_index()
    assert [str(each.model) for each in _both(registry, monkeypatch)] == ["risk/fraud", "vision/ocr"]
    registry.register(request("risk/other", "1.0.0-rc.1"))
    registry.register(request("risk/other", "1.0.0-rc.10"))
    registry.yank("risk/fraud@1.1.0", reason="leaks")
    registry.register(request("risk/gone", "1.0.0"))
    registry.delete("risk/gone@1.0.0", reason="a secret in it")
    registry.deploy("risk/fraud@1.0.0", "staging", canary="2.0.0-rc.1", percent=10, reason="try")
    registry.undeploy("risk/fraud", "prod", reason="nobody asks for it")
    registry.build_index()
    rows = {str(each.model): each for each in _both(registry, monkeypatch)}
    assert {name: str(each.latest) for name, each in rows.items()} == {
        "risk/fraud": "1.0.0",
        "risk/gone": "None",
        "risk/other": "1.0.0-rc.10",
        "vision/ocr": "0.1.0",
    }
    assert rows["risk/gone"].versions == 1
    assert [str(each.model) for each in _both(registry, monkeypatch, "vision")] == ["vision/ocr"]
    with pytest.raises(NotFoundError, match="no project"):
        registry.models("visoin")


def test_versions_are_listed_as_git_lists_them(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = opened("bare")
    for version, metrics in (("2.0.0", {"auc": 1, "loss": 0.25}), ("2.0.0-rc.10", {"n": 2**60})):
        registry.register(request("risk/fraud", version, metrics=metrics, labels={"b": "2", "a": "1"}))
    registry.yank("risk/fraud@1.1.0", reason="leaks")
    registry.delete("risk/fraud@2.0.0-rc.10", reason="a secret in it")
    registry.deploy("risk/fraud@1.0.0", "staging", canary="2.0.0", percent=10, reason="try")
    for alias in ("old", "best"):
        registry.alias("risk/fraud@1.0.0", alias)
    registry.build_index()
    snapshot, name = registry.snapshot(), ModelName("risk", "fraud")
    found = listing.versions_from_index(snapshot, name)
    assert found is not None
    assert registry.versions("risk/fraud") == found
    monkeypatch.setattr("gitreg.registry.reads.INDEX", "nowhere")
    assert registry.versions("risk/fraud") == found
    assert repr(found) == repr(registry.versions("risk/fraud")), "whole numbers stay whole"
    assert listing.versions_from_index(snapshot, ModelName("risk", "none")) is None
    registry.yank("risk/fraud@1.0.0", reason="leaks")
    assert listing.versions_from_index(registry.snapshot(), name) is None


def test_an_index_that_is_behind_is_not_asked(opened: Opener) -> None:
    registry = opened("bare")
    registry.build_index()
    registry.register(request("risk/other", "1.0.0"))
    assert listing.models_from_index(registry.snapshot(), None) is None
    assert [str(each.model) for each in registry.models()] == ["risk/fraud", "risk/other", "vision/ocr"]
    assert registry.index_state().current is False, "to list builds no index"


def test_an_index_that_cannot_be_read_keeps_nobody_from_an_answer(forge: Forge, opened: Opener) -> None:
    registry = opened("bare")
    registry.build_index()
    (forge.bare / "gitreg" / "index.sqlite").write_bytes(b"no database")
    assert [str(each.model) for each in registry.models()] == ["risk/fraud", "vision/ocr"]


def test_of_what_is_odd_git_tells(forge: Forge, opened: Opener) -> None:
    registry = opened("local")
    (forge.local / "models" / "risk" / "fraud" / "model.yaml").write_text("kind: [\n")
    from tests.registries import git

    git(
        forge.local,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@b",
        "-c",
        "core.hooksPath=/dev/null",
        "commit",
        "-qam",
        "x",
    )
    registry.build_index()
    assert listing.models_from_index(registry.snapshot(), None) is None
    with pytest.raises(IntegrityError):
        registry.models()
