"""Judge the ref updates of one push against the repository that receives it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.access import known_users
from gitreg.errors import InvalidError, Problem
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
from gitreg.gate_hooks.facts import RepositoryFacts, no_store, sizes
from gitreg.gate_hooks.marks import implied_mark
from gitreg.git import changed_paths, refs
from gitreg.git import history as git_history
from gitreg.git.compare import TooMuchError
from gitreg.git.lookup import kind_of
from gitreg.layout import DEPLOY_TAGS, MAIN, PROPOSALS, SETTINGS, DeployTag
from gitreg.reader import Snapshot
from gitreg.reader.history import edits_of
from gitreg.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.gate_hooks.facts import BlobSize
    from gitreg.git import Repository
    from gitreg.names import UserName

MAX_PROPOSAL_COMMITS = 1000
_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was asked for, and why it is refused; no violation means accepted."""

    updates: tuple[RefUpdate, ...]
    violations: tuple[Violation, ...]


@dataclass(frozen=True, slots=True)
class Desk:
    """Where a push is judged: the repository, its store, who writes deploy tags, the limits.

    Without `blob_size` it is the store that main's settings name.
    """

    repository: Repository
    blob_size: BlobSize | None = None
    server_marks: bool = True
    limits: Limits = _LIMITS


def judge_push(desk: Desk, data: bytes, who: UserName) -> Verdict:
    """Judge a push as the pre-receive hook is given it."""
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
    policy = Policy(snapshot.access, snapshot.settings)
    if desk.blob_size is None:
        desk = replace(desk, blob_size=sizes(snapshot, desk.repository.git_dir))
    found = judge_refs(updates, current, who, known_users(policy.access), server_marks=desk.server_marks)
    if policy.settings.identity is not None:
        found.append(
            Violation(
                Code.ACTOR_UNKNOWN,
                f"registry.yaml wants the actor by {policy.settings.identity}, which this release cannot verify",
                "the server's owner takes `identity` out of registry.yaml",
                path=SETTINGS,
            )
        )
    # A push whose refs alone are wrong is not worth opening its objects.
    if not found:
        found = _judge_contents(desk, updates, tip, policy, who)
    return Verdict(tuple(updates), tuple(found))


def _judge_contents(
    desk: Desk, updates: Sequence[RefUpdate], tip: str, policy: Policy, who: UserName
) -> list[Violation]:
    found: list[Violation] = []
    new_tip = next((update.new for update in updates if update.ref == MAIN), tip)
    if new_tip != tip:
        found += judge_range(desk, tip, new_tip, policy, who)
    # What tags must say follows from a history that is valid.
    tags = [] if found else [update for update in updates if update.ref.startswith(DEPLOY_TAGS)]
    for update in updates:
        if update.ref.startswith(PROPOSALS) and not update.deletes:
            found += _judge_size(desk, update, tip)
    brought = frozenset(git_history.first_parents(desk.repository, new_tip, since=tip)) if tags else frozenset()
    for update in tags:
        found += _judge_tag(desk.repository, update, new_tip, dict.fromkeys(brought, str(who)))
    return found


def judge_range(desk: Desk, base: str, tip: str, policy: Policy, who: UserName | None) -> list[Violation]:
    """Judge every commit on the first-parent chain from `base` to `tip`, by the rules at `base`."""
    repository = desk.repository
    if kind_of(repository, tip) == "commit" and repository.objects.commit(tip).parents[:1] == (base,):
        # Most pushes bring one commit, which needs no walk.
        return _judge_chain(desk, base, [tip], policy, who)
    chain: list[str] = []
    for oid in git_history.first_parents(repository, tip, since=base):
        chain.append(oid)
        if len(chain) > desk.limits.commits:
            return [Violation(Code.TOO_MANY_PATHS, f"more than {desk.limits.commits} commits in one push", "split it")]
    chain.reverse()
    if chain and chain[-1] != tip:
        # rev-list looks through a tag.
        return [Violation(Code.REF_UNKNOWN, f"{MAIN} must point at a commit, not a {kind_of(repository, tip)}")]
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
    return _judge_chain(desk, base, chain, policy, who)


def _judge_chain(desk: Desk, base: str, chain: Sequence[str], policy: Policy, who: UserName | None) -> list[Violation]:
    repository = desk.repository
    facts = RepositoryFacts(
        repository, base, desk.blob_size or no_store("no store is named"), trust_tags=desk.server_marks
    )
    found: list[Violation] = []
    paths: list[str] = []
    parent = base
    for oid in chain:
        try:
            changed = changed_paths(
                repository.objects,
                parent,
                oid,
                budget=desk.limits.paths - len(paths),
                depth=desk.limits.depth,
            )
        except InvalidError as error:
            found += _unreadable(error, desk.limits, oid)
            break
        edits = edits_of(changed, repository)
        commit = Commit(oid, edits, Snapshot(repository, parent), Snapshot(repository, oid))
        violations = judge(commit, policy, who, facts, limits=desk.limits)
        found += violations
        if not violations:
            facts.advance(oid, edits)
        paths += [edit.path for edit in edits]
        parent = oid
    return found + judge_mixture(dict.fromkeys(paths))


def _unreadable(error: InvalidError, limits: Limits, commit: str) -> list[Violation]:
    """Tell why two trees could not be compared: they differ in too much, or are malformed."""
    if isinstance(error, TooMuchError):
        remedy = f"one push changes at most {limits.paths} paths, at most {limits.depth} folders deep: split it"
        return [Violation(Code.TOO_MANY_PATHS, error.message, remedy, commit=commit)]
    return [
        Violation(Code.TREE_MALFORMED, problem.message, "write the commit with git", commit=commit, path=problem.path)
        for problem in error.problems or [Problem(error.message)]
    ]


def _judge_size(desk: Desk, update: RefUpdate, tip: str) -> list[Violation]:
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
    sizes = [edit for edit in edits_of(changed, repository) if edit.after and edit.after.size > desk.limits.file_bytes]
    return too_large(f"{sizes[0].path} is larger than {desk.limits.file_bytes} bytes") if sizes else []


def _judge_tag(repository: Repository, update: RefUpdate, tip: str, actors: Mapping[str, str]) -> list[Violation]:
    """Judge a tag against the history of `tip`; `actors` are those of the commits that this very push brings."""
    if kind_of(repository, update.new) != "tag":
        return judge_mark(update.ref, None, None)
    found = repository.objects.tag(update.new)
    target = found.target if found.target_type == "commit" else None
    implied = implied_mark(repository, tip, DeployTag.parse(update.ref), actors)
    return judge_mark(update.ref, PushedTag(found.name, target, found.message), implied)
