"""Make an empty repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import UnavailableError
from gitreg.git.environment import sealed_environment
from gitreg.git.process import INSTALL_HINT

if TYPE_CHECKING:
    from pathlib import Path


def create(path: Path, *, bare: bool, environment: dict[str, str] | None = None) -> None:
    """Make an empty repository whose branch is `main`, without anybody's template."""
    try:
        import git
    except ImportError as error:
        # GitPython looks for git as it is imported.
        raise UnavailableError("git is not installed", hint=INSTALL_HINT) from error
    path.mkdir(parents=True, exist_ok=True)
    try:
        git.cmd.Git(path).execute(
            ["git", "init", "--quiet", "--template=", "--initial-branch=main", *(["--bare"] if bare else []), str(path)],
            env=sealed_environment(environment),
        )
    except git.exc.GitCommandError as error:
        raise UnavailableError(f"git init failed: {str(error.stderr).strip()}") from error
