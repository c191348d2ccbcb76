"""Recommendations out of a registry."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import InvalidError
from gitreg.recommend import vectors
from gitreg.registry import open_registry
from gitreg.registry.recommending import MODEL_KEY, NAME
from tests.recommend.models import write_model
from tests.registries import git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.registry import Registry
    from gitreg.registry.results import Recommendation

CARD = """\
---
license: mit
language:
  - fi
  - sv
---
# Guard
Marks toxic comments.
"""


@pytest.fixture(autouse=True)
def _by_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go by words alone, whether or not a model is installed."""
    monkeypatch.setattr(vectors, "packaged", lambda: None)


def _manifest(name: str, f1: float | None, license_: str = "Apache-2.0", rest: str = "") -> str:
    model, _, version = name.partition("@")
    artifacts = (
        rest or f"artifacts: [{{path: m.safetensors, digest: 'sha256:{'0' * 64}', size: 16, format: safetensors}}]"
    )
    metrics = f"metrics: {{f1: {f1}}}" if f1 else ""
    return (
        "api_version: gitreg/v1\nkind: ModelVersion\n"
        f"model: {model}\nversion: {version}\ncreated: 2026-01-31T12:00:00Z\n"
        "author: {name: A, email: a@example.org}\n"
        f"license: {license_}\nlabels: {{lang: fi}}\n{artifacts}\n{metrics}\n"
    )


def _model(model: str, description: str, task: str = "ranking") -> str:
    return f"api_version: gitreg/v1\nkind: Model\nmodel: {model}\ndescription: {description}\ntask: {task}\n"


