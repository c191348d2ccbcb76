"""List models and versions through the index, where that is of the commit that is asked about."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from gitreg.manifest import Lifecycle
from gitreg.names import AliasName, EnvironmentName, ModelName, Version
from gitreg.reader import indexing
from gitreg.registry.results import ModelSummary, VersionSummary

if TYPE_CHECKING:
    from sqlite3 import Connection

    from gitreg.reader import Snapshot

# Files that cannot be read, and versions of no model: git is asked, and says what is wrong.
_ODD = "SELECT EXISTS (SELECT 1 FROM problems) OR EXISTS (SELECT model FROM versions EXCEPT SELECT model FROM models)"
_ODD_MODEL = "SELECT EXISTS (SELECT 1 FROM problems) OR NOT EXISTS (SELECT 1 FROM models WHERE model = ?)"
_OF_MANIFEST = "SELECT deleted, created, author, lifecycle, size, reason FROM manifests WHERE id = ?"
_LATEST = (
    "SELECT model, version FROM (SELECT v.model, v.version, row_number() OVER (PARTITION BY v.model ORDER BY "
    "instr(v.version, '-') > 0, v.precedence DESC) AS place FROM versions v "
    "CROSS JOIN manifests m ON m.id = v.manifest "
    "WHERE v.deleted = 0 AND m.lifecycle IN ('active', 'deprecated')) WHERE place = 1"
)
_DEPLOYED = (
    "SELECT d.model, e.name, d.version FROM environments e CROSS JOIN deployments d ON d.environment = e.name "
    "WHERE d.until IS NULL AND d.version IS NOT NULL ORDER BY e.place"
)


def models_from_index(snapshot: Snapshot, project: str | None) -> list[ModelSummary] | None:
    """Summarise every model, or those of a project; None where only git can."""
    return indexing.at_hand(snapshot, lambda connection: _summaries(connection, project))


def _summaries(connection: Connection, project: str | None) -> list[ModelSummary] | None:
    select = connection.execute
    if select(_ODD).fetchone()[0]:
        return None
    counts = dict(select("SELECT model, count(*) FROM versions GROUP BY model"))
    latest = dict(select(_LATEST))
    aliases: dict[str, dict[AliasName, Version]] = defaultdict(dict)
    for model, alias, version in select("SELECT model, alias, version FROM aliases"):
        aliases[model][AliasName(alias)] = Version(version)
    deployed: dict[str, dict[EnvironmentName, Version]] = defaultdict(dict)
    for model, environment, version in select(_DEPLOYED):
        deployed[model][EnvironmentName(environment)] = Version(version)
    models = "SELECT model, description, task FROM models WHERE ?1 IS NULL OR project = ?1 ORDER BY project, name"
    return [
        ModelSummary(
            model=ModelName.parse(model),
            description=description,
            task=task,
            versions=counts.get(model, 0),
            latest=Version(latest[model]) if model in latest else None,
            aliases=aliases.get(model, {}),
            deployed=deployed.get(model, {}),
        )
        for model, description, task in select(models, (project,))
    ]


def versions_from_index(snapshot: Snapshot, name: ModelName) -> list[VersionSummary] | None:
    """Summarise every version of a model, highest first; None where only git can."""
    return indexing.at_hand(snapshot, lambda connection: _versions(connection, str(name)))


def _versions(connection: Connection, model: str) -> list[VersionSummary] | None:
    if connection.execute(_ODD_MODEL, (model,)).fetchone()[0]:
        return None
    rows = connection.execute(
        "SELECT version, manifest FROM versions WHERE model = ? ORDER BY precedence DESC", (model,)
    )
    return [version_summary(connection, model, version, manifest) for version, manifest in rows.fetchall()]


def version_summary(connection: Connection, model: str, version: str, manifest: int) -> VersionSummary:
    """Summarise a version by the row of its manifest."""
    select = connection.execute
    deleted, created, author, lifecycle, size, reason = select(_OF_MANIFEST, (manifest,)).fetchone()
    metrics = select("SELECT key, value FROM metrics WHERE manifest = ? ORDER BY rowid", (manifest,))
    labels = select("SELECT key, value FROM labels WHERE manifest = ? ORDER BY rowid", (manifest,))
    aliases = select("SELECT alias FROM aliases WHERE model = ? AND version = ? ORDER BY alias", (model, version))
    deployed = select(
        "SELECT e.name FROM environments e JOIN deployments d ON d.environment = e.name AND d.model = ? "
        "AND d.until IS NULL WHERE ? IN (d.version, d.canary_version) ORDER BY e.place",
        (model, version),
    )
    return VersionSummary(
        model=ModelName.parse(model),
        version=Version(version),
        created=created,
        author=author,
        lifecycle=lifecycle if deleted else Lifecycle(lifecycle),
        metrics=dict(metrics),
        labels=dict(labels),
        size=size,
        aliases=tuple(AliasName(alias) for (alias,) in aliases),
        deployed=tuple(EnvironmentName(name) for (name,) in deployed),
        reason=reason,
    )
