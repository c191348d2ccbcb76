"""Keep the log of decisions: append-only, hash-chained, beside the repository.

One JSON object a line: `seq` (from 1), `time`, `actor`, `updates`, `verdict`, `violations`, `previous` (the hash of the
line before) and `hash`, the SHA-256 of the line's other members in canonical JSON (sorted keys, no spaces).
"""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, UnavailableError
from gitreg.layout import MAIN
from gitreg.records import dataclass

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
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            last = _last(file.fileno())
            members = {**entry.to_data(), "seq": last.number + 1, "previous": last.hash}
            head = Digest.of(_canonical(members)).hex
            _write(file.fileno(), last.end, _canonical({**members, "hash": head}) + b"\n")
    except OSError as error:
        raise UnavailableError(
            f"the audit log {path.name} cannot be written: {error.strerror}",
            hint="tell the server's owner; nothing was decided",
        ) from error
    return head


def _write(fd: int, end: int, line: bytes) -> None:
    """Put a line at the end of the whole ones, entirely or not at all.

    What stands behind the last line end is half a line that a killed hook left: its push was never answered.
    """
    os.ftruncate(fd, end)
    try:
        written = 0
        while written < len(line):
            written += os.write(fd, line[written:])
        os.fsync(fd)
    except OSError:
        os.ftruncate(fd, end)
        raise


class _Last(NamedTuple):
    """The last whole line of the log: its number, its hash, and where in the file it ends."""

    number: int
    hash: str
    end: int


def _last(fd: int) -> _Last:
    end = os.fstat(fd).st_size
    size = _TAIL
    while end:
        start = max(0, end - size)
        *lines, half = os.pread(fd, end - start, start).split(b"\n")
        if len(lines) > 1 or (lines and start == 0):
            return _read_last(lines[-1], end - len(half))
        if start == 0:
            break
        size *= 4
    return _Last(0, GENESIS, 0)


def _read_last(line: bytes, end: int) -> _Last:
    try:
        members = json.loads(line)
        return _Last(int(members["seq"]), str(members["hash"]), end)
    except (ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            "the last line of the audit log is no entry", hint="`gitreg audit verify` on the server says more"
        ) from error


def head(git_dir: Path) -> str | None:
    """Name the head of the chain, or None where nothing was decided yet."""
    path = audit_path(git_dir)
    if not path.exists():
        return None
    with path.open("rb") as file:
        last = _last(file.fileno())
    return last.hash if last.number else None


def verify(git_dir: Path) -> tuple[int, list[str]]:
    """Check the whole chain; give the number of entries and what is wrong with them."""
    path, previous, wrong, count = audit_path(git_dir), GENESIS, [], 0
    if not path.exists():
        return 0, []
    with path.open("rb") as file:
        for count, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                wrong.append(f"line {count} is cut off: its push was not answered; the next decision takes its place")
                continue
            try:
                members = json.loads(line)
                stated = members.pop("hash")
            except (ValueError, KeyError, AttributeError, TypeError):
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
        if members["verdict"] != "accepted" or not members["actor"]:
            continue
        for update in members["updates"]:
            # A proposal of the same commit, whoever's, did not put it on main.
            if update["ref"] == MAIN and update["new"] in wanted:
                found.setdefault(update["new"], str(members["actor"]))
    return found


def _newest(git_dir: Path) -> Iterator[dict[str, Any]]:
    """Read the newest entries, newest first; where the log was damaged, those after the damage."""
    path = audit_path(git_dir)
    if not path.exists():
        return
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = max(0, size - 16 * _TAIL)
        *lines, _half = os.pread(file.fileno(), size - start, start).split(b"\n")
    for line in reversed(lines[1:] if start else lines):
        try:
            members = json.loads(line)
        except ValueError:
            return
        yield members
