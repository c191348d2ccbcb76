"""Install the hooks."""

from __future__ import annotations

import os
import re
import sys
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, InvalidError
from gitreg.gate_hooks import identity
from gitreg.resources import resource

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.git import Repository

SERVER_HOOKS = ("pre-receive", "post-receive")
CLONE_HOOKS = ("pre-commit", "pre-push")
MARK = b"gitreg.gate_hooks.hook"
_PLACEHOLDER = b"@PYTHON@"

# How Gitea and Forgejo hand a hook on to the files in a folder beside it.
_DELEGATES = re.compile(rb"hooks/(?:\$\{?hookname\}?|(?:pre|post)-receive)\.d\b")
_DELEGATE = "gitreg"


def absolute(interpreter: str) -> str:
    """Check that a Python is named by its whole path; InvalidError where it is not."""
    if not interpreter or not os.path.isabs(interpreter):  # noqa: PTH117 - a text from sys
        raise InvalidError(f"the interpreter {interpreter!r} has no absolute path", hint="run gitreg from its venv")
    return interpreter


def hook_text(name: str, interpreter: str | None = None) -> bytes:
    """Give a hook's script with the absolute interpreter that it runs."""
    quoted = (
        absolute(interpreter or sys.executable)
        .encode()
        .replace(b"\\", b"\\\\")
        .replace(b'"', b'\\"')
        .replace(b"$", b"\\$")
        .replace(b"`", b"\\`")
    )
    return (resource("hooks") / name).read_bytes().replace(_PLACEHOLDER, quoted)


def _is_foreign(path: Path) -> bool:
    """Whether a hook is somebody else's; an emptied one is nobody's."""
    data = path.read_bytes() if path.exists() else b""
    return bool(data.strip()) and MARK not in data


def place_of(folder: Path, name: str) -> Path:
    """Name the file of a hook: git's own, or one that the git server's hook hands everything on to."""
    path = folder / name
    data = path.read_bytes() if path.exists() else b""
    delegates = MARK not in data and _DELEGATES.search(data) is not None
    return folder / f"{name}.d" / _DELEGATE if delegates else path


def install(repository: Repository, names: tuple[str, ...]) -> list[Path]:
    """Install hooks into the repository's own hooks folder; ConflictError rather than over a foreign hook."""
    folder = repository.common_dir / "hooks"
    places = {name: place_of(folder, name) for name in names}
    foreign = [name for name, path in places.items() if _is_foreign(path)]
    if foreign:
        raise ConflictError(
            f"{folder} has a {' and a '.join(foreign)} hook of another origin",
            hint="call gitreg's hook from it, or move it away; nothing was changed",
        )
    written = []
    for name, path in places.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{name}.new"
        temporary.write_bytes(hook_text(name))
        temporary.chmod(0o755)
        temporary.replace(path)
        written.append(path)
    return written


def hooks_of(repository: Repository) -> tuple[str, ...]:
    """Name the hooks that belong into a repository: into a registry those of a server, into a clone of one others."""
    if repository.is_bare:
        return SERVER_HOOKS
    return (*SERVER_HOOKS, "pre-commit") if is_registry(repository) else CLONE_HOOKS


def is_registry(repository: Repository) -> bool:
    """Whether pushes to a repository are judged in it: it is bare, or knows who pushes."""
    return repository.is_bare or repository.config(identity.CONFIG) is not None
