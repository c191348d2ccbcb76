"""Registries to try things on: built once in a run, copied for each test; real git, real hooks."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.registry import Mode, RegisterRequest, open_registry
from gitreg.registry.setup import InitRequest, clone, init
from tests.once import once, pack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitreg.registry import Registry, Written

    Opener = Callable[..., Registry]

MAIN = "refs/heads/main"
PUSH = Mode()
DRY = Mode(dry_run=True)
# A safetensors file without tensors: the length of its header, then the header.
WEIGHTS = (8).to_bytes(8, "little") + b"{}      "
PLACES = ("bare", "clone", "local", "mirror")
SETTINGS = b"""\
api_version: gitreg/v1
kind: Registry
name: acme
store: file:../store
environments:
  - {name: staging}
  - {name: prod, after: staging}
required: [license]
"""
ACCESS = b"""\
api_version: gitreg/v1
kind: Access
groups: {risk-team: [alice, bob]}
grants:
  - {to: [group:risk-team], actions: [register, update, alias], models: [risk/*]}
  - {to: [carol], actions: [deploy, rollback], models: [risk/*], environments: [staging, prod]}
  - {to: [dana], actions: [approve], models: ["*/*"], environments: [prod]}
  - {to: [root], actions: [admin]}
"""


def git(folder: Path, *args: str, env: Mapping[str, str] | None = None) -> str:
    """Run git as a person would, in the sealed home of the test."""
    finished = subprocess.run(
        ["git", *args], cwd=folder, env={**os.environ, **(env or {})}, capture_output=True, check=False
    )
    assert finished.returncode == 0, finished.stderr.decode()
    return finished.stdout.decode().strip()


def request(model: str = "risk/fraud", version: str | None = None, **fields: Any) -> RegisterRequest:  # noqa: ANN401 - the request's own fields
    """Ask for a version of the file `model.safetensors` in the current folder."""
    fields.setdefault("paths", () if fields.get("external") else (Path("model.safetensors"),))
    fields.setdefault("license", "Apache-2.0")
    return RegisterRequest(model=model, version=version, code=fields.pop("code", False), **fields)


def weights_of(data: bytes) -> bytes:
    """Write a safetensors file of one tensor that has these bytes."""
    header = b'{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (len(data), len(data))
    return len(header).to_bytes(8, "little") + header + data


def files_of(folder: Path) -> dict[str, bytes]:
    """Give every file below a folder, to see whether anything changed."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def state_of(folder: Path) -> tuple[str, list[str]]:
    """Give all refs of a registry and all blobs in the store beside it."""
    refs = git(folder, "for-each-ref")
    return refs, sorted(path.name for path in (folder.parent / "store").rglob("*") if path.is_file())


@pytest.fixture(scope="session")
def template(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a bare registry with some history, and a checkout with the same history and no origin."""
    return once(tmp_path_factory, "registries", _build)


def _build(folder: Path) -> None:
    source = folder / "source"
    source.mkdir()
    (source / "registry.yaml").write_bytes(SETTINGS)
    (source / "access.yaml").write_bytes(ACCESS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GL_USER", "root")
        patch.setenv("GITREG_CACHE", str(folder / "cache"))
        patch.chdir(source)
        Path("model.safetensors").write_bytes(WEIGHTS)
        init(InitRequest(path=folder / "registry.git", bare=True, identity="GL_USER", source=source))
        with open_registry(folder / "registry.git") as registry:
            _fill(registry)
    pack(folder / "registry.git")
    git(folder, "clone", "--quiet", "--template=", "registry.git", "local")
    git(folder / "local", "remote", "remove", "origin")
    init(InitRequest(path=folder / "local"))
    shutil.copytree(folder / "store", folder / "local" / "store", dirs_exist_ok=True)
    git(folder / "local", "config", "core.excludesFile", "/dev/null")
    (folder / "local" / ".git" / "info").mkdir(exist_ok=True)
    (folder / "local" / ".git" / "info" / "exclude").write_text("/store/\n")
    shutil.rmtree(source)
    shutil.rmtree(folder / "cache", ignore_errors=True)


def _fill(registry: Registry) -> None:
    training: dict[str, Any] = {
        "hyperparameters": {"epochs": 20, "optimizer": "adam", "nesterov": True},
        "datasets": ({"name": "ledger", "version": "2026.01"},),
        "framework": "pytorch==2.13.0",
        "labels": {"team": "risk"},
        "task": "tabular-classification",
        "owners": ("alice",),
    }
    registry.register(request(version="1.0.0", metrics={"auc": 0.9, "loss": 1}, **training))
    registry.register(
        request(version="1.1.0", metrics={"auc": 0.95, "f1": 0.8}, parents=("risk/fraud@1.0.0:finetuned-from",))
    )
    registry.register(request(version="2.0.0-rc.1", metrics={"auc": 0.97}))
    registry.register(request("vision/ocr", "0.1.0", parents=("risk/fraud@1.1.0",), base="hf://org/ocr@main"))
    registry.alias("risk/fraud@1.1.0", "champion")
    registry.deploy("risk/fraud@1.0.0", "staging", reason="the first")
    registry.promote("risk/fraud", "staging")
    registry.deploy("risk/fraud@1.1.0", "staging", reason="the second")
    registry.report("risk/fraud@1.0.0", "prod", endpoint="https://scoring.example.org")


class Forge:
    """A folder with a registry in it, and ways to reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare = folder / "registry.git"
        self.local = folder / "local"

    def place(self, name: str) -> str | Path:
        """Give the location of the registry in one of the PLACES, made where it has to be."""
        if name == "mirror":
            return self.bare.as_uri()
        if name == "clone" and not (self.folder / "clone").exists():
            clone(str(self.bare), self.folder / "clone")
        return {"bare": self.bare, "clone": self.folder / "clone", "local": self.local}[name]

    def repository(self, name: str) -> Path:
        """Give the repository that holds the registry's main."""
        return self.local if name == "local" else self.bare

    def tip(self, name: str = "bare") -> str:
        """Give main's tip."""
        return git(self.repository(name), "rev-parse", MAIN)

    def clone(self, name: str = "clone") -> Path:
        """Clone the registry."""
        return clone(str(self.bare), self.folder / name)


def _environment(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setenv("GL_USER", "root")
    patch.setenv("GITREG_USER", "root")
    patch.setenv("GITREG_CACHE", str(folder / "cache"))
    work = folder / "work"
    work.mkdir()
    (work / "model.safetensors").write_bytes(WEIGHTS)
    patch.chdir(work)


@pytest.fixture
def forge(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Forge:
    """Copy the registries for one test, which stands in a folder with a file of weights and acts as root."""
    shutil.copytree(template, tmp_path / "forge", symlinks=True)
    _environment(monkeypatch, tmp_path)
    return Forge(tmp_path / "forge")


@pytest.fixture
def reading(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Open the template itself, to be read only."""
    _environment(monkeypatch, tmp_path)
    with open_registry(template / "registry.git") as registry:
        yield registry


@pytest.fixture
def opened(forge: Forge) -> Iterator[Opener]:
    """Open places of the forge, and close them at the end."""
    registries: list[Registry] = []

    def call(name: str = "bare", *, fetch: bool | None = None) -> Registry:
        registries.append(open_registry(forge.place(name), fetch=fetch))
        return registries[-1]

    yield call
    for registry in registries:
        registry.close()


@pytest.fixture
def bare(opened: Opener) -> Registry:
    """Open the bare registry for reading and writing."""
    return opened("bare")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    """Name each kind of place that a registry can be in."""
    return str(request.param)


@pytest.fixture
def registry(opened: Opener, place: str) -> Registry:
    """Open the registry in each kind of place."""
    return opened(place)


def tip_holds(forge: Forge, name: str, written: Written) -> bool:
    """Whether a write is the newest commit of main."""
    return written.commit is not None and forge.tip(name) == written.commit
