"""What happened on main: deployments of one model, and the log of everything."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from gitreg.changes import FileEntry, PathEdit, difference, pointer_action
from gitreg.deployment import Deployment
from gitreg.errors import InvalidError, NotFoundError
from gitreg.git import changed_paths, refs
from gitreg.git import history as git_history
from gitreg.git.lookup import empty_tree
from gitreg.git.values import is_oid
from gitreg.layout import DeployTag, deploy_tag_prefix, deployment_path
from gitreg.reader.snapshot import Snapshot
from gitreg.records import dataclass
from gitreg.wire import load_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitreg.git import Commit, PathChange, Repository, TagRef, TreeEntry
    from gitreg.names import EnvironmentName, ModelName, Version

MARKED = "gitreg/marked"
SUBMODULE = "160000"
LOG_PATHS = 10_000
LOG_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRecord:
    """One change of a pointer: its number (from 1), what it did, and the commit that did it."""

    environment: EnvironmentName
    model: ModelName
    number: int
    action: str
    version: Version | None
    previous: Version | None
    canary_version: Version | None = None
    canary_percent: int | None = None
    commit: str
    time: str
    author: str
    actor: str | None = None
    reason: str | None = None
    marked: bool = False

    @property
    def pointer(self) -> Deployment | None:
        """The pointer as it stood after this change; None after an undeploy."""
        if self.version is None:
            return None
        return Deployment(
            environment=self.environment,
            model=self.model,
            version=self.version,
            canary_version=self.canary_version,
            canary_percent=self.canary_percent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogEntry:
    """One commit of main, in the registry's words."""

    commit: str
    time: str
    author: str
    subject: str
    changes: tuple[str, ...]


def iso(seconds: int) -> str:
    """Write seconds since 1970 as RFC 3339 in UTC."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        # A commit may claim any date at all.
        return f"@{seconds}"


def parse_time(text: str) -> int:
    """Read a date or an RFC 3339 time as seconds since 1970; a time without a zone is UTC, a date is its end."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidError(f"{text[:80]!r} is not a time", hint="write 2026-01-31 or 2026-01-31T12:00:00Z") from error
    if len(text) <= len("2026-01-31"):
        moment = moment.replace(hour=23, minute=59, second=59)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def commit_before(repository: Repository, tip: str, time: str) -> str:
    """Find the last commit of main at a time; NotFoundError before the first."""
    _whole(repository)
    found = git_history.commit_at(repository, tip, parse_time(time))
    if found is None:
        raise NotFoundError(f"the registry did not exist yet at {time}")
    return found


def _whole(repository: Repository) -> None:
    if repository.is_shallow:
        raise InvalidError("this clone is shallow and has no full history", hint="git fetch --unshallow")


def pointer_at(
    repository: Repository, commit: str, environment: EnvironmentName, model: ModelName
) -> Deployment | None:
    """Read a pointer at any commit."""
    path = deployment_path(environment, model)
    data = repository.objects.blob(commit, path)
    return _pointer(data, path) if data is not None else None


@lru_cache(maxsize=4096)
def _pointer(data: bytes, path: str) -> Deployment:
    """Read what a pointer's file says: the same few files, each time that its history is asked."""
    return Deployment.from_data(load_plain(data, path))


def deployments(
    repository: Repository,
    tip: str,
    environment: EnvironmentName,
    model: ModelName,
    *,
    trust_tags: bool = True,
) -> list[DeploymentRecord]:
    """List every change of one pointer, oldest first.

    Reads the deploy tags where they tell the whole story, so that the cost does not grow with the registry; walks the
    first-parent chain otherwise, or where tags are not to be trusted.
    """
    if trust_tags:
        records = _by_tags(repository, tip, environment, model)
        if records is not None:
            return records
    _whole(repository)
    return _by_walk(repository, tip, environment, model)


