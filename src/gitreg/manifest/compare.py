"""Tell what changed in a manifest, and what a registry demands that it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from gitreg.manifest.parts import Evaluation
    from gitreg.manifest.version import Manifest

IMMUTABLE_FIELDS = (
    "model",
    "version",
    "created",
    "author",
    "artifacts",
    "external",
    "training",
    "parents",
    "base",
    "signature",
)


def changed_fields(before: Manifest, after: Manifest) -> tuple[str, ...]:
    """Name the top-level fields whose values differ, in canonical order; 1, 1.0 and true are three values."""
    left, right = before.to_data(), after.to_data()
    names = dict.fromkeys([*left, *right])
    return tuple(name for name in names if not identical(left.get(name), right.get(name)))


def identical(left: object, right: object) -> bool:
    """Whether two plain values are the same, types included."""
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(identical(value, right[key]) for key, value in left.items())
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(identical, left, right))
    return type(left) is type(right) and left == right


def rewritten_measurements(before: Manifest, after: Manifest) -> tuple[str, ...]:
    """Name the metrics and evaluations that were there before and are not there, unchanged, after.

    The order of evaluations means nothing; each one before needs one of its own after, of the same data set and
    split, with at least its metrics.
    """
    names = [f"metrics.{name}" for name in _rewritten(before.metrics, after.metrics)]
    left = list(after.evaluations)
    # The exact ones first, so that a shorter twin cannot take an evaluation that a longer one needs.
    for index, old in sorted(enumerate(before.evaluations), key=lambda each: each[1] not in after.evaluations):
        keeper = old if old in left else next((new for new in left if _keeps(old, new)), None)
        if keeper is None:
            names += _lost(index, old, after.evaluations)
        else:
            left.remove(keeper)
    return tuple(names)


def _rewritten(before: Mapping[str, float], after: Mapping[str, float]) -> list[str]:
    return [name for name, value in before.items() if name not in after or after[name] != value]


def _keeps(old: Evaluation, new: Evaluation) -> bool:
    return (old.dataset, old.split) == (new.dataset, new.split) and not _rewritten(old.metrics, new.metrics)


def _lost(index: int, old: Evaluation, after: Sequence[Evaluation]) -> list[str]:
    new = after[index] if index < len(after) else None
    if new is None or (old.dataset, old.split) != (new.dataset, new.split):
        return [f"evaluations[{index}]"]
    names = [f"evaluations[{index}].metrics.{name}" for name in _rewritten(old.metrics, new.metrics)]
    return names or [f"evaluations[{index}]"]


def missing_fields(manifest: Manifest, required: Iterable[str]) -> tuple[str, ...]:
    """Name the required fields, dotted as in `training.datasets`, that a manifest lacks or leaves empty."""
    data = manifest.to_data()
    return tuple(name for name in required if _field(data, name) in (None, "", [], {}))


def _field(data: object, name: str) -> object:
    """Look a dotted name up; a metric or a label may have dots of its own in its name."""
    if not isinstance(data, Mapping):
        return None
    if name in data:
        found: object = data[name]
        return found
    first, dot, rest = name.partition(".")
    return _field(data.get(first), rest) if dot else None
