"""What no version needs goes, in time; what anything needs stays, whoever else is at work."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.git import remote
from gitreg.keep import claims, trash
from gitreg.keep.claims import claim, claims_in
from gitreg.keep.collect import tombstone_key
from gitreg.keep.inventory import Inventory
from gitreg.keep.retention import seconds
from gitreg.objects import LocalStore
from gitreg.objects.local import LocalBucket
from gitreg.objects.recipes import Range, Recipe, blob_key, recipe_key
from gitreg.objects.renewal import MARK
from gitreg.objects.similar import feature_key
from gitreg.registry import Mode, open_registry
from gitreg.registry.setup import InitRequest, init
from gitreg.writer.target import Target
from tests.keep.conftest import Shelf, register
from tests.registries import MAIN, git, request

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.git import Repository
    from gitreg.keep.collect import Collected
    from gitreg.objects import Store
    from gitreg.objects.bucket import Bucket
    from gitreg.registry import Registry
    from tests.registries import Forge, Opener


def test_what_no_version_names_goes_to_the_trash_and_later_for_good(bare: Registry, shelf: Shelf) -> None:
    needed = shelf.blobs()
    orphan = shelf.put(b"of a registration that failed")
    shelf.age()
    [told] = bare.gc()
    assert ([gone.digest for gone in told.taken], told.dry_run) == ([orphan], True)
    assert orphan.hex in shelf.blobs()
    [done] = bare.gc(dry_run=False)
    assert ([gone.digest for gone in done.taken], done.removed) == ([orphan], ())
    assert (shelf.blobs(), shelf.trash()) == (needed, {orphan.hex})
    assert bare.gc(dry_run=False)[0].removed == ()
    [removed] = bare.gc(dry_run=False, trash="0")
    assert (removed.removed, removed.removed_bytes) == ((orphan.hex,), len(b"of a registration that failed"))
    assert shelf.trash() == set()


def test_a_tombstone_tells_what_went_and_why(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    orphan = shelf.put(b"nobody's")
    shelf.age()
    bare.gc(dry_run=False)
    bare.gc(dry_run=False, trash="0")
    record = json.loads((shelf.folder / tombstone_key(orphan.hex)).read_bytes())
    assert record["digest"] == str(orphan)
    assert (record["registry"], record["commit"], record["why"]) == ("acme", forge.tip(), "no version ever named it")
    assert record["objects"][0]["key"] == f"blobs/sha256/{orphan.hex[:2]}/{orphan.hex}"
    assert record["removed"] >= record["taken"]


def test_what_is_young_stays(bare: Registry, shelf: Shelf) -> None:
    orphan = shelf.put(b"an upload that is not committed yet")
    [done] = bare.gc(dry_run=False)
    assert (done.taken, done.young) == ((), 1)
    assert orphan.hex in shelf.blobs()
    assert bare.gc(dry_run=False, grace="0")[0].taken[0].digest == orphan


@pytest.mark.parametrize("end", ["archive", "yank", "delete"])
def test_what_a_retired_version_needs_stays(bare: Registry, shelf: Shelf, end: str) -> None:
    digest = register(bare, b"retired", "1.0.0")
    getattr(bare, end)("risk/other@1.0.0", reason="done with")
    shelf.age(3000)
    [done] = bare.gc(dry_run=False, trash="0")
    assert done.taken == ()
    assert digest.hex in shelf.blobs()


def test_what_only_a_proposal_names_stays_while_it_is_open(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    clone = forge.clone()
    with open_registry(clone) as registry:
        Path("proposed.json").write_bytes(b'"proposed"')
        written = registry.register(
            request("risk/other", "1.0.0", paths=(Path("proposed.json"),)), Mode(propose=True, user="root")
        )
    digest = Digest.of(b'"proposed"')
    shelf.age()
    assert written.ref is not None
    assert bare.gc(dry_run=False)[0].taken == ()
    git(forge.bare, "update-ref", "-d", written.ref)
    assert [gone.digest for gone in bare.gc(dry_run=False)[0].taken] == [digest]


def _retain(forge: Forge, rule: str) -> None:
    """Set a retention rule behind the gate's back, with the dates of long ago."""
    work = forge.folder / "policy"
    git(forge.folder, "clone", "--quiet", str(forge.bare), str(work))
    settings = work / "registry.yaml"
    settings.write_text(settings.read_text() + f"retention: {rule}\n")
    git(work, "commit", "--quiet", "--all", "--message", "Keep less")
    git(work, "push", "--quiet", "origin", "HEAD:main", env={"GL_USER": "root"})


