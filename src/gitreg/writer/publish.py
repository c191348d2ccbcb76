"""Build a commit on the newest tip and push it, again on a newer tip where another writer was first."""

from __future__ import annotations

import difflib
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gitreg.changes import FileEntry, PathEdit
from gitreg.errors import ConflictError, UnavailableError
from gitreg.gate import Code, Commit, Policy, Violation, judge, judge_mixture, refusal
from gitreg.gate.violation import refusal_of_text
from gitreg.gate_hooks.desk import sizes
from gitreg.gate_hooks.facts import RepositoryFacts
from gitreg.layout import MAIN, PROPOSALS
from gitreg.reader import Snapshot

if TYPE_CHECKING:
    from gitreg.digest import Digest
    from gitreg.names import UserName
    from gitreg.writer.target import Target

PATIENCE = 300.0
MAX_PAUSE = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How a write is to be done: shown only, proposed on a branch, or pushed; and as which user."""

    dry_run: bool = False
    propose: bool = False
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one commit shall contain: new bytes (None removes) by path, and its message."""

    edits: Mapping[str, bytes | None]
    subject: str
    body: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    about: object = None

    @property
    def message(self) -> str:
        """The commit message: subject, body, trailers."""
        trailers = "\n".join(f"{key}: {' '.join(value.split())}" for key, value in self.trailers.items() if value)
        return "\n\n".join(part for part in (self.subject, self.body, trailers) if part) + "\n"


Planner = Callable[[Snapshot], Plan]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a write: its commit and ref; on a dry run the diff and the gate's verdict.

    `commit` is None where nothing had to change.
    """

    commit: str | None
    ref: str
    subject: str
    paths: tuple[str, ...]
    dry_run: bool = False
    diff: str | None = None
    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()
    about: object = None


def publish(target: Target, planner: Planner, mode: Mode, *, known_sizes: Mapping[str, int] | None = None) -> Written:
    """Plan on the newest tip, commit, push; plan again where main moved on, with jitter and within bounds.

    Raises what the gate's verdict is classed as, ConflictError where main kept moving, UnavailableError where the
    registry cannot be reached and the commit has not arrived.
    """
    with target.turn():
        deadline = time.monotonic() + PATIENCE
        attempt = 0
        while True:
            tip = target.refresh()
            snapshot = Snapshot(target.repository, tip)
            plan = _effective(planner(snapshot), snapshot)
            if not plan.edits:
                return Written(
                    commit=None, ref=MAIN, subject=plan.subject, paths=(), notes=plan.notes, about=plan.about
                )
            done = _attempt(target, snapshot, plan, mode, known_sizes)
            if done is not None:
                return done
            attempt += 1
            if time.monotonic() > deadline:
                raise ConflictError(f"main kept moving for {PATIENCE:.0f} s", hint="nothing was changed; try again")
            time.sleep(random.uniform(0, min(MAX_PAUSE, 0.02 * 2**attempt)))  # noqa: S311 - jitter, not a secret


def _effective(plan: Plan, snapshot: Snapshot) -> Plan:
    """Leave out edits that change nothing."""
    from dataclasses import replace

    kept = {path: data for path, data in plan.edits.items() if snapshot.read(path) != data}
    return replace(plan, edits=kept)


def _attempt(
    target: Target, snapshot: Snapshot, plan: Plan, mode: Mode, known_sizes: Mapping[str, int] | None
) -> Written | None:
    """Try once; None where another writer was first."""
    user = target.actor(mode.user)
    oid = target.write(snapshot.commit, plan.edits, plan.message)
    who = user if mode.dry_run or target.is_local else None
    violations = prejudge(target, Step(snapshot, oid, plan, known_sizes), who)
    ref = f"{PROPOSALS}{target.require_user(mode.user)}/{_slug(plan.subject)}" if mode.propose else MAIN
    written = _written(plan, oid, ref)
    if mode.dry_run:
        return _shown(written, plan, snapshot, violations)
    if violations:
        raise refusal(violations, "the registry would refuse this")
    if mode.propose:
        result = target.push(oid, ref, None)
    else:
        result = _push_main(target, oid, snapshot.commit)
    if result is None:
        return None
    if result:
        raise refusal_of_text(result)
    if not mode.propose:
        target.arrived(oid, snapshot.commit)
    return written


def _push_main(target: Target, oid: str, tip: str) -> list[str] | None:
    """Push to main: an empty list is success, None is stale, lines are the server's refusal."""
    try:
        return target.push(oid, MAIN, tip)
    except UnavailableError:
        # The line was cut: the server may have accepted before that. Ask it, and only then give up.
        if target.has_landed(oid):
            return []
        raise


def _written(plan: Plan, oid: str, ref: str) -> Written:
    return Written(
        commit=oid, ref=ref, subject=plan.subject, paths=tuple(sorted(plan.edits)), notes=plan.notes, about=plan.about
    )


def _shown(written: Written, plan: Plan, snapshot: Snapshot, violations: list[Violation]) -> Written:
    from dataclasses import replace

    return replace(
        written, commit=None, dry_run=True, diff=diff_text(plan.edits, snapshot), violations=tuple(violations)
    )


def _slug(subject: str) -> str:
    """Name a proposal's branch after its subject, with a few random letters so that two never meet."""
    words = "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in subject.lower()).split())
    return f"{words[:60].strip('-')}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Step:
    """A commit that is written but not pushed: what it stands on, what it does, blobs that a dry run did not upload."""

    snapshot: Snapshot
    oid: str
    plan: Plan
    known_sizes: Mapping[str, int] | None = None


def prejudge(target: Target, step: Step, user: UserName | None) -> list[Violation]:
    """Give the gate's verdict on a commit before it is pushed."""
    snapshot = step.snapshot
    edits = tuple(
        PathEdit(path, _entry(snapshot.read(path)), _entry(data)) for path, data in sorted(step.plan.edits.items())
    )
    stored = sizes(target.repository, snapshot.commit, target.store_base)
    known = step.known_sizes or {}

    def blob_size(digest: Digest) -> int | None:
        return known[str(digest)] if str(digest) in known else stored(digest)

    facts = RepositoryFacts(target.repository, snapshot.commit, blob_size)
    commit = Commit("", edits, snapshot, Snapshot(target.commit_repository, step.oid))
    found = judge(commit, Policy(snapshot.access, snapshot.settings), user, facts)
    found += judge_mixture(edit.path for edit in edits)
    if target.is_local:
        return found
    # A client need not reach the store that its server asks again.
    return [violation for violation in found if violation.code is not Code.STORE_UNAVAILABLE]


def _entry(data: bytes | None) -> FileEntry | None:
    return None if data is None else FileEntry("100644", "", len(data))


def diff_text(edits: Mapping[str, bytes | None], snapshot: Snapshot) -> str:
    """Show the edits as a unified diff."""
    parts: list[str] = []
    for path, new in sorted(edits.items()):
        old = snapshot.read(path)
        parts += difflib.unified_diff(
            old.decode("utf-8", "replace").splitlines(keepends=True) if old is not None else [],
            new.decode("utf-8", "replace").splitlines(keepends=True) if new is not None else [],
            f"a/{path}" if old is not None else "/dev/null",
            f"b/{path}" if new is not None else "/dev/null",
        )
    return "".join(parts)
