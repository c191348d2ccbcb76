"""Find versions by conditions on simple fields, such as `metrics.auc>0.95`."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.names import did_you_mean
from gitreg.reader import VersionFile
from gitreg.registry.reads import summaries

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitreg.manifest import Manifest
    from gitreg.reader import Snapshot
    from gitreg.registry.results import VersionSummary

_CONDITION = re.compile(r"\s*([a-z_]+)((?:\.[^<>=!~]+?)?)\s*(<=|>=|!=|==|=|<|>|~)\s*(.*?)\s*", re.DOTALL)
_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_PLAIN = ("model", "project", "version", "author", "license", "lifecycle", "description", "created", "base", "task")
_SETS = ("deployed", "alias", "dataset", "framework", "digest", "parent")
_MAPS = ("metrics", "labels", "hyperparameters")
FIELDS = (*_PLAIN, *_SETS, *(f"{name}.<key>" for name in _MAPS))


@dataclass(frozen=True, slots=True)
class Condition:
    """One comparison: field, key below it, operator, value as typed."""

    field: str
    key: str
    operator: str
    value: str

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
        compare = _ORDER[self.operator]
        if isinstance(value, int | float) and not isinstance(value, bool):
            return compare(float(value), _number(self))
        if self.field == "created":
            # RFC 3339 in UTC orders as text does.
            return (
                compare(str(value) > self.value, False) if self.operator == ">" else _text(compare, value, self.value)
            )
        return False


def _text(compare: Callable[[float, float], bool], value: object, wanted: str) -> bool:
    text = str(value)
    return compare(float((text > wanted) - (text < wanted)), 0.0)


def _number(condition: Condition) -> float:
    try:
        return float(condition.value)
    except ValueError as error:
        raise InvalidError(
            f"{condition.value!r} is not a number", hint=f"{condition.field} is compared as one"
        ) from error


def _equal(value: object, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted == str(value).lower()
    if isinstance(value, int | float):
        try:
            return float(value) == float(wanted)
        except ValueError:
            return False
    return str(value) == wanted


def parse(text: str) -> Condition:
    """Read one condition; InvalidError names the fields that there are."""
    match = _CONDITION.fullmatch(text)
    if not match or not match[4]:
        raise InvalidError(f"{text!r} is not a condition", hint="write FIELD OPERATOR VALUE, as in metrics.auc>0.95")
    field, key = match[1], match[2].removeprefix(".").strip()
    if field in _MAPS and key:
        return Condition(field, key, match[3], match[4])
    if field in (*_PLAIN, *_SETS) and not key:
        return Condition(field, "", match[3], match[4])
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
    results: list[VersionSummary] = []
    for row in _matching(snapshot, wanted):
        results.append(row)
        if limit is not None and len(results) >= limit:
            break
    return results


def _matching(snapshot: Snapshot, wanted: Sequence[Condition]) -> Iterator[VersionSummary]:
    for name in snapshot.models():
        task = snapshot.model(name).task
        rows = list(zip(snapshot.every_version(name), summaries(snapshot, name), strict=True))
        for file, row in reversed(rows):
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
