from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.git import Repository
from gitreg.git.create import create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    """An empty bare repository."""
    create(tmp_path / "registry.git", bare=True)
    with Repository.open(tmp_path / "registry.git") as opened:
        yield opened
