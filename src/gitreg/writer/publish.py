"""Build a commit on the newest tip and push it, again on a newer tip where another writer was first."""

from __future__ import annotations

import difflib
import random
import secrets
import time
from typing import TYPE_CHECKING

from gitreg.changes import FileEntry, PathEdit
from gitreg.errors import ConflictError, GitregError, UnavailableError
from gitreg.gate import Code, Commit, Policy, Violation, judge, judge_mixture, refusal
from gitreg.gate.violation import refusal_of_text
from gitreg.gate_hooks.facts import RepositoryFacts, sizes
from gitreg.layout import DEPLOYMENTS, MAIN, PROPOSALS
from gitreg.names import UserName
from gitreg.reader import Overlay, Snapshot
from gitreg.records import replace

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitreg.changes import State
    from gitreg.digest import Digest
    from gitreg.writer.plan import Mode, Plan, Planner, Written
    from gitreg.writer.target import Target

PATIENCE = 300.0
MAX_PAUSE = 2.0
MOST_COMPARED = 2000
"""Lines, old and new together, that are compared to show a plan: that takes the square of their number and more."""


def publish(target: Target, planner: Planner, mode: Mode, *, known_sizes: Mapping[str, int] | None = None) -> Written:
    """Plan on the newest tip, commit, push; plan again where main moved on, with jitter and within bounds.

    `known_sizes` are bytes by digest of blobs that a dry run did not upload.

    Raises what the gate's verdict is classed as, ConflictError where main kept moving, UnavailableError where the
    registry cannot be reached and the commit has not arrived.
    """
    with target.turn():
        deadline = time.monotonic() + PATIENCE
        attempt = 0
        while True:
            snapshot = Snapshot(target.repository, target.refresh())
            plan = planner(snapshot).effective(snapshot)
            if not plan.edits:
                return replace(plan.written(None, MAIN), dry_run=mode.dry_run)
            done = _attempt(target, snapshot, plan, mode, known_sizes)
            if done is not None:
                return done
            attempt += 1
            if time.monotonic() > deadline:
                raise ConflictError(f"main kept moving for {PATIENCE:.0f} s", hint="nothing was changed; try again")
            time.sleep(random.uniform(0, min(MAX_PAUSE, 0.02 * 2**attempt)))  # noqa: S311 - jitter, not a secret


def _attempt(
    target: Target, snapshot: Snapshot, plan: Plan, mode: Mode, known_sizes: Mapping[str, int] | None
) -> Written | None:
    """Try once; None where another writer was first."""
    signed = snapshot.settings.by_signature
    known = _signer(target, snapshot, mode) if signed else None
    ref = f"{PROPOSALS}{known or target.require_user(mode.user)}/{_slug(plan.subject)}" if mode.propose else MAIN
    who = None
    if mode.dry_run or target.is_local:
        who = known if signed else target.actor(mode.user)
    violations = prejudge(target, snapshot, plan, who, known_sizes)
    if signed:
        violations += _foreseen(target, snapshot, mode)
    if mode.dry_run:
        shown = plan.written(None, ref)
        return replace(shown, dry_run=True, diff=diff_text(plan.edits, snapshot), violations=tuple(violations))
    if violations:
        raise refusal(violations, "the registry would refuse this")
    oid = target.write(snapshot.commit, plan.edits, plan.message, sign=signed or None)
    if signed:
        actor = _judge_signature(target, snapshot, oid, mode)
        if target.is_local and actor != who and (violations := prejudge(target, snapshot, plan, actor, known_sizes)):
            raise refusal(violations, "the registry would refuse this")
    result = _push(target, oid, ref, None if mode.propose else snapshot.commit)
    if result is None:
        return None
    if result:
        raise refusal_of_text(result)
    written = plan.written(oid, ref)
    if mode.propose:
        return written
    return replace(written, notes=(*written.notes, *_follow_up(target, oid, snapshot.commit, plan, mode)))


# Where signatures are the identity


def _named(mode: Mode) -> UserName | None:
    return UserName(mode.user) if mode.user else None


def _signer(target: Target, snapshot: Snapshot, mode: Mode) -> UserName | None:
    """Name whom the registry will see: who is named by hand, or else whose key git signs with, if that is known."""
    from gitreg.writer.signing import signer

    return _named(mode) or signer(target, snapshot)


def _foreseen(target: Target, snapshot: Snapshot, mode: Mode) -> list[Violation]:
    from gitreg.writer.signing import foresee

    return foresee(target, snapshot, _named(mode))


