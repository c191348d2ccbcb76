"""A file that did not change is not read again; one that did is, whatever was done to hide it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gitreg.digest import Digest
from gitreg.objects import LocalStore, Source, hash_file, store_sources
from gitreg.objects.digests import Digests
from gitreg.objects.streams import SteadyFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def digests(tmp_path: Path) -> Digests:
    return Digests(tmp_path / "cache" / "digests")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the bytes that are read of files, but for the first ones, which tell the format."""
    counted: list[int] = []
    real = SteadyFile.readinto

    def readinto(self: SteadyFile, buffer: bytearray) -> int:
        count = real(self, buffer)
        counted.append(count)
        return count

    monkeypatch.setattr(SteadyFile, "readinto", readinto)
    return counted


def send(store: LocalStore, path: Path, digests: Digests) -> tuple[Digest, list[tuple[str, int]]]:
    told: list[tuple[str, int]] = []
    stored = store_sources(store, [Source("w.bin", path)], lambda name, moved: told.append((name, moved)), digests)
    return stored[0].digest, told


@pytest.mark.usefixtures("trusted")
def test_a_file_that_did_not_change_is_read_once(
    store: LocalStore, weights: Path, digests: Digests, reads: list[int]
) -> None:
    first, _ = send(store, weights, digests)
    assert sum(reads) == 1 << 20
    reads.clear()
    second, told = send(store, weights, Digests(digests.folder))

    assert first == second == hash_file(weights).digest
    assert sum(reads) == 1 << 20  # by the line above alone
    assert told == [("w.bin", 1 << 20)]


def test_a_file_that_a_new_store_lacks_is_stored_there(
    store: LocalStore, weights: Path, digests: Digests, tmp_path: Path
) -> None:
    digest, _ = send(store, weights, digests)
    other = LocalStore(tmp_path / "other")
    send(other, weights, digests)

    assert other.open(digest).readall() == weights.read_bytes()


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")


def rewrite_with_old_times(path: Path) -> None:
    found = path.stat()
    rewrite(path)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def replace(path: Path) -> None:
    other = path.with_name("new")
    other.write_bytes(path.read_bytes()[::-1])
    found = path.stat()
    os.utime(other, ns=(found.st_atime_ns, found.st_mtime_ns))
    other.replace(path)


@pytest.mark.parametrize("change", [rewrite, rewrite_with_old_times, replace])
def test_a_file_that_changed_is_read_again(
    store: LocalStore, weights: Path, digests: Digests, change: Callable[[Path], None]
) -> None:
    before, _ = send(store, weights, digests)
    change(weights)
    after, _ = send(store, weights, digests)

    assert after == hash_file(weights).digest != before
    assert store.open(after).readall() == weights.read_bytes()


def test_of_changes_as_fast_as_can_be_none_is_missed(store: LocalStore, weights: Path, digests: Digests) -> None:
    """Two states of a file within one tick of the clock show the same times."""
    for number in range(40):
        with weights.open("r+b") as file:
            file.write(number.to_bytes(4, "big"))
        assert send(store, weights, digests)[0] == hash_file(weights).digest


@pytest.mark.usefixtures("trusted")
def test_what_is_damaged_is_taken_for_absent(store: LocalStore, weights: Path, digests: Digests) -> None:
    digest, _ = send(store, weights, digests)
    [path] = [each for each in digests.folder.rglob("*") if each.is_file()]
    good = path.read_bytes()
    assert digests.find(weights.stat()) == digest
    for at in range(len(good) - 1):  # but for the end of the line
        broken = bytearray(good)
        broken[at] ^= 1
        path.write_bytes(broken)
        assert digests.find(weights.stat()) is None
    path.write_bytes(b"\xff" * 5000)
    assert digests.find(weights.stat()) is None


def test_a_place_that_cannot_be_written_costs_nothing(store: LocalStore, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    digests = Digests(tmp_path / "file" / "digests")
    digest, _ = send(store, weights, digests)

    assert digest == hash_file(weights).digest
    assert digests.find(weights.stat()) is None


def test_entries_that_nobody_wrote_for_long_go_in_time(digests: Digests, weights: Path) -> None:
    found = weights.stat()
    digests.note(found, Digest("1" * 64))
    [path] = [each for each in digests.folder.rglob("*") if each.is_file()]
    old = path.with_name("1-1")
    old.write_text("x")
    os.utime(old, (0, 0))
    digests.note(found, Digest("00" + "1" * 62))

    assert not old.exists()
    assert digests.find(found) == Digest("00" + "1" * 62)
