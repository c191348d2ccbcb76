"""Take a push in, whichever way the client comes: only where the gate is in force, under limits, and logged."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

from gitreg.errors import DeniedError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from gitreg.git import Repository
    from gitreg.git.serve import Limits, Served

VARIABLE = "GITREG_USER"
SESSION = "GITREG_SESSION"
_MAX_UPDATES = 1000
_SHOWN = 200
_PUSH = {"seconds": "gitreg.pushSeconds", "idle": "gitreg.pushIdle", "total": "gitreg.pushTotal"}
_PUSH_MEBIBYTES = {"memory": "gitreg.pushMemory", "allocation": "gitreg.pushObject"}
_FETCH = {"seconds": "gitreg.fetchSeconds", "idle": "gitreg.fetchIdle", "total": "gitreg.fetchTotal"}
_FETCH_MEBIBYTES = {"memory": "gitreg.fetchMemory"}


def limits(repository: Repository) -> Limits:
    """Give what a push may take here, as the repository's configuration says or by default."""
    from gitreg.git.serve import Limits

    return Limits(**_numbers(repository, _PUSH, _PUSH_MEBIBYTES))


def fetch_limits(repository: Repository) -> Limits:
    """Give what a fetch may take here: more than a push, since git packs what it sends."""
    from gitreg.git.serve import Limits

    otherwise = {"seconds": 600, "memory": 2 << 30, "allocation": 0}
    return Limits(**{**otherwise, **_numbers(repository, _FETCH, _FETCH_MEBIBYTES)})


def _numbers(repository: Repository, plain: Mapping[str, str], mebibytes: Mapping[str, str]) -> dict[str, int]:
    found = {name: _number(repository, key) for name, key in plain.items()}
    found |= {name: _number(repository, key, unit=1 << 20) for name, key in mebibytes.items()}
    return {name: value for name, value in found.items() if value is not None}


def _number(repository: Repository, key: str, *, unit: int = 1) -> int | None:
    text = repository.config(key)
    if text is None:
        return None
    if not re.fullmatch(r"[1-9][0-9]{0,8}", text, re.ASCII):
        raise InvalidError(f"{key} is {text[:_SHOWN]!r} in git's configuration", hint="a whole number of 1 and more")
    return int(text) * unit


def require_gate(repository: Repository, way: str) -> None:
    """Refuse where a push could go past the gate, or would not be known to be this user's; `way` is how they come."""
    from gitreg.gate_hooks import identity
    from gitreg.gate_hooks.examine import examine_gate

    source = repository.config(identity.CONFIG)
    if source != VARIABLE:
        raise DeniedError(
            f"{identity.CONFIG} is {source or 'not set'}, so that a push over {way} would be somebody else's",
            hint=f"the server's owner runs `git config {identity.CONFIG} {VARIABLE}` in the registry",
        )
    found = next((each for each in examine_gate(repository) if each.opens), None)
    if found:
        raise DeniedError(
            f"the gate is not in force, so nothing is taken in: {found.subject}: {found.message}",
            hint="the server's owner runs `gitreg doctor --fix`",
        )


def log_refused(git_dir: Path, environment: Mapping[str, str], served: Served, since: int) -> bool:
    """Append to the audit log what git refused without asking the hook; whether there was anything to append.

    `since` is the log's position from before the push.
    """
    from gitreg.gate import Code, RefUpdate, Violation
    from gitreg.gate_hooks import audit
    from gitreg.reader.history import iso

    if not served.updates or audit.decided(git_dir, environment[SESSION], since):
        return False
    entry = audit.Entry(
        iso(int(time.time())),
        environment[VARIABLE],
        tuple(RefUpdate(*each) for each in served.updates[:_MAX_UPDATES]),
        (Violation(Code.REFUSED_BY_GIT, reason_of(served)),),
        source=audit.source_of(environment, VARIABLE),
    )
    audit.append(git_dir, entry)
    return True


def reason_of(served: Served) -> str:
    """Tell in git's own words why it refused."""
    from gitreg.git.process import useful_line

    if served.stopped:
        return served.stopped
    said = useful_line(served.said)
    if served.unpacked not in {None, "ok"}:
        return f"{served.unpacked}: {said}" if said else str(served.unpacked)
    rejected = next(iter(served.rejected.values()), "")
    return (
        rejected
        or said
        or (f"git ended by signal {-served.code}" if served.code < 0 else f"git ended with {served.code}")
    )
