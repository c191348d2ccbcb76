"""Damage is found wherever it is, told with the versions that it hits, and mended from wherever sound bytes are."""

from __future__ import annotations

import errno
import io
import os
import random
import shutil
from typing import TYPE_CHECKING, NoReturn

import pytest

from gitreg.cli.boundary import run
from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from gitreg.keep.claims import claims_in
from gitreg.keep.fsck import WORKERS, Checker
from gitreg.keep.mend import Source
from gitreg.keep.trash import TRASH, move
from gitreg.objects import Cache, LocalStore, Store
from gitreg.objects.recipes import Range, Recipe, blob_key, chunks_key, recipe_key
from gitreg.reader.reachable import Need
from tests.keep.conftest import register
from tests.objects.faulty import FaultyStore, keep, keep_recipe
from tests.registries import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer, WriteableBuffer

    from gitreg.keep.fsck import Checked
    from gitreg.registry import Registry
    from tests.keep.conftest import Shelf
    from tests.registries import Forge

SIZE = 9 << 20


def _check(store: Store, *digests: Digest, deep: bool = True, sources: tuple[Source, ...] | None = None) -> Checked:
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


# --- a store that fails ---------------------------------------------------------------------------------------------


def _unreadable(store: FaultyStore, digest: Digest) -> None:
    """Let the disk fail below a blob's file, until another takes its place."""
    path = store.folder / blob_key(digest)
    inode = path.stat().st_ino

    def fault(key: str, _start: int, pieces: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        if key == blob_key(digest) and path.stat().st_ino == inode:
            raise UnavailableError(f"cannot read {key}: Input/output error")
        yield from pieces

    store.faulty.fault = fault


def test_a_blob_that_cannot_be_read_hides_no_other_finding(tmp_path: Path) -> None:
    store, mirror = FaultyStore(tmp_path / "store"), FaultyStore(tmp_path / "mirror")
    first, second, third = (keep(store, data) for data in (b"0", b"1", b"2"))
    for data in (b"0", b"1", b"2"):
        keep(mirror, data)
    _flip(store.folder / blob_key(second), 0)
    _unreadable(store, first)
    found = {each.digest: each for each in _check(store, first, second, third).damage}
    assert {digest: each.kind for digest, each in found.items()} == {first: "unreadable", second: "damaged"}
    assert found[first].message == f"cannot read {blob_key(first)}: Input/output error"
    assert _check(store, first, second, third, sources=(Source("the mirror", mirror.open),)).is_sound
    assert _check(store, first, second, third).damage == ()


def test_an_unreadable_recipe_is_told(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path / "store")
    base = keep(store, b"base")
    whole = keep_recipe(store, b"baseba", [Range(base, 0, 4), Range(base, 0, 2)])

    def get(key: str, *, limit: int) -> bytes:
        raise UnavailableError(f"cannot read {key} ({limit})")

    store.faulty.get = get  # type: ignore[attr-defined]
    assert [each.kind for each in _check(store, whole, base, deep=False).damage] == ["unreadable"]


def test_a_store_that_stops_answering_is_not_asked_for_every_blob(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path / "store")
    digests = [keep(store, b"%d" % n) for n in range(8)]

    def fault(_key: str, _start: int, _pieces: Iterator[ReadableBuffer]) -> NoReturn:
        store.faulty.list = silent  # type: ignore[attr-defined]
        raise UnavailableError("no route to host")

    def silent(prefix: str) -> NoReturn:
        raise UnavailableError(f"no route to host for {prefix}")

    store.faulty.fault = fault
    found = _check(store, *digests, sources=())
    assert len(store.faulty.reads) <= WORKERS
    assert {each.kind for each in found.damage} == {"unreadable"}
    assert len(found.damage) == len(digests)
    assert "the store did not answer any more: no route to host for blobs/" in found.damage[-1].message


def test_a_repair_that_fails_leaves_the_others_their_turn(tmp_path: Path) -> None:
    store, mirror = FaultyStore(tmp_path / "store"), FaultyStore(tmp_path / "mirror")
    digests = sorted(keep(mirror, b"%d" % n) for n in range(2))
    real = LocalStore(store.folder).bucket.incoming
    failures = [UnavailableError("no room left")]

    def incoming() -> object:
        if failures:
            raise failures.pop()
        return real()

    store.faulty.incoming = incoming  # type: ignore[attr-defined]
    first, second = _check(store, *digests, deep=False, sources=(Source("the mirror", mirror.open),)).damage
    assert first.remedy.startswith("it could not be repaired: no room left; bring it back with --repair")
    assert (first.is_repaired, second.is_repaired) == (False, True)


def test_a_source_that_fails_in_the_middle_is_followed_by_the_next(tmp_path: Path) -> None:
    class Dying(io.RawIOBase):
        def readinto(self, _: WriteableBuffer) -> int:
            raise OSError(errno.EIO, "Input/output error")

    store, mirror = FaultyStore(tmp_path / "store"), FaultyStore(tmp_path / "mirror")
    digest = keep(mirror, b"x")
    sources = (Source("a dying disk", lambda _: Dying()), Source("the mirror", mirror.open))
    [damage] = _check(store, digest, deep=False, sources=sources).damage
    assert damage.repaired_from == "the mirror"


def test_a_source_that_gives_more_than_was_registered_is_cut_off(tmp_path: Path) -> None:
    store = FaultyStore(tmp_path / "store")
    digest = Digest.of(b"12345")
    given = []

    class Endless(io.RawIOBase):
        def readinto(self, buffer: WriteableBuffer) -> int:
            given.append(len(memoryview(buffer)))
            assert len(given) < 100, "it reads on and on"
            return given[-1]

    needs = {digest.hex: (Need("a/b", "1.0.0", "file", 5, "main"),)}
    checked = Checker(store.bucket, needs, lambda _: None).run(
        1, deep=False, sources=(Source("a hostile mirror", lambda _: Endless()),)
    )
    assert (len(given), checked.is_sound) == (1, False)


def test_a_full_temporary_folder_is_told_and_a_folder_needs_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, mirror = FaultyStore(tmp_path / "store"), FaultyStore(tmp_path / "mirror")
    digest = keep(mirror, b"x")
    source = Source("the mirror", mirror.open)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with monkeypatch.context() as patch:
        patch.setattr(store.faulty, "incoming", lambda: None, raising=False)
        [damage] = _check(store, digest, deep=False, sources=(source,)).damage
        assert damage.remedy.startswith(f"it could not be repaired: cannot write in '{tmp_path / 'gone'}'")
    assert _check(store, digest, deep=False, sources=(source,)).is_sound


def test_a_deep_look_reads_every_byte_once(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest]
) -> None:
    store = FaultyStore(tmp_path / "store")
    whole = put(LocalStore(tmp_path / "store"), random_bytes)
    composed = put(LocalStore(tmp_path / "store"), b"inserted" + random_bytes)
    assert (store.folder / recipe_key(composed)).exists()
    assert _check(store, whole, composed).damage == ()
    assert store.faulty.given == 2 * SIZE + len(b"inserted")