def _by_tags(
    repository: Repository, tip: str, environment: EnvironmentName, model: ModelName
) -> list[DeploymentRecord] | None:
    """Read the deploy tags, and history only since they were written; None where they cannot tell."""
    tags = _numbered(refs.list_tags(repository, deploy_tag_prefix(environment, model)))
    base = marked_up_to(repository) or (tags[-1].target if tags else None)
    # Asked how it was in the past, or of another history, tags know too much.
    if tags is None or base is None or not git_history.is_on_first_parent_chain(repository, base, tip):
        return None
    path, where = deployment_path(environment, model), (environment, model)
    later = [] if base == tip else list(git_history.path_history(repository, tip, path, since=base))
    known = [tag.target for tag in tags if tag.target not in later]
    marks = {tag.target: tag.trailers for tag in tags}
    records = continued(repository, [], known, where, marks=marks)
    current = pointer_at(repository, base, environment, model)
    if len(records) != len(known) or current != (records[-1].pointer if records else None):
        return None
    return continued(repository, records, reversed(later), where, marks=marks)


def _numbered(tags: Sequence[TagRef]) -> list[TagRef] | None:
    """Put deploy tags in order; None where one is missing or is somebody else's."""
    try:
        numbered = sorted((DeployTag.parse(tag.ref).number, tag) for tag in tags)
    except InvalidError:
        return None
    complete = [number for number, _ in numbered] == list(range(1, len(numbered) + 1))
    return [tag for _, tag in numbered] if complete else None


def marked_up_to(repository: Repository) -> str | None:
    """Name the commit of main up to which this repository has every deploy tag; None where nobody noted it."""
    try:
        oid = (repository.git_dir / MARKED).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return oid if is_oid(oid) and repository.objects.info(oid) else None


@dataclass(frozen=True, slots=True)
class _Step:
    environment: EnvironmentName
    model: ModelName
    number: int
    commit: Commit
    action: str
    before: Deployment | None
    after: Deployment | None


def _record(step: _Step, trailers: Mapping[str, str] | None) -> DeploymentRecord:
    commit, before, after = step.commit, step.before, step.after
    return DeploymentRecord(
        environment=step.environment,
        model=step.model,
        number=step.number,
        action=step.action,
        version=after.version if after else None,
        previous=before.version if before else None,
        canary_version=after.canary_version if after else None,
        canary_percent=after.canary_percent if after else None,
        commit=commit.oid,
        time=iso(commit.committer.time),
        author=commit.author.name,
        actor=(trailers or {}).get("Actor"),
        reason=commit.trailers.get("Reason") or commit.subject,
        marked=trailers is not None,
    )


def _by_walk(
    repository: Repository, tip: str, environment: EnvironmentName, model: ModelName
) -> list[DeploymentRecord]:
    path = deployment_path(environment, model)
    commits = reversed(list(git_history.path_history(repository, tip, path)))
    return continued(repository, [], commits, (environment, model))


def continued(
    repository: Repository,
    known: Sequence[DeploymentRecord],
    commits: Iterable[str],
    where: tuple[EnvironmentName, ModelName],
    *,
    marks: Mapping[str, Mapping[str, str]] | None = None,
) -> list[DeploymentRecord]:
    """Continue the records of one pointer by the commits that may have changed it, oldest first.

    `marks` are the trailers of its deploy tags by the commit they mark, read here where they are not given.
    """
    environment, model = where
    records = list(known)
    earlier = {record.pointer for record in records}
    before = records[-1].pointer if records else None
    if marks is None:
        marks = marks_below(repository, deploy_tag_prefix(environment, model)).get(where, {})
    commits = list(commits)
    _bring(repository, commits, deployment_path(environment, model))
    for oid in commits:
        after = pointer_at(repository, oid, environment, model)
        if after == before:
            continue  # the bytes changed, the pointer did not
        commit = repository.objects.commit(oid)
        action = pointer_action(earlier, after, commit.trailers.get("Action"))
        step = _Step(environment, model, len(records) + 1, commit, action, before, after)
        records.append(_record(step, marks.get(oid)))
        earlier.add(after)
        before = after
    return records


def _bring(repository: Repository, commits: Sequence[str], path: str) -> None:
    """Fetch what a partial clone lacks of a file in many commits, all of it at once."""
    if repository.promisor is not None:
        entries = [repository.objects.entry(commit, path) for commit in commits]
        repository.objects.bring(each.oid for each in entries if each)


def marks_below(
    repository: Repository, prefix: str
) -> dict[tuple[EnvironmentName, ModelName], dict[str, Mapping[str, str]]]:
    """Give the trailers of the deploy tags below a prefix, by pointer and then by the commit they mark."""
    found: dict[tuple[EnvironmentName, ModelName], dict[str, Mapping[str, str]]] = {}
    for tag in refs.list_tags(repository, prefix):
        try:
            name = DeployTag.parse(tag.ref)
        except InvalidError:
            continue
        found.setdefault((name.environment, name.model), {})[tag.target] = tag.trailers
    return found


