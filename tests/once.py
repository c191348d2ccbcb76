"""Make a folder once in a run, whatever the number of its workers and of the fixtures that want it."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Give a fixture its copy of a folder that the first one to ask for it makes."""
    return shutil.copytree(_made(factory, name, make), factory.mktemp(name) / name, symlinks=True)


def _made(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    base = factory.getbasetemp()
    made = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / f"made-{name}"
    unfinished = made.with_suffix(".unfinished")
    with made.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            make(unfinished)
            unfinished.rename(made)
    return made


def pack(repository: Path) -> None:
    """Put a repository's objects into one file: a copy costs by the file."""
    subprocess.run(["git", "-C", str(repository), "repack", "-a", "-d", "--quiet"], check=True)
