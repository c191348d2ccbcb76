"""A busy server gives way to pushes, and not for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.gate import Code, Violation
from gitreg.gate_hooks import audit
from gitreg.writer import courtesy
from gitreg.writer.courtesy import Courtesy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Clock:
    """A clock that goes on while somebody waits, and does what is due then."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[Callable[[], object]] = []

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return 0.0  # the files' own times are later: what was seen of a folder may be different by now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        if self.due:
            self.due.pop(0)()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(courtesy, "time", found)
    return found


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    (tmp_path / "objects").mkdir()
    audit.begin(tmp_path, audit.Entry("2026-01-31T12:00:00Z", "root", (), ()))
    return tmp_path


def quarantine(git_dir: Path, name: str = "a") -> Path:
    return git_dir / "objects" / f"tmp_objdir-incoming-{name}"


def lose(git_dir: Path) -> None:
    """Log a push that was refused because main had moved on."""
    audit.append(git_dir, audit.Entry("2026-01-31T12:00:00Z", "alice", (), (Violation(Code.REF_STALE, "moved"),)))


def test_nobody_is_waited_for_where_nobody_pushes(git_dir: Path, clock: Clock) -> None:
    audit.append(git_dir, audit.Entry("2026-01-31T12:00:00Z", "alice", (), ()))
    assert Courtesy(git_dir).give_way() == 0
    assert clock.now == 1000


def test_a_push_under_way_is_waited_for(git_dir: Path, clock: Clock) -> None:
    found = Courtesy(git_dir)
    quarantine(git_dir).mkdir()
    clock.due = [lambda: None, quarantine(git_dir).rmdir]
    assert 0 < found.give_way() < courtesy.JUDGED
    assert not quarantine(git_dir).exists()


def test_a_push_that_takes_long_or_was_killed_is_waited_for_once(git_dir: Path, clock: Clock) -> None:
    found = Courtesy(git_dir)
    quarantine(git_dir).mkdir()
    assert found.give_way() == pytest.approx(courtesy.JUDGED, abs=0.1)
    clock.now += 100
    assert found.give_way() == 0


def test_what_was_left_by_pushes_before_the_server_began_is_not_waited_for(git_dir: Path, clock: Clock) -> None:
    quarantine(git_dir).mkdir()
    assert Courtesy(git_dir).give_way() == 0
    assert clock.now == 1000


def test_who_has_lost_may_come_again(git_dir: Path, clock: Clock) -> None:
    found = Courtesy(git_dir)
    lose(git_dir)
    clock.due = [lambda: None, quarantine(git_dir).mkdir, lambda: None, quarantine(git_dir).rmdir]
    assert 0 < found.give_way() < courtesy.RETRY
    assert clock.due == []
    assert found.give_way() == 0


def test_who_loses_while_it_is_waited_for_may_come_again_at_once(git_dir: Path, clock: Clock) -> None:
    def refuse() -> None:
        lose(git_dir)
        quarantine(git_dir).rmdir()

    found = Courtesy(git_dir)
    quarantine(git_dir).mkdir()
    clock.due = [refuse, quarantine(git_dir, "b").mkdir, lambda: None, quarantine(git_dir, "b").rmdir]
    found.give_way()
    assert clock.due == []


def test_however_many_push_half_of_the_time_is_the_server_s(git_dir: Path, clock: Clock) -> None:
    found, waited = Courtesy(git_dir), 0.0
    for number in range(100):
        quarantine(git_dir, str(number)).mkdir()
        lose(git_dir)
        waited += found.give_way()
        clock.now += 0.1
    assert courtesy.MOST <= waited <= courtesy.MOST + 100 * 0.1
