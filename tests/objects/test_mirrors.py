from __future__ import annotations

import io
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, NotFoundError
from gitreg.objects import LocalStore, Stores, open_stores
from gitreg.objects.sync import sync
from gitreg.objects.trial import check

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.objects import Cache
    from gitreg.objects.streams import Blob


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    found = open_stores(LocalStore(tmp_path / "a"), ["file:b", "file:c", "file:a"], tmp_path)
    assert isinstance(found, Stores)
    return found


@pytest.fixture
def blob(stores: Stores, weights: Path) -> Blob:
    return stores.put_file(weights)


def folder(stores: Stores, index: int) -> Path:
    found = stores.all[index]
    assert isinstance(found, LocalStore)
    return found.folder


def test_a_file_goes_into_every_store_and_no_store_is_there_twice(stores: Stores, blob: Blob) -> None:
    assert [store.uri[-2:] for store in stores.all] == ["/a", "/b", "/c"]
    assert [store.size_of(blob.digest) for store in stores.all] == [blob.size] * 3
    assert stores.behind == []
    streamed = stores.put(io.BytesIO(b"a stream"))
    assert [store.size_of(streamed.digest) for store in stores.all] == [8] * 3


def test_a_mirror_that_fails_is_noted_and_caught_up_later(stores: Stores, weights: Path) -> None:
    shutil.rmtree(folder(stores, 1), ignore_errors=True)
    folder(stores, 1).write_bytes(b"in the way")
    blob = stores.put_file(weights)

    assert [(each.uri, each.digest) for each in stores.behind] == [(stores.mirrors[0].uri, blob.digest)]
    folder(stores, 1).unlink()
    done = sync(stores.primary.bucket, stores.mirrors[0].bucket)
    assert (done.failures, done.bytes >= blob.size) == ((), True)
    assert stores.mirrors[0].open(blob.digest).read() == weights.read_bytes()


def test_a_primary_that_fails_fails_the_write(stores: Stores, weights: Path) -> None:
    folder(stores, 0).write_bytes(b"in the way")
    with pytest.raises(Exception, match="cannot"):
        stores.put_file(weights)
    assert not folder(stores, 1).exists()


@pytest.mark.parametrize("lost", ["blob", "store"])
def test_a_mirror_stands_in_for_the_primary(stores: Stores, blob: Blob, weights: Path, lost: str) -> None:
    shutil.rmtree(folder(stores, 0) if lost == "store" else folder(stores, 0) / "blobs")

    assert stores.size_of(blob.digest) == blob.size
    assert stores.open(blob.digest).read() == weights.read_bytes()
    assert stores.path_of(blob.digest) == stores.mirrors[0].path_of(blob.digest)


def test_a_pull_takes_from_a_mirror_what_is_damaged_in_the_primary(
    stores: Stores, blob: Blob, weights: Path, cache: Cache
) -> None:
    path = stores.primary.path_of(blob.digest)
    assert path is not None
    path.chmod(0o644)
    path.write_bytes(bytes(blob.size))

    assert cache.fetch(blob.digest, stores, size=blob.size).read_bytes() == weights.read_bytes()


@pytest.mark.parametrize("at", [0, -1])
def test_a_blob_that_is_damaged_in_the_primary_is_opened_in_a_mirror(
    stores: Stores, blob: Blob, weights: Path, at: int
) -> None:
    path = stores.primary.path_of(blob.digest)
    assert path is not None
    path.chmod(0o644)
    data = bytearray(weights.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)

    with stores.open(blob.digest) as opened:
        assert opened.read(10) == weights.read_bytes()[:10]
        assert opened.readall() == weights.read_bytes()[10:]


def test_where_no_store_has_it_the_primary_speaks(stores: Stores, blob: Blob) -> None:
    absent = Digest("0" * 64)
    assert stores.size_of(absent) is None
    with pytest.raises(NotFoundError, match=str(absent)):
        stores.open(absent)
    shutil.rmtree(folder(stores, 0))
    with pytest.raises(NotFoundError, match="does not exist"):
        stores.size_of(absent)


def test_a_damaged_blob_is_not_copied_and_is_named(stores: Stores, blob: Blob) -> None:
    path = stores.primary.path_of(blob.digest)
    assert path is not None
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)
    shutil.rmtree(folder(stores, 1) / "blobs")
    done = sync(stores.primary.bucket, stores.mirrors[0].bucket)

    assert [each.key.rpartition("/")[2] for each in done.failures] == [blob.digest.hex]
    assert "is damaged" in done.failures[0].reason
    assert stores.mirrors[0].size_of(blob.digest) is None
    assert not any(path.is_file() for path in (folder(stores, 1) / "tmp").iterdir())


def test_a_sync_copies_what_is_missing_or_short_and_nothing_twice(stores: Stores, tmp_path: Path) -> None:
    blobs = [stores.primary.put(io.BytesIO(os.urandom(size))) for size in (0, 1, 5 << 20)]
    stores.mirrors[0].put(io.BytesIO(b"of its own"))
    first = sync(stores.primary.bucket, stores.mirrors[0].bucket, dry_run=True)
    assert stores.mirrors[0].size_of(blobs[2].digest) is None
    second = sync(stores.primary.bucket, stores.mirrors[0].bucket)
    third = sync(stores.primary.bucket, stores.mirrors[0].bucket)

    assert (first.copied, first.bytes) == (second.copied, second.bytes)
    assert (third.copied, third.present) == (0, second.copied)
    assert [stores.mirrors[0].size_of(each.digest) for each in blobs] == [0, 1, 5 << 20]
    path = stores.mirrors[0].path_of(blobs[2].digest)
    assert path is not None
    path.chmod(0o644)
    os.truncate(path, 10)
    assert sync(stores.primary.bucket, stores.mirrors[0].bucket).copied == 1
    assert stores.mirrors[0].size_of(blobs[2].digest) == 5 << 20


def test_a_trial_tells_which_step_fails(stores: Stores, blob: Blob, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = stores.primary.bucket
    assert check(bucket).is_fine
    monkeypatch.setattr(bucket, "read", lambda *_: iter([b"wrong"]))
    trial = check(bucket)

    assert (trial.exit_code, trial.steps[-1].name) == (IntegrityError.exit_code, "keep what is there")
    assert [each.key for each in bucket.list("trial/")] == []
