"""Damage is found wherever it is, told with the versions that it hits, and mended from wherever sound bytes are."""

from __future__ import annotations

import io
import os
import random
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.keep.fsck import Checker, Source
from gitreg.objects import Cache, LocalStore
from gitreg.objects.recipes import Range, Recipe, blob_key, chunks_key, recipe_key
from gitreg.reader.reachable import Need
from tests.keep.conftest import register
from tests.registries import git

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.keep.fsck import Checked
    from gitreg.registry import Registry
    from tests.keep.conftest import Shelf
    from tests.registries import Forge

SIZE = 9 << 20


def _check(store: LocalStore, *digests: Digest, deep: bool = True, sources: tuple[Source, ...] = ()) -> Checked:
    """Check that blobs are there which one version needs."""
    needs = {digest.hex: (Need("a/b", "1.0.0", f"file-{at}", -1, "main"),) for at, digest in enumerate(digests)}
    return Checker(store.bucket, needs, lambda _: None).run(1, deep=deep, sources=sources)


@pytest.fixture(scope="session")
def random_bytes() -> bytes:
    return random.Random(4).randbytes(SIZE)


@pytest.fixture
def put(tmp_path: Path) -> Callable[[LocalStore, bytes], Digest]:
    """Store bytes as a file would be."""

    def call(store: LocalStore, data: bytes) -> Digest:
        path = tmp_path / "file.bin"
        path.write_bytes(data)
        return store.put_file(path).digest

    return call


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_sound_store_is_told_so(bare: Registry, shelf: Shelf) -> None:
    [checked] = bare.fsck(deep=True)
    assert (checked.is_sound, checked.versions, checked.blobs, checked.orphans) == (True, 4, 1, 0)


def test_a_missing_blob_is_told_with_the_versions_that_need_it(bare: Registry, shelf: Shelf) -> None:
    digest = register(bare, b"gone", "1.0.0")
    shelf.path(digest).unlink()
    [checked] = bare.fsck()
    [damage] = checked.damage
    assert (damage.kind, damage.digest, damage.needed_by) == ("missing", digest, ("risk/other@1.0.0 (weights.json)",))
    assert not checked.is_sound


def test_a_wrong_size_needs_no_deep_look(bare: Registry, shelf: Shelf) -> None:
    digest = register(bare, b"cut", "1.0.0")
    shelf.path(digest).chmod(0o644)
    shelf.path(digest).write_bytes(b"cu")
    [damage] = bare.fsck()[0].damage
    assert (damage.kind, damage.message) == ("size", "it has 2 bytes, and 8 were registered")


def test_a_flipped_bit_is_found_by_a_deep_look_alone(bare: Registry, shelf: Shelf) -> None:
    digest = register(bare, b"flip", "1.0.0")
    shelf.flip(digest, 3)
    assert bare.fsck()[0].is_sound
    [damage] = bare.fsck(deep=True)[0].damage
    assert (damage.kind, damage.digest) == ("damaged", digest)


def test_orphans_and_strangers_are_counted_and_no_damage(bare: Registry, shelf: Shelf) -> None:
    shelf.put(b"nobody's")
    (shelf.folder / "blobs" / "README").write_text("hello")
    [checked] = bare.fsck(deep=True)
    assert (checked.orphans, checked.orphan_bytes, checked.strangers) == (1, 8, ("blobs/README",))
    assert checked.is_sound


def test_a_chunk_list_tells_which_bytes_are_damaged(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest]
) -> None:
    store = LocalStore(tmp_path / "store")
    digest = put(store, random_bytes)
    _flip(store.folder / blob_key(digest), 5_000_000)
    [damage] = _check(store, digest).damage
    start, end = map(int, damage.message.rpartition("at ")[2].split("-"))
    assert start <= 5_000_000 <= end
    assert end - start < 1 << 20


@pytest.mark.parametrize("at", [0, 500, 2000])
def test_a_damaged_chunk_list_is_found_and_removed(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest], at: int
) -> None:
    store = LocalStore(tmp_path / "store")
    digest = put(store, random_bytes)
    _flip(store.folder / chunks_key(digest), at)
    [damage] = _check(store, digest).damage
    assert damage.kind == "chunks"
    nowhere = Source("nowhere", LocalStore(tmp_path / "nowhere").open)
    assert _check(store, digest, sources=(nowhere,)).is_sound
    assert _check(store, digest).damage == ()


