"""Measure others beside gitreg; each is left out, and said to be, where it is not installed.

Install them into an environment of their own and name its Python: `GITREG_BENCH_PEERS=/path/to/venv/bin/python`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from benchmarks.generate import git
from benchmarks.measure import Row, interleaved, process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.setting import Setting

PYTHON = "GITREG_BENCH_PEERS"
TAGS = (100, 1500)
FLOOR = "python -c pass"


def run(setting: Setting) -> Iterator[Row]:
    """Time `gto show NAME#prod` and `import mlflow` against the Python that they run on."""
    python = os.environ.get(PYTHON, sys.executable)
    cases = {"floor": process([python, "-c", "pass"], setting.environment)}
    if has(python, "gto"):
        for tags in TAGS:
            repository = _gto_repository(setting.folder, tags)
            command = [python, "-m", "gto.cli", "show", "model#prod"]
            cases[f"gto show model#prod, {tags:,} tags"] = process(command, setting.environment, repository)
    if has(python, "mlflow"):
        cases["import mlflow"] = process([python, "-c", "import mlflow"], setting.environment)
    taken = interleaved(cases, max(3, setting.repeats // 5))
    for name in list(cases)[1:]:
        yield Row(what=name, floor=FLOOR, takes=taken[name], floor_takes=taken["floor"])


def has(python: str, module: str) -> bool:
    """Whether a Python has a module; says so where it has not."""
    found = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    if not found:
        print(f"{module} is left out: it is not installed for the Python that {PYTHON} names (or this one)")
    return found


def _gto_repository(folder: Path, tags: int) -> Path:
    """Make a repository with as many of gto's tags: registrations, and every second version assigned to prod."""
    path = folder / f"gto-{tags}"
    if path.is_dir():
        return path
    path.mkdir()
    git(path, "init", "--quiet")
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    (path / "artifacts.yaml").write_text("model:\n  type: model\n")
    git(path, "add", ".")
    git(path, *who, "commit", "--quiet", "-m", "Begin")
    for number in range(tags):
        version = number // 2 + 1
        name = f"model@v{version}.0.0" if number % 2 == 0 else f"model#prod#{version}"
        date = {"GIT_COMMITTER_DATE": f"@{1_700_000_000 + 60 * number} +0000"}
        git(path, *who, "tag", "-a", "-m", name, name, env={**os.environ, **date})
        if number % 2 == 0:
            git(path, *who, "commit", "--quiet", "--allow-empty", "-m", f"Train {version}", env={**os.environ, **date})
    return path
