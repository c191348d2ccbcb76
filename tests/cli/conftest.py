"""A registry with some history, and ways to run the command line on it."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from gitreg.cli.boundary import run
from gitreg.registry import Mode, RegisterRequest, open_registry
from gitreg.registry.setup import InitRequest, init

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

# A safetensors file without tensors: the length of its header, then the header.
WEIGHTS = (8).to_bytes(8, "little") + b"{}      "
EVIL = "evil \x9b31m \u202etxt [bold]x[/] |<b>&`"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@pytest.fixture
def gitreg(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command line in this process."""

    def call(*args: object, stdin: str | None = None) -> Result:
        if stdin is not None:
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        capsys.readouterr()
        code = run([str(arg) for arg in args])
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    return call


@pytest.fixture
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line in a process of its own."""

    def call(
        *args: object, code: str | None = None, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        start = ["-c", code] if code else ["-m", "gitreg"]
        return subprocess.run(
            [sys.executable, *start, *map(str, args)],
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return call


@pytest.fixture(scope="session")
def _built(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry with two versions of a model, deployed to staging twice and to prod once."""
    folder = tmp_path_factory.mktemp("built")
    weights = folder / "model.safetensors"
    weights.write_bytes(WEIGHTS)
    init(InitRequest(path=folder / "registry.git", bare=True))
    with open_registry(folder / "registry.git") as registry:
        for version, auc in (("1.0.0", 0.9), ("1.1.0", 0.95)):
            registry.register(
                RegisterRequest(
                    model="risk/fraud",
                    paths=(weights,),
                    version=version,
                    metrics={"auc": auc, "loss": 1},
                    hyperparameters={"epochs": 20, "optimizer": "adam"},
                    datasets=({"name": "ledger", "version": "2026.01"},),
                    labels={"team": "risk"},
                    license="Apache-2.0",
                    parents=("risk/fraud@1.0.0:finetuned-from",) if version == "1.1.0" else (),
                    model_description="Scores card payments.",
                    code=False,
                ),
                Mode(),
            )
        registry.alias("risk/fraud@1.1.0", "champion")
        registry.deploy("risk/fraud@1.0.0", "staging", reason="the first")
        registry.promote("risk/fraud", "staging")
        registry.deploy("risk/fraud@1.1.0", "staging", reason="the second")
        registry.report("risk/fraud@1.0.0", "prod", endpoint="https://scoring.example.org")
    return folder


@pytest.fixture
def registry(_built: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name the registry, to be read only, and make it the default one."""
    monkeypatch.setenv("GITREG_REGISTRY", str(_built / "registry.git"))
    return _built / "registry.git"


@pytest.fixture
def own_registry(_built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a copy of the registry that a test may write to, as the default one."""
    shutil.copytree(_built, tmp_path / "own", symlinks=True)
    monkeypatch.setenv("GITREG_REGISTRY", str(tmp_path / "own" / "registry.git"))
    return tmp_path / "own" / "registry.git"


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Give a file of weights."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(WEIGHTS)
    return path
