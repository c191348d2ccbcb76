"""Checking, repairing and collecting in the buckets of clouds are what they are in a folder."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from gitreg.keep.claims import claims_in
from gitreg.keep.fsck import Checker
from gitreg.keep.mend import Source
from gitreg.keep.trash import TRASH, move
from gitreg.objects import LocalStore, open_bucket, open_store
from gitreg.objects.recipes import Range, Recipe, blob_key, recipe_key
from gitreg.reader.reachable import Need
from gitreg.registry import Registry, open_registry
from gitreg.registry.carrying import unbundle
from gitreg.registry.setup import InitRequest, init
from tests.keep.conftest import register
from tests.objects.clouds import ACCOUNT, KEY, Recorder, azurite, azurite_program, moto, serving

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    with moto() as url:
        yield url


@pytest.fixture(scope="module")
def azure_url() -> Iterator[str]:
    program = azurite_program()
    if program is None:
        pytest.skip("no azurite here: make azurite")
    with azurite(program) as url:
        yield url


@pytest.fixture
def s3(s3_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing123")
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_url)
    return f"s3://bucket/{tmp_path.name}"


@pytest.fixture
def azure(azure_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
    monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", azure_url)
    return f"az://container/{tmp_path.name}"


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """Answer as Google would; what is proved is which requests are made."""
    recorder = Recorder()
    with serving(recorder):
        yield recorder


@pytest.fixture
def google(recorder: Recorder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    account = tmp_path / "account.json"
    nobody = {"client_email": "", "private_key": "", "private_key_id": ""}
    account.write_text(json.dumps({"gcs_base_url": recorder.url, "disable_oauth": True, **nobody}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    monkeypatch.setenv("GOOGLE_BASE_URL", recorder.url)
    return "gs://bucket/prefix"


@pytest.fixture(params=["s3", "azure", "google"])
def place(request: pytest.FixtureRequest) -> str:
    """Give the URI of a store in each cloud."""
    found: str = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def registry(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Make a registry whose weights lie in the bucket."""
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    init(InitRequest(path=tmp_path / "registry.git", bare=True, store=place))
    with open_registry(tmp_path / "registry.git") as opened:
        yield opened


def test_gc_moves_removes_and_brings_back(registry: Registry) -> None:
    needed = register(registry, b"needed", "1.0.0")
    orphan = registry.store.put(io.BytesIO(b"orphan")).digest
    bucket = registry.store.bucket
    [done] = registry.gc(dry_run=False, grace="0")
    assert ([gone.digest for gone in done.taken], done.removed) == ([orphan], ())
    assert {found.key for found in bucket.list("blobs/")} == {blob_key(needed)}
    assert {found.key for found in bucket.list("trash/")} == {f"trash/{blob_key(orphan)}"}
    bucket.rename(blob_key(needed), f"trash/{blob_key(needed)}")
    [back] = registry.gc(dry_run=False, grace="0", trash="0")
    assert (back.rescued, back.removed) == ((needed.hex,), (orphan.hex,))
    assert list(bucket.list("trash/")) == []
    assert registry.fsck(deep=True)[0].damage == ()
    assert [each.commit for each in claims_in(bucket)] == [registry.snapshot().commit]


def test_fsck_finds_and_mends_what_is_wrong_in_a_bucket(registry: Registry, tmp_path: Path) -> None:
    digest = register(registry, b"damaged in the bucket", "1.0.0")
    gone = register(registry, b"gone from the bucket", "1.1.0")
    registry.pull("risk/other@1.0.0", tmp_path / "pulled")
    registry.pull("risk/other@1.1.0", tmp_path / "pulled, too")
    bucket = registry.store.bucket
    data = bucket.get(blob_key(digest), limit=1 << 20) or b""
    bucket.put(blob_key(digest), b"X" + data[1:], replace=True)
    bucket.delete(blob_key(gone))
    assert [each.kind for each in registry.fsck()[0].damage] == ["missing"]
    found = {each.digest: each.kind for each in registry.fsck(deep=True)[0].damage}
    assert found == {digest: "damaged", gone: "missing"}
    assert registry.fsck(deep=True, repair=True)[0].is_sound
    for each in (digest, gone):
        with registry.store.open(each) as source:
            assert Digest.of(source.read()) == each


def test_a_recipe_comes_back_from_the_trash_of_a_bucket(place: str, tmp_path: Path) -> None:
    store = open_store(place, tmp_path)
    bucket = store.bucket
    base = store.put(io.BytesIO(b"base")).digest
    whole = Digest.of(b"baseba")
    bucket.put(recipe_key(whole), Recipe(whole, 6, (Range(base, 0, 4), Range(base, 0, 2))).to_bytes())
    for key in (recipe_key(whole), blob_key(base)):
        move(bucket, key, TRASH + key)
    needs = {whole.hex: (Need("a/b", "1.0.0", "file", 6, "main"),)}
    [damage] = Checker(bucket, needs, lambda _: None).run(1, deep=False, sources=()).damage
    assert (damage.kind, damage.repaired_from) == ("missing", "the store's trash")
    with store.open(whole) as source:
        assert source.read() == b"baseba"


def test_google_is_asked_to_copy_and_then_to_delete(google: str, recorder: Recorder) -> None:
    bucket = open_bucket(google, Path("/"))
    bucket.put("blobs/one", b"one")
    recorder.asked.clear()
    move(bucket, "blobs/one", "trash/blobs/one")
    changes = [(each.method, each.path, each.size) for each in recorder.asked if each.method not in {"GET", "HEAD"}]
    assert changes == [("PUT", "prefix/trash/blobs/one", 0), ("DELETE", "prefix/blobs/one", 0)]
    assert recorder.objects == {"prefix/trash/blobs/one": b"one"}
    move(bucket, "blobs/one", "trash/blobs/one")
    assert recorder.objects == {"prefix/trash/blobs/one": b"one"}


@pytest.mark.parametrize("place", ["s3"], indirect=True)
def test_a_bundle_comes_out_of_a_bucket(registry: Registry, tmp_path: Path) -> None:
    register(registry, b"far away", "1.0.0")
    written = registry.bundle([], tmp_path / "out")
    unbundle(written.path, tmp_path / "far.git", store=f"file:{tmp_path / 'store'}")
    with open_registry(tmp_path / "far.git") as far:
        assert far.fsck(deep=True)[0].is_sound


def test_a_large_object_goes_through_this_machine_where_the_server_does_not_copy_it(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitreg.keep.trash._COPIED_BY_SERVER", 3)
    bucket = open_bucket(s3, tmp_path)
    bucket.put("blobs/large", b"large")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    with pytest.raises(UnavailableError, match=r"cannot write in '.*gone'"):
        move(bucket, "blobs/large", "trash/blobs/large")
    monkeypatch.setattr("tempfile.tempdir", None)
    move(bucket, "blobs/large", "trash/blobs/large")
    assert (bucket.size("blobs/large"), bucket.get("trash/blobs/large", limit=9)) == (None, b"large")


def test_what_cannot_be_spooled_is_told_blob_by_blob(s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mirror = LocalStore(tmp_path / "mirror")
    digest = mirror.put(io.BytesIO(b"mirrored")).digest
    needs = {digest.hex: (Need("a/b", "1.0.0", "file", 8, "main"),)}
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    sources = (Source("the mirror", mirror.open),)
    [damage] = Checker(open_bucket(s3, tmp_path), needs, lambda _: None).run(1, deep=False, sources=sources).damage
    assert damage.remedy.startswith(f"it could not be repaired: cannot write in '{tmp_path / 'gone'}'")
