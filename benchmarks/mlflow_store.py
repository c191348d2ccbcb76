"""Time MLflow over its own SQLite, in a process of its own, where it is installed: see `benchmarks.peers`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.peers import PYTHON, has

if TYPE_CHECKING:
    from benchmarks.setting import Setting

VERSIONS = 10_000


def mlflow_seconds(setting: Setting, what: str, page: int = 20) -> float | None:
    """Give the median of one question to MLflow with 10,000 versions, `get` or `search`; None where there is none."""
    python = os.environ.get(PYTHON, sys.executable)
    if not has(python, "mlflow.store.model_registry.sqlalchemy_store"):
        return None
    file = setting.folder / f"mlflow-{VERSIONS}.sqlite"
    command = [python, "-c", _SCRIPT, str(file), str(VERSIONS), str(page), str(setting.repeats)]
    done = subprocess.run(command, env=setting.environment, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found[what]


# Written past MLflow's own interface, which takes a hundredth of a second a version.
_SCRIPT = """
import json, logging, sqlite3, statistics, sys, time, os
logging.disable(logging.CRITICAL)
file, versions, page, repeats = sys.argv[1], *map(int, sys.argv[2:])
from mlflow.tracking import MlflowClient
made = not os.path.exists(file)
client = MlflowClient(f"sqlite:///{file}")
if made:
    for number in range(100):
        client.create_registered_model(f"model-{number:04}")
    client.create_model_version("model-0000", "s3://bucket/model")
    with sqlite3.connect(file) as connection:
        names = [row[1] for row in connection.execute("PRAGMA table_info(model_versions)")]
        first = dict(zip(names, connection.execute("SELECT * FROM model_versions").fetchone()))
        marks = ", ".join("?" * len(names))
        rows = [
            tuple({**first, "name": f"model-{number % 100:04}", "version": 1 + number // 100}.values())
            for number in range(1, versions)
        ]
        connection.executemany(f"INSERT OR IGNORE INTO model_versions VALUES ({marks})", rows)
        tags = [
            (f"model-{number % 100:04}", 1 + number // 100, key, value)
            for number in range(versions)
            for key, value in (("team", f"team-{number % 10}"), ("tier", str(number % 6)))
        ]
        connection.executemany("INSERT INTO model_version_tags (name, version, key, value) VALUES (?, ?, ?, ?)", tags)
client.set_registered_model_alias("model-0050", "prod", "7")

def seconds(question):
    taken = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        question()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken[1:])

def search():
    found = client.search_model_versions("tags.team = 'team-3' and tags.tier = '1'", max_results=page)
    assert len(found) == page, len(found)

def get():
    assert str(client.get_model_version_by_alias("model-0050", "prod").version) == "7"

print(json.dumps({"search": seconds(search), "get": seconds(get)}))
"""
