"""Judge the ref updates of one push against the repository that receives it."""

from __future__ import annotations

import time
from functools import cache, partial
from typing import TYPE_CHECKING

from gitreg.access import Action, known_users
from gitreg.changes import volume
from gitreg.errors import IntegrityError, InvalidError, NotFoundError, Problem
from gitreg.gate import (
    Code,
    Commit,
    Limits,
    Policy,
    PushedTag,
    RefUpdate,
    Violation,
    judge,
    judge_mark,
    judge_mixture,
    judge_refs,
    parse_updates,
)
from gitreg.gate.headers import Claim, judge_headers
from gitreg.gate.violation import of_problem
from gitreg.gate_hooks.facts import RepositoryFacts, no_store, sizes
from gitreg.gate_hooks.marks import implied_mark
from gitreg.git import changed_paths, refs
from gitreg.git import history as git_history
from gitreg.git.compare import TooMuchError, changed_along
from gitreg.git.lookup import kind_of
from gitreg.layout import ALLOWED_SIGNERS, DEPLOY_TAGS, MAIN, PROPOSALS, SETTINGS, DeployTag, place
from gitreg.reader import Snapshot
from gitreg.reader.history import edits_of
from gitreg.records import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from gitreg.gate_hooks.facts import BlobSize
    from gitreg.git import Repository, Signature
    from gitreg.names import UserName

MAX_PROPOSAL_COMMITS = 1000
_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was asked for, and why it is refused; no violation means accepted.

    `models` are the models that the push touches, as far as it was read; `signers` the users who signed its commits,
    where signatures are the identity.
    """

    updates: tuple[RefUpdate, ...]
    violations: tuple[Violation, ...]
    models: tuple[str, ...] = ()
    signers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a push is judged: the repository, its store, who writes deploy tags, the limits.

    Without `blob_size` it is the store that main's settings name. `scopes` are those of the token that the push came
    with; None where it came with none, or with one that is not bound.
    """

    repository: Repository
    blob_size: BlobSize | None = None
    server_marks: bool = True
    limits: Limits = _LIMITS
    scopes: frozenset[Action] | None = None


class Findings:
    """What is found out about one push, bit by bit."""

    def __init__(self, violations: Iterable[Violation] = ()) -> None:
        self.violations = list(violations)
        self.models: set[str] = set()
        self.signers: dict[str, UserName] = {}

    def touch(self, paths: Iterable[str]) -> None:
        """Note the models that paths belong to."""
        for path in paths:
            try:
                model = place(path).model
            except InvalidError:
                continue
            if model is not None:
                self.models.add(str(model))

    def verdict(self, updates: Sequence[RefUpdate]) -> Verdict:
        """Sum up."""
        signers = {oid: str(user) for oid, user in self.signers.items()}
        return Verdict(tuple(updates), tuple(self.violations), tuple(sorted(self.models)), signers)


def policy_of(snapshot: Snapshot) -> tuple[Policy, list[Violation]]:
    """Read the rules by which a push is judged, and tell why nothing can be judged by them.

    Where signatures are only for deploy tags, and no keys can be read, no tag counts and the rest goes on.
    """
    policy = Policy(snapshot.access, snapshot.settings)
    if not policy.settings.by_signature and not policy.settings.signed_tags:
        return policy, []
    from gitreg.keys import AllowedSigners  # most registries need no keys

    data = snapshot.read(ALLOWED_SIGNERS)
    remedy = f"signatures are judged by {ALLOWED_SIGNERS}; the server's owner puts it right there"
    found: list[Violation] = []
    if data is None:
        found = [Violation(Code.POLICY_MISSING, f"{ALLOWED_SIGNERS} is missing on main", remedy, path=ALLOWED_SIGNERS)]
    else:
        try:
            policy = replace(policy, signers=AllowedSigners.parse(data, ALLOWED_SIGNERS))
        except InvalidError as error:
            found = [replace(of_problem(problem), remedy=remedy) for problem in error.problems]
    return policy, found if policy.settings.by_signature else []


