"""People who push to a real server with plain git, and what they are told."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gitreg.objects import LocalStore
from gitreg.records import replace
from gitreg.registry.setup import InitRequest, init
from tests.gate.support import SETTINGS, pointer_file, start, version_file
from tests.gate_hooks.support import Pushed, run

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from tests.gate.support import Edits

NEW_VERSION = version_file("2.0.0")
VERSION_PATH = next(iter(NEW_VERSION))
TO_STAGING = pointer_file("1.0.0")


def make_registry(path: Path, source: str, store: Path | None = None) -> None:
    """Make a registry with its store, as its owner would: alice registers, bob deploys, root is admin.

    The store is beside it, or where it is said to be. A repository that is there already becomes a registry.
    """
    files = path.parent / f".{path.name}.source"
    begin = start()
    if store is not None:
        begin["registry.yaml"] = replace(SETTINGS, store=f"file:{store}").to_bytes()
    for name, data in begin.items():
        file = files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    init(InitRequest(path=path, bare=True, identity=source, source=files))
    weights = files / "weights"
    weights.write_bytes(b"weights")
    LocalStore(store or path.parent / "store").put_file(weights)
    shutil.rmtree(files)


@dataclass(frozen=True)
class Clone:
    """Somebody's clone, made with plain git: no hook of ours is in it."""

    path: Path
    environment: Mapping[str, str]

    @classmethod
    def of(cls, url: str, path: Path, environment: Mapping[str, str] | None = None) -> Clone:
        """Clone a registry from a server."""
        run(["git", "clone", "--quiet", url, str(path)], path.parent, environment=environment)
        return cls(path, environment or {})

    def git(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run git in the clone, as its owner."""
        return run(["git", *words], self.path, environment=self.environment, check=check)

    def commit(self, edits: Edits, message: str = "Change") -> str:
        """Commit files."""
        for name, data in edits.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            if data is None:
                file.unlink()
            else:
                file.write_bytes(data)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", message)
        return self.git("rev-parse", "HEAD").stdout.strip()

    def push(self, *words: str, options: tuple[str, ...] = ()) -> Pushed:
        """Push, by default to main; `options` come before the word `push`."""
        done = self.git(*options, "push", *(words or ("origin", "HEAD:refs/heads/main")), check=False)
        return Pushed(done.returncode == 0, done.stderr)
