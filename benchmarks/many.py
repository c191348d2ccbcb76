"""Push a thousand versions at once with plain git: in one commit or in as many, in one model or in all."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.generate import START, USERS, Blobs, git, manifest_text
from benchmarks.measure import Peak, Row, interleaved
from benchmarks.push import BARE, HOOKED, MAIN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.setting import Setting

VERSIONS = 1000
SECONDS = 10.0
BYTES = 300e6
_REPEATS = 3
_HOOK = b"gitreg.gate_hooks.hook"


@dataclass(frozen=True, slots=True)
class Shape:
    """How a push brings its versions: the words for it, over how many commits and how many models they spread."""

    words: str
    commits: int
    models: int | None = None


SHAPES = (
    Shape("in one commit, one model", 1, 1),
    Shape("in one commit, all models", 1),
    Shape("in 1,000 commits, one model", VERSIONS, 1),
    Shape("in 1,000 commits, all models", VERSIONS),
)


class Pushes:
    """Pushes of many versions into copies of a registry, so that each finds it as the others did."""

    def __init__(self, setting: Setting, folder: Path) -> None:
        self.setting = setting
        self.folder = folder
        self.server = setting.registry(setting.small)
        self.clone = folder / "clone.git"
        git(folder, "clone", "--quiet", "--bare", "--no-tags", "--single-branch", str(self.server), str(self.clone))
        self.tip = git(self.clone, "rev-parse", MAIN)
        self.peaks: dict[Shape, int] = {}

    def tip_of(self, shape: Shape) -> str:
        """Commit the versions in the clone; give the last commit."""
        stream = b"".join(self._commits(shape))
        subprocess.run(["git", "-C", self.clone, "fast-import", "--quiet", "--force"], input=stream, check=True)
        return git(self.clone, "rev-parse", "refs/many")

    def _commits(self, shape: Shape) -> Iterator[bytes]:
        blobs = Blobs(self.server.parent / "store")
        models = self.setting.models(self.setting.small)[: shape.models]
        who = f"{USERS[0].capitalize()} <{USERS[0]}@example.org> {START} +0000"
        yield f"reset refs/many\nfrom {self.tip}\n\n".encode()
        for number in range(VERSIONS):
            if number % (VERSIONS // shape.commits) == 0:
                yield f"commit refs/many\nauthor {who}\ncommitter {who}\ndata 9\nRegister\n\n".encode()
            model, version = models[number % len(models)], f"11.{number}.0"
            text = manifest_text(model, version, blobs, index=number).encode()
            yield f"M 100644 inline models/{model}/{version}.yaml\ndata {len(text)}\n".encode() + text + b"\n"

    def case(self, shape: Shape, new: str, receive_pack: str) -> Callable[[], float]:
        """Make a case that pushes into a fresh copy; note the most memory that a hook and its git took."""

        def push() -> float:
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                copy = Path(folder) / "copy"
                shutil.copytree(self.server.parent, copy, symlinks=True)
                command = ["git", "-C", str(self.clone), "push", "--quiet", f"--receive-pack={receive_pack}"]
                environment = {**self.setting.environment, "GL_USER": USERS[0]}
                began = time.perf_counter()
                with (
                    subprocess.Popen(
                        [*command, str(copy / self.server.name), f"{new}:{MAIN}"],
                        env=environment,
                        stderr=subprocess.PIPE,
                        text=True,
                    ) as process,
                    Peak(process.pid, _HOOK) as peak,
                ):
                    _, said = process.communicate()
                seconds = time.perf_counter() - began
                if process.returncode:
                    raise SystemExit(f"the push was refused:\n{said}")
            if receive_pack == HOOKED:
                self.peaks[shape] = max(self.peaks.get(shape, 0), peak.bytes)
            return seconds

        return push


def run(setting: Setting) -> Iterator[Row]:
    """Time pushes of a thousand versions, and take the memory of their hooks."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="many-", dir=setting.folder)))
        pushes = Pushes(setting, folder)
        cases: dict[str, Callable[[], float]] = {}
        for shape in SHAPES:
            new = pushes.tip_of(shape)
            cases[f"hooks {shape.words}"] = pushes.case(shape, new, HOOKED)
            cases[f"plain {shape.words}"] = pushes.case(shape, new, BARE)
        taken = interleaved(cases, min(_REPEATS, setting.repeats), warm=0)
    for shape in SHAPES:
        what, takes = f"git push of 1,000 versions {shape.words}", taken[f"hooks {shape.words}"]
        plain = taken[f"plain {shape.words}"]
        yield Row(what=what, floor="the same push, no hooks", takes=takes, floor_takes=plain)
        yield Row(what=what, floor="the aim", takes=takes, floor_takes=SECONDS, target=1)
        what, peak = "the hook's memory, with its git", pushes.peaks[shape]
        if peak:  # unknown where there is no /proc
            yield Row(what=what, floor="the aim", takes=peak, floor_takes=BYTES, target=1, unit="B")
