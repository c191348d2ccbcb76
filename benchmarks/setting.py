"""Where a benchmark runs: its folder, its generated registries, its environment, how often it repeats."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from benchmarks.generate import IDENTITY, generate, identity, model_names

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LEFT_OUT = ("GIT_", "GITREG_", "PYTHON", "COVERAGE_")


def environment(home: Path, user: str) -> dict[str, str]:
    """Make the environment of a user who has nothing but a name, with compiled modules as an installation has them."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_LEFT_OUT)}
    own = {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GITREG_CACHE": str(home / "cache"),
        "HOME": str(home),
        IDENTITY: user,
    }
    return {**kept, **identity(), **own}


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What every benchmark is given."""

    folder: Path
    small: int
    large: int
    repeats: int
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def sizes(self) -> tuple[int, int]:
        """The sizes of the two registries, in versions."""
        return self.small, self.large

    def registry(self, versions: int) -> Path:
        """Name the bare repository with this many versions; it is generated where it is not there yet."""
        folder = self.folder / f"registry-{versions}"
        if not (folder / "registry.git" / "gitreg" / "marked").is_file():
            print(f"generating {versions:,} versions and deploy tags …", file=sys.stderr)
            generate(folder, versions)
        return folder / "registry.git"

    def models(self, versions: int) -> tuple[str, ...]:
        """Name the models of a registry."""
        return model_names(versions)

    def model(self, versions: int) -> str:
        """Name a model in the middle of a registry."""
        names = self.models(versions)
        return names[len(names) // 2]
