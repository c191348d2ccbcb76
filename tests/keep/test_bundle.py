"""A bundle carries models to another machine whole, or not at all."""

from __future__ import annotations

import errno
import os
import random
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.gate_hooks.audit.proof import verify
from gitreg.git import Repository
from gitreg.objects.mirrors import Stores
from gitreg.objects.sync import sync
from gitreg.registry import carrying, open_registry
from gitreg.registry.carrying import unbundle
from tests.keep.conftest import Shelf, change_settings, register
from tests.registries import git, request

if TYPE_CHECKING:
    from gitreg.registry import Registry
    from tests.registries import Forge


def test_a_bundle_becomes_a_registry_with_the_same_history_and_weights(
    bare: Registry, forge: Forge, tmp_path: Path
) -> None:
    register(bare, b"other", "1.0.0")
    written = bare.bundle(["risk/fraud"], tmp_path / "out.bundle")
    done = unbundle(written.path, tmp_path / "far" / "registry.git", expect=str(written.digest))
    assert (done.is_new, done.added, done.commit) == (True, 1, forge.tip())
    assert git(tmp_path / "far" / "registry.git", "rev-parse", "main") == forge.tip()
    assert git(tmp_path / "far" / "registry.git", "tag", "--list") == git(forge.bare, "tag", "--list")
    with open_registry(tmp_path / "far" / "registry.git") as far:
        far.pull("risk/fraud@1.1.0", tmp_path / "pulled")
        assert far.status() == bare.status()
        assert all(finding.fine for finding in far.doctor())
        [checked] = far.fsck(deep=True)
    # The weights of the other model were not asked for.
    assert (checked.is_sound, checked.elsewhere) == (True, 1)


def test_a_later_bundle_brings_a_registry_forward(bare: Registry, forge: Forge, tmp_path: Path) -> None:
    first = bare.bundle([], tmp_path / "first")
    unbundle(first.path, tmp_path / "far.git")
    digest = register(bare, b"new", "1.0.0")
    bare.deploy("risk/fraud@1.1.0", "staging", reason="again")
    second = bare.bundle([], tmp_path / "second", since=first.commit)
    assert second.blobs == 1
    done = unbundle(second.path, tmp_path / "far.git")
    assert (done.is_new, done.added) == (False, 1)
    assert git(tmp_path / "far.git", "rev-parse", "main") == forge.tip()
    with open_registry(tmp_path / "far.git") as far:
        assert far.store.size_of(digest) is not None
        assert all(finding.fine for finding in far.doctor())
    with Repository.open(tmp_path / "far.git") as repository:
        assert verify(repository).findings == ()
    assert unbundle(second.path, tmp_path / "far.git").added == 0


