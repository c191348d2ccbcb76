"""What no version needs goes, in time; what anything needs stays, whoever else is at work."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, InvalidError
from gitreg.keep import collect
from gitreg.keep.claims import claim
from gitreg.keep.collect import tombstone_key
from gitreg.keep.retention import seconds
from gitreg.objects.recipes import Range, Recipe, recipe_key
from gitreg.registry import Mode, open_registry
from gitreg.registry.setup import InitRequest, init
from gitreg.writer.target import Target
from tests.keep.conftest import Shelf, register
from tests.registries import git, request

if TYPE_CHECKING:
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
    real = collect.move
    landed: list[str] = []

    def move(bucket: Bucket, key: str, to: str) -> None:
        real(bucket, key, to)
        if not landed:
            landed.append(key)
            _land(forge, orphan)

    monkeypatch.setattr(collect, "move", move)
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


def test_a_claim_is_written_once(shelf: Shelf) -> None:
    claim(shelf.store, "acme")
    path = shelf.folder / "registries" / "acme.json"
    before = path.stat().st_mtime_ns
    claim(shelf.store, "acme")
    assert path.stat().st_mtime_ns == before


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
    real = collect.move
    landed: list[str] = []

    def move(bucket: Bucket, key: str, to: str) -> None:
        real(bucket, key, to)
        if not landed:
            landed.append(key)
            _land(forge, orphan)

    monkeypatch.setattr(collect, "move", move)
    bare.close()
    first, second = bare.gc(dry_run=False, trash="0")
    assert (first.rescued, second.taken) == ((orphan.hex,), ())
    assert orphan.hex in shelf.blobs() & mirror.blobs()


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
