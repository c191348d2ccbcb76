"""Remember which versions came to a registry without their weights: a bundle has the history of all models."""

from __future__ import annotations

import json
import os
import secrets
from typing import TYPE_CHECKING

from gitreg.objects.faults import writing
from gitreg.objects.local import make_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

FORMAT = "gitreg/left-behind/v1"
_NAME = "left-behind.json"
_MAX = 64 << 20  # bytes


def read(git_dir: Path) -> frozenset[str]:
    """Name the versions, as `project/name@version`; where nothing says so, or it cannot be read, none was left."""
    try:
        with (git_dir / "gitreg" / _NAME).open("rb") as file:
            data = file.read(_MAX + 1)
        found = json.loads(data) if len(data) <= _MAX else {}
        return frozenset(map(str, found["versions"])) if found["format"] == FORMAT else frozenset()
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return frozenset()


def write(git_dir: Path, versions: Collection[str]) -> None:
    """Remember these, and no others."""
    if versions == read(git_dir):
        return
    path = git_dir / "gitreg" / _NAME
    draft = path.with_name(f".{_NAME}.{secrets.token_hex(4)}")
    data = json.dumps({"format": FORMAT, "versions": sorted(versions)}, indent=1).encode() + b"\n"
    with writing(path.parent):
        make_folder(path.parent)
        try:
            with draft.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        sync_folder(path.parent)