def test_a_bundle_since_needs_what_came_before(bare: Registry, tmp_path: Path) -> None:
    base = bare.snapshot().commit
    register(bare, b"new", "1.0.0")
    written = bare.bundle([], tmp_path / "second", since=base)
    with pytest.raises(NotFoundError, match="the bundle goes on from the commit"):
        unbundle(written.path, tmp_path / "far.git")
    assert not (tmp_path / "far.git").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_name_that_is_a_file_and_a_commit_is_refused(
    bare: Registry, forge: Forge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    git(forge.bare, "tag", "last")
    bare.bundle([], tmp_path / "last")
    register(bare, b"early", "1.0.0")
    bare.bundle([], tmp_path / "later")
    git(forge.bare, "tag", "later", "last")
    register(bare, b"late", "1.1.0")
    with pytest.raises(InvalidError, match="'later' is a file here, and a commit of the registry") as refused:
        bare.bundle([], tmp_path / "out", since="later")
    assert refused.value.hint == "write ./later for the file, later^0 for the commit"
    assert bare.bundle([], tmp_path / "from-file", since="./later").blobs == 1
    assert bare.bundle([], tmp_path / "from-commit", since="later^0").blobs == 2


@pytest.mark.parametrize("since", ["nothing", "no such file", "-x", "v1.0^{/x}"])
def test_to_go_on_from_nothing_is_refused(bare: Registry, tmp_path: Path, since: str) -> None:
    with pytest.raises(InvalidError, match="is no file and no commit"):
        bare.bundle([], tmp_path / "out", since=since)


def test_nothing_new_makes_no_bundle(bare: Registry, tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="nothing happened"):
        bare.bundle([], tmp_path / "empty", since=bare.snapshot().commit)


def test_a_registry_that_went_another_way_is_left_as_it_is(bare: Registry, forge: Forge, tmp_path: Path) -> None:
    first = bare.bundle([], tmp_path / "first")
    unbundle(first.path, tmp_path / "far.git")
    register(bare, b"here", "1.0.0")
    with open_registry(tmp_path / "far.git") as far:
        register(far, b"there", "1.0.0")
    tip = git(tmp_path / "far.git", "rev-parse", "main")
    with pytest.raises(ConflictError, match="gone different ways"):
        unbundle(bare.bundle([], tmp_path / "second").path, tmp_path / "far.git")
    assert git(tmp_path / "far.git", "rev-parse", "main") == tip


def test_other_tools_read_a_bundle(bare: Registry, tmp_path: Path) -> None:
    written = bare.bundle(["risk/fraud@1.0.0"], tmp_path / "out.bundle")
    with tarfile.open(written.path) as archive:
        names = archive.getnames()
        archive.extractall(tmp_path / "out", filter="data")
    assert names[:2] == ["gitreg-bundle.json", "history.bundle"]
    [blob] = names[2:]
    assert Digest.of((tmp_path / "out" / blob).read_bytes()).hex == Path(blob).name
    git(tmp_path, "clone", "--quiet", "-b", "main", str(tmp_path / "out" / "history.bundle"), "cloned")
    assert (tmp_path / "cloned" / "registry.yaml").is_file()
    assert Digest.of(written.path.read_bytes()) == written.digest
    subprocess.run(["tar", "tf", str(written.path)], check=True, capture_output=True)


def test_every_single_flip_and_every_cut_is_refused_and_nothing_is_made(bare: Registry, tmp_path: Path) -> None:
    written = bare.bundle(["risk/fraud"], tmp_path / "out.bundle")
    data = written.path.read_bytes()
    broken = tmp_path / "broken"
    refused = 0
    for at in range(0, len(data), 97):
        broken.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
        try:
            unbundle(broken, None)
        except (IntegrityError, InvalidError):
            refused += 1
        else:  # a tar has bytes that mean nothing: owners, times, what fills a block
            with pytest.raises(IntegrityError, match="not the expected bundle"):
                unbundle(broken, tmp_path / "far.git", expect=str(written.digest))
    assert refused > len(data) / 97 * 0.8
    for end in (0, 1, 511, 512, 5000, len(data) - 1, len(data) - 512):
        broken.write_bytes(data[:end])
        with pytest.raises(GitregError):
            unbundle(broken, tmp_path / "far.git")
    assert not (tmp_path / "far.git").exists()


def test_a_bundle_that_holds_more_than_it_says_is_refused(bare: Registry, tmp_path: Path) -> None:
    written = bare.bundle(["risk/fraud"], tmp_path / "out.bundle")
    (tmp_path / "extra").write_bytes(b"extra")
    for name in ("extra", "../../escaped"):
        copy = tmp_path / "copy"
        copy.write_bytes(written.path.read_bytes())
        with tarfile.open(copy, "a") as archive:
            archive.add(tmp_path / "extra", name)
        with pytest.raises((IntegrityError, InvalidError)):
            unbundle(copy, tmp_path / "far.git")
    assert not (tmp_path / "far.git").exists()


def test_a_symlink_in_a_bundle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    with tarfile.open(tmp_path / "out", "w") as archive:
        archive.add(tmp_path / "link", "gitreg-bundle.json")
    with pytest.raises(InvalidError, match="no plain file"):
        unbundle(tmp_path / "out", None)


def test_a_damaged_store_makes_no_bundle(bare: Registry, shelf: Shelf, tmp_path: Path) -> None:
    digest = register(bare, b"damaged", "1.0.0")
    shelf.flip(digest)
    with pytest.raises(IntegrityError):
        bare.bundle([], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name or "bundle" in path.name] == []


def test_a_sound_mirror_stands_in_for_a_damaged_store(
    bare: Registry, forge: Forge, shelf: Shelf, tmp_path: Path
) -> None:
    mirror = Shelf(forge.folder / "mirror")
    digest = register(bare, b"w" * 600_000, "1.0.0")
    stores = Stores(shelf.store, (mirror.store,))
    sync(shelf.store.bucket, mirror.store.bucket)
    shelf.flip(digest, at=1_000_000)
    written = carrying.bundle(bare.snapshot(), stores, ["risk/other"], tmp_path / "out")
    unbundle(written.path, tmp_path / "far.git")
    with open_registry(tmp_path / "far.git") as far:
        assert far.fsck(deep=True)[0].is_sound
    mirror.flip(digest)
    with pytest.raises(IntegrityError, match=r"risk/other@1\.0\.0 \(weights\.json\): the stored blob"):
        carrying.bundle(bare.snapshot(), stores, ["risk/other"], tmp_path / "again")
    assert not (tmp_path / "again").exists()


def _no_links(_source: object, path: Path) -> None:
    raise OSError(errno.EPERM, os.strerror(errno.EPERM), str(path))


def test_a_medium_without_hard_links_takes_a_bundle(
    bare: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "link", _no_links)
    written = bare.bundle(["risk/fraud"], tmp_path / "out")
    assert Digest.of(written.path.read_bytes()) == written.digest


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_not_overwritten(
    bare: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    link = os.link

    def late(source: Path, path: Path) -> None:
        if path == tmp_path / "out":
            path.write_text("mine")
            if not links:
                _no_links(source, path)
        link(source, path)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(ConflictError, match="exists"):
        bare.bundle(["risk/fraud"], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_history_in_which_rules_changed_between_registrations_comes_in(
    bare: Registry, forge: Forge, tmp_path: Path
) -> None:
    first = bare.bundle([], tmp_path / "first")
    unbundle(first.path, tmp_path / "far.git")
    register(bare, b"before", "1.0.0")
    change_settings(forge, "required: [license]", "required: []")
    register(bare, b"after", "1.1.0")
    second = bare.bundle([], tmp_path / "second", since=str(first.path))
    assert unbundle(second.path, tmp_path / "far.git").commit == forge.tip()
    assert git(tmp_path / "far.git", "rev-parse", "main") == forge.tip()


def test_a_file_that_is_there_is_not_overwritten(bare: Registry, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(ConflictError, match="exists"):
        bare.bundle([], tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_store_of_this_machine_takes_the_place_of_the_registry_s(bare: Registry, tmp_path: Path) -> None:
    written = bare.bundle(["risk/fraud"], tmp_path / "out")
    unbundle(written.path, tmp_path / "far.git", store=f"file:{tmp_path / 'elsewhere'}")
    with open_registry(tmp_path / "far.git") as far:
        assert far.fsck(deep=True)[0].store.endswith("elsewhere")
        far.pull("risk/fraud@1.0.0", tmp_path / "pulled")


def test_the_file_may_be_named_from_where_one_stands(bare: Registry) -> None:
    written = bare.bundle([], "here.bundle")
    assert (written.path, Path("here.bundle").is_file()) == (Path("here.bundle"), True)


def test_a_bundle_comes_out_of_a_clone_too(forge: Forge, shelf: Shelf, tmp_path: Path) -> None:
    with open_registry(forge.clone()) as registry:
        written = registry.bundle(["vision/ocr"], tmp_path / "out")
    unbundle(written.path, tmp_path / "far.git")
    assert git(tmp_path / "far.git", "rev-parse", "main") == forge.tip()


def test_what_two_versions_share_is_kept_once_on_the_other_side(bare: Registry, tmp_path: Path) -> None:
    data = random.Random(5).randbytes(9 << 20)
    for version, changed in (("1.0.0", data), ("1.1.0", data[:1000] + b"inserted" + data[1000:])):
        Path("weights.bin").write_bytes(changed)
        bare.register(request("risk/large", version, paths=(Path("weights.bin"),)))
    written = bare.bundle(["risk/large"], tmp_path / "out")
    unbundle(written.path, tmp_path / "far" / "registry.git")
    stored = sum(path.stat().st_size for path in (tmp_path / "far" / "store").rglob("*") if path.is_file())
    assert stored < len(data) * 1.2
    with open_registry(tmp_path / "far" / "registry.git") as far:
        far.pull("risk/large@1.1.0", tmp_path / "pulled")
