"""Locks of main that a killed server leaves are taken away at once, and those of the living never."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.git.refs import KilledError
from gitreg.layout import MAIN
from gitreg.writer import locks
from gitreg.writer.group import GroupWriter
from gitreg.writer.locks import Locks
from tests.writer.grouping import change, registering, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.registries import Forge


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    (tmp_path / MAIN).parent.mkdir(parents=True)
    return tmp_path


@pytest.fixture
def own(git_dir: Path) -> Iterator[Locks]:
    found = Locks(git_dir, git_dir)
    yield found
    found.close()


def left(git_dir: Path, *, seconds_ago: float) -> tuple[Path, Path]:
    """Leave what a server leaves that is killed in the middle of a move: its note, and git's lock."""
    note, lock = git_dir / "gitreg" / "moving" / "0123456789abcdef", git_dir / f"{MAIN}.lock"
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_bytes(b"begun")
    lock.touch()
    moment = time.time() - seconds_ago
    os.utime(note, (moment, moment))
    os.utime(lock, (moment + 0.1, moment + 0.1))
    return note, lock


def test_a_lock_of_a_killed_server_is_taken_away(git_dir: Path, own: Locks) -> None:
    note, lock = left(git_dir, seconds_ago=4.0)
    own.break_left()
    assert not lock.exists()
    assert not note.exists()


def test_a_server_that_starts_after_a_kill_writes_at_once(forge: Forge) -> None:
    left(forge.bare, seconds_ago=4.0)
    writer = GroupWriter(forge.bare)
    try:
        assert writer.submit(change(registering("3.0.0"))).result(60).commit == forge.tip()
    finally:
        writer.close()
    assert not list((forge.bare / "gitreg" / "moving").iterdir())


def test_a_lock_of_the_living_stays(git_dir: Path, own: Locks) -> None:
    note, lock = left(git_dir, seconds_ago=4.0)
    with note.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        own.break_left()
    assert lock.exists()
    assert note.exists()


@pytest.mark.parametrize("later", [-60.0, 60.0])
def test_a_lock_of_another_time_is_not_the_killed_servers(git_dir: Path, own: Locks, later: float) -> None:
    _, lock = left(git_dir, seconds_ago=100.0)
    moment = time.time() - 100.0 + later
    os.utime(lock, (moment, moment))
    own.break_left()
    assert lock.exists()


def test_a_lock_that_was_taken_just_now_is_left_alone(git_dir: Path, own: Locks) -> None:
    note, lock = left(git_dir, seconds_ago=0.2)
    own.break_left()
    assert lock.exists()
    assert note.exists()


def test_where_git_alone_was_killed_its_lock_goes_too(
    git_dir: Path, own: Locks, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = git_dir / f"{MAIN}.lock"
    with suppress(KilledError), own.moving():
        lock.touch()
        raise KilledError("git update-ref was killed by signal 9")
    monkeypatch.setattr(locks, "_SHORT", 60.0)
    own.break_left()
    assert lock.exists()
    monkeypatch.setattr(locks, "_SHORT", 0.1)

    def is_gone() -> bool:
        own.break_left()
        return not lock.exists()

    until(is_gone)


def test_a_move_that_ended_says_so(own: Locks) -> None:
    assert own.fd is not None
    with own.moving():
        assert os.pread(own.fd, 9, 0) == b"begun"
    assert os.pread(own.fd, 9, 0) == b""


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_git_holds_the_note_open_while_it_may_move(forge: Forge) -> None:
    writer = GroupWriter(forge.bare)
    try:
        writer.submit(change(registering("3.0.0"))).result(60)
        process = writer._landing._mover._process
        assert process is not None
        held = [each.readlink() for each in Path(f"/proc/{process.pid}/fd").iterdir()]
    finally:
        writer.close()
    assert [each for each in held if each.parent == forge.bare / "gitreg" / "moving"]
