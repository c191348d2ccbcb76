"""Ask the newest entries of an audit log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gitreg.gate_hooks.audit.entry import ACCEPTED, read
from gitreg.gate_hooks.audit.log import audit_path, backwards
from gitreg.layout import MAIN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_LOOK_BACK = 64 << 20


def head(git_dir: Path) -> str | None:
    """Name the head of the chain, or None where nothing was decided yet."""
    last = next(_newest(git_dir), None)
    return str(last["hash"]) if last else None


def position(git_dir: Path) -> int:
    """Name the number of the last entry; 0 where there is none."""
    last = next(_newest(git_dir), None)
    return int(last["seq"]) if last else 0


def decided(git_dir: Path, session: str, since: int) -> bool:
    """Whether an entry after `since` is of this session."""
    for members in _newest(git_dir):
        if members["seq"] <= since:
            return False
        if members["source"].get("session") == session:
            return True
    return False


def actors_of(git_dir: Path, tips: Sequence[str]) -> dict[str, str]:
    """Tell who brought each of these commits to main, as far as the newest entries know.

    Of a push that is the actor, for its tip; where commits are signed it is who signed each.
    """
    wanted, found = set(tips), dict[str, str]()
    for members in _newest(git_dir):
        # A proposal of the same commit, whoever's, did not put it on main.
        tip = next((update["new"] for update in members["updates"] if update["ref"] == MAIN), None)
        if members["verdict"] != ACCEPTED or tip is None:
            continue
        named = {tip: members["actor"], **members.get("signers", {})}
        for oid in wanted & named.keys():
            if named[oid]:
                found[oid] = str(named[oid])
                wanted.discard(oid)
        if not wanted:
            break
    return found


def _newest(git_dir: Path) -> Iterator[dict[str, Any]]:
    """Read the newest entries, newest first; where the log was damaged, those after the damage."""
    try:
        fd = os.open(audit_path(git_dir), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return
    try:
        least = os.fstat(fd).st_size - _LOOK_BACK
        for line, end in backwards(fd):
            if end < least:
                return
            try:
                yield read(line)
            except ValueError:
                return
    finally:
        os.close(fd)
