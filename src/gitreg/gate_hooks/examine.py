"""Find out whether the hooks are in force, and whether a push can be judged and logged at all."""

from __future__ import annotations

import os
import shutil
import stat
import time
from typing import TYPE_CHECKING

from gitreg.errors import GitregError
from gitreg.gate_hooks import audit, identity
from gitreg.gate_hooks.configuration import examine_config
from gitreg.gate_hooks.finding import Finding, note, wrong
from gitreg.gate_hooks.install import MARK, hook_text, hooks_of, is_registry, place_of
from gitreg.git import refs
from gitreg.git.signatures import PROGRAM
from gitreg.layout import ACCESS, ALLOWED_SIGNERS, MAIN, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.git import Repository

# Git asks these too, where they are there. None of them makes good what the gate has refused.
_OTHER_HOOKS = ("update", "post-update", "reference-transaction", "proc-receive", "push-to-checkout")
_FIX = "run `gitreg doctor --fix`"


def _runs_own_hooks(repository: Repository) -> bool:
    return repository.hooks_path.resolve() == (repository.common_dir / "hooks").resolve()


def examine(repository: Repository) -> Iterator[Finding]:
    """Find whatever lets a push past the gate, or keeps it from judging and logging one."""
    yield from examine_gate(repository)
    yield from _examine_judging(repository)
    yield from _examine_locks(repository)


def hindrances(repository: Repository) -> Iterator[Finding]:
    """Find what lets a push past the gate, or has it refused; a setting that only should be another is not among it."""
    yield from (each for each in examine_gate(repository) if each.opens)
    yield from (each for each in _examine_judging(repository) if not each.fine)


def _examine_judging(repository: Repository) -> Iterator[Finding]:
    """Find what keeps a push from being judged and logged."""
    if is_registry(repository):
        yield from _examine_identity(repository)
        yield from _examine_log(repository)
        yield from _examine_keys(repository)


def in_force(repository: Repository) -> bool:
    """Whether nothing that `examine` looks at is wrong."""
    return all(finding.fine for finding in examine(repository))


def examine_gate(repository: Repository) -> Iterator[Finding]:
    """Find what lets a push past the gate: hooks missing, emptied, altered or bypassed, settings that drifted."""
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
        yield _examine_hook(place_of(own, name), name)
    if is_registry(repository):
        yield from _examine_others(own)
        yield from examine_config(repository)
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


def _examine_log(repository: Repository) -> Iterator[Finding]:
    try:
        audit.check(repository.common_dir)
    except GitregError as error:
        yield wrong("audit log", f"{error.message}: no push is accepted", error.hint or "gitreg audit verify")
    except OSError as error:
        yield wrong("audit log", f"cannot be read: {error.strerror}", "run the doctor as the hooks' account")


def _examine_locks(repository: Repository) -> Iterator[Finding]:
    for name, age in refs.long_held(repository.common_dir, MAIN):
        yield wrong(
            name,
            f"is there since {age:.0f} s: nobody can push",
            "a server takes away what it left itself; otherwise remove it where no git is at work",
        )


def _examine_keys(repository: Repository) -> Iterator[Finding]:
    """Find out whether signatures can be judged, where the server or the settings ask for them."""
    from gitreg.access import effective_admins
    from gitreg.gate_hooks.push import policy_of
    from gitreg.reader import Snapshot

    tip = refs.resolve(repository, MAIN)
    if tip is None:
        return
    try:
        policy, complaints = policy_of(Snapshot(repository, tip))
    except GitregError as error:
        yield wrong("rules", f"{error.message}: no push can be judged", error.hint or f"see {ACCESS} and {SETTINGS}")
        return
    asked = policy.settings.by_signature
    if repository.config(identity.CONFIG) == identity.SIGNATURE and not asked:
        message = f"signatures tell who pushes, and {SETTINGS} on main does not ask for them: no push is accepted"
        yield wrong(identity.CONFIG, message, f"`identity: signature` in {SETTINGS}, or another {identity.CONFIG}")
    if not asked and not policy.settings.signed_tags:
        return
    for each in complaints:
        yield wrong(ALLOWED_SIGNERS, f"{each.message}: no push is accepted", each.remedy or f"see {ALLOWED_SIGNERS}")
    if shutil.which(PROGRAM) is None:
        yield wrong(PROGRAM, "not found on PATH: no signature can be verified", "install OpenSSH's client")
    if asked and policy.signers and not policy.signers.users_at(int(time.time())) & effective_admins(policy.access):
        message = "no admin has a key that counts now: nobody can change rules or keys by a push"
        yield wrong(ALLOWED_SIGNERS, message, "the server's owner adds a key of an admin on main")


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
    if MARK not in data:
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