FILES = {
    "registry.yaml": "api_version: gitreg/v1\nkind: Registry\nname: acme\nstore: file:../store\nenvironments: []\n",
    "access.yaml": "api_version: gitreg/v1\nkind: Access\ngrants: [{to: [root], actions: [admin]}]\n",
    "models/talk/guard/model.yaml": _model("talk/guard", "Toxic comments.", "text-classification"),
    "models/talk/guard/README.md": CARD,
    "models/talk/guard/1.0.0.yaml": _manifest("talk/guard@1.0.0", 0.9, "MIT"),
    "models/talk/guard/1.1.0.yaml": _manifest("talk/guard@1.1.0", 0.8),
    "models/talk/guard/2.0.0-rc.1.yaml": _manifest("talk/guard@2.0.0-rc.1", 0.95),
    "models/talk/api/model.yaml": _model("talk/api", "Toxic comments."),
    "models/talk/api/1.0.0.yaml": _manifest("talk/api@1.0.0", 0.7, rest="external: {provider: acme, id: x}"),
    "models/talk/draft/model.yaml": _model("talk/draft", "Toxic comments, a try."),
    "models/talk/draft/0.1.0-rc.1.yaml": _manifest("talk/draft@0.1.0-rc.1", None),
    "models/talk/gone/model.yaml": _model("talk/gone", "Toxic comments."),
    "models/talk/gone/1.0.0.yaml": _manifest("talk/gone@1.0.0", 0.99) + "lifecycle: yanked\n",
    "models/sky/rain/model.yaml": _model("sky/rain", "Weather from radar."),
    "models/sky/rain/1.0.0.yaml": _manifest("sky/rain@1.0.0", 0.5),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry of files alone; nothing here asks the gate or the store."""
    folder = tmp_path_factory.mktemp("recommending") / "registry"
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    author = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@example.org"}
    committer = {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@example.org"}
    git(folder, "init", "--quiet", "-b", "main")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "All", env=author | committer)
    return folder


@pytest.fixture
def filled(folder: Path) -> Iterator[Registry]:
    """Open it."""
    with open_registry(folder) as registry:
        yield registry


def _keys(found: Recommendation) -> list[str]:
    return [place.key for place in found.places]


def test_each_model_stands_with_the_version_that_latest_means(filled: Registry) -> None:
    found = filled.recommend("toxic comments")
    assert sorted(_keys(found)) == ["talk/api@1.0.0", "talk/draft@0.1.0-rc.1", "talk/guard@1.1.0"]
    assert found.considered == 4
    for place in found.places:
        assert str(filled.show(place.key.partition("@")[0]).manifest.version) == place.key.partition("@")[2]


def test_a_condition_chooses_the_highest_version_that_meets_it(filled: Registry) -> None:
    assert _keys(filled.recommend("toxic comments", where="license = 'MIT'")) == ["talk/guard@1.0.0"]
    assert _keys(filled.recommend("toxic", where=["metrics.f1 > 0.92", "project = talk"])) == ["talk/guard@2.0.0-rc.1"]
    assert _keys(filled.recommend("guard", where="license = 'Apache-2.0'")) == ["talk/guard@1.1.0"]
    assert _keys(filled.recommend("toxic", where=["metrics.f1 > 2"])) == []
    assert _keys(filled.recommend("toxic", where=["lifecycle = yanked"])) == []
    with pytest.raises(InvalidError, match="is not a condition"):
        filled.recommend("toxic", where="metrics.f1 >")


@pytest.mark.parametrize(
    ("need", "model"),
    [
        ("finnish radar", {"talk/guard", "talk/api", "talk/draft", "sky/rain"}),
        ("Swedish", {"talk/guard"}),
        ("marks", {"talk/guard"}),
        ("text classification", {"talk/guard"}),
        ("guard", {"talk/guard"}),
        ("mit", {"talk/guard"}),
        ("pytorch", set()),
    ],
)
def test_names_labels_tasks_cards_and_languages_are_found(filled: Registry, need: str, model: set[str]) -> None:
    assert {key.partition("@")[0] for key in _keys(filled.recommend(need))} == model


def test_measures_are_compared_and_an_external_model_has_no_size(filled: Registry) -> None:
    found = filled.recommend("toxic comments Finnish", maximize=["metrics.f1"], minimize=["size"])
    guard, api, draft = found.places
    assert (guard.key, guard.front, guard.measures) == ("talk/guard@1.1.0", True, {"metrics.f1": 0.8, "size": 16})
    assert (api.key, api.front, api.reasons[-1]) == ("talk/api@1.0.0", None, "not compared: has no size")
    assert draft.reasons[-1] == "not compared: has no metrics.f1"
    assert found.aims == ("maximize metrics.f1", "minimize size")
    assert filled.recommend("toxic comments Finnish", maximize=["f1"], minimize=["size"]) == found, "as plot takes them"


def test_without_a_model_it_says_so(filled: Registry) -> None:
    found = filled.recommend("abusive")
    assert (found.model, found.places) == (None, ())
    assert found.notes == (
        "ranked by shared words alone, for want of an embedding model; pip install 'gitreg[recommend]'",
    )


def test_a_model_in_a_folder_finds_what_shares_no_word(folder: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model")
    own = shutil.copytree(folder, tmp_path / "own")
    git(own, "config", MODEL_KEY, str(model))
    with open_registry(own) as registry:
        found = registry.recommend("abusive")
    assert found.model == str(model)
    assert {key.partition("@")[0] for key in _keys(found)} == {"talk/guard", "talk/api", "talk/draft"}
    assert found.notes == ()
    (model / "model.safetensors").write_bytes(b"")
    with open_registry(own) as registry, pytest.raises(InvalidError, match=r"model\.safetensors is not a table"):
        registry.recommend("abusive")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"need": "?"}, "has no words"),
        ({"need": "x", "limit": 0}, "--limit: found 0, allowed: 1 to 100"),
        ({"need": "x", "limit": 101}, "found 101"),
        ({"need": "x", "maximize": ["size"], "minimize": ["size"]}, "size is aimed at twice"),
        ({"need": "toxic", "maximize": ["metrics.f2"]}, r"did you mean metrics\.f1\?"),
    ],
)
def test_what_cannot_be_asked_is_refused(filled: Registry, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        filled.recommend(**asked)


def test_a_question_is_answered_from_what_is_kept_until_main_moves(folder: Path, tmp_path: Path) -> None:
    own = shutil.copytree(folder, tmp_path / "own")
    kept = own / ".git" / "gitreg" / NAME
    with open_registry(own) as registry:
        first = registry.recommend("toxic comments")
        number = kept.stat().st_ino
        assert registry.recommend("toxic comments") == first
        assert kept.stat().st_ino == number
        stamp = kept.stat().st_mtime_ns
        kept.write_bytes(kept.read_bytes()[:4096].ljust(20_000, b"x"))  # damage that the time of change does not show
        os.utime(kept, ns=(stamp, stamp))
        assert registry.recommend("toxic comments") == first
    (own / "models/sky/rain/model.yaml").write_text(_model("sky/rain", "Toxic comments on the weather."))
    git(own, "commit", "--quiet", "-a", "-m", "More", env={"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.org"})
    with open_registry(own) as registry:
        assert "sky/rain@1.0.0" in _keys(registry.recommend("toxic comments"))