def test_every_flip_anywhere_is_found_and_mended_from_a_mirror(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest]
) -> None:
    """Blobs, recipes, packs and chunk lists alike: a store that says it is sound gives the right bytes."""
    store, mirror = LocalStore(tmp_path / "store"), LocalStore(tmp_path / "mirror")
    second = random_bytes[:1000] + b"inserted" + random_bytes[1000:]
    digests = [put(each, data) for each in (store, mirror) for data in (random_bytes, second)][:2]
    source = Source("the mirror", mirror.open)
    chooser = random.Random(7)
    files = [path for path in sorted(store.folder.rglob("*")) if path.is_file() and path.stat().st_size]
    assert len(files) >= 4
    for path in files:
        # The header of a chunk list says how it was made, which nothing depends on.
        _flip(path, chooser.randrange(400 if "chunks" in path.parts else 0, path.stat().st_size))
        found = _check(store, *digests, sources=(source,))
        assert found.damage, path
        assert found.is_sound, path
        assert _check(store, *digests).damage == (), path
        for digest in digests:
            with store.open(digest) as opened:
                assert Digest.of(opened.read()) == digest


def test_bytes_come_back_from_the_cache_of_this_machine(bare: Registry, shelf: Shelf, tmp_path: Path) -> None:
    digest = register(bare, b"pulled before", "1.0.0")
    bare.pull("risk/other@1.0.0", tmp_path / "pulled")
    shelf.path(digest).unlink()
    [checked] = bare.fsck(repair=True)
    assert (checked.damage[0].repaired_from, checked.is_sound) == ("the cache of this machine", True)
    assert bare.fsck(deep=True)[0].damage == ()


def test_a_damaged_copy_in_the_cache_mends_nothing(bare: Registry, shelf: Shelf, tmp_path: Path) -> None:
    digest = register(bare, b"pulled before", "1.0.0")
    bare.pull("risk/other@1.0.0", tmp_path / "pulled", link=False)
    _flip(Cache.of_user(os.environ).path_of(digest), 0)
    shelf.path(digest).unlink()
    [checked] = bare.fsck(repair=True)
    assert not checked.is_sound
    assert not shelf.path(digest).exists()


def test_what_gc_took_comes_back_from_the_trash(bare: Registry, shelf: Shelf) -> None:
    digest = register(bare, b"taken", "1.0.0")
    path = shelf.path(digest)
    trashed = shelf.folder / "trash" / path.relative_to(shelf.folder)
    trashed.parent.mkdir(parents=True)
    path.rename(trashed)
    [checked] = bare.fsck(repair=True)
    assert checked.damage[0].repaired_from == "the store's trash"
    assert bare.fsck(deep=True)[0].damage == ()


def test_a_recipe_whose_base_is_gone_is_missing_bytes(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "base").write_bytes(b"base")
    base = store.put_file(tmp_path / "base").digest
    whole = Digest.of(b"baseba")
    store.bucket.put(recipe_key(whole), Recipe(whole, 6, (Range(base, 0, 4), Range(base, 0, 2))).to_bytes())
    assert _check(store, whole).is_sound
    (store.folder / blob_key(base)).unlink()
    [damage] = _check(store, whole, deep=False).damage
    assert damage.kind == "missing"
    assert str(base) in damage.message


def test_a_recipe_that_points_past_the_end_is_told(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "store")
    (tmp_path / "base").write_bytes(b"base")
    base = store.put_file(tmp_path / "base").digest
    whole = Digest.of(b"base??")
    store.bucket.put(recipe_key(whole), Recipe(whole, 6, (Range(base, 0, 6),)).to_bytes())
    assert _check(store, whole, deep=False).damage[0].kind == "size"


def _with_mirror(bare: Registry, forge: Forge) -> Path:
    """Give the registry a mirror, and bring it up to date."""
    work = forge.folder / "policy"
    git(forge.folder, "clone", "--quiet", str(forge.bare), str(work))
    settings = work / "registry.yaml"
    settings.write_text(settings.read_text() + "mirrors: [file:../mirror]\n")
    git(work, "commit", "--quiet", "--all", "--message", "Mirror")
    git(work, "push", "--quiet", "origin", "HEAD:main", env={"GL_USER": "root"})
    bare.close()
    register(bare, b"mirrored", "1.0.0")
    for path in (forge.folder / "store").rglob("*"):
        copy = forge.folder / "mirror" / path.relative_to(forge.folder / "store")
        if path.is_file() and not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return forge.folder / "mirror"


def test_each_store_mends_the_other(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    mirror = _with_mirror(bare, forge)
    digest = register(bare, b"in both", "1.1.0")
    other = register(bare, b"in both, too", "1.2.0")
    shelf.flip(digest, 2)
    (mirror / blob_key(other)).unlink()
    first, second = bare.fsck(deep=True)
    assert ([each.kind for each in first.damage], [each.kind for each in second.damage]) == (["damaged"], ["missing"])
    assert [each.is_sound for each in bare.fsck(deep=True, repair=True)] == [True, True]
    assert [each.damage for each in bare.fsck(deep=True)] == [(), ()]


def test_gc_looks_after_the_mirrors_as_well(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    mirror = _with_mirror(bare, forge)
    orphan = LocalStore(mirror).put(io.BytesIO(b"orphan of the mirror")).digest
    first, second = bare.gc(dry_run=False, grace="0")
    assert (first.taken, [gone.digest for gone in second.taken]) == ((), [orphan])
