"""Say what one decision was, as one line of the audit log."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.gate import RefUpdate, Violation

GENESIS = "0" * 64
ACCEPTED, REFUSED = "accepted", "refused"
# Sources that begin a log: with a new registry, and with one that has a history.
INIT, ADOPT = "init", "adopt"
MAX_LINE = 64 << 20
_MAX_VIOLATIONS = 10_000
_SHORT = 255
_LONG = 2000
# No text of an entry can hold this: quotes in it are written as \".
_SEAL = re.compile(rb',"hash":"([0-9a-f]{64})"')
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_ADDRESSES = ("SSH_CONNECTION", "SSH_CLIENT", "REMOTE_ADDR")


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written of one decision; no violation means accepted.

    `source` says from where it came: `identity` (what named the actor), `address`, `session`. `models` are those that
    the push touches, `signers` the users who signed its commits, by commit. `base` is where main was when a group of
    requests was decided, for those that are built on others of the group: these land together, or none does.
    """

    time: str
    actor: str | None
    updates: tuple[RefUpdate, ...]
    violations: tuple[Violation, ...]
    source: Mapping[str, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    signers: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None

    def to_data(self) -> dict[str, object]:
        """Give the members that the hash covers, but `seq` and `previous`; every text is bounded and printable."""
        found: dict[str, object] = {
            "time": plain(self.time),
            "actor": None if self.actor is None else plain(self.actor),
            "source": {plain(key): plain(value) for key, value in self.source.items() if value},
            "updates": [{"ref": plain(each.ref, _LONG), "old": each.old, "new": each.new} for each in self.updates],
            "models": [plain(model) for model in self.models],
            "verdict": REFUSED if self.violations else ACCEPTED,
            "violations": [_violation(each) for each in self.violations[:_MAX_VIOLATIONS]],
        }
        if self.signers:
            found["signers"] = {plain(commit): plain(user) for commit, user in self.signers.items()}
        if self.base is not None:
            found["base"] = self.base
        if len(self.violations) > _MAX_VIOLATIONS:
            found["omitted"] = len(self.violations) - _MAX_VIOLATIONS
        return found


def _violation(violation: Violation) -> dict[str, object]:
    members = {
        "code": str(violation.code),
        "message": plain(violation.message, _LONG),
        "path": plain(violation.path or "", _LONG),
        "line": violation.line,
        "commit": plain(violation.commit or ""),
        "field": plain(violation.field or ""),
        "remedy": plain(violation.remedy or "", _LONG),
    }
    return {key: value for key, value in members.items() if value not in (None, "")}


def plain(text: str, limit: int = _SHORT) -> str:
    """Make a text printable and at most so many characters long: what was pushed does not steer who reads the log."""
    text = str(text)
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    if cut.isprintable():
        return cut
    return "".join(mark if mark.isprintable() else "\N{REPLACEMENT CHARACTER}" for mark in cut)


def source_of(environ: Mapping[str, str], identity: str | None) -> dict[str, str]:
    """Tell from where a push comes, as far as the server's environment says: what names the actor, address, session."""
    addresses = (environ.get(name, "").split() for name in _ADDRESSES)
    found = {
        # gitreg's own server says more of how it knows the user: by which token, for one.
        "identity": (environ.get("GITREG_CALLER") if identity == "GITREG_USER" else None) or identity or "",
        "address": next((words[0] for words in addresses if words), ""),
        "session": environ.get("GITREG_SESSION", ""),
    }
    return {key: plain(value) for key, value in found.items() if value}


def canonical(members: Mapping[str, object]) -> bytes:
    """Write members as the hash has them: sorted keys, no spaces, UTF-8."""
    return _ENCODER.encode(members).encode()


def sealed(members: Mapping[str, object]) -> tuple[bytes, str]:
    """Give the line of an entry, and its hash: the SHA-256 of the canonical form of its other members."""
    seal = hashlib.sha256(canonical(members)).hexdigest()
    return canonical({**members, "hash": seal}) + b"\n", seal


def unsealed(line: bytes) -> dict[str, Any]:
    """Read a line, without its end, that was written by `sealed`; ValueError says what is wrong with it."""
    members = read(line)
    seals = _SEAL.findall(line)
    body = _SEAL.sub(b"", line)
    stated = members.pop("hash", None)
    if len(seals) != 1 or canonical(members) != body:
        raise ValueError("is not written as gitreg writes it")
    if hashlib.sha256(body).hexdigest() != stated:
        raise ValueError("was altered: its hash does not fit")
    return {**members, "hash": stated}


def read(line: bytes) -> dict[str, Any]:
    """Read a line for its members alone; ValueError where it is no entry at all."""
    try:
        members = json.loads(line)
        sound = all(isinstance(members[key], kind) for key, kind in _MEMBERS)
        sound = sound and isinstance(members.get("signers", {}), dict) and isinstance(members.get("base", ""), str)
        for update in members["updates"] if sound else ():
            sound = sound and update["ref"].__class__ is update["old"].__class__ is update["new"].__class__ is str
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError("is no entry") from error
    if not sound or not isinstance(members, dict):
        raise ValueError("is no entry")
    return members


_MEMBERS: tuple[tuple[str, type | tuple[type, ...]], ...] = (
    ("seq", int),
    ("time", str),
    ("actor", (str, type(None))),
    ("source", dict),
    ("updates", list),
    ("models", list),
    ("verdict", str),
    ("violations", list),
    ("previous", str),
    ("hash", str),
)
