"""The registry as people and programs use it: one method a use case."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import Where, locate, open_registry_store
from gitreg.errors import InvalidError
from gitreg.names import ModelName, Selector
from gitreg.reader import Snapshot
from gitreg.records import dataclass, replace
from gitreg.registry import plans, reads
from gitreg.writer import Mode, Plan, Written, open_target

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from gitreg.config import Location
    from gitreg.gate import Violation
    from gitreg.gate_hooks.finding import Finding
    from gitreg.manifest import Lifecycle, Manifest, ManifestDiff, Model
    from gitreg.names import Version
    from gitreg.objects import Progress, Store
    from gitreg.reader import DeploymentRecord, LogEntry
    from gitreg.registry.reads import AccessRow
    from gitreg.registry.register import Prepared, RegisterRequest
    from gitreg.registry.results import LineageNode, ModelSummary, StatusRow, VersionDetails, VersionSummary
    from gitreg.writer import Target

_PUSH = Mode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulled:
    """What a pull brought: the folder, its files, and how many bytes they have."""

    model: ModelName
    version: Version
    folder: Path
    files: tuple[Path, ...]
    bytes: int


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, with its files within reach."""

    registry: Registry
    details: VersionDetails

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.details.manifest

    @property
    def model(self) -> ModelName:
        """The model's name."""
        return self.manifest.model

    @property
    def version(self) -> Version:
        """The version."""
        return self.manifest.version

    @property
    def metrics(self) -> Mapping[str, float]:
        """The metrics."""
        return self.manifest.metrics

    def download(self, to: str | os.PathLike[str] | None = None, *, only: str | None = None, link: bool = True) -> Path:
        """Bring the files to a folder, every byte verified, and name the folder.

        Without a folder they go to one in the cache that belongs to this version. `only` is a shell pattern.
        Raises IntegrityError where the store's bytes are not those that were registered.
        """
        from gitreg.config import cache_folder

        default = cache_folder() / "versions" / self.details.manifest_digest.hex
        folder = Path(to) if to is not None else default
        return self.registry.pull(f"{self.model}@{self.version}", folder, only=only, link=link).folder


def open_registry(location: str | os.PathLike[str] | None = None, *, fetch: bool | None = None) -> Registry:
    """Open a registry: a path, a URL, or by default what GITREG_REGISTRY, the folder or git's configuration names.

    `fetch` says whether reads fetch main first: by default they do from a URL, and do not in a checkout, which shows
    what it last fetched as git itself does. Writes always fetch. Raises NotFoundError where there is no registry.
    """
    return Registry(locate(os.fspath(location) if location is not None else None), fetch=fetch)


