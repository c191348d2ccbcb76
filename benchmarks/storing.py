"""Store a large file, and then one that shares most of its bytes: time, memory, and bytes kept, beside others.

dvc and mlflow are run with the Python that `GITREG_BENCH_PEERS` names, git-lfs where it is on PATH.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.measure import Peak, Row, interleaved, process
from benchmarks.peers import PYTHON

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from benchmarks.setting import Setting

MEBIBYTES = 1024
NEW = 20  # one part in so many of the second file is new, and inserted near its start
NOTHING = 0.3  # seconds
MEMORY = 200 << 20  # bytes
_MIB = 1 << 20
_LOG = """
import sys, mlflow
mlflow.set_tracking_uri(sys.argv[1])
with mlflow.start_run():
    mlflow.log_artifact(sys.argv[2])
"""


@dataclass(frozen=True, slots=True)
class Tool:
    """What stores files: how to begin in an empty folder, what to time, and where the bytes are."""

    name: str
    begin: Callable[[Path], None]
    store: Callable[[Path, Path, int], None]
    keeps: str


def run(setting: Setting) -> Iterator[Row]:
    """Time whole commands in new folders against one pass of SHA-256, one copy, and other tools."""
    folder = setting.folder / "storing"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    files = _files(folder)
    tools = _tools(setting.environment)
    cases: dict[str, Callable[[], float | None]] = {
        "hashlib's SHA-256": lambda: _hash(files[0]),
        "cp": process(["cp", str(files[0]), str(folder / "copy")], setting.environment),
        **{tool.name: _fresh(tool, folder, files[0]) for tool in tools},
    }
    taken = interleaved(cases, 3)
    floor = max(("hashlib's SHA-256", "cp"), key=lambda name: taken[name])
    what = f"gitreg register, {MEBIBYTES} MiB"
    yield Row(what=what, floor=floor, takes=taken["gitreg"], floor_takes=taken[floor], target=1.5)
    for name in cases:
        if name not in {"gitreg", floor}:
            target = None if name == "cp" else 1
            yield Row(what=what, floor=name, takes=taken["gitreg"], floor_takes=taken[name], target=target)
    yield from _again(tools[0], folder, files[0])
    for tool in tools:
        yield _kept(tool, folder, files)
    shutil.rmtree(folder)


def _files(folder: Path) -> tuple[Path, Path]:
    """Make two files of random bytes that differ by an insertion."""
    generator = random.Random(1)
    one, two = folder / "one.bin", folder / "two.bin"
    with one.open("wb") as first, two.open("wb") as second:
        for number in range(MEBIBYTES):
            if number == 1:
                for _ in range(MEBIBYTES // NEW):
                    second.write(generator.randbytes(_MIB))
            piece = generator.randbytes(_MIB)
            first.write(piece)
            if number < MEBIBYTES - MEBIBYTES // NEW:
                second.write(piece)
    os.sync()
    return one, two


def _hash(path: Path) -> None:
    hasher = hashlib.sha256()
    buffer = memoryview(bytearray(_MIB))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])


def _fresh(tool: Tool, folder: Path, file: Path) -> Callable[[], float]:
    def case() -> float:
        place = _begun(tool, folder)
        began = time.perf_counter()
        tool.store(place, file, 1)
        return time.perf_counter() - began

    return case


def _begun(tool: Tool, folder: Path) -> Path:
    place = folder / tool.name.replace(" ", "-")
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    tool.begin(place)
    return place


def _again(gitreg: Tool, folder: Path, file: Path) -> Iterator[Row]:
    place = _begun(gitreg, folder)
    with Peak(os.getpid(), b"register") as peak:
        gitreg.store(place, file, 1)
    yield Row(
        what="gitreg register, most memory", floor="200 MiB", takes=peak.bytes, floor_takes=MEMORY, target=1, unit="B"
    )
    began = time.perf_counter()
    gitreg.store(place, file, 2)
    seconds = time.perf_counter() - began
    yield Row(what="gitreg register, the same file again", floor="0.3 s", takes=seconds, floor_takes=NOTHING, target=1)


def _kept(tool: Tool, folder: Path, files: tuple[Path, Path]) -> Row:
    place = _begun(tool, folder)
    for number, file in enumerate(files, 1):
        tool.store(place, file, number)
    size = sum(path.stat().st_size for path in (place / tool.keeps).rglob("*") if path.is_file())
    what = f"{tool.name}, bytes kept for two files that share 95 %"
    target = 1.08 if tool.name == "gitreg" else None
    shutil.rmtree(place)
    return Row(what=what, floor="one of them", takes=size, floor_takes=files[0].stat().st_size, target=target, unit="B")


# --- the tools ------------------------------------------------------------------------------------------------------


def _tools(environment: Mapping[str, str]) -> list[Tool]:
    tools = [_gitreg(environment)]
    python = os.environ.get(PYTHON, sys.executable)
    if _runs([python, "-m", "dvc", "--version"], environment):
        tools.append(_dvc([python, "-m", "dvc"], environment))
    if shutil.which("git-lfs"):
        tools.append(_lfs(environment))
    if _runs([python, "-c", "import mlflow"], environment):
        tools.append(_mlflow(python, environment))
    return tools


def _runs(command: list[str], environment: Mapping[str, str]) -> bool:
    try:
        process(command, environment)()
    except SystemExit:
        print(f"{command[-1]!r} is left out: {command[0]} does not run it")
        return False
    return True


def _gitreg(environment: Mapping[str, str]) -> Tool:
    gitreg = [sys.executable, "-m", "gitreg"]

    def begin(place: Path) -> None:
        process([*gitreg, "init", "registry"], environment, place)()

    def store(place: Path, file: Path, number: int) -> None:
        command = [*gitreg, "register", "bench/model", str(file), "--version", f"1.0.{number}"]
        process(command, environment, place / "registry")()

    return Tool("gitreg", begin, store, "registry/store")


def _dvc(dvc: list[str], environment: Mapping[str, str]) -> Tool:
    def begin(place: Path) -> None:
        process(["git", "init", "--quiet"], environment, place)()
        process([*dvc, "init", "--quiet"], environment, place)()
        process([*dvc, "remote", "add", "--default", "here", str(place / "remote")], environment, place)()

    def store(place: Path, file: Path, number: int) -> None:
        process([*dvc, "add", "--quiet", "--out", f"{number}.bin", str(file)], environment, place)()
        process([*dvc, "push", "--quiet"], environment, place)()

    return Tool("dvc add and push", begin, store, "remote")


def _lfs(environment: Mapping[str, str]) -> Tool:
    def begin(place: Path) -> None:
        process(["git", "init", "--quiet"], environment, place)()
        process(["git", "lfs", "install", "--local"], environment, place)()
        process(["git", "lfs", "track", "*.bin"], environment, place)()

    def store(place: Path, file: Path, number: int) -> None:
        os.link(file, place / f"{number}.bin")
        process(["git", "add", f"{number}.bin"], environment, place)()

    return Tool("git-lfs, git add", begin, store, ".git/lfs/objects")


def _mlflow(python: str, environment: Mapping[str, str]) -> Tool:
    def begin(_place: Path) -> None:
        pass

    def store(place: Path, file: Path, _number: int) -> None:
        # A folder needs neither a server nor a database, which would take longer.
        alone = {**environment, "MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ALLOW_FILE_STORE": "true"}
        process([python, "-c", _LOG, f"file:{place / 'mlruns'}", str(file)], alone, place)()

    return Tool("mlflow log_artifact", begin, store, "mlruns")
