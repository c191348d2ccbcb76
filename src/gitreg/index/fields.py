"""The fields that a search knows, and where the index keeps each."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING

from gitreg.index.rows import LISTS
from gitreg.names import did_you_mean
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


class Kind(Enum):
    """How the values of a field compare."""

    TEXT = "text"
    NUMBER = "number"
    PARAMETER = "parameter"
    VERSION = "version"
    TIME = "time"
    MILLISECONDS = "milliseconds"


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field's values lie: the rows x of a table that belong to a version v, and a column of them.

    `key` is the name below a field of several, such as the auc of metrics.auc; `group` the field's name in messages.
    """

    group: str
    table: str
    column: str
    kind: Kind = Kind.TEXT
    key: str | None = None

    @property
    def single(self) -> bool:
        """Whether a version has at most one value of it, so that versions can be put in its order."""
        several = self.table == "evaluation_metrics"
        return self.table in {"versions", "manifests", "models"} or (self.key is not None and not several)


# How the rows of a table find their version, and the other way round: from rows x to versions w.
_BY_MANIFEST = ("x.manifest = v.manifest", "w.manifest = x.manifest")
_BY_MODEL = ("x.model = v.model", "w.model = x.model")
BELONGS: Mapping[str, tuple[str, str]] = {
    "versions": ("x.id = v.id", "w.id = x.id"),
    "manifests": ("x.id = v.manifest", "w.manifest = x.id"),
    **dict.fromkeys(LISTS, _BY_MANIFEST),
    **dict.fromkeys(("models", "owners", "model_labels"), _BY_MODEL),
    "aliases": ("x.model = v.model AND x.version = v.version", "w.model = x.model AND w.version = x.version"),
    "deployments": (
        "x.model = v.model AND v.version IN (x.version, x.canary_version)",
        "w.model = x.model AND w.version IN (x.version, x.canary_version)",
    ),
}
# How the rows of a table find the entry e that they are of, of which list.
WITHIN: Mapping[str, tuple[str, str]] = {
    "evaluations": ("evaluations", "x.rowid = e.rowid"),
    "evaluation_metrics": ("evaluations", "x.manifest = e.manifest AND x.entry = e.entry"),
    "datasets": ("datasets", "x.rowid = e.rowid"),
    "artifacts": ("artifacts", "x.rowid = e.rowid"),
}
# What asks of one entry, as in datasets(…), and the list's path in the manifest.
ENTRIES: Mapping[str, str] = {
    "evaluations": "evaluations",
    "datasets": "datasets",
    "training.datasets": "datasets",
    "artifacts": "artifacts",
}
PATHS: Mapping[str, str] = {
    "evaluations": "evaluations",
    "datasets": "training.datasets",
    "artifacts": "artifacts",
}
# Where an index finds the rows of a value, so that a search may begin there.
FOUND_BY = frozenset(
    {
        ("metrics", "value"),
        ("labels", "value"),
        ("artifacts", "digest"),
        ("datasets", "name"),
        ("datasets", "digest"),
        ("evaluations", "name"),
        ("evaluations", "digest"),
        ("evaluation_metrics", "value"),
        ("manifests", "license"),
        ("manifests", "lifecycle"),
        ("manifests", "author"),
        ("manifests", "created"),
        ("deployments", "environment"),
        ("versions", "model"),
    }
)

