"""Set the metrics of what a range of commits brings beside those of what is deployed now."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, NotFoundError
from gitreg.layout import Kind, place
from gitreg.reader import Snapshot, VersionFile
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitreg.git import Oid, PathChange, Repository
    from gitreg.layout import Place
    from gitreg.names import EnvironmentName, ModelName, Version

_PATHS = 10_000
_DEPTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployed:
    """What an environment points at now, and its metrics."""

    environment: EnvironmentName
    version: Version
    metrics: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A version that a range registers or deploys, what it does with it, and what it is compared with."""

    model: ModelName
    version: Version
    events: tuple[str, ...]
    metrics: Mapping[str, float]
    deployed: tuple[Deployed, ...]


def compare_range(repository: Repository, base: str, head: str) -> list[Comparison]:
    """Compare every version that `base..head` registers or deploys with what is deployed at `base`.

    Files that cannot be read are left out: the gate's verdict is about them.
    """
    from gitreg.git.history import merge_base

    base_oid, head_oid = (_commit(repository, rev) for rev in (base, head))
    fork = merge_base(repository, base_oid, head_oid) or base_oid
    now, after = Snapshot(repository, base_oid), Snapshot(repository, head_oid)
    events: dict[tuple[ModelName, Version], list[str]] = {}
    for change in _changes(repository, fork, head_oid):
        with suppress(GitregError):
            for version, event in _events(after, change, place(change.path)):
                events.setdefault(version, []).append(event)
    found = (_compared(now, after, key, tuple(words)) for key, words in events.items())
    return sorted((each for each in found if each), key=lambda each: (each.model, each.version))


def _commit(repository: Repository, rev: str) -> Oid:
    from gitreg.git.lookup import commit_of

    oid = commit_of(repository, rev)
    if oid is None:
        raise NotFoundError(f"there is no commit {rev!r} here", hint="fetch it, or name another")
    return oid


def _changes(repository: Repository, before: Oid, after: Oid) -> list[PathChange]:
    from gitreg.git import changed_paths

    trees = [repository.objects.commit(oid).tree for oid in (before, after)]
    return changed_paths(repository.objects, trees[0], trees[1], budget=_PATHS, depth=_DEPTH)


def _events(after: Snapshot, change: PathChange, where: Place) -> Iterator[tuple[tuple[ModelName, Version], str]]:
    if where.model is None or change.after is None:
        return
    if where.kind is Kind.VERSION and where.version and change.before is None:
        yield (where.model, where.version), "registered"
    if where.kind is Kind.DEPLOYMENT and where.environment:
        pointer = after.pointer(where.environment, where.model)
        if pointer:
            yield (where.model, pointer.version), f"deployed to {where.environment}"
            if pointer.canary_version:
                share = f"{pointer.canary_percent} % of {where.environment}"
                yield (where.model, pointer.canary_version), f"deployed to {share}"


def _compared(
    now: Snapshot, after: Snapshot, key: tuple[ModelName, Version], events: tuple[str, ...]
) -> Comparison | None:
    with suppress(GitregError):
        file = after.find(*key)
        if isinstance(file, VersionFile):
            deployed = tuple(_deployed(now, key[0]))
            return Comparison(
                model=key[0], version=key[1], events=events, metrics=file.manifest.metrics, deployed=deployed
            )
    return None


def _deployed(now: Snapshot, model: ModelName) -> Iterator[Deployed]:
    for environment in now.environments():
        pointer = now.pointer(environment, model)
        file = now.find(model, pointer.version) if pointer else None
        if pointer and isinstance(file, VersionFile):
            yield Deployed(environment=environment, version=pointer.version, metrics=file.manifest.metrics)
