"""Remember which versions came to a registry without their weights: a bundle has the history of all models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gitreg.objects.faults import writing
from gitreg.objects.local import make_folder, write_whole

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
    data = json.dumps({"format": FORMAT, "versions": sorted(versions)}, indent=1).encode() + b"\n"
    with writing(path.parent):
        make_folder(path.parent)
    write_whole(path, data)
