"""Find versions by conditions on simple fields, such as `metrics.auc>0.95`."""

from __future__ import annotations

import operator
import re
from itertools import islice
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError
from gitreg.names import Version, did_you_mean
from gitreg.reader import VersionFile
from gitreg.records import dataclass
from gitreg.registry.reads import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitreg.manifest import Manifest
    from gitreg.reader import Snapshot
    from gitreg.registry.results import VersionSummary

_CONDITION = re.compile(r"\s*([a-z_]+)((?:\.[^<>=!~]+?)?)\s*(<=|>=|!=|==|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_TIME = re.compile(r"([0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9]{2}(?::[0-9]{2}(?::[0-9]{2})?)?)?)?)?)Z?", re.ASCII)
_ORDER: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_PLAIN = ("model", "project", "version", "author", "license", "lifecycle", "description", "created", "base", "task")
_SETS = ("deployed", "alias", "dataset", "framework", "digest", "parent")
_MAPS = ("metrics", "labels", "hyperparameters")
_NUMERIC = frozenset({"metrics", "hyperparameters"})
FIELDS = (*_PLAIN, *_SETS, *(f"{name}.<key>" for name in _MAPS))


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: field, key below it, operator, value as typed; `bound` is what an order compares with."""

    field: str
    key: str
    operator: str
    value: str
    bound: float | Version | str | None = None

    def __call__(self, values: Sequence[object]) -> bool:
        """Whether any of a field's values meets the condition (for `!=`: whether none equals it)."""
        if self.operator == "!=":
            return not any(_equal(value, self.value) for value in values)
        if self.operator in {"=", "=="}:
            return any(_equal(value, self.value) for value in values)
        if self.operator == "~":
            return any(self.value.lower() in str(value).lower() for value in values)
        return any(self._ordered(value) for value in values)

    def _ordered(self, value: object) -> bool:
        compare, bound = _ORDER[self.operator], self.bound
        if isinstance(bound, Version):
            return isinstance(value, Version) and compare(value, bound)
        if isinstance(bound, str):
            # As precise as what was typed: 2026-01-31 is the whole day. RFC 3339 in UTC orders as text does.
            return compare(str(value)[: len(bound)], bound)
        return isinstance(value, int | float) and not isinstance(value, bool) and compare(value, bound)


def _equal(value: object, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return str(value) == wanted


def _bound(field: str, value: str) -> float | Version | str:
    """Read the value that an order compares with: a number, a version, a time to any precision."""
    if field == "version":
        return Version(value)
    if field == "created":
        match = _TIME.fullmatch(value)
        if match:
            return match[1]
        raise InvalidError(f"{value!r} is not a time", hint="write 2026, 2026-01, 2026-01-31 or 2026-01-31T12:00:00Z")
    if field not in _NUMERIC:
        raise InvalidError(f"{field} has no order", hint="allowed with it: = != ~")
    try:
        number = float(value)
    except ValueError:
        number = nan
    if not isfinite(number):
        raise InvalidError(f"{value!r} is not a number", hint=f"{field} are compared as numbers")
    return number


def parse(text: str) -> Condition:
    """Read one condition; InvalidError names the fields that there are."""
    match = _CONDITION.fullmatch(text)
    if not match or not match[4]:
        raise InvalidError(f"{text!r} is not a condition", hint="write FIELD OPERATOR VALUE, as in metrics.auc>0.95")
    field, key, comparison, value = match[1], match[2].removeprefix(".").strip(), match[3], match[4]
    if (field in _MAPS) == bool(key) and field in (*_PLAIN, *_SETS, *_MAPS):
        return Condition(field, key, comparison, value, _bound(field, value) if comparison in _ORDER else None)
    near = did_you_mean(f"{field}.{key}" if key else field, [*_PLAIN, *_SETS, *(f"{name}.{key}" for name in _MAPS)])
    raise InvalidError(
        f"there is no field {field + match[2]!r} to search by",
        hint=f"did you mean {near}?" if near else f"allowed: {', '.join(FIELDS)}",
    )


def search(snapshot: Snapshot, conditions: Sequence[str], limit: int | None) -> list[VersionSummary]:
    """Find the versions that meet every condition, by model and then highest version first."""
    wanted = [parse(text) for text in conditions]
    if not wanted:
        raise InvalidError("no condition is given", hint="gitreg search 'metrics.auc>0.95' labels.team=risk")
    if limit is not None and limit < 1:
        raise InvalidError(f"--limit: found {limit}, allowed: 1 or more")
    return list(islice(_matching(snapshot, wanted), limit))


def _matching(snapshot: Snapshot, wanted: Sequence[Condition]) -> Iterator[VersionSummary]:
    for name in snapshot.models():
        task = snapshot.model(name).task
        for file, row in reversed(list(rows(snapshot, name))):
            if isinstance(file, VersionFile) and all(
                condition(values_of(file, row, task, condition)) for condition in wanted
            ):
                yield row


def values_of(file: VersionFile, row: VersionSummary, task: str | None, condition: Condition) -> list[object]:
    """Give the values of a condition's field in one version; empty where it has none."""
    manifest, field = file.manifest, condition.field
    if field in _MAPS:
        if field == "hyperparameters":
            source = (manifest.training.hyperparameters if manifest.training else None) or {}
        else:
            source = getattr(manifest, field)
        return [source[condition.key]] if condition.key in source else []
    if field in _SETS:
        return _several(manifest, row, field)
    special: dict[str, object] = {
        "project": manifest.model.project,
        "author": manifest.author.name,
        "task": task,
    }
    value = special[field] if field in special else getattr(manifest, field)
    return [] if value is None else [value]


def _several(manifest: Manifest, row: VersionSummary, field: str) -> list[object]:
    training = manifest.training
    framework = training.framework if training else None
    datasets = training.datasets if training else ()
    several: dict[str, list[object]] = {
        "deployed": list(row.deployed),
        "alias": list(row.aliases),
        "dataset": [dataset.name for dataset in datasets],
        "framework": [framework.name] if framework else [],
        "digest": [str(artifact.digest) for artifact in manifest.artifacts],
        "parent": [f"{parent.model}@{parent.version}" for parent in manifest.parents],
    }
    return several[field]
