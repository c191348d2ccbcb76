"""Install the hooks, and find out whether they are in force."""

from __future__ import annotations

import os
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, InvalidError
from gitreg.resources import resource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.git import Repository

SERVER_HOOKS = ("pre-receive", "post-receive")
CLONE_HOOKS = ("pre-commit", "pre-push")
_MARK = b"gitreg.gate_hooks.hook"
_PLACEHOLDER = b"@PYTHON@"

# What a registry's repository needs besides the hooks.
SERVER_CONFIG = {
    "receive.fsckObjects": "true",
    "receive.denyDeletes": "false",
    "receive.denyNonFastForwards": "false",
    "receive.autogc": "false",
    "receive.hideRefs": "refs/tags/deploy",
    "receive.maxInputSize": "104857600",
    "core.logAllRefUpdates": "true",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that `gitreg doctor` has to say; `fine` is false where something must be done."""

    fine: bool
    subject: str
    message: str
    remedy: str | None = None


def hook_text(name: str, interpreter: str | None = None) -> bytes:
    """Give a hook's script with the absolute interpreter that it runs."""
    interpreter = interpreter or sys.executable
    if not interpreter or not os.path.isabs(interpreter):  # noqa: PTH117 - a text from sys
        raise InvalidError(f"the interpreter {interpreter!r} has no absolute path", hint="run gitreg from its venv")
    quoted = (
        interpreter.encode().replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"$", b"\\$").replace(b"`", b"\\`")
    )
    return (resource("hooks") / name).read_bytes().replace(_PLACEHOLDER, quoted)


def _is_foreign(path: Path) -> bool:
    """Whether a hook is somebody else's; an emptied one is nobody's."""
    data = path.read_bytes() if path.exists() else b""
    return bool(data.strip()) and _MARK not in data


def install(repository: Repository, names: tuple[str, ...]) -> list[Path]:
    """Install hooks into the repository's own hooks folder; ConflictError rather than over a foreign hook."""
    folder = repository.common_dir / "hooks"
    foreign = [name for name in names if _is_foreign(folder / name)]
    if foreign:
        raise ConflictError(
            f"{folder} has a {' and a '.join(foreign)} hook of another origin",
            hint="call gitreg's hook from it, or move it away; nothing was changed",
        )
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in names:
        path = folder / name
        temporary = folder / f".{name}.new"
        temporary.write_bytes(hook_text(name))
        temporary.chmod(0o755)
        temporary.replace(path)
        written.append(path)
    return written


def configure_server(repository: Repository) -> None:
    """Set what receive-pack needs to be told in a registry's repository."""
    for key, value in SERVER_CONFIG.items():
        repository.run(["config", "--replace-all", key, value])


def examine(repository: Repository) -> Iterator[Finding]:
    """Find hooks that are missing, not executable, emptied, altered or bypassed, and configuration that drifted."""
    names = SERVER_HOOKS if repository.is_bare else CLONE_HOOKS
    own, real = repository.common_dir / "hooks", repository.hooks_path
    if real.resolve() != own.resolve():
        yield Finding(
            False,
            "core.hooksPath",
            f"git runs hooks from {real}, not from {own}: gitreg's are bypassed",
            "git config --unset core.hooksPath (look in the system's and the user's configuration as well)",
        )
    for name in names:
        yield _examine_hook(own / name)
    if repository.is_bare:
        for key, wanted in SERVER_CONFIG.items():
            found = repository.config(key)
            if found != wanted:
                yield Finding(False, key, f"found {found or 'nothing'}, want {wanted}", f"git config {key} {wanted}")


def _examine_hook(path: Path) -> Finding:
    again = "run `gitreg doctor --fix`"
    if not path.exists():
        return Finding(False, path.name, f"{path} is missing", again)
    data = path.read_bytes()
    if not data.strip():
        return Finding(False, path.name, f"{path} is empty: every push would pass", again)
    if _MARK not in data:
        return Finding(False, path.name, f"{path} does not run gitreg", "call gitreg's hook from it, or move it away")
    if not path.stat().st_mode & stat.S_IXUSR:
        return Finding(False, path.name, f"{path} is not executable, so git skips it", f"chmod +x {path}")
    interpreter = _interpreter(data)
    if interpreter is None or not os.access(interpreter, os.X_OK):
        return Finding(False, path.name, f"{path} runs {interpreter}, which does not exist", again)
    if data != hook_text(path.name, interpreter):
        return Finding(False, path.name, f"{path} was altered", again)
    return Finding(True, path.name, f"installed, runs {interpreter}")


def _interpreter(data: bytes) -> str | None:
    for line in data.splitlines():
        if line.startswith(b'exec "'):
            return line.split(b'"')[1].decode()
    return None


def in_force(repository: Repository) -> bool:
    """Whether nothing that `examine` looks at is wrong."""
    return all(finding.fine for finding in examine(repository))