def judge_push(desk: Desk, data: bytes, who: UserName | None) -> Verdict:
    """Judge a push as the pre-receive hook is given it.

    `who` is None where the server leaves it to signatures to tell.
    """
    updates, found = parse_updates(data)
    if found:
        return Verdict(tuple(updates), tuple(found))
    values = refs.resolve_all(desk.repository, [MAIN, *(update.ref for update in updates)])
    current = {update.ref: values.get(update.ref) for update in updates}
    tip = values.get(MAIN)
    if tip is None:
        empty = Violation(Code.MAIN_CREATED, "this registry is empty", "its owner runs `gitreg init` on the server")
        return Verdict(tuple(updates), (empty,))
    snapshot = Snapshot(desk.repository, tip)
    policy, found = policy_of(snapshot)
    policy = replace(policy, scopes=desk.scopes)
    if desk.blob_size is None:
        desk = replace(desk, blob_size=sizes(snapshot, desk.repository.git_dir))
    found += judge_refs(updates, current, who, known_users(policy.access), server_marks=desk.server_marks)
    if desk.scopes == frozenset({Action.READ}):
        found.append(Violation(Code.ACCESS_DENIED, "the token was made for reading alone", "push with another token"))
    if who is None and not policy.settings.by_signature:
        found.append(
            Violation(
                Code.ACTOR_UNKNOWN,
                "the server takes who signed for the actor, and registry.yaml does not ask for signatures",
                "the server's owner says `identity: signature` in registry.yaml, or names another gitreg.identity",
                path=SETTINGS,
            )
        )
    findings = Findings(found)
    # A push whose refs alone are wrong is not worth opening its objects.
    if not found:
        try:
            _judge_contents(desk, updates, _Before(tip, policy, current), who, findings)
        except (IntegrityError, InvalidError, NotFoundError) as error:
            remedy = "push again with git; on the server `git fsck` tells whether it is damaged"
            findings.violations.append(Violation(Code.OBJECT_UNREADABLE, error.message, remedy))
    return findings.verdict(updates)


@dataclass(frozen=True, slots=True)
class _Before:
    """The state before a push: main's tip, the rules there, and the value of each ref that the push names."""

    tip: str
    policy: Policy
    current: Mapping[str, str | None]


def _judge_contents(
    desk: Desk, updates: Sequence[RefUpdate], before: _Before, who: UserName | None, findings: Findings
) -> None:
    tip, found = before.tip, findings.violations
    new_tip = next((update.new for update in updates if update.ref == MAIN), tip)
    if new_tip != tip:
        found += judge_range(desk, tip, new_tip, before.policy, who, findings=findings)
    # What tags must say follows from a history that is valid.
    tags = [] if found else [update for update in updates if update.ref.startswith(DEPLOY_TAGS)]
    for update in updates:
        if update.ref.startswith(PROPOSALS) and not update.deletes:
            faults = _judge_size(desk, update, tip, findings)
            found += faults or (_judge_owner(desk, update, before) if who is None else [])
    brought = frozenset(git_history.first_parents(desk.repository, new_tip, since=tip)) if tags else frozenset()
    actors = {oid: str(user) for oid in brought if (user := findings.signers.get(oid) or who) is not None}
    for update in tags:
        findings.models.add(str(DeployTag.parse(update.ref).model))
        found += _judge_tag(desk.repository, update, new_tip, actors)
        if before.policy.settings.signed_tags:
            found += _judge_tag_signer(desk, update, before, who)


def judge_range(  # noqa: PLR0913 - a range, the rules, an actor, and where more than violations is noted
    desk: Desk, base: str, tip: str, policy: Policy, who: UserName | None, *, findings: Findings | None = None
) -> list[Violation]:
    """Judge every commit on the first-parent chain from `base` to `tip`, by the rules at `base`.

    `who` pushes them all. None leaves it to the signatures, and the access rules out where these are no identity.
    """
    repository, findings = desk.repository, findings or Findings()
    if (kind := kind_of(repository, tip)) != "commit":
        if kind == "missing":
            raise NotFoundError(f"the commit {tip} did not come")
        return [Violation(Code.REF_UNKNOWN, f"{MAIN} must point at a commit, not a {kind}")]
    if repository.objects.commit(tip).parents[:1] == (base,):
        # Most pushes bring one commit, which needs no walk.
        return _judge_chain(desk, [base, tip], policy, who, findings)
    chain: list[str] = []
    for oid in git_history.first_parents(repository, tip, since=base):
        chain.append(oid)
        if len(chain) > desk.limits.commits:
            return [Violation(Code.TOO_MANY_PATHS, f"more than {desk.limits.commits} commits in one push", "split it")]
    chain.reverse()
    parents = repository.objects.commit(chain[0]).parents if chain else ()
    if not chain or not parents or parents[0] != base:
        return [
            Violation(
                Code.MAIN_REWOUND,
                "main only moves forward: its tip must be on the first-parent chain of the new one",
                "fetch, then rebase or merge onto main (merge your branch into main, not main into your branch)",
                commit=tip,
            )
        ]
    return _judge_chain(desk, [base, *chain], policy, who, findings)


