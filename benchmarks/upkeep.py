"""Measure what the upkeep of a repository is worth: a server as it stands without it, beside itself with it.

    python -m benchmarks.upkeep FOLDER [--worn]

copies the registry that `benchmarks.generate` made in FOLDER and times git and gitreg on it, before and after
`gitreg upkeep`. With `--worn` every object and every ref of the copy lies loose, as pushes of a few objects each leave
them where nobody ever packs; without it the copy lies in the packs of the generator.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

REPEATS = 5


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description="Measure the upkeep of a repository.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worn", action="store_true")
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=said.folder) as room:
        copy = Path(room) / "registry.git"
        shutil.copytree(said.folder / "registry.git", copy)
        if said.worn:
            _wear(copy)
        before = _times(copy, Path(room))
        started = time.monotonic()
        print(_gitreg(copy, "upkeep"))
        first = time.monotonic() - started
        after = _times(copy, Path(room))
        started = time.monotonic()
        _gitreg(copy, "upkeep")
        again = time.monotonic() - started
    for name, taken in before.items():
        print(f"{name:32} {taken * 1000:9.0f} ms {after[name] * 1000:9.0f} ms   {after[name] / taken:.2f}")
    print(f"{'the upkeep itself':32} {first:9.1f} s, once more {again:.1f} s")


def _wear(repository: Path) -> None:
    """Take everything out of its packs."""
    packs = repository / "objects" / "pack"
    apart = repository / "apart"
    packs.rename(apart)
    packs.mkdir()
    for pack in sorted(apart.glob("*.pack")):
        with pack.open("rb") as file:
            subprocess.run(["git", "-C", repository, "unpack-objects", "-q"], stdin=file, check=True)
    shutil.rmtree(apart)
    packed = repository / "packed-refs"
    lines = [line.split() for line in packed.read_text().splitlines() if line[0] not in "#^"]
    for oid, ref in lines:
        (repository / ref).parent.mkdir(parents=True, exist_ok=True)
        (repository / ref).write_text(f"{oid}\n")
    packed.unlink()


def _times(repository: Path, room: Path) -> dict[str, float]:
    model = _run("git", "-C", repository, "ls-tree", "-r", "--name-only", "main", "deployments/prod").split()[0]
    name = model.removeprefix("deployments/prod/").removesuffix(".yaml")
    clone = room / "clone"

    def cloned() -> None:
        shutil.rmtree(clone, ignore_errors=True)
        _run("git", "clone", "--quiet", "--bare", "--single-branch", "--no-tags", repository.as_uri(), clone)

    logged = ("log", "--format=%H", "main", "--", model)
    cases: dict[str, tuple[Callable[[], object], int]] = {
        "git clone": (cloned, 3),
        "git fetch, nothing new": (lambda: _run("git", "-C", clone, "fetch", "--quiet", "--no-tags"), REPEATS),
        "git log of a pointer": (lambda: _run("git", "-C", repository, *logged), REPEATS),
        "git for-each-ref, all tags": (lambda: _run("git", "-C", repository, "for-each-ref"), REPEATS),
        "gitreg show MODEL@prod": (lambda: _gitreg(repository, "show", f"{name}@prod"), REPEATS),
        "gitreg history MODEL prod": (lambda: _gitreg(repository, "history", name, "prod"), REPEATS),
    }
    return {what: _median(case, repeats) for what, (case, repeats) in cases.items()}


def _median(case: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        case()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def _gitreg(repository: Path, *args: str) -> str:
    return _run(sys.executable, "-m", "gitreg", "--registry", repository, *args)


def _run(*args: str | Path) -> str:
    command: Sequence[str] = [str(arg) for arg in args]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
