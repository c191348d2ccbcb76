"""Keep the log of decisions: append-only, hash-chained, beside the repository.

One JSON object a line: `seq` (from 1), `time`, `actor`, `updates`, `verdict`, `violations`, `previous` (the hash of the
line before) and `hash`, the SHA-256 of the line's other members in canonical JSON (sorted keys, no spaces).
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gitreg.gate import RefUpdate, Violation

_TAIL = 1 << 16
GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Entry:
    """What is written of one decision."""

    time: str
    actor: str | None
    updates: tuple[RefUpdate, ...]
    violations: tuple[Violation, ...]

    def to_data(self) -> dict[str, object]:
        """Give the members that the hash covers, but `seq` and `previous`."""
        return {
            "time": self.time,
            "actor": self.actor,
            "updates": [{"ref": each.ref, "old": each.old, "new": each.new} for each in self.updates],
            "verdict": "refused" if self.violations else "accepted",
            "violations": [str(each) for each in self.violations],
        }


def audit_path(git_dir: Path) -> Path:
    """Name the log of a repository."""
    return git_dir / "gitreg" / "audit.jsonl"


def _canonical(members: dict[str, object]) -> bytes:
    return json.dumps(members, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def append(git_dir: Path, entry: Entry) -> str:
    """Append one decision under a lock, fsynced; give the new head of the chain.

    Raises UnavailableError where it cannot be written: a decision that leaves no trace must not be taken.
    """
    path = audit_path(git_dir)
    try:
        path.parent.mkdir(exist_ok=True)
        with path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = _last(file.fileno())
            members = {**entry.to_data(), "seq": _number(last) + 1, "previous": _hash(last)}
            head = Digest.of(_canonical(members)).hex
            file.write(_canonical({**members, "hash": head}) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UnavailableError(f"the audit log {path.name} cannot be written: {error.strerror}") from error
    return head


def _hash(last: dict[str, object] | None) -> str:
    return str(last["hash"]) if last else GENESIS


def _number(last: dict[str, object] | None) -> int:
    return int(str(last["seq"])) if last else 0


def _last(fd: int) -> dict[str, object] | None:
    """Read the last whole line; a line cut off by a crash is ended, never continued."""
    end = os.fstat(fd).st_size
    size = _TAIL
    while end:
        start = max(0, end - size)
        data = os.pread(fd, end - start, start)
        if not data.endswith(b"\n"):
            raise IntegrityError("the audit log ends in half a line", hint="`gitreg doctor` says what to do")
        lines = data.splitlines()
        if len(lines) > 1 or start == 0:
            members: dict[str, object] = json.loads(lines[-1])
            return members
        size *= 4
    return None


def head(git_dir: Path) -> str | None:
    """Name the head of the chain, or None where nothing was decided yet."""
    path = audit_path(git_dir)
    if not path.exists():
        return None
    with path.open("rb") as file:
        last = _last(file.fileno())
    return str(last["hash"]) if last else None


def verify(git_dir: Path) -> tuple[int, list[str]]:
    """Check the whole chain; give the number of entries and what is wrong with them."""
    path, previous, wrong, count = audit_path(git_dir), GENESIS, [], 0
    if not path.exists():
        return 0, []
    with path.open("rb") as file:
        for count, line in enumerate(file, 1):
            try:
                members = json.loads(line)
                stated = members.pop("hash")
            except (ValueError, KeyError, AttributeError):
                wrong.append(f"line {count} is no entry")
                continue
            if members.get("seq") != count or members.get("previous") != previous:
                wrong.append(f"line {count} does not follow the line before")
            if Digest.of(_canonical(members)).hex != stated:
                wrong.append(f"line {count} was altered")
            previous = str(stated)
    return count, wrong


def actors_of(git_dir: Path, tips: Sequence[str]) -> dict[str, str]:
    """Tell who pushed main to each of these tips, as far as the newest entries know."""
    wanted, found = set(tips), dict[str, str]()
    for members in _newest(git_dir):
        if members.get("verdict") != "accepted":
            continue
        for update in members["updates"]:  # type: ignore[attr-defined]
            if update["new"] in wanted and members["actor"]:
                found.setdefault(update["new"], str(members["actor"]))
    return found


def _newest(git_dir: Path) -> Iterator[dict[str, object]]:
    path = audit_path(git_dir)
    if not path.exists():
        return
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - 16 * _TAIL)
        lines = os.pread(file.fileno(), size - start, start).splitlines()
    for line in reversed(lines[1:] if start else lines):
        yield json.loads(line)