def test_a_store_that_is_not_there_does_not_hide_what_is_wrong_in_the_other(
    bare: Registry, shelf: Shelf, forge: Forge
) -> None:
    mirror = _with_mirror(bare, forge)
    digest = register(bare, b"in both", "1.1.0")
    shelf.flip(digest, 2)
    shutil.rmtree(mirror)
    first, second = bare.fsck(deep=True)
    assert [each.kind for each in first.damage] == ["damaged"]
    assert (second.is_sound, second.blobs) == (False, first.blobs)
    assert second.problem is not None
    assert "does not exist" in second.problem


# --- where sound bytes are ------------------------------------------------------------------------------------------


def _take(store: LocalStore, *keys: str) -> None:
    """Move objects to the trash, as gc does."""
    for key in keys:
        move(store.bucket, key, TRASH + key)


def test_a_recipe_comes_back_from_the_trash_with_all_that_it_is_made_of(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest]
) -> None:
    store = LocalStore(tmp_path / "store")
    base = put(store, random_bytes)
    composed = put(store, b"inserted" + random_bytes)
    before = {path.relative_to(store.folder) for path in store.folder.rglob("*") if path.is_file()}
    taken = [str(path) for path in before if path.parts[0] in {"blobs", "chunks", "recipes"}]
    _take(store, *taken)
    [damage] = _check(store, composed, deep=False, sources=()).damage
    assert damage.repaired_from == "the store's trash"
    assert _check(store, composed, base).damage == ()
    assert {path.relative_to(store.folder) for path in store.folder.rglob("*") if path.is_file()} == before


