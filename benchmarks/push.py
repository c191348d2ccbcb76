"""Push one version with plain git: through the hooks, and into the same registry without them."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

from benchmarks.generate import USERS, Blobs, git, manifest_text
from benchmarks.measure import Row, interleaved
from gitreg.git import Repository, write_commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.setting import Setting

MAIN = "refs/heads/main"
HOOKED = "git receive-pack"
# The same command, told to find its hooks where there are none.
BARE = "git -c core.hooksPath=/dev/null receive-pack"


class Pusher:
    """A user with a clone of a registry, who registers one version after another with plain git."""

    def __init__(self, setting: Setting, versions: int) -> None:
        self.setting = setting
        self.server = setting.registry(versions)
        self.model = setting.model(versions)
        self.blobs = Blobs(self.server.parent / "store")
        self.clone = setting.folder / f"clone-{versions}.git"
        if not self.clone.is_dir():
            alone = ("--quiet", "--bare", "--no-tags", "--single-branch")
            git(setting.folder, "clone", *alone, str(self.server), str(self.clone))
        git(self.clone, "fetch", "--quiet", "--no-tags", "origin", f"+{MAIN}:{MAIN}")
        self.tip = git(self.clone, "rev-parse", MAIN)
        self.number = int(git(self.clone, "rev-list", "--count", MAIN))

    def push(self, receive_pack: str) -> float:
        """Commit a version, and push it; give the seconds of the push alone."""
        self.number += 1
        version = f"9.{self.number}.0"
        path = f"models/{self.model}/{version}.yaml"
        text = manifest_text(self.model, version, self.blobs, index=self.number % 100_000)
        with Repository.open(self.clone, environment=self.setting.environment) as repository:
            commit = write_commit(
                repository, parent=self.tip, edits={path: text.encode()}, message=f"Register {version}\n"
            )
        command = ["git", "-C", str(self.clone), "push", "--quiet", f"--receive-pack={receive_pack}"]
        began = time.perf_counter()
        done = subprocess.run(
            [*command, str(self.server), f"{commit}:{MAIN}"],
            env={**self.setting.environment, "GL_USER": USERS[0]},
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - began
        if done.returncode:
            raise SystemExit(f"the push was refused:\n{done.stderr}")
        self.tip = commit
        git(self.clone, "update-ref", MAIN, commit)
        _mark(self.server, commit)
        return seconds

    def case(self, receive_pack: str) -> Callable[[], float]:
        """Make a case of such pushes."""
        return lambda: self.push(receive_pack)


def _mark(server: Path, tip: str) -> None:
    """Remember the tip as the post-receive hook does, so that a push with hooks finds what the one before it left."""
    (server / "gitreg" / "marked").write_text(f"{tip}\n")


def run(setting: Setting) -> Iterator[Row]:
    """Time pushes with hooks against pushes without, in both registries."""
    cases: dict[str, Callable[[], float]] = {}
    for size in setting.sizes:
        pusher = Pusher(setting, size)
        cases |= {f"hooks {size}": pusher.case(HOOKED), f"plain {size}": pusher.case(BARE)}
    taken = interleaved(cases, setting.repeats, warm=2)
    for size in setting.sizes:
        yield Row(
            what=f"git push of one version, {size:,} versions and tags",
            floor="the same push, no hooks",
            takes=taken[f"hooks {size}"],
            floor_takes=taken[f"plain {size}"],
            target=6,
        )
    added = [taken[f"hooks {size}"] - taken[f"plain {size}"] for size in setting.sizes]
    what, floor = f"what the hooks add to it, {setting.large:,}", f"what they add, {setting.small:,}"
    yield Row(what=what, floor=floor, takes=added[1], floor_takes=added[0], target=1.3)
    small, large = (taken[f"plain {size}"] for size in setting.sizes)
    what, floor = f"the same push, no hooks, {setting.large:,}", f"the same, {setting.small:,}"
    yield Row(what=what, floor=floor, takes=large, floor_takes=small)
    small, large = (taken[f"hooks {size}"] for size in setting.sizes)
    what, floor = f"git push of one version, {setting.large:,}", f"the same push, {setting.small:,}"
    yield Row(what=what, floor=floor, takes=large, floor_takes=small, target=1.3)
