"""Plan a group of changes one upon the other, and judge each for its own actor by the rules before the group."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from gitreg.access import known_users
from gitreg.changes import volume
from gitreg.errors import DeniedError, GitregError, InvalidError, PreconditionError
from gitreg.gate import Code, Commit, Limits, Policy, RefUpdate, Violation, judge, judge_mixture, judge_refs, refusal
from gitreg.gate.headers import judge_headers
from gitreg.gate.judge import is_policy
from gitreg.gate_hooks.facts import RepositoryFacts, sizes
from gitreg.gate_hooks.push import claim_of
from gitreg.git import Draft, Signature
from gitreg.git.commits import commands
from gitreg.git.values import is_oid
from gitreg.layout import MAIN, MODELS, Kind, place
from gitreg.reader.snapshot import Overlay, Snapshot
from gitreg.records import dataclass, field, replace
from gitreg.writer.publish import diff_text, path_edits

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from gitreg.access import Action
    from gitreg.changes import PathEdit
    from gitreg.digest import Digest
    from gitreg.git import Repository
    from gitreg.manifest import Tombstone
    from gitreg.names import ModelName, UserName
    from gitreg.reader import Parsed, PlainFile, VersionFile
    from gitreg.writer.plan import Plan, Planner, Written

MOST_CHANGES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What one request wants to change, and for whom.

    `planner` is called on the newest state, perhaps several times. `actor` is whom the gate judges and the audit log
    names, `source` from where and how that is known; `author` stands in the commit. `expected` is the commit that was
    read: where what the plan touches has changed since, it is refused. `known` are sizes of blobs that were just
    stored, by digest. `scopes` are the actions that the actor's token was made for; None where it is bound to none.
    `models` are those that the planner will read: the folders of a whole group are then read in one go.
    """

    planner: Planner
    actor: UserName
    author: Signature
    source: Mapping[str, str] = field(default_factory=dict)
    expected: str | None = None
    dry_run: bool = False
    known: Mapping[str, int] = field(default_factory=dict)
    scopes: frozenset[Action] | None = None
    models: tuple[ModelName, ...] = ()


class Writer(Protocol):
    """Who takes changes: a thread (`GroupWriter`), or a process (`ProcessWriter`)."""

    def submit(self, change: Change) -> Future[Written]:
        """Hand a change in; see `GroupWriter.submit`."""

    def close(self) -> None:
        """Finish what was begun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A change that the gate has accepted, as the commit that it is to be."""

    change: Change
    plan: Plan
    draft: Draft
    models: tuple[str, ...]


class RefusedError(Exception):
    """The gate refuses a change."""

    def __init__(self, violations: Sequence[Violation], models: tuple[str, ...]) -> None:
        super().__init__(f"{len(violations)} violations")
        self.violations = tuple(violations)
        self.models = models

    @property
    def verdict(self) -> GitregError:
        """The error that the violations are classed as."""
        return refusal(self.violations)


class LaterError(Exception):
    """What becomes of a change shows only once the commits before it are on main: it waits for the next group."""


class Ahead(Snapshot):
    """A registry at one commit, with what is to be committed upon it; history is that of the commit."""

    def __init__(self, below: Snapshot, parsed: Parsed) -> None:
        super().__init__(below.repository, below.commit, parsed)
        self.edits: dict[str, bytes | None] = {}
        self._overlay = Overlay(below, self.edits)

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes, or None."""
        return self._overlay.read(path)

    def plain(self, path: str) -> PlainFile | None:
        """Give what a file says, or None where there is no such file."""
        if path not in self.edits:
            return super().plain(path)
        return None if self.edits[path] is None else self._read_plain(path, self.edits[path])

    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder."""
        return self._overlay.names(folder)

    def every_version(self, name: ModelName) -> Iterator[VersionFile | Tombstone]:
        """Read all versions of a model, lowest first."""
        prefix = f"{MODELS}/{name}/"
        if not any(path.startswith(prefix) for path in self.edits):
            yield from super().every_version(name)
            return
        for version in self.versions(name):
            if (found := self.find(name, version)) is not None:
                yield found


