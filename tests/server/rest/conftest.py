from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.githttp.site import make_registry
from tests.server.rest.client import Rest, serve

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def rest(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rest]:
    """Serve one registry to all tests of this folder: each takes models of its own."""
    path = tmp_path_factory.mktemp("rest") / "models.git"
    make_registry(path)
    with serve(path) as served:
        yield served
