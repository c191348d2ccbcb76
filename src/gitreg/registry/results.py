"""What the registry answers, as frozen values; `wire.plain` turns each into JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.deployment import Approval, Status
    from gitreg.digest import Digest
    from gitreg.manifest import Lifecycle, Manifest
    from gitreg.names import AliasName, EnvironmentName, ModelName, Version
    from gitreg.recommend.advice import Recommended


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSummary:
    """A row of `gitreg list`."""

    model: ModelName
    description: str | None
    task: str | None
    versions: int
    latest: Version | None
    aliases: Mapping[AliasName, Version]
    deployed: Mapping[EnvironmentName, Version]


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionDetails:
    """A version with what points at it: the answer of `gitreg show`."""

    manifest: Manifest
    manifest_digest: Digest
    aliases: tuple[AliasName, ...]
    deployed: tuple[EnvironmentName, ...]
    approvals: tuple[Approval, ...]
    registry_commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class VersionSummary:
    """A row of `gitreg versions` and of `gitreg search`."""

    model: ModelName
    version: Version
    created: str | None
    author: str | None
    lifecycle: Lifecycle | str
    metrics: Mapping[str, float]
    labels: Mapping[str, str]
    size: int
    aliases: tuple[AliasName, ...]
    deployed: tuple[EnvironmentName, ...]
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Metrics over the versions of a model, lowest version first; None where a version lacks one."""

    model: ModelName
    versions: tuple[str, ...]
    created: tuple[str, ...]
    metrics: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """What is meant to run somewhere (`version` None: nothing), and what was last reported to run there."""

    environment: EnvironmentName
    model: ModelName
    version: Version | None
    canary_version: Version | None
    canary_percent: int | None
    lifecycle: str | None
    reported: Status | None
    drift: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineageNode:
    """A version, or a base outside the registry, with what it came from, or else with what came from it."""

    name: str
    relation: str | None
    state: str | None
    parents: tuple[LineageNode, ...]
    children: tuple[LineageNode, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """The answer of `gitreg recommend`: the places in order, out of how many models, by which embedding model.

    `model` is None where words alone decided; `notes` say so, and what else there is to know about how it was found.
    """

    need: str
    model: str | None
    aims: tuple[str, ...]
    considered: int
    places: tuple[Recommended, ...]
    notes: tuple[str, ...]