def _judge_chain(
    desk: Desk, chain: Sequence[str], policy: Policy, who: UserName | None, findings: Findings
) -> list[Violation]:
    """Judge the commits of a chain that begins with what is there already."""
    repository, base = desk.repository, chain[0]
    facts = RepositoryFacts(
        repository, base, desk.blob_size or no_store("no store is named"), trust_tags=desk.server_marks
    )
    found: list[Violation] = []
    signed = policy.settings.by_signature
    if signed:
        found += _judge_signers(desk, chain, policy, who, findings)
    paths: list[str] = []
    parent = base
    brings_large = cache(partial(git_history.has_large_blob, repository, chain[-1], base, desk.limits.file_bytes))
    left = desk.limits.push_bytes
    walk = changed_along(repository.objects, chain, budget=desk.limits.paths, depth=desk.limits.depth)
    for oid in chain[1:]:
        try:
            edits = edits_of(next(walk), repository)
        except InvalidError as error:
            found += _unreadable(error, desk.limits, oid)
            break
        left -= volume(edits, desk.limits.file_bytes)
        if left < 0:
            found.append(_too_much(desk.limits, oid))
            break
        commit = Commit(oid, edits, Snapshot(repository, parent), Snapshot(repository, oid))
        findings.touch(edit.path for edit in edits)
        # Without a signature that holds there is no actor: what else is wrong is told all the same.
        actor = findings.signers.get(oid) if signed else who
        violations = _judge_header(repository, oid, facts.now)
        violations += _judge_sides(desk, oid, parent, brings_large)
        violations += judge(commit, policy, actor, facts, limits=desk.limits)
        found += violations
        if not violations:
            facts.advance(oid, edits)
        paths += [edit.path for edit in edits]
        parent = oid
    return found + judge_mixture(dict.fromkeys(paths))


def _judge_header(repository: Repository, oid: str, now: int) -> list[Violation]:
    """Judge what a commit says of itself."""
    commit = repository.objects.commit(oid)
    people = {"author": commit.author, "committer": commit.committer}
    claims = [claim_of(role, who) for role, who in people.items()]
    return list(judge_headers(oid, claims, commit.message, now))


def _judge_sides(desk: Desk, oid: str, parent: str, brings_large: Callable[[], bool]) -> list[Violation]:
    """Bound what a side that a commit merges has ever held.

    `brings_large` says whether the push as a whole holds too much; only then is each merge looked at.
    """
    repository, most = desk.repository, desk.limits.file_bytes
    if len(repository.objects.commit(oid).parents) < 2:  # noqa: PLR2004 - one parent is no merge
        return []
    if not brings_large() or not git_history.has_large_blob(repository, oid, parent, most):
        return []
    what = f"a side that it merges brings a file of more than {most} bytes"
    return [Violation(Code.FILE_TOO_LARGE, what, "merge a side that never had it", commit=oid)]


def claim_of(role: str, who: Signature) -> Claim:
    """Hand a signature of git's over to the gate."""
    return Claim(role, who.name, who.email, who.time, who.offset)


def _judge_signers(
    desk: Desk, chain: Sequence[str], policy: Policy, who: UserName | None, findings: Findings
) -> list[Violation]:
    """Find out who signed each commit of a chain, and why the others' signatures do not count."""
    from gitreg.gate.signing import rules_of
    from gitreg.gate_hooks import signers

    judged = signers.judge_chain(desk.repository, chain, rules_of(policy, who), int(time.time()))
    findings.signers.update(judged.users)
    return list(judged.violations)


