"""The demo, as a new user runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.registry import open_registry

if TYPE_CHECKING:
    from collections.abc import Mapping


@pytest.mark.slow
def test_the_demo_runs_to_its_end_and_leaves_its_registry(tmp_path: Path, home: Path) -> None:
    (home / ".gitconfig").unlink()  # a fresh machine
    environment: Mapping[str, str] = {**os.environ, "GITREG_CACHE": str(tmp_path / "cache")}
    finished = subprocess.run(
        [sys.executable, "-m", "gitreg", "demo", "--folder", str(tmp_path / "demo")],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    for word in ("refused", "[file-invalid]", "[access-denied]", "git revert", "rollback", "deploy/prod/"):
        assert word in finished.stdout
    bare = next(path for path in (tmp_path / "demo").iterdir() if path.suffix == ".git")
    with open_registry(Path(bare)) as registry:
        assert registry.status("prod")
        assert "rollback" in {row.action for each in registry.models() for row in registry.history(str(each.model))}
