"""Ranges side by side, checked as they come, gone on with after a kill."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import DeniedError, IntegrityError, NotFoundError, UnavailableError
from gitreg.objects import LocalStore
from gitreg.objects.mirrors import Stores
from gitreg.objects.parallel import PIECE, pieces
from gitreg.objects.partial import partial
from gitreg.objects.recipes import Range, blob_key, chunks_key
from tests.objects.faulty import FaultyStore, content, flip, keep, keep_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer

    from gitreg.objects import Cache

SIZE = 3 * PIECE + 12_345
CHUNK = 300_000


@pytest.fixture
def faulty(tmp_path: Path) -> FaultyStore:
    return FaultyStore(tmp_path / "store")


@pytest.fixture(scope="module")
def data() -> bytes:
    return content(SIZE)


def fetched(cache: Cache, store: FaultyStore, data: bytes, chunk: int | None = None) -> bytes:
    return cache.fetch(keep(store, data, chunk), store).read_bytes()


@pytest.mark.parametrize("chunk", [None, CHUNK])
def test_a_large_blob_comes_in_ranges_each_asked_for_once(
    faulty: FaultyStore, cache: Cache, data: bytes, chunk: int | None
) -> None:
    heard: list[int] = []
    digest = keep(faulty, data, chunk)
    path = cache.fetch(digest, faulty, moved=heard.append)

    assert path.read_bytes() == data
    assert len(faulty.faulty.reads) >= SIZE // PIECE
    assert faulty.faulty.given == sum(heard) == SIZE
    assert path.stat().st_mode & 0o777 == 0o444
    assert not list((cache.folder / "partial").iterdir())


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1])
def test_blobs_of_any_size_come(faulty: FaultyStore, cache: Cache, size: int) -> None:
    assert fetched(cache, faulty, content(size)) == content(size)


def test_a_blob_is_put_together_from_ranges_of_others(faulty: FaultyStore, cache: Cache, data: bytes) -> None:
    whole, pack = keep(faulty, data), keep(faulty, b"new bytes")
    new = data[:1000] + b"bytes" + data[1500:]
    ranges = [Range(whole, 0, 1000), Range(pack, 4, 5), Range(whole, 1500, SIZE - 1500)]
    assert cache.fetch(keep_recipe(faulty, new, ranges), faulty).read_bytes() == new


@pytest.mark.parametrize(
    ("start", "size"), [(5, 5), (0, 1_000_000), (40, 9)], ids=["past its end", "longer than it is", "behind its end"]
)
def test_a_recipe_that_points_outside_a_blob_is_refused(
    faulty: FaultyStore, cache: Cache, start: int, size: int
) -> None:
    pack = keep(faulty, b"new byte")
    digest = keep_recipe(faulty, bytes(size), [Range(pack, start, size)])
    with pytest.raises(IntegrityError):
        cache.fetch(digest, faulty)
    assert not cache.path_of(digest).exists()


def test_a_recipe_whose_blob_is_lost_names_it(faulty: FaultyStore, cache: Cache) -> None:
    pack = keep(faulty, b"new byte")
    digest = keep_recipe(faulty, b"byte", [Range(pack, 4, 4)])
    faulty.file_of(blob_key(pack)).unlink()
    with pytest.raises(NotFoundError, match=pack.hex[:12]):
        cache.fetch(digest, faulty)


# --- what breaks off, and comes back ---------------------------------------------------------------------------------


def test_a_connection_that_breaks_is_gone_on_with_from_where_it_broke(
    faulty: FaultyStore, cache: Cache, data: bytes
) -> None:
    def cut(_key: str, _start: int, true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        yield next(true)
        raise UnavailableError("the connection was reset")

    digest = keep(faulty, content(6_000_000))
    faulty.faulty.fault = cut
    assert cache.fetch(digest, faulty).read_bytes() == content(6_000_000)
    assert faulty.faulty.given == 6_000_000


def test_a_store_that_gives_nothing_is_asked_once(faulty: FaultyStore, cache: Cache, data: bytes) -> None:
    def down(_key: str, _start: int, _true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        if faulty.faulty.reads:
            raise UnavailableError("503")
        yield b""

    digest = keep(faulty, b"small")
    faulty.faulty.fault = down
    with pytest.raises(UnavailableError, match="503"):
        cache.fetch(digest, faulty)
    assert len(faulty.faulty.reads) == 1


def test_a_store_that_breaks_off_for_ever_is_given_up(faulty: FaultyStore, cache: Cache) -> None:
    def drip(_key: str, _start: int, true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        yield bytes(next(true))[:1]
        raise UnavailableError("the connection was reset")

    digest = keep(faulty, content(100_000))
    faulty.faulty.fault = drip
    with pytest.raises(UnavailableError):
        cache.fetch(digest, faulty)
    assert len(faulty.faulty.reads) < 100


def test_what_came_before_a_failure_is_not_fetched_again(faulty: FaultyStore, cache: Cache, data: bytes) -> None:
    def half(_key: str, start: int, true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        if start >= 2 * PIECE:
            time.sleep(0.3)
            raise UnavailableError("gone")
        yield from true

    digest = keep(faulty, data)
    faulty.faulty.fault = half
    with pytest.raises(UnavailableError, match="gone"):
        cache.fetch(digest, faulty)
    assert not cache.path_of(digest).exists()
    faulty.faulty.fault, faulty.faulty.given = None, 0
    heard: list[int] = []

    assert cache.fetch(digest, faulty, moved=heard.append).read_bytes() == data
    assert faulty.faulty.given == SIZE - 2 * PIECE
    assert sum(heard) == SIZE


# Ends itself, as a kill would, when so many bytes were told of.
KILLED = """
import os, signal, sys
from pathlib import Path
from gitreg.digest import Digest
from gitreg.objects import Cache, LocalStore
from tests.objects.faulty import FaultyStore
kind, store, cache, digest, left = sys.argv[1:]
left = int(left)
def moved(count):
    global left
    left -= count
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
opened = (LocalStore if kind == "near" else FaultyStore)(Path(store))
Cache(Path(cache)).fetch(Digest(digest), opened, moved=moved)
"""


@pytest.mark.parametrize(("kind", "chunk"), [("far", None), ("far", CHUNK), ("near", CHUNK)])
def test_a_killed_process_leaves_nothing_wrong_and_the_next_goes_on(
    faulty: FaultyStore, cache: Cache, data: bytes, kind: str, chunk: int | None, request: pytest.FixtureRequest
) -> None:
    digest = keep(faulty, data, chunk)
    command = [sys.executable, "-c", KILLED, kind, str(faulty.folder), str(cache.folder), digest.hex]
    environment = {**os.environ, "PYTHONPATH": str(request.config.rootpath)}
    # In the midst of the first ranges; in the midst of the last; and as soon as the next one tells of what there was.
    for left in (PIECE // 2, SIZE - PIECE // 2, 5):
        assert subprocess.run([*command, str(left)], env=environment, check=False).returncode == -signal.SIGKILL
        assert not cache.path_of(digest).exists()
    with partial(cache.folder, digest, SIZE) as into:
        assert into is not None
        came = into.resumed
    assert came >= (2 * PIECE if kind == "near" else 0)  # ranges that come side by side may all be unfinished
    with mock.patch("os.copy_file_range", wraps=os.copy_file_range) as copied:
        opened = faulty if kind == "far" else LocalStore(faulty.folder)
        assert cache.fetch(digest, opened).read_bytes() == data
    assert (faulty.faulty.given, bool(copied.call_count)) == ((SIZE - came, False) if kind == "far" else (0, True))
    assert sum(call.args[2] for call in copied.call_args_list) == (SIZE - came if kind == "near" else 0)
    assert not list((cache.folder / "partial").iterdir())


def test_what_a_power_cut_spoilt_of_an_unfinished_blob_is_fetched_again(
    faulty: FaultyStore, cache: Cache, data: bytes
) -> None:
    digest = keep(faulty, data)
    with partial(cache.folder, digest, SIZE) as into:
        assert into is not None
        into.note(0, 2 * PIECE)  # noted, and yet nothing was written
    assert cache.fetch(digest, faulty).read_bytes() == data


@pytest.mark.parametrize("journal", [b"", b"other\n", b"gitreg/partial/v1 5\n" + bytes(20), bytes(1000)])
def test_a_journal_of_something_else_is_begun_anew(
    faulty: FaultyStore, cache: Cache, data: bytes, journal: bytes
) -> None:
    digest = keep(faulty, data)
    (cache.folder / "partial").mkdir(parents=True)
    (cache.folder / "partial" / f"{digest.hex}.journal").write_bytes(journal)
    (cache.folder / "partial" / digest.hex).write_bytes(b"rubbish")
    assert cache.fetch(digest, faulty).read_bytes() == data
    assert faulty.faulty.given == SIZE


def test_a_record_that_was_cut_off_is_none(faulty: FaultyStore, cache: Cache, data: bytes) -> None:
    digest = keep(faulty, data)
    with partial(cache.folder, digest, SIZE) as into:
        assert into is not None
        into.write(0, data[:PIECE])
        into.note(0, PIECE)
    with (cache.folder / "partial" / f"{digest.hex}.journal").open("ab") as file:
        file.write(b"\1\2\3")
    with partial(cache.folder, digest, SIZE) as into:
        assert into is not None
        assert into.missing() == [(PIECE, SIZE)]
        into.note(PIECE, 2 * PIECE)
    with partial(cache.folder, digest, SIZE) as into:
        assert into is not None
        assert into.missing() == [(2 * PIECE, SIZE)]


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [None, CHUNK])
@pytest.mark.parametrize("at", [0, PIECE, SIZE - 1])
def test_a_flipped_bit_anywhere_is_found(
    faulty: FaultyStore, cache: Cache, data: bytes, chunk: int | None, at: int
) -> None:
    digest = keep(faulty, data, chunk)
    flip(faulty.file_of(blob_key(digest)), at)
    with pytest.raises(IntegrityError, match=f"expected {digest}, found sha256:") as caught:
        cache.fetch(digest, faulty)
    assert not cache.path_of(digest).exists()
    if chunk:
        begin = at // chunk * chunk
        assert f"wrong are bytes {begin:,} to {min(begin + chunk, SIZE):,}" in caught.value.message


def test_a_chunk_that_the_wire_spoilt_is_fetched_once_more(faulty: FaultyStore, cache: Cache, data: bytes) -> None:
    digest = keep(faulty, data, CHUNK)
    spoilt = threading.Event()

    def once(_key: str, start: int, true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        for piece in true:
            if start >= PIECE and not spoilt.is_set():
                spoilt.set()
                yield bytes(len(memoryview(piece)))
            else:
                yield piece

    faulty.faulty.fault = once
    assert cache.fetch(digest, faulty).read_bytes() == data
    assert SIZE < faulty.faulty.given <= SIZE + 2 * (1 << 20) + 2 * CHUNK


def test_only_the_damaged_chunks_are_fetched_when_the_store_is_mended(
    faulty: FaultyStore, cache: Cache, data: bytes
) -> None:
    digest = keep(faulty, data, CHUNK)
    flip(faulty.file_of(blob_key(digest)), PIECE + 5)
    with pytest.raises(IntegrityError):
        cache.fetch(digest, faulty)
    flip(faulty.file_of(blob_key(digest)), PIECE + 5)
    faulty.faulty.given = 0

    assert cache.fetch(digest, faulty).read_bytes() == data
    assert 0 < faulty.faulty.given <= PIECE


@pytest.mark.parametrize("lie", ["damaged", "of other chunks"])
def test_a_wrong_chunk_list_does_not_stop_a_right_blob(
    faulty: FaultyStore, cache: Cache, data: bytes, lie: str
) -> None:
    digest = keep(faulty, data, CHUNK)
    path = faulty.file_of(chunks_key(digest))
    if lie == "damaged":
        flip(path, 300)
    else:
        other = keep(faulty, content(SIZE, 2), CHUNK)
        path.write_bytes(faulty.file_of(chunks_key(other)).read_bytes())
    assert cache.fetch(digest, faulty).read_bytes() == data


def test_a_chunk_list_of_one_huge_chunk_is_not_held_in_memory(faulty: FaultyStore, cache: Cache, data: bytes) -> None:
    digest = keep(faulty, data, SIZE)
    flip(faulty.file_of(blob_key(digest)), PIECE)
    with pytest.raises(IntegrityError) as caught:
        cache.fetch(digest, faulty)
    assert "wrong are bytes" not in caught.value.message  # the chunk was not read to tell


@pytest.mark.parametrize("more", [-1, 1, 1 << 20])
def test_a_store_that_lies_about_a_size_is_found(faulty: FaultyStore, cache: Cache, data: bytes, more: int) -> None:
    def lie(_key: str, _start: int, true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        pieces = [bytes(piece) for piece in true]
        yield from ([*pieces, bytes(more)] if more > 0 else [*pieces[:-1], pieces[-1][:more]] if pieces else [])

    digest = keep(faulty, data)
    faulty.faulty.fault = lie
    if more < 0:  # what is missing is asked for again, and comes but for its last byte
        faulty.faulty.fault = lambda key, start, true: lie(key, start, true) if start == 0 else iter(())
    with pytest.raises(IntegrityError):
        cache.fetch(digest, faulty)
    assert not cache.path_of(digest).exists()


def test_a_manifest_that_says_less_than_the_store_has_is_believed_before_a_byte_moves(
    faulty: FaultyStore, cache: Cache, data: bytes
) -> None:
    digest = keep(faulty, data)
    with pytest.raises(IntegrityError, match="the manifest says 5 bytes"):
        cache.fetch(digest, faulty, size=5)
    assert faulty.faulty.given == 0


def test_no_room_is_told_before_a_byte_moves(
    faulty: FaultyStore, cache: Cache, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = os.statvfs(cache.folder.parent)
    fields = [*full[:4], 10, *full[5:]]  # ten blocks are free
    monkeypatch.setattr(os, "statvfs", lambda _path: os.statvfs_result(fields))
    with pytest.raises(UnavailableError, match=r"no room left in .*25,178,169 bytes are to come"):
        fetched(cache, faulty, data)
    assert faulty.faulty.given == 0


# --- the plan ---------------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 60 * PIECE), st.integers(1, 10 * PIECE)), max_size=4))
def test_the_pieces_are_the_gaps_and_none_is_large(gaps: list[tuple[int, int]]) -> None:
    missing, at = [], 0
    for wanted, length in sorted(gaps):
        begin, end = max(wanted, at), wanted + length
        if begin < end:
            missing.append((begin, end))
            at = end
    planned = list(pieces(missing))

    assert all(0 < piece.end - piece.begin <= PIECE for piece in planned)
    assert all(one.end <= other.begin for one, other in pairwise(planned))
    assert sum(piece.end - piece.begin for piece in planned) == sum(end - begin for begin, end in missing)
    assert all(any(begin <= piece.begin and piece.end <= end for begin, end in missing) for piece in planned)


# --- mirrors ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path: Path) -> FaultyStore:
    return FaultyStore(tmp_path / "mirror")


@pytest.mark.parametrize("chunk", [None, CHUNK])
def test_what_the_primary_has_damaged_comes_from_a_mirror(
    faulty: FaultyStore, mirror: FaultyStore, cache: Cache, data: bytes, chunk: int | None
) -> None:
    digest = keep(faulty, data, chunk)
    keep(mirror, data, chunk)
    flip(faulty.file_of(blob_key(digest)), PIECE + 5)
    heard: list[int] = []

    assert cache.fetch(digest, Stores(faulty, (mirror,)), moved=heard.append).read_bytes() == data
    assert sum(heard) == SIZE
    if chunk:  # the rest of it was right, and is not asked for again
        assert 0 < mirror.faulty.given <= PIECE
    else:
        assert mirror.faulty.given == SIZE


@pytest.mark.parametrize("loss", ["lost", "denied", "down", "unplugged"])
def test_what_the_primary_cannot_give_comes_from_a_mirror(
    faulty: FaultyStore, mirror: FaultyStore, cache: Cache, loss: str
) -> None:
    digest = keep(faulty, b"bytes")
    keep(mirror, b"bytes")

    def refuse(_key: str, _start: int, _true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        yield from ()
        raise DeniedError("no") if loss == "denied" else UnavailableError("503")

    if loss == "lost":
        faulty.file_of(blob_key(digest)).unlink()
    elif loss == "unplugged":
        faulty.folder.rename(faulty.folder.with_name("elsewhere"))
    else:
        faulty.faulty.fault = refuse
    assert cache.fetch(digest, Stores(faulty, (mirror,))).read_bytes() == b"bytes"


def test_damage_everywhere_is_told_before_loss(faulty: FaultyStore, mirror: FaultyStore, cache: Cache) -> None:
    digest = keep(faulty, content(1000))
    flip(faulty.file_of(blob_key(digest)), 5)
    with pytest.raises(IntegrityError, match="is damaged"):
        cache.fetch(digest, Stores(faulty, (mirror,)))
    faulty.file_of(blob_key(digest)).unlink()
    with pytest.raises(NotFoundError, match="is not in the store"):
        cache.fetch(digest, Stores(faulty, (mirror,)))


# --- a store on this machine ------------------------------------------------------------------------------------------


@pytest.fixture
def near(faulty: FaultyStore) -> LocalStore:
    """Name the same folder as a store that is copied from within the kernel."""
    return LocalStore(faulty.folder)


@pytest.mark.parametrize("chunk", [None, CHUNK])
def test_a_store_on_this_machine_is_copied_from(
    faulty: FaultyStore, near: LocalStore, cache: Cache, data: bytes, chunk: int | None
) -> None:
    digest = keep(faulty, data, chunk)
    heard: list[int] = []
    assert cache.fetch(digest, near, moved=heard.append).read_bytes() == data
    assert sum(heard) == SIZE


def test_a_recipe_of_a_store_on_this_machine_is_put_together(
    faulty: FaultyStore, near: LocalStore, cache: Cache, data: bytes
) -> None:
    whole, pack = keep(faulty, data), keep(faulty, b"new bytes")
    new = data[:1000] + b"bytes" + data[1500:]
    ranges = [Range(whole, 0, 1000), Range(pack, 4, 5), Range(whole, 1500, SIZE - 1500)]
    assert cache.fetch(keep_recipe(faulty, new, ranges), near).read_bytes() == new


@pytest.mark.parametrize("code", [errno.EXDEV, errno.ENOSYS])
def test_what_the_kernel_does_not_copy_is_read(
    faulty: FaultyStore, near: LocalStore, cache: Cache, data: bytes, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "copy_file_range", refuse)
    assert cache.fetch(keep(faulty, data), near).read_bytes() == data


def test_a_disk_that_fills_up_while_it_is_copied_to_leaves_no_blob(
    faulty: FaultyStore, near: LocalStore, cache: Cache, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    digest = keep(faulty, data)
    monkeypatch.setattr(os, "copy_file_range", full)
    with pytest.raises(UnavailableError, match="no room left"):
        cache.fetch(digest, near)
    assert not cache.path_of(digest).exists()


@pytest.mark.parametrize("harm", ["flipped", "shorter", "recipe's blob is gone"])
def test_damage_of_a_store_on_this_machine_is_found(
    faulty: FaultyStore, near: LocalStore, cache: Cache, data: bytes, harm: str
) -> None:
    digest = keep(faulty, data, CHUNK)
    path = faulty.file_of(blob_key(digest))
    said = "wrong are bytes 8,100,000 to 8,400,000"
    if harm == "flipped":
        flip(path, 8_300_000)
    else:
        digest = keep_recipe(faulty, data + data, [Range(digest, 0, SIZE), Range(digest, 0, SIZE)])
        said = "there is no blobs/sha256" if harm != "shorter" else "ends at byte"
        if harm == "shorter":
            os.truncate(path, SIZE - 5)
        else:
            path.unlink()
    with pytest.raises((IntegrityError, NotFoundError), match=said):
        cache.fetch(digest, near)
    assert not cache.path_of(digest).exists()


def test_who_reads_what_came_before_shows_that_it_goes_on(
    faulty: FaultyStore, cache: Cache, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob of which all is there is only read, and those who wait for it look at its time."""
    digest = keep(faulty, data)
    monkeypatch.setattr("gitreg.objects.partial._SHOW", 0)
    with partial(cache.folder, digest, SIZE) as into:
        assert into is not None
        into.write(0, data)
        into.note(0, SIZE)
        os.utime(into.path, (0, 0))
        into.read_into(memoryview(bytearray(10)), 0)
        assert into.path.stat().st_mtime > 0
    assert cache.fetch(digest, faulty).read_bytes() == data
    assert faulty.faulty.given == 0


def test_damage_of_a_store_on_this_machine_is_made_good_from_a_mirror(
    faulty: FaultyStore, near: LocalStore, mirror: FaultyStore, cache: Cache, data: bytes
) -> None:
    digest = keep(faulty, data, CHUNK)
    keep(mirror, data, CHUNK)
    flip(faulty.file_of(blob_key(digest)), 8_300_000)
    assert cache.fetch(digest, Stores(near, (mirror,))).read_bytes() == data
    assert 0 < mirror.faulty.given <= PIECE
