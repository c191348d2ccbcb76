from __future__ import annotations

import contextlib
import os
import resource
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import UnavailableError
from gitreg.git.serve import Client, Limits, Served, receive
from tests.attacks import raw
from tests.gate_hooks.support import run

if TYPE_CHECKING:
    from pathlib import Path

MAIN = "refs/heads/main"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    path = tmp_path / "repository.git"
    run(["git", "init", "--quiet", "--bare", str(path)], tmp_path)
    return path


@dataclass
class Talk:
    """A client that says something and hears the answer."""

    path: Path
    says: bytes
    limits: Limits = field(default_factory=Limits)
    stays: bool = False
    listens: bool = True
    heard: bytes = b""

    def hold(self) -> Served:
        """Push, in a thread beside the server."""
        from_client, to_server = os.pipe()
        from_server, to_client = os.pipe()
        over = threading.Event()

        def say() -> None:
            with contextlib.suppress(OSError), os.fdopen(to_server, "wb") as file:
                file.write(self.says)
                file.flush()
                if self.stays:
                    over.wait(60)

        def hear() -> None:
            with os.fdopen(from_server, "rb") as file:
                if self.listens:
                    self.heard = file.read()

        threads = [threading.Thread(target=each) for each in (say, hear)]
        for each in threads:
            each.start()
        try:
            return receive(self.path, dict(os.environ), self.limits, Client(from_client, to_client, to_client))
        finally:
            os.close(from_client)
            os.close(to_client)
            over.set()
            for each in threads:
                each.join()


def commit_of(files: dict[str, bytes]) -> tuple[raw.Objects, str]:
    objects = raw.Objects()
    tree = objects.tree([("100644", name, objects.blob(data)) for name, data in files.items()])
    return objects, objects.add("commit", raw.commit_body(tree))


def push(files: dict[str, bytes], capabilities: str = "report-status side-band-64k") -> tuple[str, bytes]:
    objects, commit = commit_of(files)
    return commit, raw.Push([(raw.ZERO, commit, MAIN)], objects, capabilities=capabilities).said()


@pytest.mark.parametrize("capabilities", ["report-status", "report-status side-band-64k"])
@pytest.mark.parametrize("stays", [False, True])
def test_a_push_passes_both_ways(repository: Path, capabilities: str, stays: bool) -> None:
    commit, data = push({"a": b"x", "b": os.urandom(3 << 20)}, capabilities)
    talk = Talk(repository, data, stays=stays)

    served = talk.hold()

    assert served == Served(0, ((raw.ZERO, commit, MAIN),), "ok", {}, "", None)
    assert b"unpack ok" in talk.heard
    assert run(["git", "rev-parse", MAIN], repository).stdout.strip() == commit


def test_what_the_hook_says_and_decides_is_told(repository: Path) -> None:
    hook = repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\necho no >&2\nexit 1\n")
    hook.chmod(0o755)
    commit, data = push({"a": b"x"})

    served = Talk(repository, data).hold()

    assert served == Served(0, ((raw.ZERO, commit, MAIN),), "ok", {MAIN: "pre-receive hook declined"}, "no\n", None)


def test_what_is_no_protocol_does_not_reach_git(repository: Path) -> None:
    served = Talk(repository, b"zzzz", stays=True).hold()

    assert served.stopped == "a packet of length b'zzzz'"
    assert served.updates == ()


def test_a_client_that_does_not_listen_ends_nothing(repository: Path) -> None:
    commit, data = push({"a": b"x"})

    served = Talk(repository, data, listens=False).hold()

    assert served.stopped is None
    assert run(["git", "rev-parse", MAIN], repository).stdout.strip() == commit


def test_silence_ends_a_push_with_everything_it_started(repository: Path, tmp_path: Path) -> None:
    hook = repository / "hooks" / "pre-receive"
    hook.write_text(f"#!/bin/sh\nsleep 300 &\necho $! >{tmp_path}/pid\nwait\n")
    hook.chmod(0o755)
    _, data = push({"a": b"x"}, "report-status")

    served = Talk(repository, data, Limits(idle=1), stays=True).hold()

    assert served.stopped == "no byte for 1 s"
    assert _ends(int((tmp_path / "pid").read_text()))
    assert not run(["git", "for-each-ref"], repository).stdout


def _ends(pid: int) -> bool:
    """Whether a process is gone, or goes soon: who was killed dies when it next gets a processor."""
    deadline = time.monotonic() + 30
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not _runs(pid)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:  # noqa: PTH123 - a pseudo-file
        return file.read().rpartition(")")[2].split()[0] not in "ZX"


def test_what_a_hook_leaves_behind_holds_nobody_up(repository: Path, tmp_path: Path) -> None:
    hook = repository / "hooks" / "post-receive"
    hook.write_text(f"#!/bin/sh\nsleep 60 &\necho $! >{tmp_path}/pid\n")
    hook.chmod(0o755)
    _, data = push({"a": b"x"}, "report-status")

    served = Talk(repository, data).hold()

    assert served.stopped is None
    pid = int((tmp_path / "pid").read_text())
    assert _runs(pid)  # it is somebody's own, and goes on
    os.kill(pid, signal.SIGKILL)


def test_git_that_is_killed_is_told(repository: Path) -> None:
    hook = repository / "hooks" / "pre-receive"
    hook.write_text("#!/bin/sh\nkill -9 $PPID\n")
    hook.chmod(0o755)
    _, data = push({"a": b"x"}, "report-status")

    served = Talk(repository, data, stays=True).hold()

    assert served.code == -9


def test_the_limits_hold_for_git_and_not_for_who_started_it(repository: Path, tmp_path: Path) -> None:
    hook = repository / "hooks" / "pre-receive"
    hook.write_text(
        f"#!/bin/sh\nulimit -S -t >{tmp_path}/cpu\nulimit -S -d >{tmp_path}/data\nulimit -S -c >{tmp_path}/core\n"
    )
    hook.chmod(0o755)
    kinds = (resource.RLIMIT_CPU, resource.RLIMIT_DATA, resource.RLIMIT_CORE)
    before = [resource.getrlimit(kind) for kind in kinds]
    _, data = push({"a": b"x"})

    Talk(repository, data, Limits(seconds=17, memory=300 << 20)).hold()

    assert [(tmp_path / name).read_text().strip() for name in ("cpu", "data", "core")] == ["17", "307200", "0"]
    assert [resource.getrlimit(kind) for kind in kinds] == before


def test_an_object_that_is_too_large_is_not_unpacked(repository: Path) -> None:
    _, data = push({"a": bytes(3 << 20)})

    served = Talk(repository, data, Limits(allocation=2 << 20)).hold()

    assert served.unpacked == "unpack-objects abnormal exit"
    assert "attempting to allocate 3145729 over limit 2097152" in served.said


def test_git_that_cannot_be_started_is_told(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="git cannot be started"):
        receive(repository, {"PATH": str(tmp_path)}, Limits())
