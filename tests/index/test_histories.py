"""An index that followed main step by step says what one says that is built at the end, whatever was pushed."""

from __future__ import annotations

import random
import subprocess
from typing import TYPE_CHECKING

import pytest

from gitreg.git import Repository
from gitreg.reader import Snapshot, indexing
from gitreg.registry.search import state
from tests.index.conftest import SETTINGS, START, Writer, finder, names, pointer

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection

HEAD = (
    "kind: ModelVersion\nmodel: a/b\nversion: 1.0.0\ncreated: 2026-01-01T00:00:00Z\nauthor: {name: A, email: a@x.org}\n"
)
DESCRIBED = "kind: Model\nmodel: a/b\n"
# Files that the gate would refuse, and that somebody without one may have pushed.
ODD_MANIFESTS = (
    "",
    "kind: [",
    "- a\n",
    "kind: ModelVersion\n",
    HEAD + "metrics: []\n",
    HEAD + "metrics: {auc: .nan, ~: 1}\n",
    HEAD + f"metrics: {{auc: {'9' * 400}}}\n",
    HEAD + f"training: {{hyperparameters: {{n: [{'9' * 5000}]}}}}\n",
    HEAD + f"training: {{hyperparameters: {{n: {'[' * 90}{']' * 90}}}}}\n",
    HEAD + "artifacts: [{path: a, digest: b, size: -1}]\n",
    HEAD + f"artifacts: [{{path: a, digest: b, size: {2**63}}}]\n",
    HEAD + "labels: {team: ~}\n",
    HEAD + "labels: {1: 2}\n",
    HEAD + 'description: "\\0 \\ud800"\n',
    HEAD + "parents: [{}, ~]\n",
    HEAD + "parents: 5\n",
    HEAD + "training: {datasets: [[]]}\n",
    HEAD + "deleted: 1\n",
    "kind: Tombstone\n",
    "kind: Tombstone\nreason: [x]\n",
)
ODD_MODELS = (
    "",
    "kind: [",
    DESCRIBED + "owners: [~]\n",
    DESCRIBED + "owners: [a, a]\n",
    DESCRIBED + "owners: {a: b}\n",
    DESCRIBED + "aliases: {champion: ~}\n",
    DESCRIBED + "aliases: {~: 1.0.0}\n",
    DESCRIBED + "labels: {~: x}\n",
    DESCRIBED + "description: [x]\n",
    DESCRIBED + "labels: 7\n",
)
ODD_POINTERS = (
    "",
    "kind: [",
    "version: ~\n",
    "kind: Deployment\n",
    "version: 1.0.0\ncanary_percent: x\n",
    "version: 1.0.0\ncanary_percent: 99999999999999999999\n",
    "version: [1]\n",
)


def content(folder: Path, commit: str, *, anew: bool = False) -> dict[str, list[tuple[object, ...]]]:
    """Give all that an index tells of a commit, without the numbers of its rows."""

    def tables(connection: Connection) -> dict[str, list[tuple[object, ...]]]:
        found = {name: sorted(connection.execute(query).fetchall(), key=repr) for name, query in TOLD.items()}
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return found

    with Repository.open(folder) as repository:
        snapshot = Snapshot(repository, commit)
        if anew:
            indexing.index_file(repository).discard()
        found, notes = indexing.ask(snapshot, tables, now=True)
        assert notes == []
        assert state(snapshot).current
        return found


