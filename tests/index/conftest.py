"""A registry with every kind of value in it, and the same values as plain Python has them."""

from __future__ import annotations

import random
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.git import Repository
from gitreg.index import pages
from gitreg.index.pages import Query
from gitreg.reader import Snapshot
from gitreg.registry.search import Found, search

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

SETTINGS = """\
api_version: gitreg/v1
kind: Registry
name: acme
store: file:../store
environments:
  - {name: staging}
  - {name: prod}
"""
MODELS = ("risk/fraud", "risk/churn", "vision/ocr", "vision/ocr.small", "text/toxic")
VERSIONS = ("0.1.0", "0.9.0", "0.10.0", "1.0.0-alpha", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-b", "1.0.0", "2.0.0")
TEAMS = ("risk", "vision", "It's odd", "100%_sure")
START = 1_700_000_000


@dataclass
class Facts:
    """What a version is, for the plain filter."""

    model: str
    version: str
    rank: int
    data: dict[str, Any]
    deployed: set[str] = field(default_factory=set)


@dataclass
class Made:
    """The repository, its facts, and commits of interest."""

    folder: Path
    facts: list[Facts]
    tips: list[str]


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def manifest(model: str, version: str, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Write a manifest, and give what it says."""
    data: dict[str, Any] = {
        "created": f"202{chance.randrange(3, 6)}-0{chance.randrange(1, 10)}-1{chance.randrange(10)}T12:00:00Z",
        "license": chance.choice(["MIT", "Apache-2.0", None]),
        "lifecycle": chance.choice(["active", "active", "deprecated", "yanked"]),
        "description": chance.choice(["Retrained on the ledger.", "A Größe of toxic comments", None]),
        "size": chance.randrange(1, 10_000),
        "digest": f"sha256:{chance.randrange(5):064x}",
        "dataset": chance.choice(["ledger", "imdb", None]),
        "metrics": {key: chance.randrange(100) / 100 for key in ("auc", "f1.macro") if chance.random() < 0.8},
        "labels": {"team": chance.choice(TEAMS)} if chance.random() < 0.8 else {},
        "epochs": chance.choice([1, 20, "many", True, None]),
        "evaluations": [
            (chance.choice(["holdout", "imdb"]), chance.choice(["test", None]), chance.randrange(100) / 100)
            for _ in range(chance.randrange(3))
        ],
    }
    lines = ["api_version: gitreg/v1", "kind: ModelVersion", f"model: {model}", f"version: {version}"]
    lines += [f"created: {data['created']}", "author: {name: Alice Doe, email: alice@example.org}"]
    lines += [f"{key}: {_quoted(data[key])}" for key in ("description", "license") if data[key]]
    lines += ["artifacts:", f"  - {{path: m.bin, digest: '{data['digest']}', size: {data['size']}}}"]
    training = [f"  datasets: [{{name: {data['dataset']}}}]"] if data["dataset"] else []
    if data["epochs"] is not None:
        training.append(f"  hyperparameters: {{epochs: {str(data['epochs']).lower()}}}")
    lines += ["training:", *training] if training else []
    if data["metrics"]:
        lines.append("metrics: {" + ", ".join(f"{key}: {value}" for key, value in data["metrics"].items()) + "}")
    if data["labels"]:
        lines.append(f"labels: {{team: {_quoted(data['labels']['team'])}}}")
    if data["evaluations"]:
        lines.append("evaluations:")
    for name, split, auc in data["evaluations"]:
        lines.append(
            f"  - {{dataset: {{name: {name}}}, {f'split: {split}, ' if split else ''}metrics: {{auc: {auc}}}}}"
        )
    lines.append(f"lifecycle: {data['lifecycle']}")
    return "\n".join(lines) + "\n", data


class Writer:
    """Write commits to a bare repository."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)

    def commit(self, time: int, files: Mapping[str, str | None], *, mode: str = "100644") -> str:
        lines = [f"commit refs/heads/main\ncommitter A <a@example.org> {time} +0000\ndata 1\nx\n"]
        there = subprocess.run(["git", "rev-parse", "-q", "--verify", "main"], cwd=self.folder, capture_output=True)  # noqa: PLW1510
        if there.returncode == 0:
            lines.append("from refs/heads/main^0\n")
        for path, text in files.items():
            data = (text or "").encode()
            lines.append(
                f"D {path}\n" if text is None else f"M {mode} inline {path}\ndata {len(data)}\n{data.decode()}\n"
            )
        command = ["git", "fast-import", "--quiet", "--force"]
        subprocess.run(command, input="".join(lines).encode(), cwd=self.folder, check=True)
        return self.tip()

    def tip(self) -> str:
        found = subprocess.run(["git", "rev-parse", "main"], cwd=self.folder, check=True, capture_output=True)
        return found.stdout.decode().strip()


def pointer(environment: str, model: str, version: str, more: str = "") -> str:
    head = f"api_version: gitreg/v1\nkind: Deployment\nenvironment: {environment}\nmodel: {model}\n"
    return f"{head}version: {version}\n{more}"


@pytest.fixture(scope="session")
def _made(tmp_path_factory: pytest.TempPathFactory, _sealed_session: None) -> Made:
    folder = tmp_path_factory.mktemp("index") / "registry.git"
    writer, chance, facts = Writer(folder), random.Random(7), list[Facts]()
    files: dict[str, str | None] = {"registry.yaml": SETTINGS}
    for model in MODELS:
        files[f"models/{model}/model.yaml"] = (
            f"api_version: gitreg/v1\nkind: Model\nmodel: {model}\ndescription: About {model.partition('/')[2]}.\n"
            "owners: [alice]\ntask: ranking\naliases: {champion: 1.0.0}\n"
        )
        for rank, version in enumerate(VERSIONS):
            text, data = manifest(model, version, chance)
            files[f"models/{model}/{version}.yaml"] = text
            facts.append(Facts(model, version, rank, data))
    files["models/text/toxic/README.md"] = "# Finds insults\n\nIn Finnish comments.\n"
    tips = [writer.commit(START, files)]
    for day, (model, version, more) in enumerate(
        [
            ("risk/fraud", "1.0.0", ""),
            ("vision/ocr", "0.9.0", "canary_version: 2.0.0\ncanary_percent: 5\n"),
            ("risk/fraud", "2.0.0", ""),
        ],
        1,
    ):
        path = f"deployments/prod/{model}.yaml"
        tips.append(writer.commit(START + 86_400 * day, {path: pointer("prod", model, version, more)}))
    for each in facts:
        if (each.model, each.version) in {
            ("risk/fraud", "2.0.0"),
            ("vision/ocr", "0.9.0"),
            ("vision/ocr", "2.0.0"),
        }:
            each.deployed.add("prod")
    return Made(folder, facts, tips)


@pytest.fixture
def made(_made: Made) -> Made:
    """The registry, which no test changes; its index stays from one test to the next."""
    return _made


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    """A repository of the test's own."""
    return Writer(tmp_path / "own.git")


@pytest.fixture(params=["as a small registry", "as a large one"])
def ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a search begin with what is rare, and go the ways that are for what is not."""
    if request.param == "as a large one":
        monkeypatch.setattr(pages, "_FEW", 1)
        monkeypatch.setattr(pages, "_MANY", 1)


def finder(folder: Path) -> Callable[..., Found]:
    """Search a repository at a commit of it (by default the tip of main)."""

    def find(*conditions: str, at: str | None = None, **more: Any) -> Found:  # noqa: ANN401 - the fields of a query
        with Repository.open(folder) as repository:
            tip = repository.run(["rev-parse", "main"]).decode().strip()
            query = Query(conditions=conditions, **more)
            return search(Snapshot(repository, at or tip), query, now=at is None)

    return find


@pytest.fixture
def find(made: Made) -> Callable[..., Found]:
    """Search the registry."""
    return finder(made.folder)


def names(found: Found) -> list[str]:
    return [f"{row.model}@{row.version}" for row in found]
