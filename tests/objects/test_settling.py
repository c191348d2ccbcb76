"""What was noted of a file is void after every change of it, however that was made."""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from gitreg.errors import ConflictError
from gitreg.objects import Cache, LocalStore, Source, StoredFile, hash_file, pull, settling, store_sources
from gitreg.objects.digests import Digests
from gitreg.objects.settling import is_unwritten, settle

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory is what is meant


@contextmanager
def mapped(path: Path, *, stays_open: bool = True) -> Iterator[mmap.mmap]:
    """Map a file to write to it, and touch its first page so that the times show that write and no later one."""
    opened = os.open(path, os.O_RDWR)
    view = mmap.mmap(opened, 0)
    view[0] = view[0]
    try:
        if not stays_open:
            os.close(opened)
        yield view
    finally:
        view.close()
        if stays_open:
            os.close(opened)


def send(store: LocalStore, path: Path, digests: Digests) -> str:
    return str(store_sources(store, [Source("w.bin", path)], None, digests)[0].digest)


def settled(path: Path) -> bool:
    opened = os.open(path, os.O_RDONLY)
    try:
        return settle(opened, os.fstat(opened))
    finally:
        os.close(opened)


@pytest.mark.parametrize("stays_open", [True, False])
def test_a_write_through_a_map_after_registering_is_seen_by_the_next(
    store: LocalStore, weights: Path, tmp_path: Path, stays_open: bool
) -> None:
    digests = Digests(tmp_path / "digests")
    with mapped(weights, stays_open=stays_open) as view:
        time.sleep(0.05)  # beyond a tick of the clock
        first = send(store, weights, digests)
        view[5] ^= 1
        second = send(store, weights, digests)
    assert first != second == str(hash_file(weights).digest)


def test_a_write_through_a_map_after_pulling_is_seen_by_the_next(
    store: LocalStore, cache: Cache, weights: Path, tmp_path: Path
) -> None:
    blob = store.put_file(weights)
    files = [StoredFile("w.bin", blob.digest, blob.size, "other")]
    pull(files, store, cache, tmp_path / "to", link=False)
    with mapped(tmp_path / "to/w.bin") as view:
        time.sleep(0.05)
        pull(files, store, cache, tmp_path / "to", link=False)  # it is right, and stamped where that is safe
        view[5] ^= 1
        with pytest.raises(ConflictError, match=r"w\.bin' differs"):
            pull(files, store, cache, tmp_path / "to", link=False)


def test_nothing_is_noted_of_a_file_in_memory(store: LocalStore, tmp_path: Path) -> None:
    if not os.access(MEMORY, os.W_OK):
        pytest.skip("this machine has no such file system")
    digests = Digests(tmp_path / "digests")
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        path = Path(folder, "w.bin")
        path.write_bytes(bytes(100_000))
        time.sleep(0.05)
        assert not settled(path)
        first = send(store, path, digests)
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as view:
            assert view[0] == 0  # a page that was read there is written to without a word
            view[0] = 1
        assert first != send(store, path, digests) == str(hash_file(path).digest)


def test_who_opens_a_settled_file_to_write_is_not_kept_waiting(weights: Path) -> None:
    time.sleep(0.05)
    opened = os.open(weights, os.O_RDONLY)
    try:
        settle(opened, os.fstat(opened))
        os.close(os.open(weights, os.O_WRONLY | os.O_NONBLOCK))  # BlockingIOError where a lease is left
    finally:
        os.close(opened)


def test_who_opens_a_file_as_it_is_settled_does_not_end_this_process(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = fcntl.fcntl

    def meet(opened: int, command: int, *rest: int) -> int:
        done = real(opened, command, *rest)
        if (command, *rest) == (fcntl.F_SETLEASE, fcntl.F_RDLCK):
            with pytest.raises(BlockingIOError):
                os.close(os.open(weights, os.O_WRONLY | os.O_NONBLOCK))
        return done

    monkeypatch.setattr(fcntl, "fcntl", meet)
    monkeypatch.setattr(settling, "_file_system", lambda _opened: "ext4")
    assert signal.getsignal(signal.SIGURG) is signal.SIG_DFL
    assert settled(weights)


def test_a_file_whose_writers_nobody_can_know_is_sent_to_the_disk_first(
    weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(settling, "_file_system", lambda _opened: "overlay")
    monkeypatch.setattr(os, "fsync", sent.append)
    assert settled(weights)
    assert len(sent) == 1

    def fail(_opened: int) -> NoReturn:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fsync", fail)
    assert not settled(weights)


@pytest.mark.parametrize("kind", ["tmpfs", "fuse.sshfs", None])
def test_a_file_system_that_nobody_vouches_for_is_not_trusted(
    weights: Path, monkeypatch: pytest.MonkeyPatch, kind: str | None
) -> None:
    monkeypatch.setattr(settling, "_file_system", lambda _opened: kind)
    assert not settled(weights)


def test_a_file_system_of_whole_seconds_is_not_trusted_at_once(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "_file_system", lambda _opened: "ext3")
    now = int(time.time())
    monkeypatch.setattr("gitreg.objects.settling.time.time", lambda: now + 0.5)
    with weights.open("rb") as file:
        for age, trusted in ((0, False), (1, False), (10, True)):
            then = (now - age) * 10**9
            found = os.stat_result((0o100644, 1, 1, 1, 0, 0, 5, now, now, now - age), {"st_ctime_ns": then})
            assert settle(file.fileno(), found) is trusted


def test_a_link_is_told_from_a_write(weights: Path) -> None:
    before = weights.stat()
    time.sleep(0.05)
    other = weights.with_name("linked")
    other.hardlink_to(weights)
    assert is_unwritten(before, weights.stat())
    linked = weights.stat()
    time.sleep(0.05)
    os.utime(weights, ns=(linked.st_atime_ns, linked.st_mtime_ns))  # as who hides a write would
    assert not is_unwritten(linked, weights.stat())
    with weights.open("r+b") as file:
        file.write(b"x")
    assert not is_unwritten(before, weights.stat())
