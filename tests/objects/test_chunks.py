"""Chunks are cut by contents alone, and their lists are read strictly."""

from __future__ import annotations

import io
import random
import struct
import subprocess
import sys
import tracemalloc
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError
from gitreg.objects import chunks, recipes
from gitreg.objects.chunks import LARGEST, LISTED_FROM, SMALLEST, ChunkList, Cutting, most_bytes, tensor_borders
from gitreg.objects.pipeline import take
from gitreg.objects.recipes import Layout, Part, Range, Recipe, merged

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = random.Random(1).randbytes(9 << 20)


def cut(pieces: list[bytes], borders: tuple[int, ...] = ()) -> list[tuple[int, int, bytes]]:
    cutting = Cutting(borders)
    for piece in pieces:
        cutting.add(memoryview(piece))
    return [(chunk.offset, chunk.size, chunk.digest) for chunk in cutting.finish() or ()]


WHOLE = cut([DATA])


def test_chunks_follow_each_other_to_the_end_and_have_their_digests() -> None:
    at = 0
    for offset, size, digest in WHOLE:
        assert offset == at
        assert digest == blake3(DATA[offset : offset + size]).digest()
        at += size
    assert at == len(DATA)
    assert all(SMALLEST <= size <= SMALLEST * LARGEST for _, size, _ in WHOLE[:-1])
    assert len(WHOLE) > 40


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(1, len(DATA) - 1), max_size=8, unique=True).map(sorted))
def test_how_a_stream_comes_in_pieces_does_not_change_its_chunks(at: list[int]) -> None:
    places = [0, *at, len(DATA)]
    assert cut([DATA[begin:end] for begin, end in pairwise(places)]) == WHOLE


def test_short_pieces_make_the_same_chunks() -> None:
    data = DATA[: 2 << 20]
    assert cut([data[at : at + 5000] for at in range(0, len(data), 5000)]) == cut([data])


def test_a_border_is_always_cut() -> None:
    borders = (SMALLEST // 3, 1 << 20, (1 << 20) + 100, 5_000_001)
    starts = {offset for offset, _, _ in cut([DATA], borders)}
    assert starts.issuperset(borders)
    assert cut([DATA[:77], DATA[77 : 3 << 20], DATA[3 << 20 :]], borders) == cut([DATA], borders)


def test_a_large_blob_has_larger_chunks_whatever_pieces_it_comes_in() -> None:
    def large(pieces: list[bytes]) -> list[int]:
        cutting = Cutting((), 100 << 30)
        for piece in pieces:
            cutting.add(memoryview(piece))
        return [chunk.size for chunk in cutting.finish() or ()]

    data = DATA * 3
    sizes = large([data])
    assert min(sizes[:-1]) >= 16 * SMALLEST
    assert large([data[at : at + LISTED_FROM] for at in range(0, len(data), LISTED_FROM)]) == sizes


def test_zeros_are_cut_at_the_largest_size() -> None:
    assert {size for _, size, _ in cut([bytes(4 * SMALLEST * LARGEST)])} == {SMALLEST * LARGEST}


@pytest.mark.parametrize("size", [0, 1, LISTED_FROM - 1, LISTED_FROM, LISTED_FROM + 1, 2 * LISTED_FROM])
def test_a_pass_hashes_and_cuts_any_size_and_hands_every_byte_on(size: int) -> None:
    data = DATA[:size]
    written = bytearray()
    moved: list[int] = []
    taken = take(io.BytesIO(data), written.extend, moved=moved.append)

    assert (taken.blob.digest, taken.blob.size) == (Digest.of(data), size)
    assert bytes(written) == data
    assert sum(moved) == size
    assert (taken.chunks is None) == (size < LISTED_FROM)
    assert [tuple(chunk) for chunk in taken.chunks or ()] == (cut([data]) if taken.chunks is not None else [])


def test_what_the_writer_raises_ends_the_pass() -> None:
    def full(_piece: memoryview) -> None:
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        take(io.BytesIO(DATA), full)


def test_a_list_is_read_as_it_was_written_and_any_other_byte_is_refused() -> None:
    taken = take(io.BytesIO(DATA)).chunks
    assert taken is not None
    data = taken.to_bytes()

    assert list(ChunkList.parse(data, len(DATA))) == list(taken)
    for at in [*range(0, 400, 7), *range(400, len(data), 97), len(data) - 1]:
        broken = bytearray(data)
        broken[at] ^= 1
        try:
            assert list(ChunkList.parse(bytes(broken), len(DATA))) == list(taken)  # a name in the header, at most
        except InvalidError:
            continue
        assert at < data.index(b"\n", 20)
    for size in (0, 3, 40, len(data) - 1):
        with pytest.raises(InvalidError):
            ChunkList.parse(data[:size], len(DATA))
    with pytest.raises(InvalidError, match="size"):
        ChunkList.parse(data, len(DATA) + 1)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(b"gitreg/chunks/v1\n".__add__))
def test_any_bytes_are_a_chunk_list_or_a_clear_error(data: bytes) -> None:
    with pytest.raises(InvalidError):
        ChunkList.parse(data, 5 << 20)


def safetensors(header: bytes) -> io.BytesIO:
    return io.BytesIO(struct.pack("<Q", len(header)) + header + bytes(1 << 20))


def test_borders_are_those_of_tensors_but_for_small_ones() -> None:
    header = (
        b'{"a":{"data_offsets":[0,100000]},"b":{"data_offsets":[100000,100010]},"c":{"data_offsets":[100010,900000]}}'
    )
    start = 8 + len(header)
    assert tensor_borders(safetensors(header)) == [start, start + 100000, start + 900000]


