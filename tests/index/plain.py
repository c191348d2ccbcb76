"""The search language said a second time, from docs/search.md: conditions as values, held against parsed manifests."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

Entry = dict[str, Any]
ORDERS = {"<": operator.lt, ">": operator.gt, "<=": operator.le, ">=": operator.ge}
NAMES = frozenset({"=", "~", "like", "ilike", "in"})


@dataclass
class Version:
    """What the files say of a version: its manifest, its model's file and card, and what points at it."""

    manifest: dict[str, Any]
    model: dict[str, Any]
    card: str = ""
    deployed: set[str] = field(default_factory=set)
    ancestors: set[str] = field(default_factory=set)

    @property
    def name(self) -> str:
        return f"{self.manifest['model']}@{self.manifest['version']}"


def dig(value: Any, path: str) -> Any:  # noqa: ANN401 - what a file holds
    """Give what stands at a path of names; None where nothing does."""
    for name in path.split("/"):
        value = (value or {}).get(name)
    return value


def precedence(version: str) -> tuple[object, ...]:
    """Order versions (https://semver.org, 11)."""
    core, dash, rest = version.partition("-")
    parts = [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in rest.split(".")] if dash else []
    return (*map(int, core.split(".")), not dash, parts)


# How values compare.
TEXT, NUMBER, PARAMETER, VERSION, TIME = "text", "number", "parameter", "version", "time"
# The lists of which an entry has several fields; of each field its kind, and where an entry has it.
LISTS: dict[str, tuple[str, dict[str, tuple[str, str]]]] = {
    "evaluations": (
        "evaluations",
        {
            "evaluations.dataset": (TEXT, "dataset/name"),
            "evaluations.dataset.version": (TEXT, "dataset/version"),
            "evaluations.split": (TEXT, "split"),
            "evaluations.metrics.auc": (NUMBER, "metrics/auc"),
            "evaluations.metrics.f1": (NUMBER, "metrics/f1"),
        },
    ),
    "datasets": (
        "training/datasets",
        {
            "dataset": (TEXT, "name"),
            "training.datasets.version": (TEXT, "version"),
            "dataset.digest": (TEXT, "digest"),
            "dataset.uri": (TEXT, "uri"),
        },
    ),
    "artifacts": (
        "artifacts",
        {
            "file": (TEXT, "path"),
            "digest": (TEXT, "digest"),
            "artifacts.format": (TEXT, "format"),
            "artifacts.size": (NUMBER, "size"),
        },
    ),
}
# Every other field: its kind, and its values of a version.
FIELDS: dict[str, tuple[str, Callable[[Version], Iterable[Any]]]] = {
    "model": (TEXT, lambda each: [each.manifest["model"]]),
    "project": (TEXT, lambda each: [each.manifest["model"].partition("/")[0]]),
    "version": (VERSION, lambda each: [each.manifest["version"]]),
    "created": (TIME, lambda each: [each.manifest["created"]]),
    "author": (TEXT, lambda each: [dig(each.manifest, "author/name")]),
    "author.email": (TEXT, lambda each: [dig(each.manifest, "author/email")]),
    "license": (TEXT, lambda each: [each.manifest.get("license")]),
    "lifecycle": (TEXT, lambda each: [each.manifest.get("lifecycle", "active")]),
    "description": (TEXT, lambda each: [each.manifest.get("description")]),
    "base.uri": (TEXT, lambda each: [dig(each.manifest, "base/uri")]),
    "external": (TEXT, lambda each: [dig(each.manifest, "external/provider")]),
    "framework": (TEXT, lambda each: [dig(each.manifest, "training/framework/name")]),
    "training.framework.version": (TEXT, lambda each: [dig(each.manifest, "training/framework/version")]),
    "code.commit": (TEXT, lambda each: [dig(each.manifest, "training/code/commit")]),
    "size": (NUMBER, lambda each: [sum(file["size"] for file in each.manifest.get("artifacts", []))]),
    "metrics.auc": (NUMBER, lambda each: [dig(each.manifest, "metrics/auc")]),
    "metric.`f1 macro`": (NUMBER, lambda each: [dig(each.manifest, "metrics/f1 macro")]),
    "params.epochs": (PARAMETER, lambda each: [dig(each.manifest, "training/hyperparameters/epochs")]),
    "labels.team": (TEXT, lambda each: [dig(each.manifest, "labels/team")]),
    "tags.`cost center`": (TEXT, lambda each: [dig(each.manifest, "labels/cost center")]),
    "parent": (TEXT, lambda each: [f"{one['model']}@{one['version']}" for one in each.manifest.get("parents", [])]),
    "task": (TEXT, lambda each: [each.model.get("task")]),
    "owner": (TEXT, lambda each: each.model.get("owners", [])),
    "model.description": (TEXT, lambda each: [each.model.get("description")]),
    "model.labels.domain": (TEXT, lambda each: [dig(each.model, "labels/domain")]),
    "alias": (
        TEXT,
        lambda each: [alias for alias, one in each.model.get("aliases", {}).items() if one == each.manifest["version"]],
    ),
    "deployed": (TEXT, lambda each: each.deployed),
}
LIST_OF = {name: entries for entries, (_, fields) in LISTS.items() for name in fields}
KINDS = {name: kind for name, (kind, _) in FIELDS.items()} | {
    name: kind for _, fields in LISTS.values() for name, (kind, _) in fields.items()
}


