"""Answer questions about a registry at one commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import InvalidError, NotFoundError
from gitreg.git import history as git_history
from gitreg.index import INDEX
from gitreg.layout import MODELS, deployment_path, model_path, version_path
from gitreg.manifest import Lifecycle, Manifest, Tombstone
from gitreg.names import AliasName, EnvironmentName, ModelName, Selector, Version, did_you_mean
from gitreg.reader import RegistryFiles, Snapshot, VersionFile
from gitreg.records import dataclass
from gitreg.registry.results import LineageNode, ModelSummary, StatusRow, VersionDetails, VersionSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitreg.access import Access
    from gitreg.deployment import Deployment, Status
    from gitreg.lineage import Ancestor
    from gitreg.reader import DeploymentRecord, LogEntry


def found(snapshot: RegistryFiles, selector: Selector) -> VersionFile:
    """Read the version that a selector means."""
    return snapshot.version(selector.model, snapshot.resolve(selector))


def known_environment(snapshot: RegistryFiles, name: str) -> EnvironmentName:
    """Check an environment against the settings; NotFoundError names the nearest."""
    known = [str(each) for each in snapshot.environments()]
    if name in known:
        return EnvironmentName(name)
    near = did_you_mean(name, known)
    hint = f"did you mean {near}?" if near else f"registry.yaml has {', '.join(known) or 'none'}"
    raise NotFoundError(f"there is no environment {name!r}", hint=hint)


def _deployed(snapshot: RegistryFiles, name: ModelName) -> dict[EnvironmentName, set[Version]]:
    """Tell which versions run where."""
    running = {}
    for environment in snapshot.environments():
        pointer = snapshot.pointer(environment, name)
        if pointer is not None:
            running[environment] = {pointer.version} | ({pointer.canary_version} if pointer.canary_version else set())
    return running


def models(snapshot: RegistryFiles, project: str | None) -> list[ModelSummary]:
    """Summarise every model."""
    if project is not None and not snapshot.names(f"{MODELS}/{project}"):
        raise NotFoundError(f"there is no project {project!r}", hint="`gitreg list` shows every model")
    if isinstance(snapshot, Snapshot) and (snapshot.repository.common_dir / INDEX).exists():
        from gitreg.registry.listing import models_from_index

        listed = models_from_index(snapshot, project)
        if listed is not None:
            return listed
    names = list(snapshot.models(project))
    snapshot.ahead(path for name in names for path in _of_summary(snapshot, name))
    return [summary(snapshot, name) for name in names]


def _of_summary(snapshot: RegistryFiles, name: ModelName) -> Iterator[str]:
    """Name the files that a summary most likely reads."""
    yield model_path(name)
    yield from (deployment_path(each, name) for each in snapshot.environments())
    versions = snapshot.versions(name)
    released = [version for version in versions if not version.is_prerelease]
    yield from (version_path(name, version) for version in (released or versions)[-1:])


def summary(snapshot: RegistryFiles, name: ModelName) -> ModelSummary:
    """Summarise one model."""
    model = snapshot.model(name)
    versions = snapshot.versions(name)
    try:
        latest: Version | None = snapshot.resolve(Selector(name, "latest"))
    except NotFoundError:
        latest = None
    pointers = {where: snapshot.pointer(where, name) for where in snapshot.environments()}
    return ModelSummary(
        model=name,
        description=model.description,
        task=model.task,
        versions=len(versions),
        latest=latest,
        aliases=model.aliases,
        deployed={where: pointer.version for where, pointer in pointers.items() if pointer},
    )


def show(snapshot: RegistryFiles, selector: Selector) -> VersionDetails:
    """Describe one version."""
    file = found(snapshot, selector)
    manifest = file.manifest
    name, version = manifest.model, manifest.version
    return VersionDetails(
        manifest=manifest,
        manifest_digest=file.digest,
        aliases=tuple(alias for alias, target in snapshot.model(name).aliases.items() if target == version),
        deployed=tuple(where for where, running in _deployed(snapshot, name).items() if version in running),
        approvals=tuple(snapshot.approvals(name, version)),
        registry_commit=snapshot.commit,
    )


def versions(snapshot: RegistryFiles, name: ModelName) -> list[VersionSummary]:
    """Summarise every version of a model, highest first."""
    if isinstance(snapshot, Snapshot) and (snapshot.repository.common_dir / INDEX).exists():
        from gitreg.registry.listing import versions_from_index

        listed = versions_from_index(snapshot, name)
        if listed is not None:
            return listed
    return [row for _, row in rows(snapshot, name)][::-1]


def rows(snapshot: RegistryFiles, name: ModelName) -> Iterator[tuple[VersionFile | Tombstone, VersionSummary]]:
    """Read and summarise the versions of a model, lowest first."""
    yield from _rows(snapshot, name, snapshot.every_version(name))


def some_versions(snapshot: RegistryFiles, name: ModelName, chosen: Iterable[Version]) -> list[VersionSummary]:
    """Summarise some versions of a model, in the order in which they are named."""
    found = (snapshot.find(name, version) for version in chosen)
    return [row for _, row in _rows(snapshot, name, (each for each in found if each is not None))]


def _rows(
    snapshot: RegistryFiles, name: ModelName, chosen: Iterable[VersionFile | Tombstone]
) -> Iterator[tuple[VersionFile | Tombstone, VersionSummary]]:
    aliases = snapshot.model(name).aliases
    running = _deployed(snapshot, name)
    for each in chosen:
        yield each, _gone(each) if isinstance(each, Tombstone) else _row(each.manifest, aliases, running)


def _gone(tombstone: Tombstone) -> VersionSummary:
    return VersionSummary(
        model=tombstone.model,
        version=tombstone.version,
        created=None,
        author=None,
        lifecycle="deleted",
        metrics={},
        labels={},
        size=0,
        aliases=(),
        deployed=(),
        reason=tombstone.reason,
    )


def _row(
    manifest: Manifest, aliases: Mapping[AliasName, Version], running: Mapping[EnvironmentName, set[Version]]
) -> VersionSummary:
    version = manifest.version
    return VersionSummary(
        model=manifest.model,
        version=version,
        created=manifest.created,
        author=manifest.author.name,
        lifecycle=manifest.lifecycle,
        metrics=manifest.metrics,
        labels=manifest.labels,
        size=manifest.total_size,
        aliases=tuple(sorted(alias for alias, target in aliases.items() if target == version)),
        deployed=tuple(where for where, versions in running.items() if version in versions),
    )


def lineage(snapshot: RegistryFiles, selector: Selector, depth: int) -> LineageNode:
    """Build the tree of what a version came from."""
    from gitreg.lineage import lineage as ancestors

    root = found(snapshot, selector).manifest
    lifecycles: dict[tuple[ModelName, Version], Lifecycle] = {}

    def lookup(name: ModelName, version: Version) -> Manifest | Tombstone | None:
        file = snapshot.find(name, version)
        if not isinstance(file, VersionFile):
            return file
        lifecycles[name, version] = file.manifest.lifecycle
        return file.manifest

    return _node(ancestors(root.model, root.version, lookup, depth=depth), lifecycles)


def _node(ancestor: Ancestor, lifecycles: Mapping[tuple[ModelName, Version], Lifecycle]) -> LineageNode:
    parents = [_node(parent, lifecycles) for parent in ancestor.parents]
    if ancestor.base:
        parents.append(LineageNode(name=ancestor.base, relation="base", state="outside the registry", parents=()))
    from gitreg.lineage import Standing

    lifecycle = lifecycles.get((ancestor.model, ancestor.version), Lifecycle.ACTIVE)
    state = None if lifecycle is Lifecycle.ACTIVE else str(lifecycle)
    if ancestor.standing is not Standing.FOUND:
        state = str(ancestor.standing)
    elif ancestor.repeated:
        state = "its parents are shown above"
    elif ancestor.cut:
        state = "its parents are deeper than asked for"
    return LineageNode(name=str(ancestor), relation=ancestor.relation, state=state, parents=tuple(parents))


def status(snapshot: RegistryFiles, environment: EnvironmentName | None, name: ModelName | None) -> list[StatusRow]:
    """Compare what is meant to run with what was reported to."""
    if name is not None:
        snapshot.model(name)
    rows = []
    for where in [environment] if environment else snapshot.environments():
        pointers = [snapshot.pointer(where, name)] if name else snapshot.pointers(where)
        meant = {pointer.model: pointer for pointer in pointers if pointer}
        snapshot.ahead(version_path(each.model, each.version) for each in meant.values())
        statuses = [snapshot.status(where, name)] if name else snapshot.statuses(where)
        told = {status.model: status for status in statuses if status}
        rows += [
            _status_row(snapshot, where, each, (meant.get(each), told.get(each))) for each in sorted({*meant, *told})
        ]
    return rows


def _status_row(
    snapshot: RegistryFiles, where: EnvironmentName, name: ModelName, sides: tuple[Deployment | None, Status | None]
) -> StatusRow:
    pointer, reported = sides
    file = snapshot.find(name, pointer.version) if pointer else None
    lifecycle = None
    if pointer is not None:
        lifecycle = str(file.manifest.lifecycle) if isinstance(file, VersionFile) else "deleted"
    return StatusRow(
        environment=where,
        model=name,
        version=pointer.version if pointer else None,
        canary_version=pointer.canary_version if pointer else None,
        canary_percent=pointer.canary_percent if pointer else None,
        lifecycle=lifecycle,
        reported=reported,
        drift=_drift(pointer, reported),
    )


def _drift(pointer: Deployment | None, reported: Status | None) -> str | None:
    if reported is None:
        return None
    if reported.state == "failed":
        return f"{reported.version} failed"
    if pointer is None or reported.version not in {pointer.version, pointer.canary_version}:
        return f"{reported.version} is reported"
    return None


def records(snapshot: Snapshot, environment: EnvironmentName, name: ModelName) -> list[DeploymentRecord]:
    """List the deployments of a model in one environment, oldest first."""
    from gitreg.reader import deployments

    return deployments(snapshot.repository, snapshot.commit, environment, name)


def history(snapshot: Snapshot, name: ModelName, environment: str | None) -> list[DeploymentRecord]:
    """List the deployments of a model, newest first."""
    snapshot.model(name)
    chosen = [known_environment(snapshot, environment)] if environment else snapshot.environments()
    return newest_first([record for where in chosen for record in records(snapshot, where, name)], chosen)


def newest_first(rows: Iterable[DeploymentRecord], chosen: Sequence[EnvironmentName]) -> list[DeploymentRecord]:
    """Put the deployments in some environments in order, the newest first."""
    # Of two deployments in one second the later environment in the settings' order comes later.
    order = {where: index for index, where in enumerate(chosen)}
    return sorted(rows, key=lambda row: (row.time, order[row.environment], row.number), reverse=True)


def log(
    snapshot: Snapshot,
    name: ModelName | None,
    limit: int | None,
    behind: str | None = None,
    may_tell: Callable[[str], bool] | None = None,
) -> list[LogEntry]:
    """Tell what changed, newest first, of paths that may be told of; `behind` is the last commit that was told of."""
    paths: tuple[str, ...] = ()
    if name is not None:
        snapshot.model(name)
        paths = (
            f"{MODELS}/{name}",
            f"approvals/{name}",
            *(f"{top}/{where}/{name}.yaml" for top in ("deployments", "status") for where in snapshot.environments()),
        )
    from gitreg.reader import log as read_log

    more = limit if behind is None or limit is None else limit + 1  # it is the first one then
    entries = read_log(snapshot.repository, behind or snapshot.commit, paths=paths, limit=more, may_tell=may_tell)
    return [each for each in entries if each.commit != behind]


def complete(snapshot: RegistryFiles, prefix: str) -> list[str]:
    """Complete a model or, after @, what a selector may name."""
    if "@" not in prefix:
        return [str(name) for name in snapshot.models() if str(name).startswith(prefix)]
    try:
        name = ModelName.parse(prefix.partition("@")[0])
        aliases = snapshot.model(name).aliases
    except (InvalidError, NotFoundError):
        return []
    words = ["latest", *snapshot.environments(), *aliases, *map(str, reversed(snapshot.versions(name)))]
    return [word for word in (f"{name}@{each}" for each in words) if word.startswith(prefix)]


def earlier_contents(snapshot: Snapshot, selector: Selector) -> Iterator[bytes]:
    """Give the earlier bytes of a version's file, newest first."""
    if selector.version is None:
        return
    path = version_path(selector.model, selector.version)
    for oid in git_history.path_history(snapshot.repository, snapshot.commit, path):
        data = snapshot.repository.objects.blob(oid, path)
        if data is not None:
            yield data