class Stage:
    """One group in the making: commits upon main's tip, none of them written yet.

    What a change is told is told of a state that is on main. So one that would fail upon the others of its group, or
    have nothing to do, waits until these have landed; and no two changes of one group touch the same file, so that the
    history that a planner or a rule asks is that of the tip.
    """

    def __init__(self, repository: Repository, tip: str, parsed: Parsed, *, server_marks: bool, limits: Limits) -> None:
        self.tip = tip
        self.staged: list[Staged] = []
        self._repository = repository
        self._limits = limits
        self._server_marks = server_marks
        self._base = Snapshot(repository, tip, parsed)
        self._ahead = Ahead(self._base, parsed)
        self._stored = sizes(self._base, repository.git_dir)
        self._paths = self._bytes = 0

    @property
    def touches_pointers(self) -> bool:
        """Whether a deployment changes."""
        return any(place(path).kind is Kind.DEPLOYMENT for path in self._ahead.edits)

    def read_ahead(self, models: Iterable[ModelName]) -> None:
        """Read the folders of models in two questions to git, in the place of some for each change."""
        self._base.read_ahead(models)

    def take(self, change: Change) -> Written | None:
        """Take a change into the group (None), or answer it at once, as there is nothing to commit.

        Raises LaterError, RefusedError, and what planning raises.
        """
        if change.dry_run:
            return self._show(change)
        try:
            answer = self._take(change)
        except Exception as error:
            if self.staged:
                raise LaterError from error
            raise
        if answer is not None and self.staged:
            raise LaterError
        return answer

    def _take(self, change: Change) -> Written | None:
        if self.staged and self._is_full():
            raise LaterError
        plan = change.planner(self._ahead).effective(self._ahead)
        if self.staged and any(map(is_policy, plan.edits)):
            raise LaterError
        self._check_expected(change, plan)
        if not plan.edits:
            return plan.written(None, MAIN)
        models, edits = models_of(plan.edits), path_edits(plan.edits, self._ahead)
        draft = self._draft(change, plan)
        if violations := self._judge(change, draft, edits, self._ahead):
            raise RefusedError(violations, models)
        room = volume(edits, self._limits.file_bytes)
        if self._excess(len(edits) + self._paths, room + self._bytes) or not self._ahead.edits.keys().isdisjoint(
            plan.edits
        ):
            raise LaterError
        self._paths += len(edits)
        self._bytes += room
        self._ahead.edits.update(plan.edits)
        self.staged.append(Staged(change=change, plan=plan, draft=draft, models=models))
        return None

    def _show(self, change: Change) -> Written:
        """Judge a change and write nothing."""
        plan = change.planner(self._base).effective(self._base)
        self._check_expected(change, plan)
        found: list[Violation] = []
        if plan.edits:
            found = self._judge(change, self._draft(change, plan), path_edits(plan.edits, self._base), self._base)
        diff = diff_text(plan.edits, self._base)
        return replace(plan.written(None, MAIN), dry_run=True, diff=diff, violations=tuple(found))

    def _is_full(self) -> bool:
        """Whether nothing more goes in: there are enough commits, or one that changes the rules, which goes alone."""
        return len(self.staged) >= min(MOST_CHANGES, self._limits.commits) or any(map(is_policy, self._ahead.edits))

    def _draft(self, change: Change, plan: Plan) -> Draft:
        committer = Signature.now(change.author.name, change.author.email)
        draft = Draft(edits=plan.edits, message=plan.message, author=change.author, committer=committer)
        if "\0" not in draft.message:  # which the gate refuses
            list(commands(self.tip, [draft]))  # what git cannot be told must not fail the whole group
        return draft

    # The judgement

    def _judge(self, change: Change, draft: Draft, edits: tuple[PathEdit, ...], at: Snapshot) -> list[Violation]:
        """Judge a change as the hook would judge the push of its commit alone."""
        settings, access = self._base.settings, self._base.access
        if settings.by_signature:
            raise DeniedError(
                "in this registry who signed a commit is its actor, and a server cannot sign for people",
                hint="push a commit that you signed: with git, or with gitreg --registry and the address git has",
            )
        update = RefUpdate(self.tip, self.tip, MAIN)
        known = known_users(access)
        found = judge_refs([update], {MAIN: self.tip}, change.actor, known, server_marks=self._server_marks)
        found += self._sizes(edits)
        if found:
            return found
        facts = self._facts(change)
        people = {"author": draft.author, "committer": draft.committer}
        claims = [claim_of(role, who) for role, who in people.items() if who]
        found += judge_headers("", claims, draft.message, facts.now)
        commit = Commit("", edits, at, Overlay(at, draft.edits))
        found += judge(commit, Policy(access, settings, scopes=change.scopes), change.actor, facts, limits=self._limits)
        return found + judge_mixture(draft.edits)

    def _facts(self, change: Change) -> RepositoryFacts:
        def blob_size(digest: Digest) -> int | None:
            known = change.known.get(str(digest))
            return self._stored(digest) if known is None else known

        return RepositoryFacts(self._repository, self.tip, blob_size, trust_tags=self._server_marks)

    def _sizes(self, edits: Sequence[PathEdit]) -> Iterator[Violation]:
        """Bound what one change brings, before any of it is read."""
        if what := self._excess(len(edits), volume(edits, self._limits.file_bytes)):
            yield Violation(Code.TOO_MANY_PATHS, f"the request changes {what}", "ask for less at once")
        for edit in edits:
            if place(edit.path).kind is Kind.FREE:
                raise InvalidError(f"{edit.path[:200]!r} is no file of a registry's", hint="push it with git")

    def _excess(self, paths: int, size: int) -> str | None:
        if paths > self._limits.paths:
            return f"more than {self._limits.paths} files"
        return f"files of more than {self._limits.push_bytes >> 20} MiB" if size > self._limits.push_bytes else None

    # What was read before

    def _check_expected(self, change: Change, plan: Plan) -> None:
        """Refuse a change where what it touches, or the folder of its model, is not what was read."""
        if change.expected is None:
            return
        if not self._is_commit(change.expected):
            raise PreconditionError(f"{change.expected[:80]!r} is no commit of this registry", hint="read it again")
        names = {f"{MODELS}/{model}" for model in models_of(plan.edits)}
        touched = sorted(
            names | {path for path in plan.edits if not path.startswith(tuple(f"{each}/" for each in names))}
        )
        changed = [path for path in touched if self._identity(change.expected, path) != self._identity(self.tip, path)]
        staged = [path for path in touched if any(f"{each}/".startswith(f"{path}/") for each in self._ahead.edits)]
        if changed or staged:
            raise PreconditionError(
                f"{(changed or staged)[0]} has changed since {change.expected[:12]}",
                hint="read it again, and decide anew",
            )

    def _is_commit(self, text: str) -> bool:
        info = self._repository.objects.info(text) if is_oid(text) else None
        return info is not None and info.type == "commit"

    def _identity(self, commit: str, path: str) -> str | None:
        info = self._repository.objects.at(commit, path)
        return info.oid if info else None


def models_of(paths: Mapping[str, bytes | None]) -> tuple[str, ...]:
    """Name the models that paths belong to."""
    return tuple(sorted({str(model) for path in paths if (model := place(path).model)}))
