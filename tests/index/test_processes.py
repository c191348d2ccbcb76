"""Builders that are killed, and several at once."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from gitreg.index import workers
from tests.index.conftest import MODELS, SETTINGS, START, VERSIONS, Made, finder

if TYPE_CHECKING:
    from pathlib import Path

    from tests.index.conftest import Writer

WHOLE = len(MODELS) * len(VERSIONS)
# Builds, and kills itself where it would ask SQLite, or the disk, for the so-manieth time; without a number it counts.
BUILDER = """
import os, pathlib, signal, sqlite3, sys
from gitreg.git import Repository
from gitreg.index import workers
from gitreg.reader import Snapshot, indexing

folder, commit, last = sys.argv[1], sys.argv[2], int(sys.argv[3])
asked = 0

def one_more():
    global asked
    asked += 1
    if asked == last:
        os.kill(os.getpid(), signal.SIGKILL)

class Counting(sqlite3.Connection):
    def execute(self, *args):
        one_more()
        return super().execute(*args)

    def executemany(self, *args):
        one_more()
        return super().executemany(*args)

    def commit(self):
        one_more()
        super().commit()
        one_more()

connect, replace, unlink = sqlite3.connect, pathlib.Path.replace, pathlib.Path.unlink
sqlite3.connect = lambda *args, **named: connect(*args, factory=Counting, **named)
pathlib.Path.replace = lambda *args: (one_more(), replace(*args))[1]
pathlib.Path.unlink = lambda *args, **named: (unlink(*args, **named), one_more())[0]
with Repository.open(pathlib.Path(folder)) as repository:
    read = indexing.update(Snapshot(repository, commit))
print(read, asked)
"""
WORKERS = """
import os, signal, sys
from gitreg.index import workers

answers = workers.read_all((("card", b"x") for _ in range(9_000)), workers.FEW, processes=2)
next(answers)
os.kill(os.getpid(), signal.SIGKILL)
"""


def builder(folder: Path, commit: str, last: int = 0) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", BUILDER, str(folder), commit, str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_and_asked(process: subprocess.Popen[str]) -> tuple[int, int]:
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    read, asked = map(int, out.split())
    return read, asked


def is_whole(folder: Path) -> None:
    """Look at the file as whoever was killed left it; only what was committed is there."""
    path = folder / "gitreg" / "index.sqlite"
    if path.exists():
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            if connection.execute("PRAGMA user_version").fetchone() != (0,):
                assert connection.execute("SELECT count(*) FROM meta WHERE key = 'commit'").fetchone() == (1,)
        connection.close()


def places(asked: int) -> list[int]:
    """Choose where to kill: over the whole of the run, and at its end, where it commits and notes."""
    return sorted({1, 3, asked // 3, asked // 2, *range(asked - 5, asked + 1)})


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A copy of the registry without an index."""
    folder = tmp_path / "copy.git"
    subprocess.run(["git", "clone", "-q", "--bare", str(made.folder), str(folder)], check=True)
    return folder


def test_a_builder_that_is_killed_leaves_nothing_or_all(copy: Path, made: Made, tmp_path: Path) -> None:
    read, asked = read_and_asked(builder(copy, made.tips[-1]))
    assert read == WHOLE + len(MODELS) + 1
    find = finder(copy)
    for last in places(asked):
        for each in (copy / "gitreg").iterdir():
            each.unlink()
        killed = builder(copy, made.tips[-1], last)
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL, last
        is_whole(copy)
        found = find("size > 0")
        assert (len(found), found.notes) == (WHOLE, ()), last
        assert len(find("deployed('prod')")) == 3


def test_a_killed_update_leaves_what_was_before_or_after(writer: Writer) -> None:
    def manifest(number: int) -> dict[str, str | None]:
        head = "kind: ModelVersion\ncreated: 2026-01-01T00:00:00Z\nauthor: {name: A, email: a@example.org}\n"
        return {f"models/a/b/{number}.0.0.yaml": f"{head}metrics: {{auc: 0.{number}}}\n"}

    first = writer.commit(START, {"registry.yaml": SETTINGS, **manifest(1)})
    second = writer.commit(START + 1, manifest(2))
    find = finder(writer.folder)
    assert len(find("metrics.auc > 0", at=first)) == 1
    read_and_asked(builder(writer.folder, first))
    there, before = writer.folder / "gitreg", writer.folder / "before"
    shutil.copytree(there, before)  # with its times, which the index goes by
    read, asked = read_and_asked(builder(writer.folder, second))
    assert read == 1
    for last in places(asked):
        shutil.rmtree(there)
        shutil.copytree(before, there)
        killed = builder(writer.folder, second, last)
        killed.communicate(timeout=60)
        assert killed.returncode == -signal.SIGKILL, last
        is_whole(writer.folder)
        found = find("metrics.auc > 0")
        assert (len(found), found.notes) == (2, ()), last


def test_builders_at_once_read_each_file_once_and_all_are_answered(copy: Path, made: Made) -> None:
    builders = [builder(copy, made.tips[-1]) for _ in range(3)]
    # And one who follows main to another commit meanwhile.
    other = builder(copy, made.tips[0])
    read = [read_and_asked(each)[0] for each in builders]
    assert sum(read) + read_and_asked(other)[0] == WHOLE + len(MODELS) + 1
    found = finder(copy)("size > 0")
    assert (len(found), found.notes) == (WHOLE, ())
    is_whole(copy)


def test_searches_are_answered_while_builders_come_and_are_killed(copy: Path, made: Made) -> None:
    find = finder(copy)
    for last in (30, 60, 0):
        running = [builder(copy, tip, last) for tip in (made.tips[-1], made.tips[1])]
        found = [find("deployed('prod')") for _ in range(5)]
        assert [(len(each), each.notes) for each in found] == [(3, ())] * 5
        for each in running:
            each.communicate(timeout=60)
    is_whole(copy)


def test_a_process_that_reads_leaves_an_interrupt_to_who_started_it() -> None:
    worker = workers._Worker()
    try:
        assert worker.ask([("card", b"x")]) == [(("x",), {})]
        worker._process.send_signal(signal.SIGINT)
        assert worker.ask([("card", b"y")]) == [(("y",), {})]
    finally:
        worker.close()


def test_processes_that_read_end_with_the_one_that_is_killed() -> None:
    killed = subprocess.Popen([sys.executable, "-c", WORKERS], stderr=subprocess.PIPE)
    # They hold its standard error as long as they live.
    _, said = killed.communicate(timeout=60)
    assert (killed.returncode, said) == (-signal.SIGKILL, b"")
