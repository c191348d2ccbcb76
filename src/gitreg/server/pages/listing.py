"""Ask the index what the pages list: models, metrics over versions, deployments. Nothing here reads every manifest."""

from __future__ import annotations

import difflib
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.changes import pointer_action
from gitreg.deployment import Deployment
from gitreg.index.precedence import precedence
from gitreg.manifest import Lifecycle
from gitreg.names import EnvironmentName, ModelName, Version

if TYPE_CHECKING:
    from collections.abc import Callable
    from sqlite3 import Connection

    Reads = Callable[[ModelName], bool]

PAGE = 25
CHARTED = 200
MOST_METRICS = 12
MOST_PENDING = 200
_NEAR = 2000
_LOOKED = 20
_DESCENDANTS = 50
_WORDS = re.compile(r"\w+")
_ALIVE = frozenset({Lifecycle.ACTIVE, Lifecycle.DEPRECATED})


class Running(NamedTuple):
    """What is meant to run in an environment."""

    environment: str
    version: str
    canary: str | None
    percent: int | None


class Listed(NamedTuple):
    """A model as a list shows it; `latest` is None where every version was deleted or withdrawn."""

    model: ModelName
    description: str | None
    task: str | None
    versions: int
    latest: str | None
    created: str | None
    running: tuple[Running, ...]


class Models(NamedTuple):
    """A page of a list of models, and the model after which the next one begins; None after the last."""

    rows: tuple[Listed, ...]
    next: str | None


_MODELS = """
SELECT model, description, task FROM models WHERE model > :after AND (:project IS NULL OR project = :project)
  AND (:task IS NULL OR task = :task)
  AND (:words IS NULL OR model LIKE :like ESCAPE '\\'
       OR id IN (SELECT rowid FROM model_texts WHERE model_texts MATCH :match)) ORDER BY model
"""


def models(connection: Connection, reads: Reads, wanted: dict[str, str]) -> Models:
    """List models by name, `wanted` by project, task or words, after the one in `after`."""
    words = wanted.get("q")
    escaped = re.sub(r"([%_\\])", r"\\\1", words or "")
    found = _WORDS.findall(words or "")
    values = {
        "after": wanted.get("after", ""),
        "project": wanted.get("project"),
        "task": wanted.get("task"),
        "words": words,
        "like": f"%{escaped}%",
        "match": " ".join(f'"{word}"*' for word in found) or '""',
    }
    rows = connection.execute(_MODELS, values)
    kept = list(islice((row for row in rows if reads(ModelName.parse(row[0]))), PAGE + 1))
    listed = tuple(_listed(connection, row) for row in kept[:PAGE])
    return Models(listed, kept[PAGE - 1][0] if len(kept) > PAGE else None)


def _listed(connection: Connection, row: tuple[Any, ...]) -> Listed:
    name, description, task = row
    (count,) = connection.execute("SELECT count(*) FROM versions WHERE model = ? AND deleted = 0", (name,)).fetchone()
    version, created = _latest(connection, name)
    return Listed(ModelName.parse(name), description, task, count, version, created, running(connection, name))


def _latest(connection: Connection, name: str) -> tuple[str | None, str | None]:
    """Find what `latest` means, of the highest versions."""
    rows = connection.execute(
        "SELECT v.version, m.created, m.lifecycle FROM versions v JOIN manifests m ON m.id = v.manifest "
        "WHERE v.model = ? AND v.deleted = 0 ORDER BY v.precedence DESC LIMIT ?",
        (name, _LOOKED),
    ).fetchall()
    alive = [row for row in rows if row[2] in _ALIVE]
    released = [row for row in alive if "-" not in row[0]]
    version, created, _ = (released or alive or [(None, None, None)])[0]
    return version, created


def running(connection: Connection, name: str) -> tuple[Running, ...]:
    """Tell what of a model is meant to run where, in the settings' order."""
    rows = connection.execute(
        "SELECT e.name, d.version, d.canary_version, d.canary_percent FROM environments e JOIN deployments d "
        "ON d.environment = e.name AND d.model = ? AND d.until IS NULL WHERE d.version IS NOT NULL ORDER BY e.place",
        (name,),
    )
    return tuple(Running(*row) for row in rows)


def projects(connection: Connection, reads: Reads) -> list[tuple[str, int]]:
    """Count the models of each project."""
    counts: dict[str, int] = {}
    for project, name in connection.execute("SELECT project, name FROM models ORDER BY project"):
        if reads(ModelName(project, name)):
            counts[project] = counts.get(project, 0) + 1
    return list(counts.items())