_MAPS = {
    "metrics": ("metrics", "value", Kind.NUMBER),
    "labels": ("labels", "value", Kind.TEXT),
    "hyperparameters": ("hyperparameters", "text", Kind.PARAMETER),
    "evaluations.metrics": ("evaluation_metrics", "value", Kind.NUMBER),
    "model.labels": ("model_labels", "value", Kind.TEXT),
}
_PLAIN = {
    "model": ("versions", "model", Kind.TEXT),
    "project": ("models", "project", Kind.TEXT),
    "version": ("versions", "version", Kind.VERSION),
    "author": ("manifests", "author", Kind.TEXT),
    "author.email": ("manifests", "email", Kind.TEXT),
    "license": ("manifests", "license", Kind.TEXT),
    "lifecycle": ("manifests", "lifecycle", Kind.TEXT),
    "description": ("manifests", "description", Kind.TEXT),
    "created": ("manifests", "created", Kind.TIME),
    "base": ("manifests", "base", Kind.TEXT),
    "size": ("manifests", "size", Kind.NUMBER),
    "task": ("models", "task", Kind.TEXT),
    "owner": ("owners", "owner", Kind.TEXT),
    "model.description": ("models", "description", Kind.TEXT),
    "deployed": ("deployments", "environment", Kind.TEXT),
    "alias": ("aliases", "alias", Kind.TEXT),
    "dataset": ("datasets", "name", Kind.TEXT),
    "dataset.version": ("datasets", "version", Kind.TEXT),
    "dataset.digest": ("datasets", "digest", Kind.TEXT),
    "dataset.uri": ("datasets", "uri", Kind.TEXT),
    "evaluations.dataset": ("evaluations", "name", Kind.TEXT),
    "evaluations.dataset.version": ("evaluations", "version", Kind.TEXT),
    "evaluations.dataset.digest": ("evaluations", "digest", Kind.TEXT),
    "evaluations.dataset.uri": ("evaluations", "uri", Kind.TEXT),
    "evaluations.split": ("evaluations", "split", Kind.TEXT),
    "framework": ("manifests", "framework", Kind.TEXT),
    "framework.version": ("manifests", "framework_version", Kind.TEXT),
    "code.commit": ("manifests", "code", Kind.TEXT),
    "code.repository": ("manifests", "repository", Kind.TEXT),
    "digest": ("artifacts", "digest", Kind.TEXT),
    "format": ("artifacts", "format", Kind.TEXT),
    "file": ("artifacts", "path", Kind.TEXT),
    "artifacts.size": ("artifacts", "size", Kind.NUMBER),
    "parent": ("parents", "model || '@' || x.version", Kind.TEXT),
    "external": ("manifests", "provider", Kind.TEXT),
}
# The paths of the manifest, and MLflow's words for the same.
_SAME = {
    "training.framework": "framework",
    "training.framework.name": "framework",
    "training.framework.version": "framework.version",
    "training.datasets": "dataset",
    "training.datasets.name": "dataset",
    "training.datasets.version": "dataset.version",
    "training.datasets.digest": "dataset.digest",
    "training.datasets.uri": "dataset.uri",
    "evaluations.dataset.name": "evaluations.dataset",
    "training.code.commit": "code.commit",
    "training.code.repository": "code.repository",
    "author.name": "author",
    "artifacts.digest": "digest",
    "artifacts.format": "format",
    "artifacts.path": "file",
    "base.uri": "base",
    "external.provider": "external",
    "name": "model",
    "model.task": "task",
    "model.owners": "owner",
    "aliases": "alias",
    "user_id": "author",
}
_SAME_MAPS = {
    "metric": "metrics",
    "params": "hyperparameters",
    "param": "hyperparameters",
    "parameters": "hyperparameters",
    "parameter": "hyperparameters",
    "training.hyperparameters": "hyperparameters",
    "tags": "labels",
    "tag": "labels",
}
# A mistyped `metric.` is told of rather than understood; with MLflow's backquotes or prefix it is MLflow's.
NAMES = (*_PLAIN, *(f"{name}.<key>" for name in _MAPS))
_TIMESTAMPS = frozenset({"creation_timestamp", "attributes.created", "attribute.created"})
_QUOTED = re.compile(r"`([^`]*)`|\"([^\"]*)\"")


def field_named(text: str) -> Field | None:
    """Find a field by its name; None where there is none."""
    if text in _TIMESTAMPS:
        return Field("created", "manifests", "created", Kind.MILLISECONDS)
    name = text
    for prefix in ("attributes.", "attribute."):
        name = name.removeprefix(prefix)
    name = _QUOTED.sub(lambda match: match[1] or match[2] or "", name)
    name = _SAME.get(name, name)
    if name in _PLAIN:
        table, column, kind = _PLAIN[name]
        return Field(name, table, column, kind)
    for group in (*_MAPS, *_SAME_MAPS):
        if name.startswith(f"{group}.") and len(name) > len(group) + 1:
            same = _SAME_MAPS.get(group, group)
            table, column, kind = _MAPS[same]
            return Field(same, table, column, kind, name[len(group) + 1 :])
    return None


def nearest(text: str) -> str:
    """Say what somebody may have meant by a field that there is not."""
    group, dot, key = text.rpartition(".")
    known = [*_PLAIN, *(f"{name}.{key or '<key>'}" for name in _MAPS)]
    near = did_you_mean(text, known) or (did_you_mean(group, list(_MAPS)) if dot else None)
    if near in _MAPS:
        near = f"{near}.{key}"
    return f"did you mean {near}?" if near else f"allowed: {', '.join(NAMES)}"
