from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gitreg.git import Repository
from gitreg.objects import LocalStore
from gitreg.registry.setup import InitRequest, init
from tests.gate.support import start
from tests.gate_hooks.support import Server, run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry with its store and a client once; tests get copies."""
    folder = tmp_path_factory.mktemp("template")
    source = folder / "source"
    for path, data in start().items():
        file = source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    init(InitRequest(path=folder / "registry.git", bare=True, identity="GL_USER", source=source))
    shutil.rmtree(source)
    weights = folder / "weights"
    weights.write_bytes(b"weights")
    LocalStore(folder / "store").put_file(weights)
    run(["git", "clone", "--quiet", "--bare", "registry.git", "client.git"], folder)
    return folder


@pytest.fixture
def server(template: Path, tmp_path: Path) -> Iterator[Server]:
    """A registry where alice registers, bob deploys, carol rolls back, dana approves, erin deletes; root is admin."""
    folder = tmp_path / "srv"
    shutil.copytree(template, folder, symlinks=True)
    with Repository.open(folder / "client.git") as client:
        yield Server(folder / "registry.git", client)
