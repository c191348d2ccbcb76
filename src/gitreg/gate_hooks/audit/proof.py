"""Prove the audit log: its chain, against main, against the deploy tags, and against its head file."""

from __future__ import annotations

import os
import re
from array import array
from contextlib import ExitStack
from typing import TYPE_CHECKING, BinaryIO

from gitreg.errors import IntegrityError, InvalidError, UnavailableError
from gitreg.gate_hooks.audit.anchors import Anchors
from gitreg.gate_hooks.audit.chain import Chain
from gitreg.gate_hooks.audit.entry import MAX_LINE
from gitreg.gate_hooks.audit.log import HEAD, LOG, locked, read_head
from gitreg.gate_hooks.audit.result import Findings, Verified
from gitreg.gate_hooks.audit.walk import Against, Order, Walk
from gitreg.git import history as git_history
from gitreg.git import refs
from gitreg.layout import DEPLOY_TAGS, MAIN
from gitreg.reader.history import parse_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.gate_hooks.audit.log import Place
    from gitreg.git import Repository

ACKNOWLEDGED = "gitreg.auditbegin"
_AGAIN = "see docs/audit.md: what to do about damage"
_REFLOG = re.compile(rb"([0-9a-f]{40}|[0-9a-f]{64}) .*@\{([0-9]{1,18})\}")


def verify(repository: Repository) -> Verified:
    """Prove the log of a registry, in its own repository; pushes may arrive meanwhile.

    What is asked of git first was on main before the log was read, and what is asked last was not put there earlier.
    """
    findings = Findings()
    tip = refs.resolve(repository, MAIN)
    if tip is None:
        findings.add(None, "the registry has no main", "push it again from a clone; its history is in every one")
        return _summed(findings)
    tags = Anchors(refs.each_tag(repository, DEPLOY_TAGS))
    values = _Values(repository)
    with ExitStack() as stack:
        try:
            with locked(repository.common_dir, shared=True) as files:
                size, head = os.fstat(files.log).st_size, read_head(files.head)
                file = stack.enter_context(os.fdopen(os.dup(files.log), "rb"))
        except IntegrityError as error:
            findings.add(None, error.message, error.hint if "no audit log" in error.message and error.hint else _AGAIN)
            return _summed(findings)
        except OSError as error:
            raise UnavailableError(f"the audit log cannot be read: {error.strerror}") from error
        if head is None:
            findings.add(None, f"{HEAD} is damaged", _AGAIN)
        against = Against(
            tip,
            refs.resolve(repository, MAIN) or tip,
            tags,
            own=True,
            in_place=not repository.is_bare,
            acknowledged=repository.config(ACKNOWLEDGED),
        )
        return _prove(repository, _lines(file, size), head, against, findings, values)


def verify_copy(repository: Repository, path: Path, tip: str) -> Verified:
    """Prove a copy of a log against the main and the tags of a clone; InvalidError where it cannot be read."""
    findings, head = Findings(), None
    memory = path.with_name(HEAD)
    with ExitStack() as stack:
        try:
            if not path.is_file():
                raise InvalidError(f"{path} is no file", hint=f"name a copy of the server's gitreg/{LOG}")
            file = stack.enter_context(path.open("rb"))
            if path.name == LOG and memory.is_file():
                with memory.open("rb") as held:
                    head = read_head(held.fileno())
        except OSError as error:
            raise InvalidError(f"{path} cannot be read: {error.strerror}") from error
        if head is None:
            findings.note(f"no {HEAD} lies beside it: a cut at its end shows only where main or a tag knows more")
        tags = Anchors(refs.each_tag(repository, DEPLOY_TAGS))
        if not len(tags):
            findings.note(
                f"no deploy tags are here to hold it against; git fetch origin '{DEPLOY_TAGS}*:{DEPLOY_TAGS}*'"
            )
        against = Against(tip, tip, tags, own=False, acknowledged=repository.config(ACKNOWLEDGED))
        return _prove(repository, _lines(file, os.fstat(file.fileno()).st_size), head, against, findings)


def _lines(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Give the lines up to a size, the last without an end where it is half a one; none longer than is written."""
    while size > 0 and (line := file.readline(min(size, MAX_LINE))):
        size -= len(line)
        yield line


def _prove(  # noqa: PLR0913, PLR0917 - what is held against what
    repository: Repository,
    lines: Iterator[bytes],
    head: Place | None,
    against: Against,
    findings: Findings,
    values: _Values | None = None,
) -> Verified:
    if repository.is_shallow:
        raise InvalidError("this clone is shallow and has no full history", hint="git fetch --unshallow")
    chain = Chain(findings, head)
    newest_first = list(map(bytes.fromhex, git_history.first_parents(repository, against.later)))
    walk = Walk(findings, Order(newest_first[::-1]), against)
    del newest_first
    for number, line in enumerate(lines, 1):
        if not line.endswith(b"\n") and len(line) < MAX_LINE:
            findings.note(f"line {number} is half a line: its push was not answered, and the next one takes its place")
            break
        members = chain.read(number, line.removesuffix(b"\n"))
        if members is not None:
            walk.take(number, members)
    chain.end()
    walk.end()
    if values is not None:
        _check_values(walk, values, findings)
    return _summed(findings, chain, walk)


class _Values:
    """The values that main has had, oldest first, with their times, as far as git's own record of it reaches."""

    def __init__(self, repository: Repository) -> None:
        self._oids = bytearray()
        self._times = array("q")
        args = ["log", "--walk-reflogs", "--date=unix", "--format=%H %gd", MAIN, "--"]
        for line in repository.lines(args) if repository.is_bare else ():
            match = _REFLOG.fullmatch(line)
            if match:
                self._oids += bytes.fromhex(match[1].decode("ascii"))
                self._times.append(int(match[2]))

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Give each value with its time."""
        width = len(self._oids) // max(1, len(self._times))
        for place in reversed(range(len(self._times))):
            yield bytes(self._oids[place * width : (place + 1) * width]), self._times[place]


def _check_values(walk: Walk, values: _Values, findings: Findings) -> None:
    """Find values that main had since the log began and has no more."""
    try:
        since = parse_time(walk.began or "")
    except InvalidError:
        return
    lost = dict.fromkeys(oid for oid, time in values if time >= since and walk.order.place_of(oid) is None)
    for oid in lost:
        findings.add(
            None,
            f"main was at {oid.hex()[:12]}, as git's reflog knows, and that commit is not on main any more",
            "main was put back past the gate: find out who can write to the repository's files",
        )


def _summed(findings: Findings, chain: Chain | None = None, walk: Walk | None = None) -> Verified:
    damage, shown, notes = findings.count, tuple(findings.shown), tuple(findings.notes)
    if chain is None or walk is None:
        return Verified(damage=damage, findings=shown, notes=notes)
    return Verified(
        entries=chain.entries,
        accepted=walk.accepted,
        refused=walk.refused,
        landed=walk.landed,
        superseded=walk.superseded,
        commits=walk.commits,
        older=walk.older,
        anchors=walk.anchored,
        head=chain.last.hash if chain.entries else None,
        damage=damage,
        findings=shown,
        notes=notes,
    )