_PARTS = {
    "metrics": "x.key, x.value",
    "hyperparameters": "x.key, x.number, x.text",
    "labels": "x.key, x.value",
    "artifacts": "x.path, x.digest, x.size, x.format",
    "datasets": "x.name, x.version, x.digest, x.uri",
    "parents": "x.model, x.version, relation",
}
TOLD = {
    "versions": "SELECT v.model, v.version, hex(v.precedence), v.deleted, m.oid, m.created, m.lifecycle, m.size "
    "FROM versions v JOIN manifests m ON m.id = v.manifest",
    "models": "SELECT model, project, name, description, task FROM models",
    "owners": "SELECT * FROM owners",
    "model_labels": "SELECT * FROM model_labels",
    "aliases": "SELECT * FROM aliases",
    "environments": "SELECT * FROM environments",
    "problems": "SELECT path FROM problems",
    "deployments": "SELECT environment, model, version, canary_version, canary_percent, oid, time, since, until "
    "FROM deployments",
    "texts": "SELECT m.model, t.name, t.description, t.card FROM model_texts t JOIN models m ON m.id = t.rowid",
    **{
        table: f"SELECT v.model, v.version, {columns} FROM versions v JOIN {table} x ON x.manifest = v.manifest"  # noqa: S608 - ours
        for table, columns in _PARTS.items()
    },
}


def _change(chance: random.Random) -> tuple[str, str | None]:
    odd: tuple[str, ...]
    model = f"a/{chance.choice('bc')}"
    kind = chance.random()
    if kind < 0.45:
        path, odd = f"models/{model}/{chance.choice(['1.0.0', '1.0.0-rc.1', '2.0.0'])}.yaml", ODD_MANIFESTS
        good = HEAD + f"metrics: {{auc: 0.{chance.randrange(4)}}}\n"
    elif kind < 0.6:
        path, odd = f"models/{model}/model.yaml", ODD_MODELS
        good = DESCRIBED + f"description: About {chance.randrange(3)}\nowners: [alice]\naliases: {{champion: 1.0.0}}\n"
    elif kind < 0.75:
        return f"models/{model}/README.md", chance.choice([None, "# One\n", "# Two\n"])
    elif kind < 0.95:
        path, odd = f"deployments/{chance.choice(['prod', 'staging'])}/{model}.yaml", ODD_POINTERS
        good = pointer("prod", model, chance.choice(["1.0.0", "2.0.0"]))
    else:
        return chance.choice(["models/odd", "models/a/b/odd.yaml", "deployments/prod/x.yaml", "free.txt"]), "x"
    return path, chance.choice([None, good, good, good, chance.choice(odd)])


@pytest.mark.parametrize("seed", range(4))
def test_step_by_step_is_as_from_nothing(writer: Writer, seed: int) -> None:
    chance = random.Random(seed)
    tips = [writer.commit(START, {"registry.yaml": SETTINGS})]
    for number in range(1, 10):
        changes = dict(_change(chance) for _ in range(chance.randrange(1, 6)))
        time, mode = START + chance.choice([60, 60, -40]) * number, chance.choice(["100644"] * 6 + ["100755", "120000"])
        tips.append(writer.commit(time, changes, mode=mode))
        if chance.random() < 0.2:
            back = chance.choice(tips)
            subprocess.run(["git", "update-ref", "refs/heads/main", back], cwd=writer.folder, check=True)
            tips.append(back)
        if chance.random() < 0.6:
            content(writer.folder, tips[-1])
    followed = content(writer.folder, tips[-1])
    assert followed == content(writer.folder, tips[-1], anew=True)


def test_every_odd_file_is_left_out_and_keeps_nobody_else_out(writer: Writer) -> None:
    files: dict[str, str | None] = {"registry.yaml": SETTINGS, "models/z/good/1.0.0.yaml": HEAD}
    files |= {f"models/v/m{n}/1.0.0.yaml": text for n, text in enumerate(ODD_MANIFESTS)}
    files |= {f"models/m/m{n}/model.yaml": text for n, text in enumerate(ODD_MODELS)}
    files |= {f"deployments/prod/p/m{n}.yaml": text for n, text in enumerate(ODD_POINTERS)}
    writer.commit(START, files)
    found = finder(writer.folder)("model = z/good")
    assert names(found) == ["z/good@1.0.0"]
    assert [note for note in found.notes if "files could not be read and are left out" not in note] == []
    assert content(writer.folder, writer.tip())["problems"]
