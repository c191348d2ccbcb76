"""Pull a large file out of a store, beside copying and hashing it, and beside the bare reads of the store."""

from __future__ import annotations

import hashlib
import os
import shutil
from itertools import count
from typing import TYPE_CHECKING

from benchmarks.measure import Row, interleaved

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from benchmarks.setting import Setting
    from gitreg.objects import Cache, Store, StoredFile

MEGABYTES = 1024
SMALL, SMALL_BYTES = 500, 10_000
REPEATS = 3


def run(setting: Setting) -> Iterator[Row]:
    """Time a first pull, a second one into another folder, and one that finds everything there."""
    from gitreg.objects import LocalStore

    folder = setting.folder / "pulling"
    folder.mkdir(exist_ok=True)
    weights = folder / "weights.bin"
    with weights.open("wb") as file:
        for _ in range(MEGABYTES):
            file.write(os.urandom(1 << 20))
    store = LocalStore(folder / "store")
    yield from _large(folder, store, weights)
    yield from _many(folder, store)
    shutil.rmtree(folder)


def _large(folder: Path, store: Store, weights: Path) -> Iterator[Row]:
    files = [_stored(store, weights)]
    warm = _cache(folder / "warm")
    _pull(files, store, warm, folder / "there")
    counted = count()  # a folder that is removed would change the time of the cached file that it links to
    cases: dict[str, Callable[[], None]] = {
        "copy": lambda: _copy(weights, folder / "copy.bin"),
        "hash": lambda: _hash(weights),
        "read": lambda: _read(store, files[0]),
        "cold": lambda: _pull(files, store, _emptied(folder / "cache"), _gone(folder / "to")),
        "warm": lambda: _pull(files, store, warm, folder / f"to-{next(counted)}"),
        "done": lambda: _pull(files, store, warm, folder / "there"),
    }
    taken = interleaved(cases, REPEATS)
    what = f"pulling {MEGABYTES} MiB"
    both = taken["copy"] + taken["hash"]
    yield Row(what=what, floor="cp, then SHA-256", takes=taken["cold"], floor_takes=both, target=1.0)
    yield Row(what=what, floor="SHA-256", takes=taken["cold"], floor_takes=taken["hash"], target=1.5)
    yield Row(what=what, floor="bare reads of the store", takes=taken["cold"], floor_takes=taken["read"])
    yield Row(what=f"{what} that are cached", floor="cp", takes=taken["warm"], floor_takes=taken["copy"], target=0.1)
    yield Row(
        what=f"{what} that are there", floor="SHA-256", takes=taken["done"], floor_takes=taken["hash"], target=0.1
    )


def _many(folder: Path, store: Store) -> Iterator[Row]:
    small = folder / "small"
    small.mkdir()
    for number in range(SMALL):
        (small / f"{number}.bin").write_bytes(os.urandom(SMALL_BYTES))
    files = [_stored(store, path) for path in sorted(small.iterdir())]
    cases: dict[str, Callable[[], None]] = {
        "copy": lambda: _copy_all(small, _gone(folder / "copies")),
        "cold": lambda: _pull(files, store, _emptied(folder / "cache"), _gone(folder / "to")),
    }
    taken = interleaved(cases, REPEATS)
    yield Row(
        what=f"pulling {SMALL} small files", floor="cp -r", takes=taken["cold"], floor_takes=taken["copy"], target=4.0
    )


def _stored(store: Store, path: Path) -> StoredFile:
    from gitreg.objects import StoredFile

    blob = store.put_file(path)
    return StoredFile(path.name, blob.digest, blob.size, "other")


def _pull(files: list[StoredFile], store: Store, cache: Cache, to: Path) -> None:
    from gitreg.objects import pull

    pull(files, store, cache, to)


def _cache(folder: Path) -> Cache:
    from gitreg.objects import Cache

    return Cache(folder)


def _emptied(folder: Path) -> Cache:
    return _cache(_gone(folder))


def _gone(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def _copy(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    shutil.copyfile(source, target)


def _copy_all(source: Path, target: Path) -> None:
    shutil.copytree(source, target)


def _hash(path: Path) -> None:
    with path.open("rb") as file:
        hashlib.file_digest(file, "sha256")


def _read(store: Store, file: StoredFile) -> None:
    layout = store.layout(file.digest)
    for part in layout.parts:
        for _ in store.bucket.read(part.key, part.offset, part.size):
            pass
