"""Show how two versions differ."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitreg.manifest import aspects
from gitreg.manifest.compare import identical
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitreg.manifest.version import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDiff:
    """A metric of either side, on an evaluation's data set where it is not the version's own; delta = right - left."""

    name: str
    dataset: str | None = None
    left: float | None
    right: float | None
    delta: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldDiff:
    """A value that differs; None on the side that lacks it, so added has no left and removed no right."""

    name: str
    left: Any = None
    right: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ManifestDiff:
    """How two versions differ. Metrics are there even where they are equal, for a table needs them."""

    left: str
    right: str
    metrics: tuple[MetricDiff, ...]
    hyperparameters: tuple[FieldDiff, ...]
    datasets: tuple[FieldDiff, ...]
    artifacts: tuple[FieldDiff, ...]
    fields: tuple[FieldDiff, ...]


def diff(left: Manifest, right: Manifest) -> ManifestDiff:
    """Compare two versions; values are plain data. Nested hyperparameters get dotted names.

    A data set goes by its name, an artifact by its path; those of one name in one version are numbered.
    """
    return ManifestDiff(
        left=str(left),
        right=str(right),
        metrics=tuple(_metrics(left, right)),
        hyperparameters=_differences(aspects.hyperparameters(left), aspects.hyperparameters(right)),
        datasets=_differences(aspects.datasets(left), aspects.datasets(right)),
        artifacts=_differences(aspects.artifacts(left), aspects.artifacts(right)),
        fields=_differences(aspects.others(left), aspects.others(right)),
    )


def _differences(left: Mapping[str, object], right: Mapping[str, object]) -> tuple[FieldDiff, ...]:
    return tuple(
        FieldDiff(name=name, left=left.get(name), right=right.get(name))
        for name in dict.fromkeys([*left, *right])
        if name not in left or name not in right or not identical(left[name], right[name])
    )


def _metrics(left: Manifest, right: Manifest) -> Iterator[MetricDiff]:
    old, new = dict(aspects.measured(left)), dict(aspects.measured(right))
    for dataset, name in dict.fromkeys([*old, *new]):
        before, after = old.get((dataset, name)), new.get((dataset, name))
        yield MetricDiff(name=name, dataset=dataset, left=before, right=after, delta=aspects.delta(before, after))
