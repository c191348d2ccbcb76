"""Registries with weights, and ways to make what lies in a store older, damaged or gone."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.objects import LocalStore
from tests.registries import bare, forge, git, opened, place, reading, registry, request, template

if TYPE_CHECKING:
    from gitreg.registry import Registry
    from tests.registries import Forge

__all__ = ["bare", "forge", "opened", "place", "reading", "registry", "template"]

DAY = 24 * 60 * 60


class Shelf:
    """The store of a forge, and what tests do to it behind gitreg's back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = LocalStore(folder)

    def path(self, digest: Digest) -> Path:
        """Name the file of a blob."""
        return self.folder / "blobs" / "sha256" / digest.hex[:2] / digest.hex

    def put(self, data: bytes) -> Digest:
        """Store bytes that no version names."""
        path = self.folder.parent / "orphan.bin"
        path.write_bytes(data)
        return self.store.put_file(path).digest

    def age(self, days: float = 30) -> None:
        """Make everything in the store older."""
        then = time.time() - days * DAY
        for path in self.folder.rglob("*"):
            if path.is_file():
                os.utime(path, (then, then))

    def flip(self, digest: Digest, at: int = 0) -> None:
        """Flip one bit of a blob's file."""
        path = self.path(digest)
        data = bytearray(path.read_bytes())
        data[at] ^= 1
        path.chmod(0o644)
        path.write_bytes(data)

    def blobs(self) -> set[str]:
        """Name the blobs that are stored whole."""
        return {path.name for path in (self.folder / "blobs").rglob("*") if path.is_file()}

    def trash(self) -> set[str]:
        """Name what lies in the trash."""
        return {path.name for path in (self.folder / "trash").rglob("*") if path.is_file()}


@pytest.fixture
def shelf(forge: Forge) -> Shelf:
    """Give the store of the bare registry."""
    return Shelf(forge.folder / "store")


def change_settings(forge: Forge, old: str, new: str) -> None:
    """Change the text of registry.yaml, as root would."""
    work = forge.folder / "settings"
    git(forge.folder, "clone", "--quiet", str(forge.bare), str(work))
    settings = work / "registry.yaml"
    settings.write_text(settings.read_text().replace(old, new))
    git(work, "commit", "--quiet", "--all", "--message", "Change the settings")
    git(work, "push", "--quiet", "origin", "HEAD:main", env={"GL_USER": "root"})
    shutil.rmtree(work)


def register(registry: Registry, data: bytes, version: str, model: str = "risk/other") -> Digest:
    """Register a version of one file with some bytes, as json, which may hold anything."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.json"
        path.write_bytes(b'"' + data.hex().encode() + b'"')
        registry.register(request(model, version, paths=(path,)))
        return Digest.of(path.read_bytes())
