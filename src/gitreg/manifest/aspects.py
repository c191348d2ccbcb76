"""Take a manifest apart into what is compared: measurements, and named values of plain data."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitreg.manifest.parts import Evaluation
    from gitreg.manifest.version import Manifest

_T = TypeVar("_T")

_IDENTITY = frozenset({"api_version", "kind", "version", "created"})
_OWN_TABLE = frozenset({"artifacts", "training", "metrics", "evaluations"})


def measured(manifest: Manifest) -> Iterator[tuple[tuple[str | None, str], float]]:
    """Give each metric by data set and name; the data set is None for the version's own."""
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


def hyperparameters(manifest: Manifest) -> dict[str, object]:
    """Give the hyperparameters; nested ones get dotted names."""
    found = manifest.training.hyperparameters if manifest.training else None
    return dict(_flat("", found or {}))


def _flat(prefix: str, mapping: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    for name, value in sorted(mapping.items()):
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def datasets(manifest: Manifest) -> dict[str, object]:
    """Give the data sets by name; those of one name are numbered."""
    found = manifest.training.datasets if manifest.training else ()
    return {name: dataset.to_data() for name, dataset in _numbered(found, lambda dataset: dataset.name)}


def artifacts(manifest: Manifest) -> dict[str, object]:
    """Give the artifacts by path, without what was found in a file: that follows from its digest."""
    rows = {artifact.path: artifact.to_data() for artifact in manifest.artifacts}
    return {path: {key: row[key] for key in row if key != "inspection"} for path, row in rows.items()}


def others(manifest: Manifest) -> dict[str, object]:
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


def delta(before: float | None, after: float | None) -> float | None:
    """Subtract, and round to the digits that a double can tell: 0.95 - 0.94 is 0.01. None where it is not finite."""
    if before is None or after is None:
        return None
    delta = after - before
    if isinstance(delta, int):
        return delta
    return float(f"{delta:.12g}") if isfinite(delta) else None