def nearest(connection: Connection, name: ModelName, reads: Reads) -> list[str]:
    """Name the models whose names are nearest to one that does not exist."""
    here = connection.execute("SELECT model FROM models WHERE project = ? LIMIT ?", (name.project, _NEAR))
    named = connection.execute("SELECT model FROM models WHERE name = ? LIMIT ?", (name.name, _NEAR))
    some = connection.execute("SELECT model FROM models LIMIT ?", (_NEAR,))
    known = dict.fromkeys(row[0] for rows in (here, named, some) for row in rows if reads(ModelName.parse(row[0])))
    return difflib.get_close_matches(str(name), list(known)[:_NEAR], n=3, cutoff=0.6)


# One model


class Measured(NamedTuple):
    """A metric over the newest versions, lowest first; None where a version lacks it."""

    name: str
    values: tuple[float | None, ...]


class Measurements(NamedTuple):
    """The metrics of a model's newest versions, and how many more metrics and versions there are."""

    versions: tuple[str, ...]
    created: tuple[str, ...]
    metrics: tuple[Measured, ...]
    names: tuple[str, ...]


def measurements(connection: Connection, name: ModelName, chosen: str | None) -> Measurements:
    """Follow metrics over the newest versions of a model: the one chosen, or those that most versions have."""
    latest = connection.execute(
        "SELECT v.version, v.manifest, m.created FROM versions v JOIN manifests m ON m.id = v.manifest "
        "WHERE v.model = ? AND v.deleted = 0 ORDER BY v.precedence DESC LIMIT ?",
        (str(name), CHARTED),
    ).fetchall()[::-1]
    values: dict[str, dict[int, float]] = {}
    for place, (_, manifest, _) in enumerate(latest):
        for key, value in connection.execute("SELECT key, value FROM metrics WHERE manifest = ?", (manifest,)):
            values.setdefault(key, {})[place] = value
    names = sorted(values, key=lambda key: (-len(values[key]), key))
    shown = [chosen] if chosen in values else names[:MOST_METRICS]
    return Measurements(
        tuple(row[0] for row in latest),
        tuple(row[2] for row in latest),
        tuple(Measured(key, tuple(values[key].get(place) for place in range(len(latest)))) for key in shown if key),
        tuple(sorted(names)),
    )


def counts(connection: Connection, name: ModelName) -> tuple[int, int]:
    """Count the versions of a model that are there, and those that were deleted."""
    row = connection.execute(
        "SELECT count(*) - coalesce(sum(deleted), 0), coalesce(sum(deleted), 0) FROM versions WHERE model = ?",
        (str(name),),
    ).fetchone()
    return row[0], row[1]


def neighbours(connection: Connection, name: ModelName, version: Version) -> list[str]:
    """Name the versions next below and above one, and the highest ones: what one wants to compare it with."""
    key = (str(name), precedence(version.text))
    below = "SELECT version FROM versions WHERE model = ? AND deleted = 0 AND precedence < ? ORDER BY precedence DESC"
    above = "SELECT version FROM versions WHERE model = ? AND deleted = 0 AND precedence > ? ORDER BY precedence"
    rows = [*connection.execute(f"{below} LIMIT 10", key), *connection.execute(f"{above} LIMIT 10", key)]
    return [row[0] for row in rows]


def descendants(connection: Connection, name: ModelName, version: Version, reads: Reads) -> list[tuple[str, str, str]]:
    """List the versions that name one as their parent: model, version, relation."""
    rows = connection.execute(
        "SELECT v.model, v.version, p.relation FROM parents p JOIN versions v ON v.manifest = p.manifest "
        "WHERE p.model = ? AND p.version = ? AND v.deleted = 0 ORDER BY v.model, v.precedence DESC",
        (str(name), str(version)),
    )
    return list(islice((row for row in rows if reads(ModelName.parse(row[0]))), _DESCENDANTS))


# Deployments


def placed(connection: Connection, reads: Reads, after: str, project: str | None) -> tuple[list[ModelName], str | None]:
    """Name a page of the models that were ever deployed, and the model after which the next page begins."""
    rows = connection.execute(
        "SELECT DISTINCT model FROM deployments WHERE model > ? AND until IS NULL ORDER BY model", (after,)
    )
    names = (ModelName.parse(model) for (model,) in rows)
    kept = list(islice((each for each in names if project in {None, each.project} and reads(each)), PAGE + 1))
    return kept[:PAGE], str(kept[PAGE - 1]) if len(kept) > PAGE else None


_REVERSIBLE = """
SELECT d.environment FROM deployments d INDEXED BY deployments_now
WHERE d.model = :model AND d.until IS NULL AND d.version IS NOT NULL
AND NOT EXISTS (
  SELECT 1 FROM deployments b WHERE b.model = d.model AND b.environment = d.environment AND b.position < d.position
  AND b.version IS d.version AND b.canary_version IS d.canary_version AND b.canary_percent IS d.canary_percent)
AND (
  SELECT b.version FROM deployments b WHERE b.model = d.model AND b.environment = d.environment
  AND b.position < d.position ORDER BY b.position DESC LIMIT 1) IS NOT NULL
"""


