from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import gitreg
from tests.client.front import Front, standing
from tests.server.githttp.site import make_registry
from tests.server.rest.client import Rest, serve

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg import Registry


@pytest.fixture(scope="session")
def served(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """Serve one registry to all tests of this folder: each takes models of its own."""
    path = tmp_path_factory.mktemp("client") / "models.git"
    make_registry(path)
    with serve(path) as found:
        yield found


@pytest.fixture(autouse=True)
def _somebody(served: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a token, and a cache that knows nothing."""
    monkeypatch.setenv("GITREG_TOKEN", served.token("root"))
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("gitreg.client.http._PAUSES", (0.01,))


@pytest.fixture
def front(served: Rest) -> Iterator[Front]:
    """Stand before the server."""
    with standing(to=served.port) as found:
        yield found


@pytest.fixture
def registry(front: Front) -> Iterator[Registry]:
    """Use the registry through what stands before it."""
    with gitreg.open(front.url) as found:
        yield found
