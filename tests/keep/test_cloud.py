"""Checking, repairing and collecting in a bucket of S3 are what they are in a folder."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.objects.recipes import blob_key
from gitreg.registry import Registry, open_registry
from gitreg.registry.carrying import unbundle
from gitreg.registry.setup import InitRequest, init
from tests.keep.conftest import register

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Serve S3 on a free port, with an empty bucket."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        settings = {
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
        }
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        import urllib.request

        make = urllib.request.Request(f"http://{host}:{port}/weights", method="PUT")
        urllib.request.urlopen(make).close()  # noqa: S310 - loopback
        yield
    finally:
        server.stop()


@pytest.fixture
def registry(s3: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """Make a registry whose weights lie in the bucket."""
    monkeypatch.setenv("GITREG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    init(InitRequest(path=tmp_path / "registry.git", bare=True, store="s3://weights/models"))
    with open_registry(tmp_path / "registry.git") as opened:
        yield opened


def test_gc_moves_removes_and_brings_back(registry: Registry) -> None:
    needed = register(registry, b"needed", "1.0.0")
    orphan = registry.store.put(io.BytesIO(b"orphan")).digest
    bucket = registry.store.bucket
    [done] = registry.gc(dry_run=False, grace="0")
    assert [gone.digest for gone in done.taken] == [orphan]
    assert {found.key for found in bucket.list("blobs/")} == {blob_key(needed)}
    assert {found.key for found in bucket.list("trash/")} == {f"trash/{blob_key(orphan)}"}
    bucket.rename(blob_key(needed), f"trash/{blob_key(needed)}")
    [back] = registry.gc(dry_run=False, grace="0", trash="0")
    assert (back.rescued, back.removed) == ((needed.hex,), (orphan.hex,))
    assert list(bucket.list("trash/")) == []
    assert registry.fsck(deep=True)[0].damage == ()


def test_fsck_finds_and_mends_what_is_wrong_in_a_bucket(registry: Registry, tmp_path: Path) -> None:
    digest = register(registry, b"damaged in the bucket", "1.0.0")
    registry.pull("risk/other@1.0.0", tmp_path / "pulled")
    data = Path("weights.json").read_bytes()
    registry.store.bucket.put(blob_key(digest), b"X" + data[1:], replace=True)
    assert registry.fsck()[0].is_sound
    [damage] = registry.fsck(deep=True)[0].damage
    assert (damage.kind, damage.digest) == ("damaged", digest)
    assert registry.fsck(deep=True, repair=True)[0].is_sound
    with registry.store.open(digest) as source:
        assert Digest.of(source.read()) == digest


def test_a_bundle_comes_out_of_a_bucket(registry: Registry, tmp_path: Path) -> None:
    register(registry, b"far away", "1.0.0")
    written = registry.bundle([], tmp_path / "out")
    unbundle(written.path, tmp_path / "far.git", store=f"file:{tmp_path / 'store'}")
    with open_registry(tmp_path / "far.git") as far:
        assert far.fsck(deep=True)[0].is_sound
