"""What a registry answers: one method a question."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, UnavailableError
from gitreg.names import ModelName, Selector
from gitreg.records import dataclass
from gitreg.registry import reads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.index.pages import Query
    from gitreg.manifest import Comparison, Manifest, ManifestDiff, Model
    from gitreg.names import Version
    from gitreg.objects import Progress, Store
    from gitreg.reader import DeploymentRecord, LogEntry
    from gitreg.registry.locking import Locked, LockedModel
    from gitreg.registry.pulled import Verified
    from gitreg.registry.recommending import Asked
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

from gitreg.registry.opened import Opened


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

    registry: Answering
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


class Answering(Opened):
    """A registry that answers."""

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
        conditions: str | Sequence[str] = (),
        *,
        order_by: str | None = None,
        limit: int | None = None,
        cursor: str | None = None,
        at: str | None = None,
    ) -> Found:
        """Find the versions that meet every condition, such as `metrics.auc > 0.95 and deployed('prod')`; all without.

        `order_by` is as in `metrics.auc desc, created`; by default by model, highest version first. `Found.next` is the
        `cursor` of the next page. InvalidError points at what is wrong in a condition.
        """
        return self._search(_query(conditions, order_by, limit, cursor), at)

    def _search(self, query: Query, at: str | None) -> Found:
        from gitreg.registry.search import search

        return search(self.snapshot(at), query, now=at is None)

    def explain_search(
        self, conditions: str | Sequence[str] = (), *, order_by: str | None = None, limit: int | None = None
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
        from gitreg.registry.recommending import Asked

        where = [where] if isinstance(where, str) else where
        return self._recommend(Asked(need=need, where=where, maximize=maximize, minimize=minimize, limit=limit), at)

    def _recommend(self, asked: Asked, at: str | None) -> Recommendation:
        from gitreg.registry.recommending import recommend_from

        return recommend_from(self.snapshot(at), asked, now=at is None)

    def lineage(self, selector: str, *, depth: int = 20, down: bool = False, at: str | None = None) -> LineageNode:
        """Tell what a version came from, and that from what, over `depth` generations; `down`: what came from it."""
        if down:
            return self._descendants(Selector.parse(selector), depth, at)
        return reads.lineage(self.files(at), Selector.parse(selector), depth)

    def _descendants(self, selector: Selector, depth: int, at: str | None) -> LineageNode:
        from gitreg.registry.descendants import descendants

        return descendants(self.snapshot(at), selector, depth, now=at is None)

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
        files = pull(wanted, lambda: self.store_of(found), cache, folder, link=link, force=force, progress=progress)
        pulled.note(cache, folder, found.model, found.version, wanted)
        size = sum(file.size for file in wanted)
        return Pulled(model=found.model, version=found.version, folder=folder, files=tuple(files), bytes=size)

    def store_of(self, manifest: Manifest) -> Store:  # noqa: ARG002 - a server's store knows its files by the version
        """Give the store that the files of a version come from."""
        return self.store

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
        from gitreg.registry.locking import How, lock_models

        return lock_models(self, selectors, Path(path), How(folder, check))

    def locked_store(self, locked: LockedModel) -> Store:
        """Open the store for a locked version, once the registry's history says what the lock file says."""
        from gitreg.registry.locking import check_locked

        found = check_locked(self, locked)
        try:
            return self.store_of(found)
        except UnavailableError:  # what was last fetched holds the commit, and names a store
            self._fetched = True
            return self.store_of(found)

    # Deployments and history

    def status(
        self, environment: str | None = None, model: str | None = None, *, at: str | None = None
    ) -> list[StatusRow]:
        """Tell what is meant to run where, and what was reported to."""
        name = ModelName.parse(model) if model else None
        files = self.files(at)
        chosen = reads.known_environment(files, environment) if environment else None
        return reads.status(files, chosen, name)

    def history(self, model: str, environment: str | None = None, *, at: str | None = None) -> list[DeploymentRecord]:
        """List the deployments of a model, newest first."""
        return self._history(ModelName.parse(model), environment, at)

    def _history(self, name: ModelName, environment: str | None, at: str | None) -> list[DeploymentRecord]:
        return reads.history(self.snapshot(at), name, environment)

    def log(self, model: str | None = None, *, limit: int | None = 20, at: str | None = None) -> list[LogEntry]:
        """Tell what changed, newest first, in all the registry or of one model."""
        return self._log(ModelName.parse(model) if model else None, limit, at)

    def _log(self, name: ModelName | None, limit: int | None, at: str | None) -> list[LogEntry]:
        return reads.log(self.snapshot(at), name, limit)


def _query(
    conditions: str | Sequence[str], order_by: str | None, limit: int | None, cursor: str | None = None
) -> Query:
    from gitreg.index.pages import Query

    wanted = (conditions,) if isinstance(conditions, str) else tuple(conditions)
    return Query(conditions=wanted, order_by=order_by, limit=limit, cursor=cursor)