@given(st.binary(max_size=200))
def test_any_header_gives_rising_borders(header: bytes) -> None:
    borders = tensor_borders(safetensors(b"{" + header))
    assert borders == sorted(set(borders))


def most_memory(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("filler", [b"[],", b'"data_offsets":[0,1],', b'{"a":{'])
def test_a_hostile_header_takes_little_more_memory_than_its_own_bytes(filler: bytes) -> None:
    file = safetensors(b'{"a":[' + filler * ((15 << 20) // len(filler)))

    assert most_memory(lambda: tensor_borders(file)) < 3 * (16 << 20)


def test_a_name_that_looks_like_offsets_is_none() -> None:
    header = rb'{"\"data_offsets\":[70000,80000]":{"data_offsets":[0,500000]}}'
    assert tensor_borders(safetensors(header)) == [8 + len(header), 8 + len(header) + 500000]


def test_a_list_is_bounded_however_large_a_blob_says_it_is() -> None:
    assert most_bytes(1 << 50) < 10 << 20


def test_a_file_of_too_many_chunks_has_no_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "MOST", 20)

    assert take(io.BytesIO(DATA)).blob.size == len(DATA)
    assert take(io.BytesIO(DATA)).chunks is None


# --- recipes --------------------------------------------------------------------------------------------------------

ONE, TWO = Digest("1" * 64), Digest("2" * 64)


def test_a_recipe_is_read_as_it_was_written() -> None:
    recipe = Recipe(ONE, 30, (Range(TWO, 5, 10), Range(TWO, 0, 20)))
    assert Recipe.parse(recipe.to_bytes(), ONE) == recipe


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"size": 30', b'"size": 31'),
        (b'"offset": 5', b'"offset": -5'),
        (b'"offset": 5', b'"offset": 5.0'),
        (b'"offset": 5', b'"offset": true'),
        (b'"offset": 5', b'"offset": 5, "more": 1'),
        (b'"offset": 5', b'"offset": 99999999999999999999'),
        (b"sha256:22", b"sha256:ZZ"),
        (b"recipe/v1", b"recipe/v2"),
        (b"]}", b"]"),
        (b'"parts": [', b'"parts": [' + b"[" * 100_000),
        (b"sha256:11", b"sha256:12"),
    ],
)
def test_what_is_no_recipe_is_refused_by_the_name_of_its_blob(old: bytes, new: bytes) -> None:
    data = Recipe(ONE, 30, (Range(TWO, 5, 10), Range(TWO, 0, 20))).to_bytes()
    assert old in data
    with pytest.raises(IntegrityError, match=f"recipe of the blob {ONE} is damaged"):
        Recipe.parse(data.replace(old, new, 1), ONE)


def test_a_recipe_ends_where_it_ends_and_has_not_too_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Recipe(ONE, 30, (Range(TWO, 5, 10), Range(TWO, 0, 20))).to_bytes()
    with pytest.raises(IntegrityError, match="goes on after its end"):
        Recipe.parse(data + data[data.index(b"[") + 1 :], ONE)
    monkeypatch.setattr(recipes, "MAX_PARTS", 1)
    with pytest.raises(IntegrityError, match="more than 1 parts"):
        Recipe.parse(data, ONE)


def test_a_recipe_of_a_blob_beyond_all_sizes_is_refused() -> None:
    huge = Recipe(ONE, 3 << 49, (Range(TWO, 0, 1 << 50), Range(TWO, 0, 1 << 49)))
    with pytest.raises(IntegrityError, match="no blob is that large"):
        Recipe.parse(huge.to_bytes(), ONE)


def test_a_hostile_recipe_is_refused_before_it_takes_memory() -> None:
    begin = Recipe(ONE, 30, (Range(TWO, 5, 30),)).to_bytes().partition(b"[")[0]

    def parse() -> None:
        with pytest.raises(IntegrityError, match="begins no digest"):
            Recipe.parse(hostile, ONE)

    hostile = begin + b"[" + b"[]," * (4 << 20)
    assert most_memory(parse) < 1 << 20


def test_ranges_that_follow_each_other_become_one() -> None:
    ranges = [Range(ONE, 0, 5), Range(ONE, 5, 5), Range(TWO, 10, 1), Range(ONE, 10, 5), Range(ONE, 16, 1)]
    assert list(merged(ranges)) == [Range(ONE, 0, 10), Range(TWO, 10, 1), Range(ONE, 10, 5), Range(ONE, 16, 1)]
    assert list(merged([])) == []


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(0, 100), st.integers(1, 100))
def test_a_range_of_a_layout_is_what_a_slice_would_be(sizes: list[int], offset: int, size: int) -> None:
    parts, places = [], []
    for number, length in enumerate(sizes):
        digest = Digest(f"{number:064x}")
        parts.append(Part(digest, 7, length))
        places += [(digest, 7 + at) for at in range(length)]
    layout = Layout(None, ONE, len(places), tuple(parts))  # type: ignore[arg-type] # it asks the bucket for nothing
    found = [(part.digest, part.offset + at) for part in layout.within(offset, size) for at in range(part.size)]
    assert found == places[offset : offset + size]


TAKE = """
import io, re, sys
from gitreg.objects.pipeline import take
with io.FileIO(sys.argv[1]) as file:
    size = take(file).blob.size
print(size, re.search("VmHWM: *([0-9]+) kB", open("/proc/self/status").read().replace("\t", " "))[1])
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nothing tells the most memory of a process")
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    size = 384 << 20
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(size)
    command = [sys.executable, "-c", TAKE, str(tmp_path / "sparse")]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken, kibibytes = map(int, said.split())

    assert taken == size
    assert kibibytes < 100 << 10
