from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.gate_hooks.support import run
from tests.server.githttp.site import make_registry, running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.githttp.site import Site


@pytest.fixture(scope="session")
def made(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry once; tests get copies."""
    folder = tmp_path_factory.mktemp("made")
    make_registry(folder / "models.git")
    return folder


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """Give a registry."""
    run(["cp", "-a", str(made), str(tmp_path / "srv")], tmp_path)
    return tmp_path / "srv" / "models.git"


@pytest.fixture
def site(path: Path) -> Iterator[Site]:
    """Serve a registry."""
    with running(path) as served:
        yield served


@pytest.fixture(scope="session")
def standing(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Serve one registry to all tests that change nothing in it."""
    folder = tmp_path_factory.mktemp("standing")
    run(["cp", "-a", str(made), str(folder / "srv")], folder)
    with running(folder / "srv" / "models.git") as served:
        yield served
