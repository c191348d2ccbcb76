"""The registry as people and programs use it: one method a use case."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import Where, locate, open_published_store, open_registry_store
from gitreg.errors import GitregError, InvalidError, UnavailableError
from gitreg.layout import MAIN
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
    from gitreg.git.upkeep import Upkept
    from gitreg.index.pages import Query
    from gitreg.keep.bundle import Bundled
    from gitreg.keep.collect import Collected
    from gitreg.keep.fsck import Checked
    from gitreg.manifest import Comparison, Lifecycle, Manifest, ManifestDiff, Model
    from gitreg.names import Version
    from gitreg.objects import Progress, Store
    from gitreg.objects.sync import Synced
    from gitreg.objects.trial import Trial
    from gitreg.published import Site
    from gitreg.published.publish import Publication
    from gitreg.reader import DeploymentRecord, LogEntry, RegistryFiles
    from gitreg.registry.locking import Locked, LockedModel
    from gitreg.registry.published import Standing
    from gitreg.registry.pulled import Verified
    from gitreg.registry.reads import AccessRow
    from gitreg.registry.register import Prepared, RegisterRequest
    from gitreg.registry.results import (
        LineageNode,
        ModelSummary,
        Recommendation,
        Series,
        StatusRow,
        VersionDetails,
        VersionSummary,
    )
    from gitreg.registry.search import Explained, Found, IndexState
    from gitreg.registry.signatures import Signed
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
        if to is None and default.is_dir():
            os.utime(default)  # what was used longest ago goes first, where the cache has a limit
        return self.registry.pull(f"{self.model}@{self.version}", folder, only=only, link=link).folder


def _query(
    conditions: str | Sequence[str], order_by: str | None, limit: int | None, cursor: str | None = None
) -> Query:
    from gitreg.index.pages import Query

    wanted = (conditions,) if isinstance(conditions, str) else tuple(conditions)
    return Query(conditions=wanted, order_by=order_by, limit=limit, cursor=cursor)


def open_registry(
    location: str | os.PathLike[str] | None = None, *, fetch: bool | None = None, trust: str | None = None
) -> Registry:
    """Open a registry: a path, a URL, a name, or what GITREG_REGISTRY, the folder or git's configuration names.

    `fetch` says whether reads fetch main first: by default they do from a URL, and do not in a checkout, which shows
    what it last fetched as git itself does. Writes always fetch. Raises NotFoundError where there is no registry.

    A URL may be that of a published index, which only answers reads. `trust` is a file of allowed signers, one of whom
    must have signed it.
    """
    return Registry(locate(os.fspath(location) if location is not None else None), fetch=fetch, trust=trust)


class Registry:
    """A registry, read at the newest commit that is known and written through its gate."""

    def __init__(self, location: Location, *, fetch: bool | None = None, trust: str | None = None) -> None:
        self.location = location
        self._fetch = location.where in {Where.URL, Where.INDEX} if fetch is None else fetch
        self._trust = trust
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
            if self.index is not None:
                raise InvalidError(
                    f"{self.index.uri} is a published index: models, versions, status and lineage can be read from it",
                    hint="to search, to see the past and to write, name the registry itself: --registry ssh://…",
                )
            self._target = open_target(self.location)
            self._target.repository.objects.start()
        return self._target

    @cached_property
    def index(self) -> Site | None:
        """The published index that the location is; None where it is a git repository."""
        if self.location.where in {Where.BARE, Where.CHECKOUT} and self._trust is None:
            return None
        from gitreg.registry.published import index_of

        return index_of(self.location, self._trust)

    def files(self, at: str | None = None) -> RegistryFiles:
        """Read the registry as `snapshot` does, or as it was published."""
        if self.index is None:
            return self.snapshot(at)
        if at is not None:
            raise InvalidError(
                f"{self.index.uri} is a published index, which knows what is there now and not the past",
                hint="name the registry itself: --registry ssh://host/registry.git",
            )
        found = self.index.files(fetch=self._fetch and not self._fetched)
        self._fetched = True
        return found

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
        if self.index is not None:
            self.index.refresh()
        else:
            self.target.refresh()

    @property
    def store(self) -> Store:
        """The object store; UnavailableError where it cannot be found from here."""
        settings = self.files().settings
        if self.index is not None:
            return open_published_store(settings.store, settings.mirrors)
        return open_registry_store(self.target.repository, settings.store, self.target.store_base, settings.mirrors)

    # Find

    def models(self, project: str | None = None, *, at: str | None = None) -> list[ModelSummary]:
        """List the models, or those of one project."""
        return reads.models(self.files(at), project)

    def model(self, model: str, *, at: str | None = None) -> Model:
        """Read a model's description, owners, aliases and labels."""
        return self.files(at).model(ModelName.parse(model))

    def card(self, model: str, *, at: str | None = None) -> str | None:
        """Read the model card, in Markdown; None where it has none."""
        files, name = self.files(at), ModelName.parse(model)
        files.model(name)
        return files.card(name)

    def show(self, selector: str, *, at: str | None = None) -> VersionDetails:
        """Describe the version that a selector means; NotFoundError where there is none."""
        return reads.show(self.files(at), Selector.parse(selector))

    def get_model(self, selector: str, *, at: str | None = None) -> ModelVersion:
        """Get the version that a selector means: `project/name@1.4.0`, `@prod`, `@champion`, `@latest`, `@^1.4`."""
        return ModelVersion(self, self.show(selector, at=at))

    def versions(self, model: str, *, at: str | None = None) -> list[VersionSummary]:
        """List the versions of a model, highest first; deleted ones have the lifecycle `deleted`."""
        return reads.versions(self.files(at), ModelName.parse(model))

    def search(
        self,
        conditions: str | Sequence[str],
        *,
        order_by: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        at: str | None = None,
    ) -> Found:
        """Find the versions that meet every condition, such as `metrics.auc > 0.95 and deployed('prod')`.

        `order_by` is as in `metrics.auc desc, created`; by default by model, highest version first. `Found.next` is the
        `cursor` of the next page. InvalidError points at what is wrong in a condition.
        """
        from gitreg.registry.search import search

        return search(self.snapshot(at), _query(conditions, order_by, limit, cursor), now=at is None)

    def explain_search(
        self, conditions: str | Sequence[str], *, order_by: str | None = None, limit: int | None = None
    ) -> Explained:
        """Tell how a search would be answered: its SQL, and the way that SQLite takes."""
        from gitreg.registry.search import explain

        return explain(self.snapshot(), _query(conditions, order_by, limit), now=True)

    def build_index(self, *, anew: bool = False) -> IndexState:
        """Bring the index of this clone up to main now, from nothing with `anew`; searches do it by themselves."""
        from gitreg.registry.search import build

        return build(self.snapshot(), anew=anew)

    def index_state(self) -> IndexState:
        """Tell what the index of this clone holds, and whether that is what main says."""
        from gitreg.registry.search import state

        return state(self.snapshot())

    def diff(self, left: str, right: str, *, at: str | None = None) -> ManifestDiff:
        """Compare two versions."""
        from gitreg.manifest import diff

        files = self.files(at)
        one, other = (reads.found(files, Selector.parse(side)).manifest for side in (left, right))
        return diff(one, other)

    def compare(
        self,
        selectors: Sequence[str],
        *,
        maximize: Sequence[str] = (),
        minimize: Sequence[str] = (),
        at: str | None = None,
    ) -> Comparison:
        """Set versions side by side; of metrics whose name does not tell which way is better, say it."""
        from gitreg.registry import comparing

        return comparing.compare(self.files(at), selectors, maximize, minimize)

    def series(self, model: str, metrics: Sequence[str], *, last: int | None = None, at: str | None = None) -> Series:
        """Follow metrics over the versions of a model, lowest first; NotFoundError for one that none has."""
        from gitreg.registry import comparing

        return comparing.series(self.files(at), ModelName.parse(model), metrics, last)

    def recommend(  # noqa: PLR0913 - what suits, what counts, and how many
        self,
        need: str,
        *,
        where: Sequence[str] = (),
        maximize: Sequence[str] = (),
        minimize: Sequence[str] = (),
        limit: int = 10,
        at: str | None = None,
    ) -> Recommendation:
        """Find the models that suit a need told in words, each by its highest version that meets the conditions.

        Measures to maximize or minimize are `size` and `metrics.KEY`.
        """
        from gitreg.registry.recommending import Asked, recommend_from

        where = [where] if isinstance(where, str) else where
        asked = Asked(need=need, where=where, maximize=maximize, minimize=minimize, limit=limit)
        return recommend_from(self.snapshot(at), asked, now=at is None)

    def lineage(self, selector: str, *, depth: int = 20, at: str | None = None) -> LineageNode:
        """Tell what a version came from, and that from what, down to `depth` generations."""
        return reads.lineage(self.files(at), Selector.parse(selector), depth)

    def complete(self, prefix: str) -> list[str]:
        """Complete what a user is typing: a model, or after @ its versions, aliases and environments."""
        return reads.complete(self.files(), prefix)

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
        """Bring a version's files to a folder, verified; see `ModelVersion.download`.

        The store is asked only for what the cache lacks. A version named exactly needs no server that answers either,
        where it was fetched before.
        """
        from gitreg.objects import Cache, pull, select
        from gitreg.registry import pulled

        found = self._fixed(selector)
        if not found.artifacts:
            raise InvalidError(f"{found.model}@{found.version} has no files: it is external", hint="see its provider")
        cache, folder = Cache.of_user(os.environ), Path(to)
        wanted = select(found.artifacts, only)
        files = pull(wanted, lambda: self.store, cache, folder, link=link, force=force, progress=progress)
        pulled.note(cache, folder, found.model, found.version, wanted)
        size = sum(file.size for file in wanted)
        return Pulled(model=found.model, version=found.version, folder=folder, files=tuple(files), bytes=size)

    def _fixed(self, selector: str) -> Manifest:
        """Read the version that a selector means; one that is named exactly is read offline as well."""
        chosen = Selector.parse(selector)
        try:
            files = self.files()
        except UnavailableError:
            if chosen.version is None:
                raise
            self._fetched = True  # it has been tried
            files = self.files()
        return reads.found(files, chosen).manifest

    def verify(
        self,
        folder: str | os.PathLike[str],
        selector: str,
        *,
        only: str | None = None,
        progress: Progress | None = None,
    ) -> Verified:
        """Read every byte of a pulled folder, and tell how each file of the version is found."""
        from gitreg.objects import select
        from gitreg.objects.checking import check_files, others_in
        from gitreg.registry.pulled import Verified

        found = self._fixed(selector)
        checked = check_files(select(found.artifacts, only), Path(folder), progress)
        others = others_in(Path(folder), (file.path for file in found.artifacts))
        return Verified(
            model=found.model, version=found.version, folder=Path(folder), files=tuple(checked), others=tuple(others)
        )

    def lock(
        self,
        selectors: Sequence[str] = (),
        path: str | os.PathLike[str] = "models.lock",
        *,
        folder: str | None = None,
        check: bool = False,
    ) -> Locked:
        """Add versions to a project's lock file, or without any bring all in it up to what their selectors mean now.

        `folder`, for one model, is where it is pulled to. With `check` nothing is written, and it is a ConflictError
        where anything would be.
        """
        from gitreg.git.checkout import without_credentials
        from gitreg.registry.locking import How, lock_models

        named = without_credentials(self.target.url or self.location.text)
        return lock_models(self.snapshot(), named, selectors, Path(path), How(folder, check))

    def locked_store(self, locked: LockedModel) -> Store:
        """Open the store for a locked version, once the registry's history says what the lock file says."""
        from gitreg.registry.locking import check_locked

        check_locked(self.target, locked)
        try:
            return self.store
        except UnavailableError:  # what was last fetched holds the commit, and names a store
            self._fetched = True
            return self.store

    # Deployments and history

    def status(
        self, environment: str | None = None, model: str | None = None, *, at: str | None = None
    ) -> list[StatusRow]:
        """Tell what is meant to run where, and what was reported to."""
        name = ModelName.parse(model) if model else None
        files = self.files(at)
        chosen = plans.known_environment(files, environment) if environment else None
        return reads.status(files, chosen, name)

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
        from gitreg.keep.claims import claim
        from gitreg.registry.register import Prepared, check_request, hashed, looked_into, now, sizes_of, upload
        from gitreg.writer.publish import publish

        name = check_request(request)
        code, notes = reads.code(request.code)
        prepared = Prepared(request, name, (), self.target.author(), code, request.created or now())
        store = None
        if mode.dry_run or not request.paths:
            inspected = looked_into(request, self.snapshot().settings.formats) if request.paths else None
            prepared = replace(prepared, files=hashed(request, inspected), inspected=inspected)
        else:
            prepared, store = self._check_early(prepared, mode)
            prepared = replace(prepared, files=upload(store, request, prepared.inspected))
            notes = (*notes, *_left_behind(store))
            claim(store, self.snapshot().settings.name, self.snapshot().commit)
        if prepared.inspected:
            prepared.inspected.check_unchanged()

        def planner(current: Snapshot) -> Plan:
            plan = prepared.plan(current)
            return replace(plan, notes=(*plan.notes, *notes))

        written = publish(self.target, planner, mode, known_sizes=sizes_of(prepared.files) if mode.dry_run else None)
        if store is not None and written.commit is not None and written.ref == MAIN:
            with suppress(GitregError):  # it is on main; whoever registers next says so too
                claim(store, self.snapshot().settings.name, written.commit)
        return written

    def import_version(
        self,
        origin: Registry,
        selector: str,
        mode: Mode = _PUSH,
        *,
        parents: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        """Take a version over from another registry: the same manifest and weights; `Written.about` is the manifest.

        With `parents` what it came from comes as well. Raises ConflictError where another version has its number.
        """
        from gitreg.git.checkout import without_credentials
        from gitreg.keep.claims import claim
        from gitreg.registry import importing
        from gitreg.writer.publish import publish

        url = without_credentials(origin.target.url or origin.location.text)
        found = importing.prepare(importing.Origin(origin.snapshot(), url), selector, parents=parents)
        snapshot = Snapshot(self.target.repository, self.target.refresh())
        planned = found.plan(snapshot)
        if mode.propose:
            self.target.require_user(mode.user)
        if mode.dry_run or not planned.edits:
            return publish(self.target, found.plan, mode, known_sizes=found.sizes())
        self._refuse_early(planned, snapshot, mode, found.sizes())
        if not found.sizes():
            return publish(self.target, found.plan, mode)
        settings = snapshot.settings
        store = open_registry_store(self.target.repository, settings.store, self.target.store_base, settings.mirrors)
        importing.copy_blobs(found, origin.store, store, _counting(progress, "weights"))
        claim(store, settings.name, snapshot.commit)
        written = publish(self.target, found.plan, mode)
        if written.commit is not None and written.ref == MAIN:
            with suppress(GitregError):  # it is on main; whoever registers next says so too
                claim(store, settings.name, written.commit)
        return replace(written, notes=(*written.notes, *_left_behind(store)))

    def _refuse_early(self, plan: Plan, snapshot: Snapshot, mode: Mode, sizes: Mapping[str, int]) -> None:
        """Refuse what the gate would refuse, before a byte is copied."""
        from gitreg.gate import refusal
        from gitreg.writer.publish import prejudge

        user = self.target.actor(mode.user) if self.target.is_local else None
        if violations := prejudge(self.target, snapshot, plan, user, sizes):
            raise refusal(violations, "the registry would refuse this")

    def _check_early(self, prepared: Prepared, mode: Mode) -> tuple[Prepared, Store]:
        """Refuse what the gate would refuse before the weights are read, look into them, and open their store."""
        from gitreg.registry.register import check_parents, claimed, looked_into, next_version, sizes_of
        from gitreg.scan import Inspector

        if mode.propose:
            self.target.require_user(mode.user)
        with Inspector() as inspector:  # its process starts while we fetch
            snapshot = Snapshot(self.target.repository, self.target.refresh())
            next_version(snapshot, prepared.name, prepared.request)
            check_parents(snapshot, prepared.request)
            found = looked_into(prepared.request, snapshot.settings.formats, inspector)
            files = claimed(prepared.request, found)
        prepared = replace(prepared, inspected=found)
        plan = replace(prepared, files=files).plan(snapshot)
        self._refuse_early(plan, snapshot, mode, sizes_of(files))
        settings = snapshot.settings
        store = open_registry_store(self.target.repository, settings.store, self.target.store_base, settings.mirrors)
        return prepared, store

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

    # Keep

    def fsck(
        self, *, deep: bool = False, repair: bool = False, progress: Progress | None = None
    ) -> tuple[Checked, ...]:
        """Hold the store and its mirrors against every version of main; with `repair`, mend what is wrong."""
        from gitreg.registry import keeping

        moved = _counting(progress, "weights")
        return keeping.fsck(self.snapshot(), self.store, deep=deep, repair=repair, moved=moved)

    def check_stores(self, *, write: bool = True) -> tuple[Trial, ...]:
        """Try out the store and each of its mirrors, with an object that is gone afterwards."""
        from gitreg.objects.trial import check

        return tuple(check(each.bucket, write=write) for each in _each(self.store))

    def sync_stores(self, *, dry_run: bool = False, progress: Progress | None = None) -> tuple[Synced, ...]:
        """Copy to each mirror what it lacks of the store; every blob is verified on its way."""
        from gitreg.objects.sync import sync

        primary, *mirrors = _each(self.store)
        moved = _counting(progress, "weights")
        return tuple(sync(primary.bucket, each.bucket, dry_run=dry_run, moved=moved) for each in mirrors)

    def gc(
        self,
        *,
        dry_run: bool = True,
        grace: str | None = None,
        trash: str | None = None,
        also: Sequence[str] = (),
    ) -> tuple[Collected, ...]:
        """Take weights out of the store and its mirrors that no version needs; by default only tell which."""
        from gitreg.registry import keeping

        settings = self.snapshot().settings
        return keeping.gc(self.target, settings, self.store, dry_run=dry_run, grace=grace, trash=trash, also=also)

    def bundle(
        self,
        selectors: Sequence[str],
        output: str | os.PathLike[str],
        *,
        since: str | None = None,
        progress: Progress | None = None,
    ) -> Bundled:
        """Write models or versions, with the registry's history and their weights, into one file."""
        from gitreg.registry import carrying

        moved = _counting(progress, "weights")
        return carrying.bundle(self.snapshot(), self.store, selectors, Path(output), since=since, moved=moved)

    def verify_signature(self, selector: str, keys: Sequence[str | os.PathLike[str]]) -> Signed:
        """Verify the signature of a version's files by their digests; IntegrityError where none of the keys fits."""
        from gitreg.registry import signatures

        return signatures.verify_signature(self.snapshot(), self.store, selector, [Path(key) for key in keys])

    def upkeep(self, *, full: bool = False) -> Upkept:
        """Keep the repository quick to read, fetch and clone; of a URL, the mirror that this machine keeps."""
        from gitreg.git.upkeep import upkeep

        return upkeep(self.target.repository, full=full)

    def publish_index(
        self, to: str | None = None, *, key: str | os.PathLike[str] | None = None, anew: bool = False
    ) -> Publication:
        """Publish main as static files: to a folder, a URI, or by default into the object store below `index/`.

        Only what changed is written, and the head, which leads to the rest, last. `key` is the SSH key that signs it.
        """
        from gitreg.registry.published import publish_index

        return publish_index(
            self.snapshot, to, lambda: _each(self.store)[0], key=Path(key) if key is not None else None, anew=anew
        )

    def published(self, to: str | None = None) -> Standing:
        """Tell whether what is published is what main says; NotFoundError where nothing is."""
        from gitreg.registry.published import standing

        return standing(self.snapshot(), to, lambda: _each(self.store)[0])

    def mark(self, *, push: bool = False) -> list[str]:
        """Write the deploy tags that history implies and that are missing; `push` sends them to the origin."""
        from gitreg.writer.marking import mark

        return mark(self.target, push=push)


def _each(store: Store) -> tuple[Store, ...]:
    """Take a store apart: the primary one, then its mirrors."""
    from gitreg.objects import Stores

    return store.all if isinstance(store, Stores) else (store,)


def _left_behind(store: Store) -> list[str]:
    """Say which mirrors did not get everything: the registration stands, they are to be caught up."""
    from gitreg.objects import Stores

    reasons = {each.uri: each.reason for each in store.behind} if isinstance(store, Stores) else {}
    return [f"the mirror {uri} is behind: {reason}; run gitreg store sync" for uri, reason in reasons.items()]


def _counting(progress: Progress | None, name: str) -> Callable[[int], None]:
    """Tell of bytes that belong to no file; from any thread, one at a time."""
    from threading import Lock

    lock = Lock()

    def moved(count: int) -> None:
        if progress is not None:
            with lock:
                progress(name, count)

    return moved