def _judge_owner(desk: Desk, update: RefUpdate, before: _Before) -> list[Violation]:
    """Judge whose a proposal is, where the server names nobody."""
    from gitreg.gate.signing import rules_of
    from gitreg.gate_hooks import signers

    rules = rules_of(before.policy, None)
    old = before.current.get(update.ref)
    return list(signers.judge_proposal(desk.repository, update, old, rules, int(time.time())).violations)


def _judge_tag_signer(desk: Desk, update: RefUpdate, before: _Before, who: UserName | None) -> list[Violation]:
    from gitreg.gate.signing import rules_of
    from gitreg.gate_hooks import signers

    if kind_of(desk.repository, update.new) != "tag":
        return []  # which is told already
    rules = rules_of(before.policy, who)
    return list(signers.judge_tag(desk.repository, update.new, rules, int(time.time())).violations)


def _too_much(limits: Limits, commit: str) -> Violation:
    message = f"the files that the push changes hold more than {limits.push_bytes >> 20} MiB"
    return Violation(Code.TOO_MANY_PATHS, message, "push in parts", commit=commit)


def _unreadable(error: InvalidError, limits: Limits, commit: str) -> list[Violation]:
    """Tell why two trees could not be compared: they differ in too much, or are malformed."""
    if isinstance(error, TooMuchError):
        remedy = f"one push changes at most {limits.paths} paths, at most {limits.depth} folders deep: split it"
        return [Violation(Code.TOO_MANY_PATHS, error.message, remedy, commit=commit)]
    return [
        Violation(Code.TREE_MALFORMED, problem.message, "write the commit with git", commit=commit, path=problem.path)
        for problem in error.problems or [Problem(error.message)]
    ]


def _judge_size(desk: Desk, update: RefUpdate, tip: str, findings: Findings) -> list[Violation]:
    """Bound what a proposal brings; its content is judged when it reaches main."""
    repository = desk.repository

    def too_large(what: str) -> list[Violation]:
        return [Violation(Code.PROPOSAL_TOO_LARGE, f"{update.ref}: {what}", "split it", commit=update.new)]

    kind = kind_of(repository, update.new)
    if kind != "commit":
        return [Violation(Code.REF_UNKNOWN, f"{update.ref} must point at a commit, not a {kind}")]
    count = git_history.count_commits(repository, update.new, tip, limit=MAX_PROPOSAL_COMMITS + 1)
    if count > MAX_PROPOSAL_COMMITS:
        return too_large(f"more than {MAX_PROPOSAL_COMMITS} commits that main does not have")
    if git_history.has_large_blob(repository, update.new, tip, desk.limits.file_bytes):
        return too_large(f"it brings a file of more than {desk.limits.file_bytes} bytes")
    base = git_history.merge_base(repository, update.new, tip)
    if base is None:
        return [Violation(Code.MAIN_REWOUND, f"{update.ref} shares no history with main", commit=update.new)]
    try:
        changed = changed_paths(
            repository.objects,
            base,
            update.new,
            budget=desk.limits.paths,
            depth=desk.limits.depth,
        )
    except InvalidError as error:
        return _unreadable(error, desk.limits, update.new)
    edits = edits_of(changed, repository)
    findings.touch(edit.path for edit in edits)
    sizes = [edit for edit in edits if edit.after and edit.after.size > desk.limits.file_bytes]
    return too_large(f"{sizes[0].path} is larger than {desk.limits.file_bytes} bytes") if sizes else []


def _judge_tag(repository: Repository, update: RefUpdate, tip: str, actors: Mapping[str, str]) -> list[Violation]:
    """Judge a tag against the history of `tip`; `actors` are those of the commits that this very push brings."""
    if kind_of(repository, update.new) != "tag":
        return judge_mark(update.ref, None, None)
    from gitreg.git.signatures import unsigned_tag

    try:
        found = unsigned_tag(repository, update.new)
    except InvalidError as error:
        return [Violation(Code.TAG_WRONG, f"{update.ref}: {error}", "let `gitreg mark --push` write deploy tags")]
    target = found.target if found.target_type == "commit" else None
    implied = implied_mark(repository, tip, DeployTag.parse(update.ref), actors)
    tagger = claim_of("tagger", found.tagger) if found.tagger else None
    return judge_mark(update.ref, PushedTag(found.name, target, found.message, tagger), implied)
