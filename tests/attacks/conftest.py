from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.attacks.world import Template, build

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def template(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Template:
    """Build the registry that is attacked, once."""
    return build(tmp_path_factory.mktemp("attacked"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "srv"