def _judge_signature(target: Target, snapshot: Snapshot, oid: str, mode: Mode) -> UserName:
    """Give who signed a commit that was just written; raise where the signature would not count."""
    from gitreg.writer.signing import judge_written

    judged = judge_written(target, snapshot, oid, _named(mode))
    if judged.violations:
        raise refusal(judged.violations, "the registry would refuse this")
    return judged.users[oid]


def _push(target: Target, oid: str, ref: str, old: str | None) -> list[str] | None:
    """Push: an empty list is success, None is stale, lines are the server's refusal."""
    try:
        return target.push(oid, ref, old)
    except UnavailableError:
        # The line was cut: the server may have accepted before that. Ask it, and only then give up.
        if target.has_landed(oid, ref):
            return []
        raise


def _follow_up(target: Target, oid: str, old: str, plan: Plan, mode: Mode) -> tuple[str, ...]:
    """Do what is left to do once a commit is on main: local ref, work tree, tags; tell what failed."""
    try:
        target.arrived(oid, old)
        if any(map(is_pointer, plan.edits)) and target.marks_deployments:
            from gitreg.writer.marking import mark

            mark(target, push=True, actor=target.actor(mode.user))
    except GitregError as error:
        # What is written is written: this is no failure of the write.
        return (f"it is on main, but what follows from it is not done here yet: {error}",)
    return ()


def _slug(subject: str) -> str:
    """Name a proposal's branch after its subject, with a few random letters so that two never meet."""
    words = "-".join("".join(c if c.isalnum() and c.isascii() else " " for c in subject.lower()).split())
    return f"{words[:60].strip('-')}-{secrets.token_hex(3)}"


def prejudge(
    target: Target, snapshot: Snapshot, plan: Plan, user: UserName | None, known_sizes: Mapping[str, int] | None = None
) -> list[Violation]:
    """Give the gate's verdict on a plan before anything is written; without a user the access rules are left out."""
    if target.repository.is_shallow and not target.is_local and any(map(is_pointer, plan.edits)):
        return []  # what a pointer was before is not known here; the server knows
    edits = path_edits(plan.edits, snapshot)
    stored = sizes(snapshot, target.store_base)
    known = known_sizes or {}

    def blob_size(digest: Digest) -> int | None:
        return known[str(digest)] if str(digest) in known else stored(digest)

    facts = RepositoryFacts(target.repository, snapshot.commit, blob_size)
    commit = Commit("", edits, snapshot, Overlay(snapshot, plan.edits))
    found = judge(commit, Policy(snapshot.access, snapshot.settings), user, facts)
    found += judge_mixture(edit.path for edit in edits)
    if target.is_local:
        return found
    # A client need not reach the store that its server asks again.
    return [violation for violation in found if violation.code is not Code.STORE_UNAVAILABLE]


def is_pointer(path: str) -> bool:
    """Whether a path is a deployment pointer."""
    return path.startswith(f"{DEPLOYMENTS}/")


def path_edits(edits: Mapping[str, bytes | None], before: State) -> tuple[PathEdit, ...]:
    """Say what edits do to a state, as the gate is told it."""
    return tuple(PathEdit(path, _entry(before.read(path)), _entry(data)) for path, data in sorted(edits.items()))


def _entry(data: bytes | None) -> FileEntry | None:
    return None if data is None else FileEntry("100644", "", len(data))


def diff_text(edits: Mapping[str, bytes | None], snapshot: Snapshot) -> str:
    """Show the edits as a unified diff; what is too long to be compared, as removed and added."""
    parts: list[str] = []
    left = MOST_COMPARED
    for path, new in sorted(edits.items()):
        old = snapshot.read(path)
        before, after = _lines(old), _lines(new)
        names = f"a/{path}" if old is not None else "/dev/null", f"b/{path}" if new is not None else "/dev/null"
        if before and after:
            left -= len(before) + len(after)
        if before and after and left < 0:
            parts += _replaced(before, after, *names)
        else:
            parts += difflib.unified_diff(before, after, *names)
    return "".join(parts)


def _lines(data: bytes | None) -> list[str]:
    return data.decode("utf-8", "replace").splitlines(keepends=True) if data is not None else []


def _replaced(before: list[str], after: list[str], old: str, new: str) -> Iterator[str]:
    """Show a file as one hunk that removes every line and adds every line, without comparing them."""
    if before == after:
        return
    yield f"--- {old}\n+++ {new}\n@@ -1,{len(before)} +1,{len(after)} @@\n"
    yield from (f"-{line}" for line in before)
    yield from (f"+{line}" for line in after)