def entries_of(version: Version, entries: str) -> list[Entry]:
    """Give the entries of a list of a version's manifest."""
    return dig(version.manifest, LISTS[entries][0]) or []


def values_of(version: Version, name: str) -> list[Any]:
    """Give the values that a version has of a field."""
    if name in LIST_OF:
        entries = LIST_OF[name]
        found = [dig(entry, LISTS[entries][1][name][1]) for entry in entries_of(version, entries)]
    else:
        found = list(FIELDS[name][1](version))
    return [value for value in found if value is not None]


class AmbiguousError(Exception):
    """Two entries are asked for, and it is not said of which the rest is."""


@dataclass(frozen=True)
class Compare:
    """A field, an operator (in its positive form) and the values that it is compared with."""

    name: str
    operator: str
    values: tuple[Any, ...] = ()

    def text(self) -> str:
        if self.operator == "present":
            return f"{self.name} is not null"
        if self.operator == "in":
            return f"{self.name} in ({', '.join(map(quoted, self.values))})"
        return f"{self.name} {self.operator} {quoted(self.values[0])}"

    def holds(self, version: Version) -> bool:
        return self.meets(values_of(version, self.name))

    def of_entry(self, entry: Entry) -> bool:
        value = dig(entry, LISTS[LIST_OF[self.name]][1][self.name][1])
        return self.meets([] if value is None else [value])

    def meets(self, found: Iterable[Any]) -> bool:
        if self.operator == "!=":
            return not Compare(self.name, "=", self.values).meets(found)
        return any(self._meets(value) for value in found)

    def _meets(self, value: Any) -> bool:  # noqa: ANN401 - what a file holds
        if self.operator == "present":
            return True
        if self.operator in {"=", "in"}:
            return any(self._equal(value, wanted) for wanted in self.values)
        wanted = self.values[0]
        if self.operator in ORDERS:
            return self._ordered(value, wanted)
        if self.operator == "~":
            return folded(wanted) in folded(spelled(value))
        if self.operator == "ilike":
            return bool(pattern(folded(wanted)).fullmatch(folded(spelled(value))))
        return bool(pattern(wanted).fullmatch(spelled(value)))

    def _equal(self, value: Any, wanted: Any) -> bool:  # noqa: ANN401 - as above
        kind = KINDS[self.name]
        if kind == TIME:
            return bool(value[: len(wanted)] == wanted)
        if kind == PARAMETER:
            return spelled(value) == spelled(wanted) or (is_number(value) and value == as_number(spelled(wanted)))
        return bool(value == wanted)

    def _ordered(self, value: Any, wanted: Any) -> bool:  # noqa: ANN401 - as above
        kind, holds = KINDS[self.name], ORDERS[self.operator]
        if kind == TIME:
            return bool(holds(value[: len(wanted)], wanted))
        if kind == VERSION:
            return bool(holds(precedence(value), precedence(wanted)))
        return is_number(value) and bool(holds(value, wanted))


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def as_number(text: str) -> float | None:
    """Read what was typed as a number, where it is one."""
    try:
        return float(text)
    except ValueError:
        return None