def reversible(connection: Connection, name: ModelName) -> set[str]:
    """Name the environments where something ran before what runs now, and the last change was no rollback itself."""
    return {environment for (environment,) in connection.execute(_REVERSIBLE, {"model": str(name)})}


class Moved(NamedTuple):
    """A change of a pointer, as the index has it: its number among those of this pointer, and what was there before."""

    position: int
    environment: str
    model: ModelName
    version: str | None
    canary: str | None
    percent: int | None
    commit: str
    time: int
    number: int
    previous: str | None
    was_there: bool

    def action(self, claimed: str | None) -> str:
        """Say in a word what was done."""
        after = _pointer(self)
        return pointer_action((after,) if self.was_there else (), after, claimed)


_MOVES = """
SELECT position, environment, model, version, canary_version, canary_percent, oid, time FROM deployments
WHERE position < :before AND (:environment IS NULL OR environment = :environment)
  AND (:model IS NULL OR model = :model) ORDER BY position DESC
"""
_BEFORE = """
SELECT count(*), coalesce(max(version IS :version AND canary_version IS :canary AND canary_percent IS :percent), 0)
FROM deployments INDEXED BY deployments_now
WHERE environment = :environment AND model = :model AND position < :position
"""
_PREVIOUS = """
SELECT version FROM deployments INDEXED BY deployments_now
WHERE environment = :environment AND model = :model AND position < :position ORDER BY position DESC LIMIT 1
"""


def moves(connection: Connection, reads: Reads, wanted: dict[str, str]) -> tuple[list[Moved], int | None]:
    """List changes of pointers, newest first, by `environment` and `model`; give where the next page begins."""
    before = wanted.get("before", "")
    values = {
        "before": int(before) if before.isdigit() and len(before) < len(str(2**62)) else 2**62,
        "environment": wanted.get("environment"),
        "model": wanted.get("model"),
    }
    named = ((row, ModelName.parse(row[2])) for row in connection.execute(_MOVES, values))
    kept = list(islice(((row, name) for row, name in named if reads(name)), PAGE + 1))
    found = [_moved(connection, row, name) for row, name in kept[:PAGE]]
    return found, kept[PAGE - 1][0][0] if len(kept) > PAGE else None


def _moved(connection: Connection, row: tuple[Any, ...], name: ModelName) -> Moved:
    position, environment, model, version, canary, percent, commit, time = row
    here = {"environment": environment, "model": model, "position": position}
    state = {"version": version, "canary": canary, "percent": percent}
    count, was_there = connection.execute(_BEFORE, {**here, **state}).fetchone()
    (previous,) = connection.execute(_PREVIOUS, here).fetchone() or (None,)
    pointer = (position, environment, name, version, canary, percent)
    return Moved(*pointer, commit, time, count + 1, previous, bool(was_there))


def _pointer(moved: Moved) -> Deployment | None:
    if moved.version is None:
        return None
    return Deployment(
        environment=EnvironmentName(moved.environment),
        model=moved.model,
        version=Version(moved.version),
        canary_version=Version(moved.canary) if moved.canary else None,
        canary_percent=moved.percent,
    )


def candidates(
    connection: Connection, reads: tuple[Reads, Reads], environment: str, after: str | None
) -> list[tuple[ModelName, Version]]:
    """Name the versions that may be next in an environment, so many of each kind of models in `reads`.

    Where it comes after another, they are those that run there and not here; otherwise the newest that do not run here.
    """
    if after is not None:
        rows = connection.execute(
            "SELECT s.model, s.version FROM deployments s INDEXED BY deployments_where LEFT JOIN deployments p "
            "ON p.environment = ? AND p.model = s.model AND p.until IS NULL WHERE s.environment = ? "
            "AND s.until IS NULL AND s.version IS NOT NULL AND p.version IS NOT s.version ORDER BY s.time DESC",
            (environment, after),
        )
    else:
        rows = connection.execute(
            "SELECT v.model, v.version FROM manifests m INDEXED BY manifests_created "
            "JOIN versions v ON v.manifest = m.id LEFT JOIN deployments p "
            "ON p.environment = ? AND p.model = v.model AND p.until IS NULL "
            "WHERE v.deleted = 0 AND m.lifecycle = 'active' AND p.version IS NOT v.version ORDER BY m.created DESC",
            (environment,),
        )
    found = [(ModelName.parse(model), version) for model, version in rows]
    kept = dict.fromkeys(
        each for read in reads for each in islice((row for row in found if read(row[0])), MOST_PENDING)
    )
    return [(name, Version(version)) for name, version in found if (name, version) in kept]
