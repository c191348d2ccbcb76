"""Put rows into the index and take them out, within the caller's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.index.precedence import precedence
from gitreg.index.rows import LISTS, SCALARS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from sqlite3 import Connection

    from gitreg.index.rows import Row, Rows

_PUT_MANIFEST = f"INSERT INTO manifests VALUES (?, ?, {', '.join('?' * len(SCALARS))})"
_PUT = {name: f"INSERT INTO {name} VALUES (?, {', '.join('?' * len(of))})" for name, of in LISTS.items()}
_DESCRIPTION = SCALARS.index("description")
_DEPLOYMENT = 10
_FAR = 1 << 52  # more commits than any history has
_OF_MODEL = ("owners", "model_labels", "aliases")


class Content:
    """The rows of an index that is being written."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._next = self._one("SELECT coalesce(max(id), 0) + 1 FROM manifests")

        self._had_versions = self._one("SELECT count(*) FROM (SELECT 1 FROM versions LIMIT 1)") > 0
        self._stale: set[int] = set()

    def _one(self, query: str, *values: object) -> int:
        found: int = self.connection.execute(query, values).fetchone()[0]
        return found

    @property
    def commit(self) -> str | None:
        """The commit that the index tells of."""
        return self.meta("commit")

    def meta(self, key: str) -> str | None:
        """Give a note about the index itself."""
        found = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return found[0] if found else None

    def note(self, key: str, value: str) -> None:
        """Write a note about the index itself."""
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # Versions

    def has_manifests(self) -> bool:
        """Whether any manifest was read before."""
        return self._next > 1

    def known(self, oids: Iterable[str]) -> dict[str, int]:
        """Tell which manifests were read before, with their ids."""
        query = "SELECT id FROM manifests WHERE oid = ?"
        pairs = ((oid, self.connection.execute(query, (oid,)).fetchone()) for oid in oids)
        return {oid: found[0] for oid, found in pairs if found}

    def put_manifests(self, read: Sequence[tuple[str, Rows]]) -> dict[str, int]:
        """Add manifests by their blobs, none of which is known; give their ids."""
        ids = {oid: self._next + place for place, (oid, _) in enumerate(read)}
        self._next += len(ids)
        many = self.connection.executemany
        many(_PUT_MANIFEST, [(ids[oid], oid, *row) for oid, (row, _) in read])
        for name, statement in _PUT.items():
            many(statement, [(ids[oid], *each) for oid, (_, lists) in read for each in lists.get(name, ())])
        texts = [(ids[oid], row[_DESCRIPTION]) for oid, (row, _) in read if row[_DESCRIPTION]]
        many("INSERT INTO manifest_texts (rowid, description) VALUES (?, ?)", texts)
        return ids

    def set_versions(self, found: Iterable[tuple[str, str, int]]) -> None:
        """Say which manifest stands for each version, as (model, version, manifest's id)."""
        rows = [(model, version, precedence(version), manifest) for model, version, manifest in found]
        if self._had_versions:
            for model, version, *_ in rows:
                self._let_go(model, version)
        self.connection.executemany(
            "INSERT INTO versions (model, version, precedence, manifest, deleted) "
            "SELECT ?1, ?2, ?3, id, deleted FROM manifests WHERE id = ?4 "
            "ON CONFLICT (model, version) DO UPDATE SET manifest = excluded.manifest, deleted = excluded.deleted",
            rows,
        )

    def drop_version(self, model: str, version: str) -> None:
        """Forget a version that is not in the tree any more."""
        self._let_go(model, version)
        self.connection.execute("DELETE FROM versions WHERE model = ? AND version = ?", (model, version))

    def forget_files(self) -> None:
        """Forget which files there are, but not yet what they said: most may still be there."""
        self._stale.update(found for (found,) in self.connection.execute("SELECT id FROM manifests"))
        for table in ("versions", "models", "owners", "model_labels", "aliases", "model_texts", "problems"):
            self.connection.execute(f"DELETE FROM {table}")

    def _let_go(self, model: str, version: str) -> None:
        query = "SELECT manifest FROM versions WHERE model = ? AND version = ?"
        self._stale.update(found for (found,) in self.connection.execute(query, (model, version)))

    def sweep(self) -> None:
        """Drop manifests that stood for a version and now stand for none."""
        stands = "SELECT count(*) FROM versions WHERE manifest = ?"
        for manifest in [each for each in self._stale if not self._one(stands, each)]:
            self.connection.execute(
                "INSERT INTO manifest_texts (manifest_texts, rowid, description) "
                "SELECT 'delete', id, description FROM manifests WHERE id = ? AND description <> ''",
                (manifest,),
            )
            for table in LISTS:
                self.connection.execute(f"DELETE FROM {table} WHERE manifest = ?", (manifest,))
            self.connection.execute("DELETE FROM manifests WHERE id = ?", (manifest,))
        self._stale.clear()

    # Models

    def has_model(self, model: str) -> bool:
        """Whether the index knows the file of a model."""
        return bool(self._one("SELECT count(*) FROM models WHERE model = ?", model))

    def set_model(self, model: str, rows: Rows | None) -> None:
        """Put what a model's file says in place of what it said before; None where it is gone."""
        for table in _OF_MODEL:
            self.connection.execute(f"DELETE FROM {table} WHERE model = ?", (model,))
        (description, task), lists = rows or ((None, None), {})
        project, _, name = model.partition("/")
        if rows is None:
            self._forget_model(model)
            return
        self.connection.execute(
            "INSERT INTO models (model, project, name, description, task) VALUES (?, ?, ?, ?, ?) ON CONFLICT (model) "
            "DO UPDATE SET description = excluded.description, task = excluded.task",
            (model, project, name, description, task),
        )
        for table in _OF_MODEL:
            for row in lists.get(table, ()):
                values = (model, *row)
                marks = ", ".join("?" * len(values))
                self.connection.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", values)
        self._set_text(model, description=description)

    def _forget_model(self, model: str) -> None:
        found = self.connection.execute("SELECT id FROM models WHERE model = ?", (model,)).fetchone()
        if found:
            self.connection.execute("DELETE FROM model_texts WHERE rowid = ?", found)
            self.connection.execute("DELETE FROM models WHERE id = ?", found)

    def set_card(self, model: str, rows: Rows | None) -> None:
        """Put a model's card in place of the one before; None where it is gone."""
        self._set_text(model, card=rows[0][0] if rows else None)

    def _set_text(self, model: str, **texts: str | None) -> None:
        found = self.connection.execute("SELECT id FROM models WHERE model = ?", (model,)).fetchone()
        if not found:
            return
        old = self.connection.execute("SELECT description, card FROM model_texts WHERE rowid = ?", found).fetchone()
        kept = dict(zip(("description", "card"), old or (None, None), strict=True)) | texts
        self.connection.execute("DELETE FROM model_texts WHERE rowid = ?", found)
        self.connection.execute(
            "INSERT INTO model_texts (rowid, name, description, card) VALUES (?, ?, ?, ?)",
            (*found, model.replace("/", " "), kept["description"], kept["card"]),
        )

    # Environments and deployments

    def set_environments(self, names: Sequence[str]) -> None:
        """Put the environments of the settings in their order."""
        self.connection.execute("DELETE FROM environments")
        self.connection.executemany(
            "INSERT OR IGNORE INTO environments VALUES (?, ?)", zip(names, range(len(names)), strict=True)
        )

    def forget_deployments(self) -> None:
        """Forget all that was deployed: history is told anew."""
        self.connection.execute("DELETE FROM deployments")

    def no_later_than(self, time: int) -> None:
        """Note that a commit of this time follows all that is known: what came before it came no later."""
        if self._one("SELECT coalesce(max(since), 0) FROM deployments") > time:
            self.connection.execute("UPDATE deployments SET since = ?1 WHERE since > ?1", (time,))
            self.connection.execute("UPDATE deployments SET until = ?1 WHERE until > ?1", (time,))

    def after_all(self, count: int | None) -> int:
        """Give the position of the newest of so many deployments that follow all that is known; None: nobody knows."""
        last = self._one("SELECT coalesce(max(position), 0) FROM deployments")
        return _FAR if count is None else last + count

    def deployed(self, rows: Sequence[Row]) -> None:
        """Add changes of pointers: position, environment, model, versions, commit, its time, since when, until when."""
        self.connection.executemany(f"INSERT INTO deployments VALUES ({', '.join('?' * _DEPLOYMENT)})", rows)

    def over(self, since: Mapping[tuple[str, str], int], last: int) -> None:
        """End what ran in environments, up to a position, since when something else does there."""
        self.connection.executemany(
            "UPDATE deployments SET until = ? WHERE environment = ? AND model = ? AND until IS NULL AND position <= ?",
            [(time, *where, last) for where, time in since.items()],
        )

    def take_back(self, commits: Sequence[str], earliest: int) -> bool:
        """Take out what the newest commits deployed; False, and nothing, where one before them claims a later time."""
        marks = [(commit,) for commit in commits]
        self.connection.execute("CREATE TEMP TABLE IF NOT EXISTS gone (oid TEXT PRIMARY KEY)")
        self.connection.execute("DELETE FROM gone")
        self.connection.executemany("INSERT INTO gone VALUES (?)", marks)
        last = self._one("SELECT coalesce(max(time), 0) FROM deployments WHERE oid NOT IN gone")
        if last > earliest:
            return False
        self.connection.execute("DELETE FROM deployments WHERE oid IN gone")
        self.connection.execute(
            "UPDATE deployments SET until = NULL WHERE position IN "
            "(SELECT max(position) FROM deployments GROUP BY environment, model)"
        )
        return True

    # What could not be read

    def set_problem(self, path: str, message: str | None) -> None:
        """Note what is wrong with a file, or that nothing is any more."""
        if message is None:
            self.connection.execute("DELETE FROM problems WHERE path = ?", (path,))
        else:
            self.connection.execute("INSERT OR REPLACE INTO problems VALUES (?, ?)", (path, message[:500]))
