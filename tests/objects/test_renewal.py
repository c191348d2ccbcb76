"""A registration that finds what it needs in the store holds it against a gc that runs beside it."""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest

from gitreg.keep.inventory import Inventory
from gitreg.objects import LocalStore, Store, hash_file, store_sources
from gitreg.objects.digests import Digests
from gitreg.objects.local import LocalBucket
from gitreg.objects.recipes import blob_key, recipe_key
from gitreg.objects.sources import Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB = 1 << 20
YEAR = 365 * 24 * 3600


class Raced(LocalBucket):
    """A folder in which something happens whenever an object is about to be put."""

    def __init__(self, folder: Path, meanwhile: Callable[[str], None]) -> None:
        super().__init__(folder)
        self._meanwhile = meanwhile

    def put(self, key: str, data: bytes, *, replace: bool = False) -> None:
        self._meanwhile(key)
        super().put(key, data, replace=replace)


def age(folder: Path) -> None:
    """Let all that is in a store be a year old."""
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - YEAR,) * 2)


def weights(tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    return path


def is_young(store: Store, digest: str) -> bool:
    return Inventory.of(store.bucket).stored[digest].modified > time.time() - 60


@pytest.mark.parametrize("size", [1000, 5 * MIB])
def test_a_blob_that_is_found_counts_as_written_now(store: LocalStore, tmp_path: Path, size: int) -> None:
    path = weights(tmp_path, "one", random.Random(1).randbytes(size))
    blob = store.put_file(path)
    age(store.folder)
    assert not is_young(store, blob.digest.hex)
    for _ in range(2):  # the mark itself grows old
        store.put_file(path)
        assert is_young(store, blob.digest.hex)
        age(store.folder)


def test_what_was_written_a_moment_ago_needs_no_mark(store: LocalStore, tmp_path: Path) -> None:
    path = weights(tmp_path, "one", b"weights")
    store.put_file(path)
    store.put_file(path)

    assert not (store.folder / "similar").exists()


def test_a_file_that_is_not_read_again_is_renewed_all_the_same(store: LocalStore, tmp_path: Path) -> None:
    path = weights(tmp_path, "one", b"weights")
    digests = Digests(tmp_path / "digests")
    blob = store.put_file(path)
    age(tmp_path)
    digests.note(path.stat(), blob.digest)
    age(store.folder)
    store_sources(store, [Source("one", path)], None, digests)

    assert is_young(store, blob.digest.hex)


def test_a_blob_that_gc_takes_before_it_sees_the_mark_is_stored_again(tmp_path: Path) -> None:
    path = weights(tmp_path, "one", b"weights")
    store = LocalStore(tmp_path / "store")
    blob = store.put_file(path)
    age(store.folder)

    def gc(key: str) -> None:
        if key.startswith("similar/"):
            (store.folder / blob_key(blob.digest)).unlink()

    Store(Raced(store.folder, gc)).put_file(path)
    assert store.open(blob.digest).readall() == b"weights"


def test_a_recipe_whose_bytes_gc_takes_meanwhile_becomes_a_whole_blob(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(8 * MIB)
    store = LocalStore(tmp_path / "store")
    base = store.put_file(weights(tmp_path, "one", data)).digest
    two = weights(tmp_path, "two", b"a new beginning" + data)
    digest = hash_file(two).digest

    def gc(key: str) -> None:
        if key == recipe_key(digest):
            (store.folder / blob_key(base)).unlink()

    Store(Raced(store.folder, gc)).put_file(two)
    assert store.layout(digest).is_whole
    assert not (store.folder / recipe_key(digest)).exists()
    assert store.open(digest).readall() == two.read_bytes()


def test_a_recipe_without_its_bytes_is_not_taken_for_there_by_a_remembered_digest(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(8 * MIB)
    store = LocalStore(tmp_path / "store")
    base = store.put_file(weights(tmp_path, "one", data)).digest
    two = weights(tmp_path, "two", b"a new beginning" + data)
    digests = Digests(tmp_path / "digests")
    digest = store.put_file(two).digest
    age(tmp_path)
    digests.note(two.stat(), digest)
    (store.folder / blob_key(base)).unlink()
    store_sources(store, [Source("two", two)], None, digests)

    assert store.open(digest).readall() == two.read_bytes()
