"""Install the hooks, and find out whether they are in force."""

from __future__ import annotations

import os
import re
import stat
import sys
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, InvalidError
from gitreg.gate_hooks import identity
from gitreg.gate_hooks.configuration import SERVER_CONFIG, configure_server, examine_config, server_config
from gitreg.gate_hooks.finding import Finding, note, wrong
from gitreg.resources import resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.git import Repository

__all__ = [
    "CLONE_HOOKS",
    "SERVER_CONFIG",
    "SERVER_HOOKS",
    "Finding",
    "absolute",
    "configure_server",
    "examine",
    "hook_text",
    "hooks_of",
    "in_force",
    "install",
    "is_registry",
    "server_config",
]

SERVER_HOOKS = ("pre-receive", "post-receive")
CLONE_HOOKS = ("pre-commit", "pre-push")
_MARK = b"gitreg.gate_hooks.hook"
_PLACEHOLDER = b"@PYTHON@"

# Git asks these too, where they are there. None of them makes good what the gate has refused.
_OTHER_HOOKS = ("update", "post-update", "reference-transaction", "proc-receive", "push-to-checkout")
# How Gitea and Forgejo hand a hook on to the files in a folder beside it.
_DELEGATES = re.compile(rb"hooks/(?:\$\{?hookname\}?|(?:pre|post)-receive)\.d\b")
_DELEGATE = "gitreg"
_FIX = "run `gitreg doctor --fix`"


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
    return bool(data.strip()) and _MARK not in data


def _place(folder: Path, name: str) -> Path:
    """Name the file of a hook: git's own, or one that the git server's hook hands everything on to."""
    path = folder / name
    data = path.read_bytes() if path.exists() else b""
    delegates = _MARK not in data and _DELEGATES.search(data) is not None
    return folder / f"{name}.d" / _DELEGATE if delegates else path


def install(repository: Repository, names: tuple[str, ...]) -> list[Path]:
    """Install hooks into the repository's own hooks folder; ConflictError rather than over a foreign hook."""
    folder = repository.common_dir / "hooks"
    places = {name: _place(folder, name) for name in names}
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


def _runs_own_hooks(repository: Repository) -> bool:
    return repository.hooks_path.resolve() == (repository.common_dir / "hooks").resolve()


def examine(repository: Repository) -> Iterator[Finding]:
    """Find hooks that are missing, not executable, emptied, altered or bypassed, and whatever else drifted."""
    own = repository.common_dir / "hooks"
    if not _runs_own_hooks(repository):
        yield wrong(
            "core.hooksPath",
            f"git runs hooks from {repository.hooks_path}, not from {own}: gitreg's are bypassed",
            _FIX
            if repository.is_bare
            else "git config --unset core.hooksPath (look in the system's and the user's configuration as well)",
            opens=True,
        )
    for name in hooks_of(repository):
        yield _examine_hook(_place(own, name), name)
    if is_registry(repository):
        yield from _examine_others(own)
        yield from examine_config(repository)
        yield from _examine_identity(repository)
        yield from _examine_files(repository)


def _examine_others(folder: Path) -> Iterator[Finding]:
    if folder.is_dir() and folder.stat().st_mode & stat.S_IWOTH:
        yield wrong("hooks", f"anybody may write into {folder}", f"chmod o-w {folder}", opens=True)
    for name in _OTHER_HOOKS:
        if os.access(folder / name, os.X_OK):
            message = f"{folder / name} runs on each push as well; gitreg does not know what it does"
            yield note(name, message, "keep it if you put it there, or your git server did")


def _examine_identity(repository: Repository) -> Iterator[Finding]:
    source = repository.config(identity.CONFIG)
    if source not in identity.SOURCES:
        allowed = ", ".join(identity.SOURCES)
        message = f"found {source or 'nothing'}, so that no push is accepted; allowed: {allowed}"
        yield wrong(identity.CONFIG, message, f"git config {identity.CONFIG} SOURCE")


def _examine_files(repository: Repository) -> Iterator[Finding]:
    """Find what makes git see another history than the one that was pushed."""
    folder = repository.common_dir
    if _has_text(folder / "info" / "grafts"):
        yield wrong("info/grafts", "git is told other parents than the commits have", "take it away", opens=True)
    if repository.is_shallow:
        yield wrong("shallow", "the history is cut off", "git fetch --unshallow from a whole clone", opens=True)
    replaced = repository.run(["for-each-ref", "--count=1", "--format=%(refname)", "refs/replace/"]).decode().strip()
    if replaced:
        yield wrong(
            replaced, "an object stands in for another; gitreg does not follow it", "git replace --delete OBJECT"
        )
    for name in ("alternates", "http-alternates"):
        if _has_text(folder / "objects" / "info" / name):
            message = "objects lie in another repository: damage there, or a gc, is damage here"
            yield wrong(f"objects/info/{name}", message, "git repack -a -d, then take the file away")


def _has_text(path: Path) -> bool:
    return path.is_file() and bool(path.read_bytes().strip())


def _examine_hook(path: Path, name: str) -> Finding:
    complaint, remedy = _complaint(path, name)
    if complaint:
        return wrong(name, complaint, remedy, opens=True)
    return Finding(fine=True, subject=name, message=f"installed, runs {_interpreter(path.read_bytes())}")


def _complaint(path: Path, name: str) -> tuple[str | None, str]:
    """Say what is wrong with a hook, if something is, and what to do."""
    if not path.exists():
        return f"{path} is missing", _FIX
    data, mode = path.read_bytes(), path.stat().st_mode
    interpreter = _interpreter(data)
    if not data.strip():
        return f"{path} is empty: every push would pass", _FIX
    if _MARK not in data:
        return f"{path} does not run gitreg", "call gitreg's hook from it, or move it away"
    if not mode & stat.S_IXUSR:
        return f"{path} is not executable, so git skips it", f"chmod +x {path}"
    if mode & stat.S_IWOTH:
        return f"anybody may write to {path}", f"chmod o-w {path}"
    if interpreter is None or not os.access(interpreter, os.X_OK):
        return f"{path} runs {interpreter}, which does not exist", _FIX
    return (f"{path} was altered" if data != hook_text(name, interpreter) else None), _FIX


def _interpreter(data: bytes) -> str | None:
    for line in data.splitlines():
        if line.startswith(b'exec "'):
            return line.split(b'"')[1].decode()
    return None


def in_force(repository: Repository) -> bool:
    """Whether nothing that `examine` looks at is wrong."""
    return all(finding.fine for finding in examine(repository))
