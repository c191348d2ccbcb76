"""Kill a server that writes in groups, again and again: what it acknowledged is on main, once, and the log is whole.

A few times by default; `GITREG_SOAK=300` goes on for that many seconds.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.git import Repository
from gitreg.layout import DEPLOY_TAGS, MAIN
from gitreg.writer.group import GroupWriter
from tests.registries import git
from tests.writer.grouping import change, check_proof, registering

if TYPE_CHECKING:
    from tests.registries import Forge

ROOT = Path(__file__).parents[2]
SOAK = float(os.environ.get("GITREG_SOAK", "0"))
ROUNDS = 4


def serve(forge: Forge, turn: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.writer.serving", str(forge.bare), str(turn)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True, start_new_session=True)


def until_killed(forge: Forge, turn: int, acknowledged: int, *, delay: float, with_git: bool) -> list[str]:
    """Let a server run until it has acknowledged so many writes, and a moment longer; give what it acknowledged."""
    with serve(forge, turn) as server:
        assert server.stdout
        told = [server.stdout.readline() for _ in range(acknowledged)]
        time.sleep(delay)
        if with_git:
            os.killpg(server.pid, signal.SIGKILL)
        else:
            server.kill()
        told += server.stdout.readlines()
        server.wait(30)
    # One that hears of git's death before its own has nothing to acknowledge.
    return [line.strip() for line in told if not line.startswith("unavailable")]


def wait_for_git(forge: Forge) -> None:
    """Wait for git's processes that outlive who started them: they come to their ends."""
    deadline = time.monotonic() + 60
    while any(_works_in(process, forge.bare) for process in Path("/proc").glob("[0-9]*")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _works_in(process: Path, bare: Path) -> bool:
    with contextlib.suppress(OSError):
        return (process / "cwd").readlink() == bare
    return False


def test_a_killed_server_loses_nothing_that_it_acknowledged_and_repeats_nothing(forge: Forge) -> None:
    chance, started, acknowledged, turn = random.Random(6), time.monotonic(), [], 0
    while turn < ROUNDS or time.monotonic() - started < SOAK:
        turn += 1
        acknowledged += until_killed(
            forge, turn, chance.randrange(1, 30), delay=chance.uniform(0, 0.05), with_git=turn % 2 == 0
        )
        wait_for_git(forge)
        for name in (MAIN, "HEAD"):
            with contextlib.suppress(FileNotFoundError):  # git was killed as well, and held it
                os.utime(forge.bare / f"{name}.lock", (0, 0))
        landed = git(forge.bare, "log", "--first-parent", "--format=%H %s", MAIN).splitlines()
        subjects = [line.partition(" ")[2] for line in landed if "Register risk/m" in line]
        assert set(acknowledged) <= set(landed)
        assert len(subjects) == len(set(subjects))
        check_proof(forge.bare)
    writer = GroupWriter(forge.bare)
    assert writer.submit(change(registering("9.0.0"))).result(60).commit == forge.tip()
    writer.close()
    git(forge.bare, "fsck", "--strict", "--no-dangling")
    assert check_proof(forge.bare).commits
    with Repository.open(forge.bare) as repository:
        prefixes = ("refs/heads/", DEPLOY_TAGS)
        assert all(
            ref.startswith(prefixes) for ref in repository.run(["for-each-ref", "--format=%(refname)"]).decode().split()
        )
    assert not list(forge.bare.glob("fast_import_crash_*"))


FULL = """
import resource, signal, sys
from gitreg.errors import UnavailableError
from gitreg.reader import Snapshot
from gitreg.git import Repository
from gitreg.writer.group import GroupWriter
from tests.writer.grouping import audit_path, change, registering
from pathlib import Path
path, what = Path(sys.argv[1]), sys.argv[2]
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
most = 40 if what == "pack" else audit_path(path).stat().st_size + 100
writer = GroupWriter(path)
writer.submit(change(registering("3.0.0"))).result(60)
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
writer._rest()  # git takes the limit over when it starts
before = writer._stage().tip
try:
    writer.submit(change(registering("3.1.0"))).result(60)
except UnavailableError as error:
    print(error.message)
with Repository.open(path) as repository:
    assert Snapshot(repository, writer._stage().tip).settings.name == "acme"
assert writer._stage().tip == before
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
writer._rest()
assert writer.submit(change(registering("3.1.0"))).result(60).commit
writer.close()
"""


def full(forge: Forge, what: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(forge.bare), what], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    git(forge.bare, "fsck", "--strict", "--no-dangling")
    check_proof(forge.bare)
    return done.stdout


def test_where_no_commit_can_be_written_it_says_so_and_goes_on_once_there_is_room(forge: Forge) -> None:
    assert "fast-import" in full(forge, "pack")


def test_where_no_decision_can_be_logged_nothing_lands(forge: Forge) -> None:
    assert "the audit log cannot be written: File too large" in full(forge, "log")