def spelled(value: object) -> str:
    """Write a value as YAML does."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def quoted(value: object) -> str:
    return "'" + spelled(value).replace("'", "''") + "'"


def folded(text: str) -> str:
    """Lower ASCII letters, and no others."""
    return "".join(mark.lower() if mark.isascii() else mark for mark in text)


def pattern(text: str) -> re.Pattern[str]:
    return re.compile("".join({"%": ".*", "_": "."}.get(mark, re.escape(mark)) for mark in text), re.DOTALL)


@dataclass(frozen=True)
class Asked:
    """A question with a name."""

    said: str
    answer: Callable[[Version], bool]

    def text(self) -> str:
        return self.said

    def holds(self, version: Version) -> bool:
        return self.answer(version)


@dataclass(frozen=True)
class Not:
    """A term that must not hold."""

    term: Term

    def text(self) -> str:
        return f"not ({self.term.text()})"

    def holds(self, version: Version) -> bool:
        return not self.term.holds(version)

    def of_entry(self, entry: Entry) -> bool:
        return not self.term.of_entry(entry)  # type: ignore[union-attr] # inside of entries there are no questions


@dataclass(frozen=True)
class Either:
    """Terms of which one must hold."""

    terms: tuple[Term, ...]

    def text(self) -> str:
        return "(" + " OR ".join(term.text() for term in self.terms) + ")"

    def holds(self, version: Version) -> bool:
        results = [term.holds(version) for term in self.terms]  # each is looked at, so each may be ambiguous
        return any(results)

    def of_entry(self, entry: Entry) -> bool:
        return any(term.of_entry(entry) for term in self.terms)  # type: ignore[union-attr] # as above


@dataclass(frozen=True)
class Both:
    """Terms that must all hold; those about the entries of one list are about one entry."""

    terms: tuple[Term, ...]

    def text(self) -> str:
        return "(" + " and ".join(term.text() for term in self.terms) + ")"

    def flat(self) -> list[Term]:
        return [each for term in self.terms for each in (term.flat() if isinstance(term, Both) else [term])]

    def holds(self, version: Version) -> bool:
        terms = self.flat()
        results = [term.holds(version) for term in terms if about(term) is None]
        for entries in LISTS:
            group = [term for term in terms if about(term) == entries]
            if is_of_several(group):
                results += [term.holds(version) for term in group]
            elif group:
                results.append(any(Both(tuple(group)).of_entry(entry) for entry in entries_of(version, entries)))
        return all(results)

    def of_entry(self, entry: Entry) -> bool:
        return all(term.of_entry(entry) for term in self.terms)  # type: ignore[union-attr] # as above


@dataclass(frozen=True)
class Some:
    """A term that one entry of a list must meet."""

    entries: str
    term: Term

    def text(self) -> str:
        return f"{self.entries}({self.term.text()})"

    def holds(self, version: Version) -> bool:
        return any(self.term.of_entry(entry) for entry in entries_of(version, self.entries))  # type: ignore[union-attr]


Term = Compare | Asked | Not | Either | Both | Some


def about(term: Term) -> str | None:
    """Name the list of which some entry has to meet a term."""
    if isinstance(term, Compare):
        return None if term.operator == "!=" else LIST_OF.get(term.name)
    if isinstance(term, (Either, Both)):
        first, *others = {about(each) for each in term.terms}
        return None if others else first
    return None


def is_of_several(group: Sequence[Term]) -> bool:
    """Whether one field is asked for by two names, and nothing else is said; AmbiguousError where more is."""
    asked: dict[str, Compare] = {}
    for term in group:
        if isinstance(term, Compare) and term.operator in NAMES and asked.setdefault(term.name, term) != term:
            if {name for each in group for name in names_in(each)} == {term.name}:
                return True
            raise AmbiguousError
    return False


def names_in(term: Term) -> set[str]:
    """Name the fields of a term about one list."""
    if isinstance(term, (Either, Both)):
        return {name for each in term.terms for name in names_in(each)}
    return {term.name} if isinstance(term, Compare) else set()
