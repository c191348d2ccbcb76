"""Make an empty repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.git.environment import sealed_environment
from gitreg.git.process import Runner, git_version

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def create(
    path: Path,
    *,
    bare: bool,
    object_format: str = "sha1",
    environment: Mapping[str, str] | None = None,
) -> None:
    """Make an empty repository whose branch is `main`, without anybody's template.

    One that is there already stays as it is.
    """
    sealed = sealed_environment(environment)
    git_version(sealed.get("PATH"))
    path.mkdir(parents=True, exist_ok=True)
    shape = [f"--object-format={object_format}", "--initial-branch=main", *(["--bare"] if bare else [])]
    Runner(path, sealed).run(["init", "--quiet", "--template=", *shape], codes=(0,))