def edits_of(changes: Sequence[PathChange], repository: Repository) -> tuple[PathEdit, ...]:
    """Give git's changed paths as the gate reads them, with the sizes of the files."""
    sides = (side for change in changes for side in (change.before, change.after))
    wanted = list(dict.fromkeys(side.oid for side in sides if side and side.mode != SUBMODULE))
    sizes: dict[str, int] = {}
    for oid, info in zip(wanted, repository.objects.infos(wanted), strict=True):
        if info is None:
            raise NotFoundError(f"there is no object {oid}")
        sizes[oid] = info.size

    def entry(side: TreeEntry | None) -> FileEntry | None:
        if side is None:
            return None
        return FileEntry(side.mode, side.oid, 0 if side.mode == SUBMODULE else sizes[side.oid])

    return tuple(PathEdit(change.path, entry(change.before), entry(change.after)) for change in changes)


def log(
    repository: Repository,
    tip: str,
    *,
    paths: Sequence[str] = (),
    limit: int | None = None,
    may_tell: Callable[[str], bool] | None = None,
) -> Iterator[LogEntry]:
    """Tell what each commit of main changed, newest first; where paths are given, only what touched them.

    With `may_tell`, of a path, as `log_of` does.
    """
    _whole(repository)
    if paths:
        chain = git_history.path_history(repository, tip, *paths, limit=limit)
    else:
        chain = git_history.first_parents(repository, tip, limit=limit)
    yield from log_of(repository, chain, paths, may_tell)


def log_of(
    repository: Repository,
    commits: Iterable[str],
    paths: Sequence[str] = (),
    may_tell: Callable[[str], bool] | None = None,
) -> Iterator[LogEntry]:
    """Tell what each of these commits changed.

    With `may_tell` only of the paths that may be told of: no changes where there is none, and no subject where
    others changed as well.
    """
    for oid in commits:
        yield _entry(repository, repository.objects.commit(oid), paths, may_tell)


NOT_TOLD = "(also changes what you may not read)"
"""What stands for the subject, or the reason, of a commit that changed more than one may be told of."""


def is_told(repository: Repository, oid: str, may_tell: Callable[[str], bool]) -> bool:
    """Whether all that a commit changed may be told of."""
    try:
        return all(may_tell(each.path) for each in _changed(repository, repository.objects.commit(oid)))
    except InvalidError:  # too much to look at
        return False


def _entry(
    repository: Repository, commit: Commit, paths: Sequence[str], may_tell: Callable[[str], bool] | None
) -> LogEntry:
    changes: tuple[str, ...]
    try:
        changed = _changed(repository, commit)
        told = changed if may_tell is None else [each for each in changed if may_tell(each.path)]
        changes, is_whole = _told(repository, commit, _below(paths, told)), len(told) == len(changed)
    except InvalidError as error:
        # An import of a whole registry is one line, and no reason to show nothing of the rest.
        changes, is_whole = (f"too much to list: {error.message}",), True
        if may_tell is not None:
            changes, is_whole = (), False
    return LogEntry(
        commit=commit.oid,
        time=iso(commit.committer.time),
        author=commit.author.name,
        subject=commit.subject if is_whole else NOT_TOLD,
        changes=changes,
    )


def _changed(repository: Repository, commit: Commit) -> Sequence[PathChange]:
    return changed_paths(repository.objects, _parent(commit), commit.oid, budget=LOG_PATHS, depth=LOG_DEPTH)


def _below(paths: Sequence[str], changed: Sequence[PathChange]) -> Sequence[PathChange]:
    if not paths:
        return changed
    return [each for each in changed if any(f"{each.path}/".startswith(f"{path}/") for path in paths)]


def _told(repository: Repository, commit: Commit, changed: Sequence[PathChange]) -> tuple[str, ...]:
    before = Snapshot(repository, _parent(commit) or empty_tree(repository))
    found = difference(edits_of(changed, repository), before, Snapshot(repository, commit.oid))
    return tuple(map(str, found.changes)) + tuple(f"invalid: {problem}" for problem in found.problems)


def _parent(commit: Commit) -> str | None:
    return commit.parents[0] if commit.parents else None