def _make_old(forge: Forge) -> None:
    """Give every commit of main a date of long ago."""
    tip = git(forge.bare, "rev-parse", "main")
    stream = git(forge.bare, "fast-export", "main")
    old = "\n".join(
        line.rsplit(" ", 2)[0] + " 1600000000 +0000" if line.startswith(("committer ", "author ")) else line
        for line in stream.split("\n")
    )
    subprocess.run(["git", "fast-import", "--force", "--quiet"], cwd=forge.bare, input=old.encode(), check=True)
    assert git(forge.bare, "rev-parse", "main") != tip
    for ref in git(forge.bare, "for-each-ref", "--format=%(refname)", "refs/tags").split():
        git(forge.bare, "update-ref", "-d", ref)
    # The claims name commits that are gone.
    shutil.rmtree(forge.folder / "store" / "registries")
    claim(LocalStore(forge.folder / "store"), "acme", forge.tip())


def test_the_weights_of_deleted_versions_go_when_retention_says_so(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    digest = register(bare, b"deleted", "1.0.0")
    bare.delete("risk/other@1.0.0", reason="a mistake")
    _retain(forge, "{deleted: 30d}")
    shelf.age()
    assert bare.gc(dry_run=False)[0].taken == ()  # deleted just now
    _make_old(forge)
    bare.close()
    [done] = bare.gc(dry_run=False, trash="0")
    assert [(gone.digest, gone.needed_by) for gone in done.taken] == [(digest, ("risk/other@1.0.0 (weights.json)",))]
    record = json.loads((shelf.folder / tombstone_key(digest.hex)).read_bytes())
    assert record["why"] == "its versions were deleted"
    assert record["versions"] == [{"model": "risk/other", "version": "1.0.0", "path": "weights.json"}]


def test_a_backdated_deletion_frees_nothing_early(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    register(bare, b"deleted", "1.0.0")
    _retain(forge, "{deleted: 1d}")
    work = forge.folder / "policy"
    bare.delete("risk/other@1.0.0", reason="a mistake")
    git(work, "pull", "--quiet", "origin", "main")
    past = {"GIT_COMMITTER_DATE": "2001-01-01T00:00:00Z", "GIT_AUTHOR_DATE": "2001-01-01T00:00:00Z"}
    git(work, "commit", "--quiet", "--amend", "--no-edit", "--date=2001-01-01T00:00:00Z", env=past)
    git(forge.bare, "fetch", "--quiet", str(work), "+HEAD:main")
    shelf.age()
    bare.close()
    assert bare.gc(dry_run=False)[0].taken == ()


def test_models_on_hold_keep_everything(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    register(bare, b"deleted", "1.0.0")
    bare.delete("risk/other@1.0.0", reason="a mistake")
    _retain(forge, "{deleted: 1h, hold: [risk/*]}")
    _make_old(forge)
    shelf.age()
    bare.close()
    assert bare.gc(dry_run=False)[0].taken == ()


def test_what_a_kept_recipe_is_made_of_stays(bare: Registry, shelf: Shelf) -> None:
    base, pack = shelf.put(b"base " * 100), shelf.put(b"new bytes")
    whole = b"base " * 50 + b"new bytes"
    Path("composed.bin").write_bytes(whole)
    bare.register(request("risk/other", "1.0.0", paths=(Path("composed.bin"),)))
    digest = Digest.of(whole)
    recipe = Recipe(digest, len(whole), (Range(base, 0, 250), Range(pack, 0, 9)))
    shelf.store.bucket.put(recipe_key(digest), recipe.to_bytes())
    shelf.store.bucket.delete(f"blobs/sha256/{digest.hex[:2]}/{digest.hex}")
    shelf.age()
    [done] = bare.gc(dry_run=False, trash="0")
    assert done.taken == ()
    with shelf.store.open(digest) as source:
        assert source.read() == whole


def test_a_recipe_that_cannot_be_read_stops_everything(bare: Registry, shelf: Shelf) -> None:
    digest = register(bare, b"x", "1.0.0")
    shelf.store.bucket.put(recipe_key(digest), b"{}")
    orphan = shelf.put(b"orphan")
    shelf.age()
    with pytest.raises(IntegrityError, match="recipe"):
        bare.gc(dry_run=False)
    assert orphan.hex in shelf.blobs()


def test_a_push_that_lands_meanwhile_keeps_its_weights(
    bare: Registry, shelf: Shelf, forge: Forge, opened: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The uploader finds an old orphan and sends nothing; gc moves it; the push lands all the same."""
    orphan = shelf.put(b'"slow"')
    shelf.age()
    real = trash.move
    landed: list[str] = []

    def move(bucket: Bucket, key: str, to: str) -> None:
        real(bucket, key, to)
        if not landed:
            landed.append(key)
            _land(forge, orphan)

    monkeypatch.setattr("gitreg.keep.collect.move", move)
    [done] = bare.gc(dry_run=False, trash="0")
    assert landed == [f"blobs/sha256/{orphan.hex[:2]}/{orphan.hex}"]
    assert (done.taken, done.removed, done.rescued) == ((), (), (orphan.hex,))
    assert (orphan.hex in shelf.blobs(), shelf.trash()) == (True, set())


def _land(forge: Forge, digest: Digest) -> None:
    """Commit a version that names a blob, past the gate, as a push does that was judged a moment ago."""
    work = forge.folder / "landing"
    git(forge.folder, "clone", "--quiet", str(forge.bare), str(work))
    manifest = work / "models/risk/fraud/9.0.0.yaml"
    old = (work / "models/risk/fraud/1.0.0.yaml").read_text()
    first = old.index("digest: sha256:") + len("digest: sha256:")
    manifest.write_text((old[:first] + digest.hex + old[first + 64 :]).replace("version: 1.0.0", "version: 9.0.0"))
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--message", "Land")
    git(forge.bare, "fetch", "--quiet", str(work), "+HEAD:main")


# --- uploads meanwhile ----------------------------------------------------------------------------------------------


def _at_listing(monkeypatch: pytest.MonkeyPatch, number: int, do: Callable[[], object]) -> None:
    """Do something just before gc lists the store for that time."""
    real = Inventory.of
    listings = []

    def of(bucket: Bucket) -> Inventory:
        listings.append(bucket)
        if len(listings) == number:
            do()
        return real(bucket)

    monkeypatch.setattr(Inventory, "of", of)


def _moved(monkeypatch: pytest.MonkeyPatch, then: Callable[[], object] = lambda: None) -> list[str]:
    """Note what gc moves, and do something once, just after the first."""
    moved: list[str] = []
    real = trash.move

    def move(bucket: Bucket, key: str, to: str) -> None:
        real(bucket, key, to)
        moved.append(key)
        if len(moved) == 1:
            then()

    monkeypatch.setattr("gitreg.keep.collect.move", move)
    return moved


def _compose(shelf: Shelf, base: Digest) -> Digest:
    """Write the recipe of an upload that found `base` in the store."""
    whole = Digest.of(b"basebase")
    shelf.store.bucket.put(recipe_key(whole), Recipe(whole, 8, (Range(base, 0, 4), Range(base, 0, 4))).to_bytes())
    return whole


def test_what_a_recipe_is_made_of_that_came_meanwhile_does_not_go_at_all(
    bare: Registry, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, orphan = shelf.put(b"base"), shelf.put(b"orphan")
    _at_listing(monkeypatch, 2, lambda: _compose(shelf, base))
    moved = _moved(monkeypatch)
    [done] = bare.gc(dry_run=False, grace="0", trash="0")
    assert [gone.digest for gone in done.taken] == [orphan]
    assert moved == [blob_key(orphan)]


def test_what_a_recipe_is_made_of_that_came_during_the_move_comes_back(
    bare: Registry, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = shelf.put(b"base")
    shelf.age()
    composed: list[Digest] = []
    _moved(monkeypatch, lambda: composed.append(_compose(shelf, base)))
    [done] = bare.gc(dry_run=False, trash="0")
    assert (done.taken, done.removed, done.rescued) == ((), (), (base.hex,))
    with shelf.store.open(composed[0]) as source:
        assert source.read() == b"basebase"


def test_nothing_is_removed_in_the_run_that_took_it(bare: Registry, shelf: Shelf) -> None:
    orphan = shelf.put(b"orphan")
    [done] = bare.gc(dry_run=False, grace="0", trash="0")
    assert ([gone.digest for gone in done.taken], done.removed, shelf.trash()) == ([orphan], (), {orphan.hex})
    [told] = bare.gc(grace="0", trash="0")
    [done] = bare.gc(dry_run=False, grace="0", trash="0")
    assert (told.removed, done.removed, shelf.trash()) == ((orphan.hex,), (orphan.hex,), set())


def test_of_two_at_once_neither_removes_what_the_other_just_took(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other comes between the move and the second look, and a push lands after the other has ended."""
    orphan = shelf.put(b'"slow"')
    others: list[Collected] = []

    def meanwhile() -> None:
        with open_registry(forge.bare) as other:
            others.extend(other.gc(dry_run=False, grace="0", trash="0"))
        _land(forge, orphan)

    _moved(monkeypatch, meanwhile)
    [done] = bare.gc(dry_run=False, grace="0", trash="0")
    assert [(each.taken, each.removed) for each in others] == [((), ())]
    assert (done.taken, done.rescued) == ((), (orphan.hex,))
    assert (orphan.hex in shelf.blobs(), shelf.trash()) == (True, set())


def test_what_a_killed_run_took_is_looked_after_before_it_is_removed(
    bare: Registry, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = shelf.put(b"orphan")

    def kill() -> None:
        raise KeyboardInterrupt

    _moved(monkeypatch, kill)
    with pytest.raises(KeyboardInterrupt):
        bare.gc(dry_run=False, grace="0", trash="0")
    assert [bare.gc(dry_run=False, grace="0", trash="0")[0].removed for _ in range(3)] == [(), (orphan.hex,), ()]


@pytest.mark.parametrize("step", ["gitreg.writer.publish.publish", "gitreg.writer.target.Target.push"])
def test_gc_without_grace_beside_an_upload_says_so_and_the_upload_is_refused(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """It comes when the bytes are there: before the commit is judged on this side, and after."""
    real: Callable[..., object] = resolve_name(step)
    collected: list[Collected] = []

    def late(*args: object, **options: object) -> object:
        if not collected:
            with open_registry(forge.bare) as other:
                collected.extend(other.gc(dry_run=False, grace="0", trash="0"))
        return real(*args, **options)

    monkeypatch.setattr(step, late)
    with pytest.raises(GitregError, match="not in the object store"):
        register(bare, b"uploaded", "1.0.0")
    assert [(len(each.taken), each.recent) for each in collected] == [(1, 1)]
    digest = register(bare, b"uploaded", "1.0.0")
    assert [bare.gc(dry_run=False, grace="0", trash="0")[0].recent for _ in range(2)] == [0, 0]
    assert (digest.hex in shelf.blobs(), shelf.trash()) == (True, set())


def test_what_is_taken_long_after_it_came_disturbs_nobody(bare: Registry, shelf: Shelf) -> None:
    shelf.put(b"orphan")
    assert bare.gc(grace="0")[0].recent == 1
    shelf.age(1)
    assert bare.gc(grace="0")[0].recent == 0


def test_what_an_upload_marked_during_the_move_comes_back(
    bare: Registry, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It found the blob, says so with a mark, and sends nothing."""
    orphan = shelf.put(b"orphan")
    shelf.age()
    _moved(monkeypatch, lambda: shelf.store.bucket.put(feature_key(MARK, orphan), b"", replace=True))
    [done] = bare.gc(dry_run=False, trash="0")
    assert (done.taken, done.rescued) == ((), (orphan.hex,))
    assert orphan.hex in shelf.blobs()


def test_what_a_registration_finds_in_the_store_is_young_again(bare: Registry, shelf: Shelf) -> None:
    orphan = shelf.put(b"orphan")
    shelf.age()
    assert shelf.put(b"orphan") == orphan
    [done] = bare.gc(dry_run=False)
    assert (done.taken, done.young) == ((), 1)
    shelf.age()
    assert [gone.digest for gone in bare.gc(dry_run=False)[0].taken] == [orphan]


def test_a_mark_that_is_left_over_goes_without_a_word(bare: Registry, shelf: Shelf) -> None:
    orphan = shelf.put(b"orphan")
    mark = feature_key(MARK, orphan)
    shelf.store.bucket.put(mark, b"")
    shelf.age()
    bare.gc(dry_run=False)
    tombstone = (shelf.folder / tombstone_key(orphan.hex)).read_bytes()
    assert shelf.store.bucket.size(mark) == 0
    assert (bare.fsck()[0].orphans, bare.gc(dry_run=False)[0].taken) == (0, ())
    assert shelf.store.bucket.size(mark) is None
    assert (shelf.folder / tombstone_key(orphan.hex)).read_bytes() == tombstone


def test_a_store_that_fails_half_way_still_gives_back_what_is_needed(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphans = sorted(shelf.put(data) for data in (b'"one"', b'"two"'))
    shelf.age()
    real = trash.move
    moved: list[str] = []

    def move(bucket: Bucket, key: str, to: str) -> None:
        if key == blob_key(orphans[1]):
            raise UnavailableError("the disk is gone")
        real(bucket, key, to)
        if not moved:
            moved.append(key)
            _land(forge, orphans[0])

    monkeypatch.setattr("gitreg.keep.collect.move", move)
    with pytest.raises(UnavailableError, match="the disk is gone"):
        bare.gc(dry_run=False)
    assert moved == [blob_key(orphans[0])]
    assert (orphans[0].hex in shelf.blobs(), shelf.trash()) == (True, set())


def test_a_recipe_that_cannot_be_read_keeps_nothing_else_in_the_trash(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = shelf.put(b'"needed soon"')
    shelf.age()

    def land() -> None:
        _land(forge, orphan)
        shelf.store.bucket.put(recipe_key(Digest.of(b"?")), b"{}")

    _moved(monkeypatch, land)
    with pytest.raises(IntegrityError, match="recipe"):
        bare.gc(dry_run=False)
    assert (orphan.hex in shelf.blobs(), shelf.trash()) == (True, set())


def test_each_recipe_is_read_once(bare: Registry, shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan = shelf.put(b"orphan")
    shelf.age()
    _compose(shelf, shelf.put(b"base"))
    real = LocalBucket.get
    asked: list[str] = []

    def get(bucket: LocalBucket, key: str, *, limit: int) -> bytes | None:
        asked.append(key)
        return real(bucket, key, limit=limit)

    monkeypatch.setattr(LocalBucket, "get", get)
    bare.gc(dry_run=False)
    assert orphan.hex in shelf.trash()
    assert len([key for key in asked if key.startswith("recipes/")]) == 1


def test_of_two_that_move_one_object_the_second_finds_it_gone(shelf: Shelf) -> None:
    """The first comes between the second's look and its move."""
    digest = shelf.put(b"orphan")
    bucket = shelf.store.bucket
    real = bucket.size

    def size(key: str) -> int | None:
        found = real(key)
        shelf.path(digest).unlink(missing_ok=True)
        return found

    bucket.size = size  # type: ignore[method-assign]
    with pytest.raises(NotFoundError, match=f"there is no {blob_key(digest)}"):
        bucket.rename(blob_key(digest), f"trash/{blob_key(digest)}")
    shelf.put(b"orphan")
    trash.move(bucket, blob_key(digest), f"trash/{blob_key(digest)}")
    assert (shelf.blobs() & {digest.hex}, shelf.trash()) == (set(), set())


def test_a_registry_that_moves_on_while_it_is_looked_at_is_looked_at_again(
    forge: Forge, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = remote.ls_remote
    answers = iter([{MAIN: "1" * 40}])

    def ls_remote(url: str, *, repository: Repository) -> dict[str, str]:
        return next(answers, None) or real(url, repository=repository)

    clone = forge.clone()
    git(clone, "config", "gitreg.store", f"file:{shelf.folder}")
    orphan = shelf.put(b"orphan")
    shelf.age()
    monkeypatch.setattr(Target, "registry_path", None)
    with open_registry(clone) as registry:
        monkeypatch.setattr(remote, "ls_remote", ls_remote)
        assert [gone.digest for gone in registry.gc()[0].taken] == [orphan]


def test_a_later_run_brings_back_what_a_very_late_push_needs(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    orphan = shelf.put(b'"later"')
    shelf.age()
    bare.gc(dry_run=False)
    assert orphan.hex in shelf.trash()
    _land(forge, orphan)
    bare.close()
    assert bare.gc()[0].rescued == (orphan.hex,)
    assert bare.gc(dry_run=False, trash="0")[0].rescued == (orphan.hex,)
    assert orphan.hex in shelf.blobs()


def test_uploading_what_lies_in_the_trash_again_is_a_new_upload(bare: Registry, shelf: Shelf) -> None:
    register_bytes = b'"' + b"again".hex().encode() + b'"'
    orphan = shelf.put(register_bytes)
    shelf.age()
    bare.gc(dry_run=False)
    assert register(bare, b"again", "1.0.0") == orphan
    [done] = bare.gc(dry_run=False, trash="0")
    assert (orphan.hex in shelf.blobs(), shelf.trash(), done.removed) == (True, set(), (orphan.hex,))


def test_a_store_that_another_registry_uses_is_left_alone(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    init(InitRequest(path=forge.folder / "second.git", bare=True, store="file:../store", name="second"))
    with open_registry(forge.folder / "second.git") as second:
        digest = register(second, b"of the second", "1.0.0", "a/b")
    shelf.age()
    with pytest.raises(ConflictError, match=r"other registries too: second; name each with --also"):
        bare.gc(dry_run=False)
    [done] = bare.gc(dry_run=False, also=[str(forge.folder / "second.git")])
    assert done.taken == ()
    assert digest.hex in shelf.blobs()


def test_registering_claims_the_store_by_the_commit_that_it_made(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    before = forge.tip()
    register(bare, b"claimed", "1.0.0")
    assert {each.commit for each in claims_in(shelf.store.bucket)} >= {before, forge.tip()}
    assert {each.registry for each in claims_in(shelf.store.bucket)} == {"acme"}


def test_a_claim_that_fails_after_the_commit_is_no_failed_registration(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = forge.tip()

    def claim_before(store: Store, registry: str, commit: str) -> None:
        if commit != before:
            raise UnavailableError("the store is away")
        claim(store, registry, commit)

    monkeypatch.setattr(claims, "claim", claim_before)
    register(bare, b"claimed", "1.0.0")
    assert forge.tip() not in {each.commit for each in claims_in(shelf.store.bucket)}
    assert bare.gc(dry_run=False)[0].taken == ()


def test_gc_leaves_one_claim(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    register(bare, b"claimed", "1.0.0")
    claim_of_old = shelf.folder / "registries" / "acme.json"
    claim_of_old.write_text("{}")
    assert bare.gc(dry_run=False)
    assert [each.commit for each in claims_in(shelf.store.bucket)] == [forge.tip()]


def test_a_copy_of_a_registry_takes_nothing_that_the_other_registered(
    bare: Registry, shelf: Shelf, forge: Forge
) -> None:
    """The name is the same, and all commits up to the copy: a restored backup, a staging server made of production."""
    copy = forge.folder / "copy.git"
    shutil.copytree(forge.bare, copy)
    digest = register(bare, b"after the copy", "1.0.0")
    shelf.age()
    with open_registry(copy) as other:
        with pytest.raises(ConflictError, match=f"commits that no registry here knows: acme at {forge.tip()[:12]}"):
            other.gc(dry_run=False)
        assert digest.hex in shelf.blobs()
        assert other.gc(dry_run=False, also=[str(forge.bare)])[0].taken == ()
    assert bare.gc(dry_run=False)[0].taken == ()


def test_two_registries_of_one_name_do_not_take_each_others_weights(bare: Registry, shelf: Shelf, forge: Forge) -> None:
    init(InitRequest(path=forge.folder / "second.git", bare=True, store="file:../store", name="acme"))
    with open_registry(forge.folder / "second.git") as second:
        digest = register(second, b"of the second", "1.0.0", "a/b")
    shelf.age()
    with pytest.raises(ConflictError, match="no registry here knows"):
        bare.gc(dry_run=False)
    assert digest.hex in shelf.blobs()


def test_a_registry_that_never_claimed_the_store_is_asked_once(bare: Registry, shelf: Shelf) -> None:
    orphan = shelf.put(b"orphan")
    shelf.age()
    shutil.rmtree(shelf.folder / "registries")
    assert [gone.digest for gone in bare.gc()[0].taken] == [orphan]
    with pytest.raises(ConflictError, match=r"'acme' had not claimed the store .*, and has now; nothing was taken"):
        bare.gc(dry_run=False)
    assert orphan.hex in shelf.blobs()
    assert [gone.digest for gone in bare.gc(dry_run=False)[0].taken] == [orphan]


def test_a_registration_during_gc_is_no_stranger(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its claim names a commit that came after gc had read the refs."""
    real = claims.check_alone

    def check(*given: Any) -> None:  # noqa: ANN401 - what it was asked
        with open_registry(forge.bare) as other:
            register(other, b"meanwhile", "1.0.0")
        real(*given)

    monkeypatch.setattr("gitreg.registry.keeping.check_alone", check)
    assert bare.gc(dry_run=False)[0].taken == ()


def test_gc_works_from_a_clone_and_knows_the_open_proposals(forge: Forge, shelf: Shelf) -> None:
    clone = forge.clone()
    orphan = shelf.put(b"orphan")
    shelf.age()
    with open_registry(forge.bare.as_uri()) as registry:
        assert [gone.digest for gone in registry.gc()[0].taken] == [orphan]
    with open_registry(clone) as registry:
        assert [gone.digest for gone in registry.gc()[0].taken] == [orphan]


@pytest.mark.parametrize(("span", "wanted"), [("0", 0), ("12h", 43200), ("30d", 2592000), ("2w", 1209600)])
def test_spans_are_hours_days_and_weeks(span: str, wanted: int) -> None:
    assert seconds(span) == wanted


@pytest.mark.parametrize("span", ["", "5", "1m", "-1d", "1.5d", "d", "100000d", "1d "])
def test_other_spans_are_refused(span: str) -> None:
    with pytest.raises(InvalidError, match="is not a time span"):
        seconds(span)


def test_what_lands_during_the_first_store_is_known_in_the_second(
    bare: Registry, shelf: Shelf, forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = shelf.put(b'"both"')
    shelf.age()
    work = forge.folder / "mirrored"
    git(forge.folder, "clone", "--quiet", str(forge.bare), str(work))
    settings = work / "registry.yaml"
    settings.write_text(settings.read_text() + "mirrors: [file:../mirror]\n")
    git(work, "commit", "--quiet", "--all", "--message", "Mirror")
    git(work, "push", "--quiet", "origin", "HEAD:main", env={"GL_USER": "root"})
    shutil.copytree(shelf.folder, forge.folder / "mirror")
    mirror = Shelf(forge.folder / "mirror")
    real = trash.move
    landed: list[str] = []

    def move(bucket: Bucket, key: str, to: str) -> None:
        real(bucket, key, to)
        if not landed:
            landed.append(key)
            _land(forge, orphan)

    monkeypatch.setattr("gitreg.keep.collect.move", move)
    bare.close()
    first, second = bare.gc(dry_run=False, trash="0")
    assert (first.rescued, second.taken) == ((orphan.hex,), ())
    assert orphan.hex in shelf.blobs() & mirror.blobs()


def test_nothing_is_taken_while_the_disk_of_a_store_is_away(bare: Registry, forge: Forge, shelf: Shelf) -> None:
    shelf.put(b'"orphan"')
    shelf.age()
    shelf.folder.rename(forge.folder / "away")
    shelf.folder.mkdir()
    with pytest.raises(UnavailableError, match="is not there, and acme has versions with weights"):
        bare.gc(dry_run=False)
    assert list(shelf.folder.iterdir()) == []


def test_every_kind_of_place_tells_the_same(registry: Registry) -> None:
    [told] = registry.gc()
    assert (told.taken, told.kept) == ((), 1)
    assert registry.fsck(deep=True)[0].is_sound


def test_a_registry_on_another_machine_is_asked_for_its_proposals(
    bare: Registry, forge: Forge, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = forge.clone()
    git(clone, "config", "gitreg.store", f"file:{shelf.folder}")
    Path("proposed.json").write_bytes(b'"proposed elsewhere"')
    bare.register(request("risk/other", "1.0.0", paths=(Path("proposed.json"),)), Mode(propose=True, user="root"))
    orphan = shelf.put(b"orphan")
    shelf.age()
    monkeypatch.setattr(Target, "registry_path", None)
    with open_registry(clone) as registry:
        [done] = registry.gc(dry_run=False)
    assert [gone.digest for gone in done.taken] == [orphan]
    assert Digest.of(b'"proposed elsewhere"').hex in shelf.blobs()
