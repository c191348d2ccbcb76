"""Files that share bytes are kept once, and never at the price of a wrong or a lost one."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, NotFoundError
from gitreg.objects import LocalStore, Store, hash_file, similar
from gitreg.objects.chunks import ChunkCheck
from gitreg.objects.intake import Ranges, WholeCheck
from gitreg.objects.local import LocalBucket
from gitreg.objects.pipeline import take
from gitreg.objects.recipes import Part, blob_key, chunks_key, recipe_key
from gitreg.objects.shared import SAMPLE, SAMPLES, Shared, samples
from gitreg.objects.streams import copy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from _typeshed import ReadableBuffer

    from gitreg.objects.bucket import Found

MIB = 1 << 20
SIZE = 16 * MIB
DECISION = Path(__file__).parents[2] / "docs" / "adr" / "0022-chunks-behind-whole-digests.md"


class NamedBucket:
    """A folder that wants the name of an object first and links to none, as a cloud does."""

    def __init__(self, folder: Path) -> None:
        self.inner = LocalBucket(folder)
        self.sent: list[tuple[str, int]] = []

    @property
    def uri(self) -> str:
        return self.inner.uri

    def find(self, key: str) -> Found | None:
        return self.inner.find(key) if self.inner.folder.exists() else None

    def size(self, key: str) -> int | None:
        return self.inner.size(key) if self.inner.folder.exists() else None

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[ReadableBuffer]:
        return self.inner.read(key, start, size)

    def get(self, key: str, *, limit: int) -> bytes | None:
        return self.inner.get(key, limit=limit)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> None:
        self.inner.put(key, data, replace=replace)

    def put_file(
        self, key: str, file: BinaryIO, size: int, *, moved: Callable[[int], None] | None = None, replace: bool = False
    ) -> None:
        self.inner.put_file(key, file, size, moved=moved, replace=replace)
        self.sent.append((key, size))

    def incoming(self) -> None:
        return None

    def list(self, prefix: str) -> Iterator[Found]:
        return self.inner.list(prefix) if self.inner.folder.exists() else iter(())

    def rename(self, key: str, to: str) -> None:
        self.inner.rename(key, to)

    def delete(self, key: str) -> None:
        self.inner.delete(key)

    def path_of(self, key: str) -> None:  # noqa: ARG002 - it has no files
        return None


@pytest.fixture(params=["folder", "cloud"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(LocalBucket(tmp_path / "store") if request.param == "folder" else NamedBucket(tmp_path / "store"))


@pytest.fixture(scope="module")
def first() -> bytes:
    return random.Random(1).randbytes(SIZE)


def kept(tmp_path: Path) -> int:
    return sum(path.stat().st_size for path in (tmp_path / "store").rglob("*") if path.is_file())


def changed(data: bytes) -> bytes:
    """Insert 5 % of new bytes near the start, as a second version of a file may have them."""
    return data[:MIB] + random.Random(2).randbytes(SIZE // 20) + data[MIB:]


def put(store: Store, tmp_path: Path, name: str, data: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(data)
    store.put_file(path)
    return path


def test_a_file_that_shares_most_bytes_with_another_costs_what_is_new(
    any_store: Store, tmp_path: Path, first: bytes
) -> None:
    one = put(any_store, tmp_path, "one", first)
    before = kept(tmp_path)
    two = put(any_store, tmp_path, "two", changed(first))

    assert before <= SIZE * 1.002  # the chunk list and the features are small
    assert kept(tmp_path) - before <= two.stat().st_size * 0.08
    for path in (one, two):
        blob = hash_file(path)
        assert any_store.size_of(blob.digest) == blob.size
        assert any_store.open(blob.digest).readall() == path.read_bytes()
    assert any_store.layout(hash_file(one).digest).is_whole
    assert not any_store.layout(hash_file(two).digest).is_whole


def test_a_recipe_names_whole_blobs_only_and_can_be_followed_without_gitreg(
    any_store: Store, tmp_path: Path, first: bytes
) -> None:
    put(any_store, tmp_path, "one", first)
    second = changed(first)
    put(any_store, tmp_path, "two", second)
    third = second[: 9 * MIB] + random.Random(3).randbytes(2 * MIB) + second[9 * MIB :]
    path = put(any_store, tmp_path, "three", third)

    digest = hash_file(path).digest.hex
    # What the decision shows is what is run.
    [_, program] = DECISION.read_text(encoding="utf-8").split("```python\n")
    command = [sys.executable, "-I", "-c", program.partition("```")[0]]
    subprocess.run([*command, tmp_path / "store", digest, tmp_path / "made"], check=True)
    assert (tmp_path / "made").read_bytes() == third
    assert len(any_store.layout(hash_file(path).digest).parts) < 12


def test_a_file_that_is_like_no_other_is_kept_whole(any_store: Store, tmp_path: Path, first: bytes) -> None:
    put(any_store, tmp_path, "one", first)
    path = put(any_store, tmp_path, "two", random.Random(9).randbytes(SIZE))

    assert any_store.layout(hash_file(path).digest).is_whole


def test_a_base_is_found_among_many_that_share_a_feature(any_store: Store, tmp_path: Path, first: bytes) -> None:
    one = put(any_store, tmp_path, "one", first)
    for number, feature in enumerate((tmp_path / "store" / "similar").iterdir()):
        for other in range(70):
            (feature / f"{number:032x}{other:032x}").touch()
    two = put(any_store, tmp_path, "two", changed(first))

    assert {part.digest for part in any_store.layout(hash_file(two).digest).parts} >= {hash_file(one).digest}


def test_of_blobs_that_are_alike_the_newest_are_looked_at(store: LocalStore, tmp_path: Path, first: bytes) -> None:
    chunks = store.layout(hash_file(put(store, tmp_path, "one", first)).digest).chunks
    assert chunks is not None
    features = [tmp_path / "store" / "similar" / name for name in similar.features(chunks)]
    for number in range(20):
        for feature in features:
            path = feature / f"{number:064x}"
            path.touch()
            os.utime(path, (time.time() - 1000, time.time() - 1000))

    assert [layout.digest for layout in similar.candidates(store.bucket, chunks)] == [
        hash_file(tmp_path / "one").digest
    ]


def test_a_stream_is_kept_whole_and_found_by_the_next_file(any_store: Store, tmp_path: Path, first: bytes) -> None:
    blob = any_store.put(io.BytesIO(first))
    assert any_store.layout(blob.digest).is_whole
    path = put(any_store, tmp_path, "two", changed(first))

    assert not any_store.layout(hash_file(path).digest).is_whole


def test_what_a_cloud_has_is_not_sent_again(tmp_path: Path, first: bytes) -> None:
    bucket = NamedBucket(tmp_path / "store")
    moved: list[int] = []
    path = put(Store(bucket), tmp_path, "one", first)
    Store(bucket).put_file(path, moved=moved.append)

    assert [size for _, size in bucket.sent] == [SIZE]
    assert sum(moved) == SIZE


def test_a_fine_tuned_model_costs_the_tensors_that_changed(any_store: Store, tmp_path: Path) -> None:
    numbers = np.random.default_rng(4)
    layers = {f"layer.{n}": numbers.standard_normal((512, 513), dtype=np.float32) for n in range(16)}
    save_file(layers, tmp_path / "base.safetensors")
    layers["layer.3"] = layers["layer.3"] * 2
    layers["layer.11"] = layers["layer.11"] + 1
    save_file(layers, tmp_path / "tuned.safetensors", metadata={"note": "a header of another length " * 9})
    any_store.put_file(tmp_path / "base.safetensors")
    before = kept(tmp_path)
    any_store.put_file(tmp_path / "tuned.safetensors")

    new = kept(tmp_path) - before
    assert new <= 2 * 512 * 513 * 4 + 64 * 1024  # two tensors, the header, the lists: no chunk across a border
    digest = hash_file(tmp_path / "tuned.safetensors").digest
    assert any_store.open(digest).readall() == (tmp_path / "tuned.safetensors").read_bytes()


def test_of_many_versions_with_edits_anywhere_each_is_read_back_and_little_is_kept(
    store: LocalStore, tmp_path: Path
) -> None:
    chooser = random.Random(8)
    data = chooser.randbytes(6 * MIB)
    versions = []
    for number in range(8):
        versions.append(put(store, tmp_path, f"version-{number}", data))
        at, gone, new = chooser.randrange(len(data)), chooser.randrange(90_000), chooser.randrange(90_000)
        data = data[:at] + chooser.randbytes(new) + data[at + gone :]
        turn = chooser.randrange(MIB, 2 * MIB)
        data = data if number % 3 else data[turn:] + data[:turn]

    for path in versions:
        assert store.open(hash_file(path).digest).readall() == path.read_bytes()
    assert kept(tmp_path) < 6 * MIB + 7 * 8 * 150_000


def test_a_lying_safetensors_header_costs_a_worse_cut_and_no_more(store: LocalStore, tmp_path: Path) -> None:
    rest = random.Random(5).randbytes(5 * MIB)
    for number, header in enumerate(
        [
            b'{"w": {"data_offsets": [-5, 99999999999]}}',
            b'{"w": {"data_offsets": "no"}}',
            b'{"w": 3}',
            b"{" * 5000,
            b'{"a": {"data_offsets": [1e300, 2]}}',
            b'{"a": {"data_offsets": [1000000.5, true]}}',
        ]
    ):
        data = len(header).to_bytes(8, "little") + header + rest
        path = put(store, tmp_path, str(number), data)
        assert store.open(hash_file(path).digest).readall() == data


# --- damage ---------------------------------------------------------------------------------------------------------


def flip(path: Path, at: int) -> None:
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))


def test_a_recipe_is_not_built_on_a_damaged_blob(store: LocalStore, tmp_path: Path, first: bytes) -> None:
    one = hash_file(put(store, tmp_path, "one", first)).digest
    flip(store.folder / blob_key(one), 13 * MIB)
    two = put(store, tmp_path, "two", changed(first))

    digest = hash_file(two).digest
    assert store.layout(digest).is_whole
    assert store.open(digest).readall() == two.read_bytes()


def spoilt(path: Path, begin: int) -> None:
    """Write zeros from there on."""
    path.chmod(0o644)
    with path.open("r+b") as file:
        file.seek(begin)
        file.write(bytes(path.stat().st_size - begin))


@pytest.mark.parametrize("begin", [0, 3 * MIB])
def test_a_recipe_is_not_built_on_a_blob_that_a_cloud_has_lost(tmp_path: Path, first: bytes, begin: int) -> None:
    store = Store(NamedBucket(tmp_path / "store"))
    one = hash_file(put(store, tmp_path, "one", first)).digest
    spoilt(tmp_path / "store" / blob_key(one), begin)
    two = put(store, tmp_path, "two", changed(first))

    digest = hash_file(two).digest
    assert store.layout(digest).is_whole
    assert store.open(digest).readall() == two.read_bytes()


def test_of_a_cloud_a_bounded_part_is_read_back_and_some_of_every_object() -> None:
    wanted = [Shared(n << 30, Part(Digest(f"{n % 20:064x}"), 7, 1 << 24)) for n in range(40)]
    chosen = samples(wanted)

    assert {each.part.digest for each in chosen} == {each.part.digest for each in wanted}
    assert sum(each.part.size for each in samples(wanted[:3])) <= (SAMPLES * SAMPLE)
    for each in chosen:
        [whole] = [one for one in wanted if one.at <= each.at < one.at + one.part.size]
        assert (each.part.digest, each.part.offset - 7) == (whole.part.digest, each.at - whole.at)


@pytest.mark.parametrize("where", ["blobs", "recipes", "chunks"])
def test_a_flipped_bit_anywhere_is_found(any_store: Store, tmp_path: Path, first: bytes, where: str) -> None:
    put(any_store, tmp_path, "one", first)
    two = put(any_store, tmp_path, "two", changed(first))
    digest = hash_file(two).digest
    files = sorted(path for path in (tmp_path / "store" / where).rglob("*") if path.is_file())
    chooser = random.Random(where)
    for path in files:
        good = path.read_bytes()
        for _ in range(4):
            flip(path, chooser.randrange(len(good)))
            try:
                layout = any_store.layout(digest)
                chunks = [] if layout.chunks is None else [(each.size, each.digest) for each in layout.chunks]
                data = any_store.open(digest).readall()
                assert where != "chunks" or path.name != digest.hex, "a damaged list was taken"
                assert data == two.read_bytes()
                assert sum(size for size, _ in chunks) == len(data)
            except (IntegrityError, NotFoundError) as error:
                assert "sha256:" in str(error)  # noqa: PT017 - it says which blob
            path.write_bytes(good)


def test_a_broken_recipe_is_healed_by_registering_the_file_again(
    any_store: Store, tmp_path: Path, first: bytes
) -> None:
    put(any_store, tmp_path, "one", first)
    two = put(any_store, tmp_path, "two", changed(first))
    digest = hash_file(two).digest
    recipe = tmp_path / "store" / recipe_key(digest)
    recipe.chmod(0o644)
    recipe.write_bytes(recipe.read_bytes()[:-40])
    with pytest.raises(IntegrityError, match=digest.hex):
        any_store.open(digest)
    any_store.put_file(two)

    assert any_store.open(digest).readall() == two.read_bytes()


def test_a_recipe_whose_bytes_are_gone_is_healed_by_registering_the_file_again(
    any_store: Store, tmp_path: Path, first: bytes
) -> None:
    one = put(any_store, tmp_path, "one", first)
    two = put(any_store, tmp_path, "two", changed(first))
    (tmp_path / "store" / blob_key(hash_file(one).digest)).unlink()
    any_store.put_file(two)

    assert any_store.open(hash_file(two).digest).readall() == two.read_bytes()


def test_a_missing_chunk_list_is_made_up_for(any_store: Store, tmp_path: Path, first: bytes) -> None:
    one = put(any_store, tmp_path, "one", first)
    digest = hash_file(one).digest
    (tmp_path / "store" / chunks_key(digest)).unlink()
    any_store.put_file(one)

    assert any_store.layout(digest).chunks is not None


@pytest.mark.parametrize("by", ["chunks", "digest"])
def test_a_file_that_changes_between_hashing_and_sending_never_gets_the_name(
    tmp_path: Path, first: bytes, by: str
) -> None:
    """The second pass over a file, for a bucket that wants the name first, checks what it sends."""
    path = tmp_path / "one"
    path.write_bytes(first)
    with path.open("rb", buffering=0) as file:
        taken = take(io.BytesIO(first))
        assert taken.chunks is not None
        check = ChunkCheck(taken.chunks) if by == "chunks" else WholeCheck(taken.blob)
        ranges = Ranges(file, [(0, SIZE)], check)
        assert ranges.read(MIB) == first[:MIB]
        found = path.stat()
        flip(path, 3 * MIB)
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        rest = io.BytesIO()
        with pytest.raises(ConflictError, match="changed while it was read"):
            copy(ranges, rest)
    assert len(rest.getvalue()) < SIZE - MIB


# --- killed in the middle -------------------------------------------------------------------------------------------

PUT = """
import sys
from pathlib import Path
from gitreg.objects import LocalStore
LocalStore(Path(sys.argv[1])).put_file(Path(sys.argv[2]))
"""


def test_whenever_a_process_is_killed_what_is_visible_is_whole_and_the_next_one_succeeds(
    store: LocalStore, tmp_path: Path, first: bytes
) -> None:
    put(store, tmp_path, "one", first)
    two = tmp_path / "two"
    two.write_bytes(changed(first))
    blob = hash_file(two)
    delays = random.Random(6)
    killed = 0
    for _ in range(8):
        child = subprocess.Popen([sys.executable, "-c", PUT, str(store.folder), str(two)])
        time.sleep(0.08 + delays.random() * 0.4)
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        for path in (store.folder / "blobs").rglob("*"):
            if path.is_file():
                assert hash_file(path).digest.hex == path.name
        if store.size_of(blob.digest) is not None:
            assert store.open(blob.digest).readall() == two.read_bytes()
            for kind in ("recipes", "similar", "chunks"):
                for path in (store.folder / kind).rglob(blob.digest.hex):
                    path.unlink()
    store.put_file(two)

    assert killed
    assert store.open(blob.digest).readall() == two.read_bytes()
    layout = store.layout(blob.digest)
    assert layout.chunks is not None
    assert not layout.is_whole
