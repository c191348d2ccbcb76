"""How a registry is changed: one method a write, each through the gate."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import open_registry_store
from gitreg.errors import GitregError, InvalidError
from gitreg.layout import MAIN
from gitreg.reader import Snapshot
from gitreg.records import replace
from gitreg.registry import reads
from gitreg.writer import Mode, Plan, Written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from gitreg.objects import Progress, Store
    from gitreg.registry.importing import Import
    from gitreg.registry.planners import Asked
    from gitreg.registry.register import Prepared, RegisterRequest
    from gitreg.scan import Inspector

from gitreg.registry.answering import Answering, ModelVersion
from gitreg.registry.opened import counting

_PUSH = Mode()


class Changing(Answering):
    """A registry that is written to."""

    # Publish

    def register(self, request: RegisterRequest, mode: Mode = _PUSH) -> Written:
        """Register a version: put its files into the store, commit its manifest; `Written.about` is the manifest.

        Raises ConflictError for a version that exists, NotFoundError for a missing file, and what the gate's verdict
        is classed as.
        """
        from gitreg.keep.claims import claim
        from gitreg.registry.register import (
            Prepared,
            check_request,
            hashed,
            inspector,
            looked_into,
            now,
            sizes_of,
            upload,
        )
        from gitreg.writer.publish import publish

        name = check_request(request)
        store = None
        with inspector(request) as inspecting:  # its process starts while the rest is looked up
            code, notes = reads.code(request.code)
            prepared = Prepared(request, name, (), self.target.author(), code, request.created or now())
            if mode.dry_run or not request.paths:
                inspected = looked_into(request, self.snapshot().settings.formats, inspecting)
                prepared = replace(prepared, files=hashed(request, inspected), inspected=inspected)
            else:
                prepared, store = self._check_early(prepared, mode, inspecting)
        if store is not None:
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
        origin: Answering,
        selector: str,
        mode: Mode = _PUSH,
        *,
        parents: bool = False,
        progress: Progress | None = None,
    ) -> Written:
        """Take a version over from another registry: the same manifest and weights; `Written.about` is the manifest.

        With `parents` what it came from comes as well. Raises ConflictError where another version has its number.
        """
        from gitreg.keep.claims import check_begun, claim
        from gitreg.registry import importing
        from gitreg.writer.publish import publish

        found = importing.prepare(origin, selector, parents=parents)
        snapshot = Snapshot(self.target.repository, self.target.refresh())
        planned = found.plan(snapshot)
        if mode.propose:
            self.target.require_user(mode.user)
        if mode.dry_run or not planned.edits:
            written = publish(self.target, found.plan, mode, known_sizes=found.sizes())
            return self._with_lifecycles(found, written, mode)
        self._refuse_early(planned, snapshot, mode, found.sizes())
        if not found.sizes():
            return self._with_lifecycles(found, publish(self.target, found.plan, mode), mode)
        settings = snapshot.settings
        store = open_registry_store(self.target.repository, settings.store, self.target.store_base, settings.mirrors)
        check_begun(store, snapshot)
        importing.copy_blobs(found, origin, store, counting(progress, "weights"))
        claim(store, settings.name, snapshot.commit)
        written = publish(self.target, found.plan, mode)
        if written.commit is not None and written.ref == MAIN:
            with suppress(GitregError):  # it is on main; whoever registers next says so too
                claim(store, settings.name, written.commit)
        written = replace(written, notes=(*written.notes, *_left_behind(store)))
        return self._with_lifecycles(found, written, mode)

    def _with_lifecycles(self, found: Import, written: Written, mode: Mode) -> Written:
        """Give what came as active the lifecycle that it has where it comes from, in a commit for each."""
        from gitreg.manifest import Lifecycle

        notes = []
        for selector, lifecycle in found.retired(written.paths):
            notes.append(f"{selector} is {lifecycle} where it comes from, and so here")
            if mode.dry_run or mode.propose:
                notes[-1] = f"{selector} is {lifecycle} where it comes from, and would come as active"
                continue
            try:
                if lifecycle is Lifecycle.DEPRECATED:
                    self.update(selector, mode, lifecycle=str(lifecycle))
                else:
                    {Lifecycle.YANKED: self.yank, Lifecycle.ARCHIVED: self.archive}[lifecycle](selector, mode)
            except GitregError as error:
                raise error.within(f"{selector} came as active, and is {lifecycle} there")  # noqa: B904 - the same error
        return replace(written, notes=(*written.notes, *notes))

    def _refuse_early(self, plan: Plan, snapshot: Snapshot, mode: Mode, sizes: Mapping[str, int]) -> None:
        """Refuse what the gate would refuse, before a byte is copied."""
        from gitreg.gate import refusal
        from gitreg.writer.publish import prejudge

        user = self.target.actor(mode.user) if self.target.is_local else None
        if violations := prejudge(self.target, snapshot, plan, user, sizes):
            raise refusal(violations, "the registry would refuse this")

    def _check_early(self, prepared: Prepared, mode: Mode, inspector: Inspector | None) -> tuple[Prepared, Store]:
        """Refuse what the gate would refuse before the weights are read, look into them, and open their store."""
        from gitreg.keep.claims import check_begun
        from gitreg.registry.register import check_parents, claimed, looked_into, next_version, sizes_of

        if mode.propose:
            self.target.require_user(mode.user)
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
        check_begun(store, snapshot)
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
        from gitreg.registry import planners

        return self._write(planners.update(selector, **fields), mode)

    def update_model(self, model: str, mode: Mode = _PUSH, **fields: object) -> Written:
        """Change a model's description, task, owners, labels or card; see `plans.update_model`."""
        from gitreg.registry import planners

        return self._write(planners.update_model(model, **fields), mode)

    def alias(self, selector: str, name: str, mode: Mode = _PUSH, *, remove: bool = False) -> Written:
        """Set, move or remove an alias."""
        from gitreg.registry import planners

        return self._write(planners.alias(selector, name, remove=remove), mode)

    def yank(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Hide a version from resolution; it stays fetchable by its exact version."""
        from gitreg.manifest import Lifecycle
        from gitreg.registry import planners

        return self._write(planners.retire(selector, Lifecycle.YANKED, undo=undo, reason=reason), mode)

    def archive(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Keep a version for compliance; it cannot be deployed any more."""
        from gitreg.manifest import Lifecycle
        from gitreg.registry import planners

        return self._write(planners.retire(selector, Lifecycle.ARCHIVED, undo=undo, reason=reason), mode)

    def delete(self, selector: str, mode: Mode = _PUSH, *, undo: bool = False, reason: str | None = None) -> Written:
        """Replace a version by a tombstone, or bring the very same bytes back."""
        from gitreg.registry import planners

        return self._write(planners.delete(selector, undo=undo, reason=reason), mode)

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
        from gitreg.registry import planners

        planner = planners.deploy(selector, environment, reason=reason, canary=canary, percent=percent)
        return self._write(planner, mode)

    def promote(
        self, model: str, source: str, target: str | None = None, mode: Mode = _PUSH, *, reason: str | None = None
    ) -> Written:
        """Point the next environment, or the one named, at what runs in another."""
        from gitreg.registry import planners

        return self._write(planners.promote(model, source, target, reason=reason), mode)

    def rollback(
        self, model: str, environment: str, mode: Mode = _PUSH, *, to: str | None = None, reason: str | None = None
    ) -> Written:
        """Point an environment back at its last state, at a version, or at a deployment's number."""
        from gitreg.registry import planners

        return self._write(planners.rollback(model, environment, to=to, reason=reason), mode)

    def undeploy(self, model: str, environment: str, mode: Mode = _PUSH, *, reason: str | None = None) -> Written:
        """Take a model out of an environment."""
        from gitreg.registry import planners

        return self._write(planners.undeploy(model, environment, reason=reason), mode)

    def approve(
        self, selector: str, environment: str, mode: Mode = _PUSH, *, reject: bool = False, comment: str | None = None
    ) -> Written:
        """Record one's own verdict on a version for an environment."""
        from gitreg.registry import planners

        planner = planners.approve(
            selector, environment, lambda: self.target.require_user(mode.user), reject=reject, comment=comment
        )
        return self._write(planner, mode)

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
        from gitreg.registry import planners

        planner = planners.report(selector, environment, state=state, endpoint=endpoint, detail=detail)
        return self._write(planner, mode)

    def _write(self, asked: Asked, mode: Mode) -> Written:
        from gitreg.writer.publish import publish

        return publish(self.target, asked, mode)


def _left_behind(store: Store) -> list[str]:
    """Say which mirrors did not get everything: the registration stands, they are to be caught up."""
    from gitreg.objects import Stores

    reasons = {each.uri: each.reason for each in store.behind} if isinstance(store, Stores) else {}
    return [f"the mirror {uri} is behind: {reason}; run gitreg store sync" for uri, reason in reasons.items()]