class Registry:
    """A registry, read at the newest commit that is known and written through its gate."""

    def __init__(self, location: Location, *, fetch: bool | None = None) -> None:
        self.location = location
        self._fetch = location.where is Where.URL if fetch is None else fetch
        self._target: Target | None = None
        self._fetched = False

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End git's processes; the next use starts them again."""
        if self._target is not None:
            self._target.close()
            self._target = None

    @property
    def target(self) -> Target:
        """Where the registry is, opened."""
        if self._target is None:
            self._target = open_target(self.location)
            self._target.repository.objects.start()
        return self._target

    def snapshot(self, at: str | None = None) -> Snapshot:
        """Read the registry as it is, or as it was at a time (RFC 3339, or a date for its end)."""
        target = self.target
        if self._fetch and not self._fetched:
            tip = target.refresh()
            self._fetched = True
        else:
            tip = target.tip()
        if at is not None:
            from gitreg.reader import commit_before

            tip = commit_before(target.repository, tip, at)
        return Snapshot(target.repository, tip)

    def refresh(self) -> None:
        """Fetch main now, so that the next reads see it."""
        self.target.refresh()

    @property
    def store(self) -> Store:
        """The object store; UnavailableError where it cannot be found from here."""
        settings = self.snapshot().settings
        return open_registry_store(self.target.repository, settings.store, self.target.store_base)

    # Find

    def models(self, project: str | None = None, *, at: str | None = None) -> list[ModelSummary]:
        """List the models, or those of one project."""
        return reads.models(self.snapshot(at), project)

    def model(self, model: str, *, at: str | None = None) -> Model:
        """Read a model's description, owners, aliases and labels."""
        return self.snapshot(at).model(ModelName.parse(model))

    def card(self, model: str, *, at: str | None = None) -> str | None:
        """Read the model card, in Markdown; None where it has none."""
        snapshot, name = self.snapshot(at), ModelName.parse(model)
        snapshot.model(name)
        return snapshot.card(name)

    def show(self, selector: str, *, at: str | None = None) -> VersionDetails:
        """Describe the version that a selector means; NotFoundError where there is none."""
        return reads.show(self.snapshot(at), Selector.parse(selector))

    def get_model(self, selector: str, *, at: str | None = None) -> ModelVersion:
        """Get the version that a selector means: `project/name@1.4.0`, `@prod`, `@champion`, `@latest`, `@^1.4`."""
        return ModelVersion(self, self.show(selector, at=at))

    def versions(self, model: str, *, at: str | None = None) -> list[VersionSummary]:
        """List the versions of a model, highest first; deleted ones have the lifecycle `deleted`."""
        return reads.versions(self.snapshot(at), ModelName.parse(model))

    def search(
        self, conditions: Sequence[str], *, limit: int | None = None, at: str | None = None
    ) -> list[VersionSummary]:
        """Find the versions that meet every condition, such as `metrics.auc>0.95` or `deployed=prod`."""
        from gitreg.registry.search import search

        return search(self.snapshot(at), conditions, limit)

    def diff(self, left: str, right: str, *, at: str | None = None) -> ManifestDiff:
        """Compare two versions."""
        from gitreg.manifest import diff

        snapshot = self.snapshot(at)
        one, other = (reads.found(snapshot, Selector.parse(side)).manifest for side in (left, right))
        return diff(one, other)

    def lineage(self, selector: str, *, depth: int = 20, at: str | None = None) -> LineageNode:
        """Tell what a version came from, and that from what, down to `depth` generations."""
        return reads.lineage(self.snapshot(at), Selector.parse(selector), depth)

    def complete(self, prefix: str) -> list[str]:
        """Complete what a user is typing: a model, or after @ its versions, aliases and environments."""
        return reads.complete(self.snapshot(), prefix)

    def pull(  # noqa: PLR0913 - where to and how
        self,
        selector: str,
        to: str | os.PathLike[str],
        *,
        only: str | None = None,
        link: bool = True,
        force: bool = False,
        progress: Progress | None = None,
    ) -> Pulled:
        """Bring a version's files to a folder, verified; see `ModelVersion.download`."""
        from gitreg.objects import Cache, pull

        found = reads.found(self.snapshot(), Selector.parse(selector)).manifest
        if not found.artifacts:
            raise InvalidError(f"{found.model}@{found.version} has no files: it is external", hint="see its provider")
        cache = Cache.of_user(os.environ)
        files = pull(found.artifacts, self.store, cache, Path(to), only=only, link=link, force=force, progress=progress)
        size = sum(file.stat().st_size for file in files)
        return Pulled(model=found.model, version=found.version, folder=Path(to), files=tuple(files), bytes=size)

    # Deployments and history

    def status(
        self, environment: str | None = None, model: str | None = None, *, at: str | None = None
    ) -> list[StatusRow]:
        """Tell what is meant to run where, and what was reported to."""
        name = ModelName.parse(model) if model else None
        snapshot = self.snapshot(at)
        chosen = plans.known_environment(snapshot, environment) if environment else None
        return reads.status(snapshot, chosen, name)

    def history(self, model: str, environment: str | None = None, *, at: str | None = None) -> list[DeploymentRecord]:
        """List the deployments of a model, newest first."""
        return reads.history(self.snapshot(at), ModelName.parse(model), environment)

    def log(self, model: str | None = None, *, limit: int | None = 20, at: str | None = None) -> list[LogEntry]:
        """Tell what changed, newest first, in all the registry or of one model."""
        return reads.log(self.snapshot(at), ModelName.parse(model) if model else None, limit)

    # Publish

    def register(self, request: RegisterRequest, mode: Mode = _PUSH) -> Written:
        """Register a version: put its files into the store, commit its manifest; `Written.about` is the manifest.

        Raises ConflictError for a version that exists, NotFoundError for a missing file, and what the gate's verdict
        is classed as.
        """
        from gitreg.registry.register import Prepared, check_request, hashed, now, sizes_of, upload
        from gitreg.writer.publish import publish

        name = check_request(request)
        code, notes = reads.code(request.code)
        prepared = Prepared(request, name, (), self.target.author(), code, request.created or now())
        store = None if mode.dry_run or not request.paths else self._check_early(prepared, mode)
        prepared = replace(prepared, files=upload(store, request) if store else hashed(request))

        def planner(current: Snapshot) -> Plan:
            plan = prepared.plan(current)
            return replace(plan, notes=(*plan.notes, *notes))

        return publish(self.target, planner, mode, known_sizes=sizes_of(prepared.files) if mode.dry_run else None)

    def _check_early(self, prepared: Prepared, mode: Mode) -> Store:
        """Refuse what the gate would refuse before the weights are read, and open the store that they go to."""
        from gitreg.gate import refusal
        from gitreg.registry.register import claimed, sizes_of
        from gitreg.writer.publish import prejudge

        if mode.propose:
            self.target.require_user(mode.user)
        snapshot = Snapshot(self.target.repository, self.target.refresh())
        files = claimed(prepared.request)
        plan = replace(prepared, files=files).plan(snapshot)
        user = self.target.actor(mode.user) if self.target.is_local else None
        violations = prejudge(self.target, snapshot, plan, user, sizes_of(files))
        if violations:
            raise refusal(violations, "the registry would refuse this")
        return open_registry_store(self.target.repository, snapshot.settings.store, self.target.store_base)

    def register_model(  # noqa: PLR0913 - the metadata of a version, each by its name
        self,
        model: str,
        paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        version: str | None = None,
        *,
        bump: str | None = None,
        metrics: Mapping[str, float] | None = None,
        hyperparameters: Mapping[str, object] | None = None,
        datasets: Sequence[Mapping[str, object]] = (),
        description: str | None = None,
        labels: Mapping[str, str] | None = None,
        license: str | None = None,  # noqa: A002 - the manifest's own word
        parents: Sequence[str] = (),
        framework: str | None = None,
        mode: Mode = _PUSH,
        **more: object,
    ) -> ModelVersion:
        """Register a file or a folder as a version and give it back; `more` are further RegisterRequest fields.

        Without version and bump the minor number is counted up.
        """
        from gitreg.registry.register import RegisterRequest

        several = [paths] if isinstance(paths, str | os.PathLike) else paths
        request = RegisterRequest(
            model=model,
            paths=tuple(Path(path) for path in several),
            version=version,
            bump=bump or (None if version else "minor"),
            metrics=metrics or {},
            hyperparameters=hyperparameters or {},
            datasets=tuple(datasets),
            description=description,
            labels=labels or {},
            license=license,
            parents=tuple(parents),
            framework=framework,
            **more,  # type: ignore[arg-type] # checked by the dataclass's own fields
        )
        written = self.register(request, mode)
        return self._registered(written)

    def _registered(self, written: Written) -> ModelVersion:
        from gitreg.manifest import Manifest

        if not isinstance(written.about, Manifest):
            raise InvalidError("nothing was registered")
        return ModelVersion(self, reads.as_registered(written.about, written.commit))

    def update(self, selector: str, mode: Mode = _PUSH, **fields: object) -> Written:
        """Change the editable parts of a version; see `plans.update` for the fields."""
        chosen = Selector.parse(selector)
        return self._write(lambda at: plans.update(at, chosen, **fields), mode)  # type: ignore[arg-type]

    def update_model(self, model: str, mode: Mode = _PUSH, **fields: object) -> Written:
        """Change a model's description, task, owners, labels or card; see `plans.update_model`."""
        name = ModelName.parse(model)
        return self._write(lambda at: plans.update_model(at, name, **fields), mode)  # type: ignore[arg-type]

    def alias(self, selector: str, name: str, mode: Mode = _PUSH, *, remove: bool = False) -> Written:
        """Set, move or remove an alias."""
        chosen = Selector.parse(selector)
        return self._write(lambda at: plans.alias(at, chosen, name, remove=remove), mode)

    def yank(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Hide a version from resolution; it stays fetchable by its exact version."""
        from gitreg.manifest import Lifecycle

        return self._retire(selector, Lifecycle.YANKED, mode, undo=undo, reason=reason)

    def archive(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Keep a version for compliance; it cannot be deployed any more."""
        from gitreg.manifest import Lifecycle

        return self._retire(selector, Lifecycle.ARCHIVED, mode, undo=undo, reason=reason)

    def _retire(self, selector: str, goal: Lifecycle, mode: Mode, *, undo: bool, reason: str | None) -> Written:
        chosen = Selector.parse(selector)

        def planner(at: Snapshot) -> Plan:
            if undo:
                return plans.reinstate(at, chosen, goal, reads.earlier_contents(at, chosen), reason=reason)
            return plans.lifecycle(at, chosen, goal, reason=reason)

        return self._write(planner, mode)

    def delete(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Replace a version by a tombstone, or bring the very same bytes back."""
        chosen = Selector.parse(selector)

        def planner(at: Snapshot) -> Plan:
            if undo:
                return plans.undelete(at, chosen, list(reads.earlier_contents(at, chosen)), reason=reason)
            return plans.delete(at, chosen, reason=reason)

        return self._write(planner, mode)

    # Deploy

    def deploy(  # noqa: PLR0913 - a pointer's fields and a reason
        self,
        selector: str,
        environment: str,
        mode: Mode = _PUSH,
        *,
        reason: str | None = None,
        canary: str | None = None,
        percent: int | None = None,
    ) -> Written:
        """Point an environment at a version."""
        chosen = Selector.parse(selector)
        return self._write(
            lambda at: plans.deploy(at, chosen, environment, reason=reason, canary=canary, percent=percent), mode
        )

    def promote(
        self, model: str, source: str, target: str | None = None, mode: Mode = _PUSH, *, reason: str | None = None
    ) -> Written:
        """Point the next environment, or the one named, at what runs in another."""
        name = ModelName.parse(model)
        return self._write(lambda at: plans.promote(at, name, source, target, reason=reason), mode)

    def rollback(
        self, model: str, environment: str, mode: Mode = _PUSH, *, to: str | None = None, reason: str | None = None
    ) -> Written:
        """Point an environment back at its last state, at a version, or at a deployment's number."""
        name = ModelName.parse(model)

        def planner(at: Snapshot) -> Plan:
            where = plans.known_environment(at, environment)
            records = reads.records(at, where, name)
            return plans.rollback(at, name, environment, records, to=to, reason=reason)

        return self._write(planner, mode)

    def undeploy(self, model: str, environment: str, mode: Mode = _PUSH, *, reason: str | None = None) -> Written:
        """Take a model out of an environment."""
        name = ModelName.parse(model)
        return self._write(lambda at: plans.undeploy(at, name, environment, reason=reason), mode)

    def approve(
        self, selector: str, environment: str, mode: Mode = _PUSH, *, reject: bool = False, comment: str | None = None
    ) -> Written:
        """Record one's own verdict on a version for an environment."""
        chosen, user = Selector.parse(selector), self.target.require_user(mode.user)
        return self._write(
            lambda at: plans.approve(at, chosen, environment, user, reject=reject, comment=comment), mode
        )

    def report(  # noqa: PLR0913 - a status's fields
        self,
        selector: str,
        environment: str,
        mode: Mode = _PUSH,
        *,
        state: str = "live",
        endpoint: str | None = None,
        detail: str | None = None,
    ) -> Written:
        """Record what really runs somewhere."""
        chosen = Selector.parse(selector)
        return self._write(
            lambda at: plans.report(at, chosen, environment, state=state, endpoint=endpoint, detail=detail), mode
        )

    def _write(self, planner: Callable[[Snapshot], Plan], mode: Mode) -> Written:
        from gitreg.writer.publish import publish

        return publish(self.target, planner, mode)

    # Govern

    def access_explain(self, user: str, *, model: str | None = None, environment: str | None = None) -> list[AccessRow]:
        """Tell what a user may do, and which rule says so."""
        return reads.access_rows(self.snapshot(), user, model, environment)

    def codeowners(self) -> str:
        """Write a CODEOWNERS file that follows from the access rules."""
        from gitreg.registry.codeowners import codeowners

        return codeowners(self.snapshot().access)

    def check_range(self, base: str, head: str, who: str | None = None, *, use_store: bool = True) -> list[Violation]:
        """Judge `base..head` as a push by `who` onto a main at `base` would be."""
        from gitreg.gate_hooks.check import check_range
        from gitreg.names import UserName

        user = UserName(who) if who is not None else None  # an empty name is nobody, not anybody
        target = self.target
        return check_range(target.repository, base, head, user, store_base=target.store_base, use_store=use_store)

    def doctor(self) -> list[Finding]:
        """Say whether the hooks and the configuration of this repository are in force."""
        from gitreg.gate_hooks.examine import examine

        if self.location.where is Where.URL:
            raise InvalidError("the doctor looks at repositories on this machine", hint="run it on the server")
        return list(examine(self.target.repository))

    def mark(self, *, push: bool = False) -> list[str]:
        """Write the deploy tags that history implies and that are missing; `push` sends them to the origin."""
        from gitreg.writer.marking import mark

        return mark(self.target, push=push)
