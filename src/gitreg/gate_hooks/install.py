"""Install the hooks, and find out whether they are in force."""

from __future__ import annotations

import os
import stat
import sys
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, InvalidError
from gitreg.gate_hooks import identity
from gitreg.records import dataclass
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
    # Git checks what was pushed in a quarantine whose alternate is the registry itself, and would read every tag of it.
    "core.alternateRefsPrefixes": "refs/heads/",
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


def _wrong(subject: str, message: str, remedy: str) -> Finding:
    return Finding(fine=False, subject=subject, message=message, remedy=remedy)


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


def hooks_of(repository: Repository) -> tuple[str, ...]:
    """Name the hooks that belong into a repository: into a registry those of a server, into a clone of one others."""
    if repository.is_bare:
        return SERVER_HOOKS
    return (*SERVER_HOOKS, "pre-commit") if is_registry(repository) else CLONE_HOOKS


def is_registry(repository: Repository) -> bool:
    """Whether pushes to a repository are judged in it: it is bare, or knows who pushes."""
    return repository.is_bare or repository.config(identity.CONFIG) is not None


def server_config(repository: Repository) -> dict[str, str | None]:
    """Give what receive-pack is to be told; None for a key that may not be there.

    Deploy tags that clients write cannot be hidden from pushes.
    """
    from gitreg.gate_hooks.marks import server_marks

    return {**SERVER_CONFIG, **({} if server_marks(repository) else {"receive.hideRefs": None})}


def configure_server(repository: Repository) -> None:
    """Set what receive-pack needs to be told in a registry's repository."""
    for key, value in server_config(repository).items():
        if value is not None:
            repository.run(["config", "--replace-all", key, value])
        elif repository.config(key) is not None:
            repository.run(["config", "--unset-all", key], codes=(0, 5))
    if repository.is_bare:
        # Said here, so that no pusher's own configuration leads elsewhere; a bare repository's hooks run in its folder.
        repository.run(["config", "--replace-all", "core.hooksPath", "hooks"])


def _runs_own_hooks(repository: Repository) -> bool:
    return repository.hooks_path.resolve() == (repository.common_dir / "hooks").resolve()


def examine(repository: Repository) -> Iterator[Finding]:
    """Find hooks that are missing, not executable, emptied, altered or bypassed, and configuration that drifted."""
    own = repository.common_dir / "hooks"
    if not _runs_own_hooks(repository):
        yield _wrong(
            "core.hooksPath",
            f"git runs hooks from {repository.hooks_path}, not from {own}: gitreg's are bypassed",
            "run `gitreg doctor --fix`"
            if repository.is_bare
            else "git config --unset core.hooksPath (look in the system's and the user's configuration as well)",
        )
    for name in hooks_of(repository):
        yield _examine_hook(own / name)
    if is_registry(repository):
        yield from _examine_config(repository)


def _examine_config(repository: Repository) -> Iterator[Finding]:
    for key, wanted in server_config(repository).items():
        found = repository.config(key)
        if found != wanted:
            remedy = f"git config {key} {wanted}" if wanted else f"git config --unset-all {key}"
            yield _wrong(key, f"found {found or 'nothing'}, want {wanted or 'nothing'}", remedy)
    source = repository.config(identity.CONFIG)
    if source not in identity.SOURCES:
        allowed = ", ".join(identity.SOURCES)
        message = f"found {source or 'nothing'}, so that no push is accepted; allowed: {allowed}"
        yield _wrong(identity.CONFIG, message, f"git config {identity.CONFIG} SOURCE")


def _examine_hook(path: Path) -> Finding:
    again = "run `gitreg doctor --fix`"
    if not path.exists():
        return _wrong(path.name, f"{path} is missing", again)
    data = path.read_bytes()
    if not data.strip():
        return _wrong(path.name, f"{path} is empty: every push would pass", again)
    if _MARK not in data:
        return _wrong(path.name, f"{path} does not run gitreg", "call gitreg's hook from it, or move it away")
    if not path.stat().st_mode & stat.S_IXUSR:
        return _wrong(path.name, f"{path} is not executable, so git skips it", f"chmod +x {path}")
    interpreter = _interpreter(data)
    if interpreter is None or not os.access(interpreter, os.X_OK):
        return _wrong(path.name, f"{path} runs {interpreter}, which does not exist", again)
    if data != hook_text(path.name, interpreter):
        return _wrong(path.name, f"{path} was altered", again)
    return Finding(fine=True, subject=path.name, message=f"installed, runs {interpreter}")


def _interpreter(data: bytes) -> str | None:
    for line in data.splitlines():
        if line.startswith(b'exec "'):
            return line.split(b'"')[1].decode()
    return None


def in_force(repository: Repository) -> bool:
    """Whether nothing that `examine` looks at is wrong."""
    return all(finding.fine for finding in examine(repository))
