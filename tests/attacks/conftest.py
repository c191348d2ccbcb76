from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.attacks.warm import POSSIBLE, SOAK, judging
from tests.attacks.world import Template, build

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def template(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """Build the registry that is attacked, once."""
    template = build(tmp_path_factory.mktemp("attacked"))
    with contextlib.ExitStack() as stack:
        if POSSIBLE and not SOAK:
            stack.enter_context(judging(tmp_path_factory.mktemp("warm"), template.world.server))
        yield template


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "srv"
