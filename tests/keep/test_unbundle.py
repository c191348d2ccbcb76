"""What a bundle says is not believed: what comes in is complete, is what was read, and lies where its owner wants."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.git import Repository
from gitreg.keep import bundle as bundles
from gitreg.keep import left_behind
from gitreg.registry import open_registry
from gitreg.registry.carrying import unbundle
from tests.git.support import commit
from tests.keep.conftest import Shelf, change_settings, register
from tests.registries import git

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.keep.bundle import Bundled
    from gitreg.registry import Registry
    from tests.registries import Forge


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """Name a registry that is not there yet, on the far side."""
    return tmp_path / "far" / "registry.git"


# All that is promised is there


@pytest.fixture
def first(bare: Registry, far: Path, tmp_path: Path) -> Bundled:
    """Carry one of two models over."""
    register(bare, b"other", "1.0.0")
    written = bare.bundle(["risk/fraud"], tmp_path / "first")
    unbundle(written.path, far)
    register(bare, b"later", "1.0.0", model="risk/later")
    return written


def test_weights_that_the_bundle_before_did_not_bring_are_missed_before_main_moves(
    bare: Registry, first: Bundled, far: Path, tmp_path: Path
) -> None:
    written = bare.bundle(["risk/other"], tmp_path / "second", since=first.commit)
    assert (written.blobs, written.left_out) == (0, 1)
    with pytest.raises(NotFoundError, match=r"does not have: risk/other@1\.0\.0 \(weights\.json\)"):
        unbundle(written.path, far)
    assert git(far, "rev-parse", "main") == first.commit


def test_a_bundle_since_the_file_of_the_last_one_leaves_out_what_that_one_brought(
    bare: Registry, first: Bundled, far: Path, tmp_path: Path
) -> None:
    register(bare, b"newer", "1.1.0")
    written = bare.bundle(["risk/fraud", "risk/other"], tmp_path / "second", since=str(first.path))
    assert (written.since, written.blobs, written.left_out) == (first.commit, 2, 1)
    unbundle(written.path, far)
    with open_registry(far) as registry:
        registry.pull("risk/other@1.0.0", tmp_path / "pulled")
        assert [each.damage for each in registry.fsck(deep=True)] == [()]


def test_the_index_of_the_last_bundle_is_enough(bare: Registry, first: Bundled, tmp_path: Path) -> None:
    with bundles.verified(first.path) as found:
        (tmp_path / "kept.json").write_bytes(found.index.to_bytes())
    written = bare.bundle(["risk/fraud", "risk/other"], tmp_path / "second", since=str(tmp_path / "kept.json"))
    assert (written.blobs, written.left_out) == (1, 1)


def test_of_a_commit_is_left_out_what_the_same_selectors_meant_there(
    bare: Registry, first: Bundled, tmp_path: Path
) -> None:
    written = bare.bundle(["risk/fraud", "risk/later"], tmp_path / "second", since=first.commit)
    assert (written.blobs, written.left_out) == (1, 1)


def test_a_bundle_of_another_registry_is_no_base(bare: Registry, first: Bundled, tmp_path: Path) -> None:
    with bundles.verified(first.path) as found:
        data = json.loads(found.index.to_bytes()) | {"commit": "ab" * 20}
    (tmp_path / "kept.json").write_text(json.dumps(data))
    with pytest.raises(InvalidError, match="is not on main"):
        bare.bundle([], tmp_path / "second", since=str(tmp_path / "kept.json"))


def test_versions_without_their_weights_are_no_damage_and_lost_weights_are(
    bare: Registry, first: Bundled, far: Path, tmp_path: Path
) -> None:
    def checked() -> tuple[int, int]:
        with open_registry(far) as registry:
            [found] = registry.fsck()
        return found.elsewhere, len(found.damage)

    assert left_behind.read(far) == {"risk/other@1.0.0", "vision/ocr@0.1.0"}
    assert checked() == (1, 0)
    assert left_behind.read(far) == {"risk/other@1.0.0"}  # the other one's weights are those of a model that came
    done = unbundle(bare.bundle(["risk/other"], tmp_path / "second", since=str(first.path)).path, far)
    assert (done.left_behind, checked()) == (1, (1, 0))
    assert left_behind.read(far) == {"risk/later@1.0.0"}
    with open_registry(far) as registry:
        [artifact] = registry.show("risk/other@1.0.0").manifest.artifacts
        made = register(registry, b"made here", "1.0.0", model="risk/here")
    shelf = Shelf(far.parent / "store")
    for digest in (artifact.digest, made):
        shelf.path(digest).unlink()
    assert checked() == (1, 2)


def test_weights_that_came_by_another_way_are_missed_when_they_go(bare: Registry, first: Bundled, far: Path) -> None:
    digest = bare.show("risk/other@1.0.0").manifest.artifacts[0].digest
    with open_registry(far) as registry:
        path = Shelf(far.parent / "store").path(digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        with bare.store.open(digest) as source:
            path.write_bytes(source.readall())
        assert [(each.elsewhere, each.damage) for each in registry.fsck()] == [(0, ())]
        path.unlink()
        assert [each.kind for each in registry.fsck()[0].damage] == ["missing"]


def test_a_version_that_the_history_does_not_have_is_refused(bare: Registry, far: Path, tmp_path: Path) -> None:
    snapshot = bare.snapshot()
    contents = bundles.Contents(
        registry="acme",
        commit=snapshot.commit,
        since=None,
        versions={"risk/fraud": ("9.9.9",)},
        blobs=(),
        files={},
    )
    bundles.write(contents, snapshot.repository, bare.store, tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"speaks of risk/fraud@9\.9\.9"):
        unbundle(tmp_path / "out", far)
    assert not far.exists()


# Where the weights go


def _moved(bare: Registry, uri: str) -> str:
    """Write a commit, on no branch, in which the registry keeps its weights elsewhere."""
    snapshot = bare.snapshot()
    settings = snapshot.read("registry.yaml")
    assert settings is not None
    edits = {"registry.yaml": settings.replace(b"file:../store", uri.encode())}
    return commit(snapshot.repository, snapshot.commit, edits)


@pytest.mark.parametrize("uri", ["file:{}/elsewhere", "file:../../elsewhere", "file:.", "file:..", "file:../work"])
def test_a_bundle_does_not_choose_where_a_new_registry_writes(
    bare: Registry, far: Path, tmp_path: Path, uri: str
) -> None:
    (far.parent / "work" / "tmp").mkdir(parents=True)
    contents = bundles.Contents(
        registry="acme",
        commit=_moved(bare, uri.format(tmp_path)),
        since=None,
        versions={},
        blobs=(),
        files={},
    )
    bundles.write(contents, bare.snapshot().repository, bare.store, tmp_path / "out")
    with pytest.raises(InvalidError, match="say where they belong on this machine, with --store"):
        unbundle(tmp_path / "out", far)
    assert not far.exists()
    done = unbundle(tmp_path / "out", far, store="file:../store")
    assert done.store == Shelf(far.parent / "store").store.uri
    assert not (tmp_path / "elsewhere").exists()
    assert {path.name for path in far.parent.iterdir()} == {"registry.git", "store", "work"}
    assert [path.name for path in (far.parent / "work").iterdir()] == ["tmp"]


def test_a_bundle_does_not_move_the_store_of_a_registry(
    bare: Registry, forge: Forge, far: Path, tmp_path: Path
) -> None:
    first = bare.bundle(["risk/fraud"], tmp_path / "first")
    unbundle(first.path, far)
    change_settings(forge, "file:../store", f"file:{tmp_path}/elsewhere")
    git(forge.bare, "config", "gitreg.store", "file:../store")
    with open_registry(forge.bare) as moved:
        register(moved, b"new", "1.0.0")
        second = moved.bundle([], tmp_path / "second", since=str(first.path))
    with pytest.raises(ConflictError, match=r"moves the weights from file:\.\./store to file:/"):
        unbundle(second.path, far)
    assert git(far, "rev-parse", "main") == first.commit
    git(far, "config", "gitreg.store", "file:../store")
    unbundle(second.path, far)
    assert git(far, "rev-parse", "main") == second.commit
    assert not (tmp_path / "elsewhere").exists()


def test_a_damaged_blob_of_the_same_size_is_mended_by_the_bundle(bare: Registry, far: Path, tmp_path: Path) -> None:
    digest = register(bare, b"other", "1.0.0")
    written = bare.bundle([], tmp_path / "out")
    unbundle(written.path, far)
    Shelf(far.parent / "store").flip(digest)
    assert unbundle(written.path, far).added == 1
    with open_registry(far) as registry:
        assert registry.fsck(deep=True)[0].is_sound


# What was verified is what is taken


def test_a_file_that_takes_the_name_of_a_verified_bundle_is_not_read(
    bare: Registry, forge: Forge, far: Path, tmp_path: Path
) -> None:
    written = bare.bundle(["risk/fraud"], tmp_path / "out")
    register(bare, b"other", "1.0.0")
    other = bare.bundle([], tmp_path / "other")
    git(tmp_path, "init", "--quiet", "--bare", str(far))
    with bundles.verified(written.path) as found, Repository.open(far) as repository:
        other.path.replace(written.path)
        found.take_history(repository)
        assert repository.objects.info(written.commit) is not None
        assert repository.objects.info(forge.tip()) is None


def _take(found: bundles.Verified, far: Path, shelf: Shelf) -> None:
    with Repository.open(far) as repository:
        found.take_history(repository)
    found.take_blobs(shelf.store, shelf.folder.parent)


@pytest.mark.parametrize("part", ["index", "history", "blob"])
def test_a_bundle_that_changes_after_it_was_verified_is_refused(
    bare: Registry, far: Path, tmp_path: Path, part: str
) -> None:
    written = bare.bundle(["risk/fraud"], tmp_path / "out")
    data = written.path.read_bytes()
    with bundles.verified(written.path) as found:
        blob = found.index.blobs[0]
        places = {"index": data.index(b"acme"), "history": data.index(b"PACK") + 20, "blob": len(data) - 1024 - 512}
        assert blob.size <= 512
        place = places[part]
        with written.path.open("r+b") as file:
            file.seek(place)
            file.write(bytes([data[place] ^ 1]))
        git(tmp_path, "init", "--quiet", "--bare", str(far))
        shelf = Shelf(tmp_path / "store")
        with pytest.raises(IntegrityError, match="changed since it was verified"):
            _take(found, far, shelf)
    assert not shelf.folder.exists()


def test_what_is_no_file_is_no_bundle(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidError, match="not a regular file"):
        unbundle(tmp_path / "pipe", None)


def test_a_history_that_a_push_would_be_refused_for_is_refused(tmp_path: Path, bare: Registry, far: Path) -> None:
    evil = tmp_path / "evil"
    git(tmp_path, "init", "--quiet", "--bare", str(evil))
    with Repository.open(evil) as repository:
        blob = repository.run(["hash-object", "-w", "--stdin"], input=b"[core]").strip()
        tree = b"100644 .git\0" + bytes.fromhex(blob.decode())
        name = (
            repository.run(["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], input=tree).decode().strip()
        )
        made = git(evil, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", name, "-m", "evil")
        contents = bundles.Contents(registry="acme", commit=made, since=None, versions={}, blobs=(), files={})
        bundles.write(contents, repository, bare.store, tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"git refuses the history: .*hasDotgit"):
        unbundle(tmp_path / "out", far)
    assert not far.exists()


def test_an_object_that_no_push_may_have_is_not_unpacked(tmp_path: Path, bare: Registry, far: Path) -> None:
    evil = tmp_path / "evil"
    git(tmp_path, "init", "--quiet", "--bare", str(evil))
    with Repository.open(evil) as repository:
        blob = repository.run(["hash-object", "-w", "--stdin"], input=bytes(65 << 20)).decode().strip()
        tree = repository.run(["mktree"], input=f"100644 blob {blob}\tzeros\n".encode()).decode().strip()
        made = git(evil, "-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", tree, "-m", "large")
        contents = bundles.Contents(registry="acme", commit=made, since=None, versions={}, blobs=(), files={})
        bundles.write(contents, repository, bare.store, tmp_path / "out")
    with pytest.raises(IntegrityError, match=r"git refuses the history: .*limit"):
        unbundle(tmp_path / "out", far)