def code(wanted: bool) -> tuple[dict[str, object] | None, tuple[str, ...]]:  # noqa: FBT001 - a request's own flag
    """Find the commit of the code in the checkout one stands in, and what must be said about it."""
    from pathlib import Path

    from gitreg.git.checkout import code_commit

    if not wanted or (Path.cwd() / "registry.yaml").is_file():
        return None, ()
    commit = code_commit(Path.cwd())
    if commit is None:
        return None, ()
    data: dict[str, object] = {"commit": commit.commit}
    if commit.repository:
        data = {"repository": commit.repository, **data}
    if commit.dirty:
        data["dirty"] = True
        return data, ("the checkout has uncommitted changes, which the recorded code commit does not contain",)
    return data, ()


def as_registered(manifest: Manifest, commit: str | None) -> VersionDetails:
    """Describe a version that was registered this very moment, or would be on a dry run."""
    return VersionDetails(
        manifest=manifest,
        manifest_digest=Digest.of(manifest.to_bytes()),
        aliases=(),
        deployed=(),
        approvals=(),
        registry_commit=commit or "",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRow:
    """Whether a user may take one action, and which rule says so."""

    action: str
    allowed: bool
    rule: str
    reason: str


def access_rows(access: Access, user: str, model: str | None, environment: str | None) -> list[AccessRow]:
    """Explain every action of a user on a model and an environment."""
    from gitreg.access import Action, may
    from gitreg.names import UserName

    name = ModelName.parse(model) if model else None
    where = EnvironmentName(environment) if environment else None
    rows = []
    for action in Action:
        decision = may(access, UserName(user), action, name, where)
        rows.append(AccessRow(action=str(action), allowed=decision.allowed, rule=decision.rule, reason=decision.reason))
    return rows
