"""Pushes at once while hooks are killed: no kill breaks the log, and nothing reaches main unlogged.

Some seconds by default; `GITREG_SOAK=300` goes on for that many.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.audit import proof
from gitreg.git import Repository, refs
from gitreg.layout import MAIN
from tests.gate.support import pointer_file, version_file
from tests.gate_hooks.support import Server, run
from tests.gate_hooks.test_audit import wrong

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.gate.support import Edits

SECONDS = float(os.environ.get("GITREG_SOAK", "8"))
CLIENTS = 4
_HOOK = b"gitreg.gate_hooks.hook"


def hooks_of(server: Server) -> Iterator[int]:
    """Give the processes that run this registry's hooks."""
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdigit() and (process / "cwd").readlink() == server.path:
                command = (process / "cmdline").read_bytes()
                if _HOOK in command:
                    yield int(process.name)
        except OSError:
            continue


def killing(server: Server, stop: threading.Event, killed: list[int]) -> None:
    """Kill every other hook of this registry, at a random point of its life."""
    chance = random.Random(1)
    due: dict[int, float | None] = {}
    while not stop.wait(0.01):
        for pid in hooks_of(server):
            if pid not in due:
                due[pid] = time.monotonic() + chance.uniform(0, 0.4) if chance.random() < 0.5 else None
            at = due[pid]
            if at is not None and time.monotonic() > at:
                due[pid] = None
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)


def verifying(server: Server, stop: threading.Event, alarms: list[object]) -> None:
    """Prove the log again and again while pushes arrive: no moment of it is damage."""
    while not stop.wait(1):
        with Repository.open(server.path) as repository:
            alarms += proof.verify(repository).findings


class Pusher(threading.Thread):
    """Push versions, and now and then a deployment, each on the newest main, until it is enough."""

    def __init__(self, server: Server, number: int, enough: Callable[[], bool]) -> None:
        super().__init__()
        self.server = server
        self.number = number
        self.enough = enough
        self.accepted: list[str] = []
        self.failed: BaseException | None = None

    def run(self) -> None:
        try:
            with self.server.client:
                step = 0
                while not self.enough():
                    self.step(step)
                    step += 1
        except BaseException as error:  # noqa: BLE001 - told by the test
            self.failed = error

    def step(self, step: int) -> None:
        version = f"{self.number + 2}.{step}.0"
        if self.push("alice", version_file(version)):
            self.push("bob", pointer_file(version))

    def push(self, who: str, edits: Edits) -> bool:
        self.server.fetch()
        oid = self.server.commit(edits, parent=refs.resolve(self.server.client, MAIN))
        if not self.server.send(who, f"{oid}:{MAIN}").accepted:
            return False
        self.accepted.append(oid)
        return True


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes under /proc")
def test_pushes_at_once_and_kills_leave_a_whole_log_and_nothing_unlogged(server: Server, tmp_path: Path) -> None:
    stop, killed, alarms = threading.Event(), list[int](), list[object]()
    pushers: list[Pusher] = []
    begun = time.monotonic()

    def enough() -> bool:
        took = time.monotonic() - begun
        some = len(killed) > CLIENTS and sum(len(pusher.accepted) for pusher in pushers) > CLIENTS
        return (took > SECONDS and some) or took > 10 * SECONDS

    others = [
        threading.Thread(target=killing, args=(server, stop, killed)),
        threading.Thread(target=verifying, args=(server, stop, alarms)),
    ]
    for number in range(CLIENTS):
        run(["git", "clone", "--quiet", "--bare", str(server.path), f"client-{number}.git"], tmp_path)
        own = Server(server.path, Repository.open(tmp_path / f"client-{number}.git"))
        pushers.append(Pusher(own, number, enough))
    for thread in (*others, *pushers):
        thread.start()
    for thread in pushers:
        thread.join()
    stop.set()
    for thread in others:
        thread.join()
    assert [pusher.failed for pusher in pushers] == [None] * CLIENTS
    # What killed hooks left undone the next push makes good.
    server.fetch()
    assert server.push("alice", version_file("1.9.0")).accepted

    on_main = server.git("rev-list", "--first-parent", "main").split()
    accepted = {oid for pusher in pushers for oid in pusher.accepted}
    with Repository.open(server.path) as repository:
        found = proof.verify(repository)
    assert wrong(server.path) == []
    assert found.findings == ()
    assert found.notes == ()
    assert found.commits == len(on_main)
    assert found.landed == len(on_main) - 1
    assert accepted <= set(on_main)
    assert len(accepted) > CLIENTS
    assert len(killed) > CLIENTS
    assert alarms == []
