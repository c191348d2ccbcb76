"""Put a large file into the object store."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from benchmarks.measure import Row, interleaved, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.setting import Setting

MEGABYTES = 90


def run(setting: Setting) -> Iterator[Row]:
    """Time storing a file against hashing and copying it with the system's own tools."""
    folder = setting.folder / "storing"
    folder.mkdir(exist_ok=True)
    weights = folder / "weights.bin"
    weights.write_bytes(os.urandom(MEGABYTES << 20))
    cases: dict[str, Callable[[], None]] = {"put": _put(folder, weights), "copy": _copy(folder, weights)}
    if shutil.which("sha256sum"):
        cases["hash"] = process(["sha256sum", str(weights)], setting.environment)
    taken = interleaved(cases, max(3, setting.repeats // 3))
    what = f"putting {MEGABYTES} MB into the store"
    if "hash" in taken:
        both = taken["hash"] + taken["copy"]
        yield Row(what=what, floor="sha256sum, then cp and sync", takes=taken["put"], floor_takes=both)
        yield Row(what=what, floor="sha256sum", takes=taken["put"], floor_takes=taken["hash"])
    yield Row(what=what, floor="cp and sync", takes=taken["put"], floor_takes=taken["copy"])
    shutil.rmtree(folder)


def _put(folder: Path, weights: Path) -> Callable[[], None]:
    def case() -> None:
        from gitreg.objects import LocalStore

        shutil.rmtree(folder / "store", ignore_errors=True)
        LocalStore(folder / "store").put_file(weights)

    return case


def _copy(folder: Path, weights: Path) -> Callable[[], None]:
    def case() -> None:
        copy = folder / "copy.bin"
        copy.unlink(missing_ok=True)
        shutil.copyfile(weights, copy)
        with copy.open("rb+") as file:
            os.fsync(file.fileno())

    return case