def test_what_gc_removes_for_good_meanwhile_is_not_told_to_be_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FaultyStore(tmp_path / "store")
    digest = keep(store, b"x")
    move(LocalStore(store.folder).bucket, blob_key(digest), TRASH + blob_key(digest))

    def purged(_bucket: object, key: str, _to: str) -> None:
        (store.folder / key).unlink()

    monkeypatch.setattr("gitreg.keep.mend.move", purged)
    assert not _check(store, digest, deep=False, sources=()).is_sound


@pytest.mark.parametrize("kind", ["base", "recipe"])
def test_what_is_damaged_in_the_trash_stays_there(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest], kind: str
) -> None:
    store, mirror = LocalStore(tmp_path / "store"), LocalStore(tmp_path / "mirror")
    base = put(store, random_bytes)
    composed = put(store, b"inserted" + random_bytes)
    put(mirror, b"inserted" + random_bytes)
    _take(store, blob_key(base), recipe_key(composed))
    bad, at = (blob_key(base), SIZE // 2) if kind == "base" else (recipe_key(composed), 300)
    _flip(store.folder / TRASH / bad, at)
    assert not _check(store, composed, deep=False, sources=()).is_sound
    assert not (store.folder / recipe_key(composed)).exists()
    [damage] = _check(store, composed, sources=(Source("the mirror", mirror.open),)).damage
    assert damage.repaired_from == "the mirror"
    assert _check(store, composed).damage == ()


def test_a_base_comes_back_from_the_trash_alone(
    tmp_path: Path, random_bytes: bytes, put: Callable[[LocalStore, bytes], Digest]
) -> None:
    store = LocalStore(tmp_path / "store")
    base = put(store, random_bytes)
    composed = put(store, b"inserted" + random_bytes)
    _take(store, blob_key(base))
    assert _check(store, composed, base, deep=False, sources=()).is_sound
    assert _check(store, composed, base).damage == ()
    assert not (store.folder / blob_key(composed)).exists()


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
    assert checked.damage[0].remedy == (
        "nothing here mends it: the store's trash has none of it, the cache of this machine has a damaged copy;"
        " bring it back from a copy of the store, or register the same file again"
    )


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


def test_a_mirror_that_was_away_gets_the_claims_with_the_weights(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    mirror = _with_mirror(bare, forge)
    shutil.rmtree(mirror)
    bare.sync_stores()
    assert claims_in(LocalStore(mirror).bucket)
    assert set(claims_in(LocalStore(mirror).bucket)) == set(claims_in(shelf.store.bucket))


def test_a_store_that_is_away_is_shown_as_such(
    bare: Registry, shelf: Shelf, forge: Forge, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(_with_mirror(bare, forge))
    assert run(["--registry", str(forge.bare), "fsck"]) == 6
    told = capsys.readouterr().out.splitlines()
    assert "is sound" in told[0]
    assert "mirror was not checked: the object store" in told[-1]
