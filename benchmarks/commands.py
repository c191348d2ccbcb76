"""Run the commands once in each registry: how their time grows with it, and the memory of their largest process."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.measure import Row, below

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from benchmarks.setting import Setting

AIM = "the aim"
MEMORY = 1e9
# In this order: from the first search on there is an index.
COMMANDS: Mapping[str, Sequence[str]] = {
    "show M@prod": ("show", "{model}@prod"),
    "show M@latest": ("show", "{model}@latest"),
    "versions M": ("versions", "{model}"),
    "history M prod": ("history", "{model}", "prod"),
    "log": ("log",),
    "status": ("status",),
    "audit verify": ("audit", "verify"),
    "fsck": ("fsck",),
    "gc, nothing taken": ("gc",),
    "index build, from nothing": ("index", "build", "--anew"),
    "index build, nothing new": ("index", "build"),
    "search, two conditions": ("search", "metrics.auc > 0.85 and metrics.f1 > 0.85", "--limit", "20"),
    "list": ("list",),
    "lineage M@1.0.0 --down": ("lineage", "{model}@1.0.0", "--down"),
    "index publish, from nothing": ("index", "publish", "--to", "{folder}/published"),
    "index publish, nothing new": ("index", "publish", "--to", "{folder}/published"),
}


class Taken(NamedTuple):
    """What a command took: seconds, and the most bytes that one of its processes held for itself."""

    seconds: float
    bytes: float


def run(setting: Setting) -> Iterator[Row]:
    """Run each command in the small registry and in the large one."""
    taken = {size: dict(_all(setting, size)) for size in setting.sizes}
    for name in COMMANDS:
        small, large = (taken[size][name] for size in setting.sizes)
        what = f"gitreg {name}, {setting.large:,} versions"
        yield Row(what=what, floor=f"{setting.small:,} versions", takes=large.seconds, floor_takes=small.seconds)
        yield Row(what="its largest process", floor=AIM, takes=large.bytes, floor_takes=MEMORY, target=1, unit="B")


def _all(setting: Setting, size: int) -> Iterator[tuple[str, Taken]]:
    folder = setting.folder / f"commands-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    known = {"model": setting.model(size), "folder": str(folder)}
    gitreg = (sys.executable, "-m", "gitreg", "--registry", str(setting.registry(size)))
    for name, args in COMMANDS.items():
        print(f"gitreg {name}, {size:,} versions …", file=sys.stderr)
        yield name, measured([*gitreg, *(arg.format(**known) for arg in args)], setting.environment)
    shutil.rmtree(folder)


def measured(command: Sequence[str], environment: Mapping[str, str]) -> Taken:
    """Run a command to its end; it has to succeed."""
    began = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        largest = _Largest(process.pid)
        errors = process.communicate()[1]
        seconds = time.perf_counter() - began
        largest.end()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{errors.decode('utf-8', 'replace')}")
    return Taken(seconds, largest.bytes)


class _Largest:
    """The most that a process, or one that it started, held for itself: what it maps from files is the disk's cache."""

    def __init__(self, process: int) -> None:
        self.bytes = 0
        self._process = process
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            self.bytes = max([self.bytes, *map(_own, below(self._process))])


def _own(process: int) -> int:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    found = re.search(r"RssAnon:\s+([0-9]+) kB", status)
    return int(found[1]) * 1024 if found else 0
