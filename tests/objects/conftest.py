"""Give the tests of stores a store, a cache and files to put in."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.objects import Cache, LocalStore

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "weights.bin"
    path.write_bytes(bytes(range(256)) * 4096)
    return path


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the file system that the tests run in, whatever it is: they write to files in plain ways."""
    monkeypatch.setattr("gitreg.objects.settling._file_system", lambda _opened: "ext4")
