"""The tables of the index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.index.rows import LISTS, SCALARS

if TYPE_CHECKING:
    from sqlite3 import Connection

APPLICATION = 0x67726567  # "greg"
SCHEMA = 3
"""Raised with every change of a table or of what a row means; an index of another schema is made anew."""

TABLES = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE problems (path TEXT PRIMARY KEY, message TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE manifests (id INTEGER PRIMARY KEY, oid TEXT NOT NULL UNIQUE, {", ".join(SCALARS)});
CREATE TABLE versions (id INTEGER PRIMARY KEY, model TEXT NOT NULL, version TEXT NOT NULL, precedence BLOB NOT NULL,
  manifest INTEGER NOT NULL, deleted INTEGER NOT NULL, UNIQUE (model, version));
CREATE TABLE models (id INTEGER PRIMARY KEY, model TEXT NOT NULL UNIQUE, project TEXT NOT NULL, name TEXT NOT NULL,
  description TEXT, task TEXT);
CREATE TABLE owners (model TEXT NOT NULL, owner TEXT NOT NULL, PRIMARY KEY (model, owner)) WITHOUT ROWID;
CREATE TABLE model_labels (model TEXT NOT NULL, key TEXT NOT NULL, value TEXT, PRIMARY KEY (model, key)) WITHOUT ROWID;
CREATE TABLE aliases (model TEXT NOT NULL, alias TEXT NOT NULL, version TEXT NOT NULL, PRIMARY KEY (model, alias))
  WITHOUT ROWID;
CREATE TABLE environments (name TEXT PRIMARY KEY, place INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE deployments (position INTEGER PRIMARY KEY, environment TEXT NOT NULL, model TEXT NOT NULL, version TEXT,
  canary_version TEXT, canary_percent INTEGER, oid TEXT NOT NULL, time INTEGER NOT NULL, since INTEGER NOT NULL,
  until INTEGER);
CREATE VIRTUAL TABLE model_texts USING fts5(name, description, card, tokenize = 'unicode61');
CREATE VIRTUAL TABLE manifest_texts USING fts5(description, content = '', tokenize = 'unicode61');
""" + "".join(f"CREATE TABLE {name} (manifest INTEGER NOT NULL, {', '.join(of)});\n" for name, of in LISTS.items())

INDEXES = """
CREATE INDEX versions_order ON versions (model, precedence DESC, manifest, deleted);
CREATE INDEX versions_manifest ON versions (manifest);
CREATE INDEX manifests_created ON manifests (created);
CREATE INDEX manifests_license ON manifests (license);
CREATE INDEX manifests_lifecycle ON manifests (lifecycle);
CREATE INDEX manifests_author ON manifests (author);
CREATE INDEX deployments_now ON deployments (model, until, environment);
CREATE INDEX deployments_where ON deployments (environment, model) WHERE until IS NULL;
CREATE INDEX deployments_since ON deployments (since);
CREATE INDEX deployments_when ON deployments (environment, since, until, model, version, canary_version);
CREATE INDEX metrics_manifest ON metrics (manifest, key, value);
CREATE INDEX metrics_value ON metrics (key, value, manifest);
CREATE INDEX hyperparameters_manifest ON hyperparameters (manifest, key);
CREATE INDEX labels_manifest ON labels (manifest, key, value);
CREATE INDEX labels_value ON labels (key, value, manifest);
CREATE INDEX artifacts_manifest ON artifacts (manifest);
CREATE INDEX artifacts_digest ON artifacts (digest, manifest);
CREATE INDEX datasets_manifest ON datasets (manifest);
CREATE INDEX datasets_name ON datasets (name, manifest);
CREATE INDEX datasets_digest ON datasets (digest, manifest);
CREATE INDEX evaluations_manifest ON evaluations (manifest);
CREATE INDEX evaluations_name ON evaluations (name, manifest);
CREATE INDEX evaluations_digest ON evaluations (digest, manifest);
CREATE INDEX evaluation_metrics_manifest ON evaluation_metrics (manifest, key, value);
CREATE INDEX evaluation_metrics_value ON evaluation_metrics (key, value, manifest);
CREATE INDEX parents_manifest ON parents (manifest);
CREATE INDEX parents_model ON parents (model, version, manifest);
"""


def create(connection: Connection) -> None:
    """Make the tables in an empty file, within the caller's transaction; the indexes come after the rows."""
    _each(connection, TABLES)


def create_indexes(connection: Connection) -> None:
    """Make the indexes, once what there is is in the tables."""
    _each(connection, INDEXES)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {SCHEMA}")


def is_ours(connection: Connection) -> bool:
    """Whether a file holds an index of this schema, finished."""
    found = [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    return found == [APPLICATION, SCHEMA]


def _each(connection: Connection, script: str) -> None:
    # executescript would commit first.
    for statement in script.split(";\n"):
        if statement.strip():
            connection.execute(statement)
