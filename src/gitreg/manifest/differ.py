"""Show how two versions differ."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

from gitreg.manifest.compare import identical
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitreg.manifest.parts import Artifact, Evaluation
    from gitreg.manifest.version import Manifest

_T = TypeVar("_T")

_IDENTITY = frozenset({"api_version", "kind", "version", "created"})
_OWN_TABLE = frozenset({"artifacts", "training", "metrics", "evaluations"})


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
        hyperparameters=_differences(_hyperparameters(left), _hyperparameters(right)),
        datasets=_differences(_datasets(left), _datasets(right)),
        artifacts=_differences(_artifacts(left.artifacts), _artifacts(right.artifacts)),
        fields=_differences(_others(left), _others(right)),
    )


def _differences(left: Mapping[str, object], right: Mapping[str, object]) -> tuple[FieldDiff, ...]:
    return tuple(
        FieldDiff(name=name, left=left.get(name), right=right.get(name))
        for name in dict.fromkeys([*left, *right])
        if name not in left or name not in right or not identical(left[name], right[name])
    )


def _metrics(left: Manifest, right: Manifest) -> Iterator[MetricDiff]:
    old, new = dict(_measured(left)), dict(_measured(right))
    for dataset, name in dict.fromkeys([*old, *new]):
        before, after = old.get((dataset, name)), new.get((dataset, name))
        yield MetricDiff(name=name, dataset=dataset, left=before, right=after, delta=_delta(before, after))


def _delta(before: float | None, after: float | None) -> float | None:
    """Subtract, and round to the digits that a double can tell: 0.95 - 0.94 is 0.01. None where it is not finite."""
    if before is None or after is None:
        return None
    delta = after - before
    if isinstance(delta, int):
        return delta
    return float(f"{delta:.12g}") if isfinite(delta) else None


def _measured(manifest: Manifest) -> Iterator[tuple[tuple[str | None, str], float]]:
    for name in sorted(manifest.metrics):
        yield (None, name), manifest.metrics[name]
    for dataset, evaluation in _numbered(manifest.evaluations, _name_of_evaluation):
        for name in sorted(evaluation.metrics):
            yield (dataset, name), evaluation.metrics[name]


def _name_of_evaluation(evaluation: Evaluation) -> str:
    return f"{evaluation.dataset.name}/{evaluation.split}" if evaluation.split else evaluation.dataset.name


def _numbered(items: Iterable[_T], name_of: Callable[[_T], str]) -> Iterator[tuple[str, _T]]:
    """Name each item, the second of one name `name (2)`."""
    counts: dict[str, int] = {}
    for item in items:
        name = name_of(item)
        counts[name] = counts.get(name, 0) + 1
        yield (name if counts[name] == 1 else f"{name} ({counts[name]})"), item


def _hyperparameters(manifest: Manifest) -> dict[str, object]:
    found = manifest.training.hyperparameters if manifest.training else None
    return dict(_flat("", found or {}))


def _flat(prefix: str, mapping: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in sorted(mapping.items()):
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _datasets(manifest: Manifest) -> dict[str, object]:
    datasets = manifest.training.datasets if manifest.training else ()
    return {name: dataset.to_data() for name, dataset in _numbered(datasets, lambda dataset: dataset.name)}


def _artifacts(artifacts: Iterable[Artifact]) -> dict[str, object]:
    # Without what was found in a file: that follows from its digest.
    rows = {artifact.path: artifact.to_data() for artifact in artifacts}
    return {path: {key: row[key] for key in row if key != "inspection"} for path, row in rows.items()}


def _others(manifest: Manifest) -> dict[str, object]:
    """Give everything that has no table of its own and does not differ between any two versions anyway."""
    data = manifest.to_data()
    found = {
        name: value for name, value in data.items() if name not in _IDENTITY | _OWN_TABLE | {"labels", "signature"}
    }
    found |= _signature(data.get("signature", {}))
    training = data.get("training", {})
    found |= {f"training.{name}": training[name] for name in ("framework", "code") if name in training}
    return found | {f"labels.{name}": value for name, value in data.get("labels", {}).items()}


def _signature(data: Mapping[str, Any]) -> dict[str, object]:
    """Name each input, output and tensor; a tensor is its type and shape."""
    rows = {f"signature.{name}": value for name, value in data.items() if not isinstance(value, (list, Mapping))}
    for side in ("inputs", "outputs"):
        for each in data.get(side, ()):
            shape = ", ".join("?" if size is None else str(size) for size in each["shape"])
            rows[f"signature.{side}.{each['name']}"] = f"{each['dtype']}[{shape}]"
    return rows | {f"signature.tensors.{name}": value for name, value in data.get("tensors", {}).items()}
