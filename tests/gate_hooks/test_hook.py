"""The hook as a process: whatever happens to it, the answer is no, and the log knows."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks import hook
from tests.gate.support import version_file
from tests.gate_hooks.support import Pushed, Server, run
from tests.gate_hooks.test_audit import wrong
from tests.gate_hooks.test_audit_verify import bring

if TYPE_CHECKING:
    from collections.abc import Sequence

MAIN = "refs/heads/main"
BEGIN = """
import os, resource, signal, subprocess, sys, time
from gitreg.gate_hooks import hook, push
{set}
def judged(*_):
    {body}
{replace}
hook.main({name!r})
"""
LIMITS = "hook.TIME_LIMIT, hook._GRACE = 1, 30"
HARD = "hook.TIME_LIMIT, hook._GRACE = 1, 1"


def script(body: str = "pass", *, name: str = "pre-receive", limits: str = LIMITS, judge: bool = False) -> list[str]:
    replace = "" if judge else "push.judge_push = judged"
    return [sys.executable, "-c", BEGIN.format(body=body, name=name, set=limits, replace=replace)]


def faulty(
    server: Server, body: str, *, name: str = "pre-receive", data: Sequence[str] = (), limits: str = LIMITS
) -> Pushed:
    """Run a hook whose judgement does something else."""
    lines = data or [f"{server.tip()} {'b' * 40} {MAIN}"]
    done = run(
        script(body, name=name, limits=limits),
        server.path,
        environment={"GL_USER": "root"},
        data="".join(f"{line}\n" for line in lines).encode(),
        check=False,
    )
    return Pushed(done.returncode == hook.ACCEPTED, done.stderr)


def refusals(server: Server) -> list[str]:
    """Give what the log says of each decision; every one is a refusal."""
    assert {each["verdict"] for each in server.log()} <= {"refused"}
    assert wrong(server.path) == []
    return [each["violations"][0]["message"] for each in server.log()]


# Faults in the judgement


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('boom')",
        "raise MemoryError",
        "1 / 0",
        "judged()",
        "raise KeyboardInterrupt",
        "raise OSError",
        "raise SystemExit",
        "raise SystemExit(0)",
        "sys.exit(0)",
        "raise GeneratorExit",
        "raise BaseException",
        "raise BaseExceptionGroup('all', [SystemExit(0)])",
    ],
)
def test_a_bug_refuses_and_is_logged(server: Server, body: str) -> None:
    assert not faulty(server, body).accepted
    assert len(refusals(server)) == 1


@pytest.mark.parametrize("status", [0, 1, 2])
def test_a_process_that_ends_by_itself_accepts_nothing(server: Server, status: int) -> None:
    assert not faulty(server, f"os._exit({status})").accepted
    assert server.log() == []


@pytest.mark.parametrize("ending", ["import os; os._exit(0)", "raise SystemExit(0)", "pass", "import os; os.abort()"])
def test_a_python_that_ends_otherwise_than_by_a_verdict_refuses_the_push(server: Server, ending: str) -> None:
    path = server.path / "hooks" / "pre-receive"
    path.write_text(path.read_text().replace('from gitreg.gate_hooks.hook import main; main("pre-receive")', ending))
    assert ending in path.read_text()

    assert not server.push("alice", version_file("1.1.0")).accepted


def test_a_bug_is_told_and_logged(server: Server) -> None:
    done = faulty(server, "raise RuntimeError('boom')")

    assert done.codes == ["internal"]
    assert [(each["actor"], each["verdict"]) for each in server.log()] == [("root", "refused")]
    assert refusals(server) == ["RuntimeError: boom"]
    assert server.log()[0]["updates"][0]["ref"] == MAIN


@pytest.mark.parametrize(
    "verdict", ["None", "True", "0", "()", "push.Verdict((), None)", "push.Verdict((), [])", "push.Verdict((), '')"]
)
def test_a_verdict_that_is_none_refuses(server: Server, verdict: str) -> None:
    assert not faulty(server, f"return {verdict}").accepted
    assert refusals(server) == ["TypeError: the gate gave no verdict"]


def test_an_unknown_hook_refuses(server: Server) -> None:
    assert not faulty(server, "pass", name="update").accepted


@pytest.mark.parametrize("body", ["raise SystemExit(0)", "raise MemoryError"])
def test_a_log_that_cannot_be_written_refuses_what_was_accepted(server: Server, body: str) -> None:
    patch = f"from gitreg.gate_hooks import audit\ndef no(*_):\n    {body}\naudit.append = no"
    oid = bring(server, server.commit(version_file("1.1.0")))
    done = run(
        script(limits=patch, judge=True),
        server.path,
        environment={"GL_USER": "alice"},
        data=f"{server.tip()} {oid} {MAIN}\n".encode(),
        check=False,
    )

    assert done.returncode == 1


# Time


def test_judging_that_takes_too_long_is_refused_and_logged(server: Server) -> None:
    done = faulty(server, "time.sleep(20)")

    assert not done.accepted
    assert done.codes == ["internal"]
    assert "took longer than 1 s" in refusals(server)[0]


def test_judging_that_no_signal_reaches_is_ended_all_the_same(server: Server) -> None:
    start = time.monotonic()

    body = "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(20)"
    done = faulty(server, body, limits=HARD)

    assert not done.accepted
    assert time.monotonic() - start < 15


@pytest.mark.parametrize("kind", ["Exception", "BaseException"])
def test_judging_that_swallows_the_alarm_is_refused(server: Server, kind: str) -> None:
    done = faulty(server, f"try: time.sleep(20)\n    except {kind}: pass\n    return push.Verdict((), ())")

    assert not done.accepted
    assert "took longer than 1 s" in refusals(server)[0]


def test_an_alarm_that_is_lost_in_a_destructor_comes_again(server: Server) -> None:
    body = """
    class Slow:
        def __del__(self): time.sleep(3)
    Slow()
    time.sleep(20)
    """

    assert not faulty(server, body).accepted
    assert "took longer than 1 s" in refusals(server)[0]


def test_input_that_never_ends_is_refused_and_logged(server: Server) -> None:
    read, write = os.pipe()
    try:
        os.write(write, b"0" * 100)
        done = subprocess.run(script(), cwd=server.path, stdin=read, capture_output=True, check=False, timeout=30)
    finally:
        os.close(read)
        os.close(write)

    assert done.returncode == 1
    assert "took longer than 1 s" in refusals(server)[0]


@pytest.mark.parametrize("tail", [b"", b"\n"])
def test_input_without_bounds_is_refused_and_logged(server: Server, tail: bytes) -> None:
    line = f"{server.tip()} {'b' * 40} {MAIN}\n".encode()
    data = line * (hook.MAX_INPUT // len(line)) + b"x" * len(line) + tail

    done = server.hook(data)

    assert (done.accepted, done.codes) == (False, ["ref-malformed"])
    assert refusals(server) == [f"more than {hook.MAX_INPUT} bytes of ref updates"]
    assert server.log()[0]["updates"] == []


# Signals


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_a_hook_that_is_told_to_end_refuses_and_is_logged(server: Server, name: str) -> None:
    assert not faulty(server, f"os.kill(os.getpid(), signal.{name}); time.sleep(20)").accepted
    assert refusals(server) == [f"the hook was ended by {name}; push again"]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
def test_being_told_to_end_cannot_be_swallowed(server: Server, name: str) -> None:
    body = f"try: os.kill(os.getpid(), signal.{name}); time.sleep(20)\n    except BaseException: pass"

    assert not faulty(server, f"{body}\n    return push.Verdict((), ())").accepted
    assert refusals(server) == [f"the hook was ended by {name}; push again"]


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGXCPU"])
def test_a_killed_judge_accepts_nothing(server: Server, name: str) -> None:
    body = f"signal.signal(signal.{name}, signal.SIG_DFL); " if name != "SIGKILL" else ""

    assert not faulty(server, f"{body}os.kill(os.getpid(), signal.{name}); time.sleep(20)").accepted
    assert server.log() == []
    assert wrong(server.path) == []


# Streams


def judged(server: Server, streams: str, who: str) -> int:
    """Run the hook on a version that alice may register and eve may not, with its streams as the shell says."""
    oid = bring(server, server.commit(version_file("1.1.0")))
    command = f"hooks/pre-receive {streams}"
    data = f"{server.tip()} {oid} {MAIN}\n".encode()
    return run(["sh", "-c", command], server.path, environment={"GL_USER": who}, data=data, check=False).returncode


@pytest.mark.parametrize("streams", ["", "2>&-", ">&-", ">&- 2>&-", "2>/dev/full", "2</dev/null"])
def test_nobody_to_tell_it_to_changes_no_verdict(server: Server, streams: str) -> None:
    assert judged(server, streams, "alice") == 0
    assert judged(server, streams, "eve") == 1
    assert [each["verdict"] for each in server.log()] == ["accepted", "refused"]
    assert wrong(server.path) == []


def test_a_reader_that_went_away_changes_no_verdict(server: Server) -> None:
    for who, status in (("alice", 0), ("eve", 1)):
        read, write = os.pipe()
        os.close(read)
        oid = bring(server, server.commit(version_file("1.1.0")))
        done = subprocess.run(
            [str(server.path / "hooks" / "pre-receive")],
            cwd=server.path,
            env={**os.environ, "GL_USER": who},
            input=f"{server.tip()} {oid} {MAIN}\n".encode(),
            stderr=write,
            check=False,
        )
        os.close(write)
        assert done.returncode == status
    assert [each["verdict"] for each in server.log()] == ["accepted", "refused"]


@pytest.mark.parametrize("streams", ["<&-", "<&- >&- 2>&-", "</dev/null"])
def test_no_input_is_refused_and_no_stream_takes_the_log_s_place(server: Server, streams: str) -> None:
    assert judged(server, streams, "alice") == 1
    assert [each["violations"][0]["code"] for each in server.log()] == ["ref-malformed"]
    assert wrong(server.path) == []


# Resources


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds memory as Linux does")
@pytest.mark.parametrize(
    "body", ["bytearray(2 << 30)", "held = []\n    while True: held.append('x' * 100_000 + str(len(held)))"]
)
def test_judging_that_eats_memory_is_refused_and_logged(server: Server, body: str) -> None:
    who = {"GL_USER": "root"}
    done = run(script(body, limits="hook.TIME_LIMIT = 60"), server.path, environment=who, data=b"", check=False)

    assert (done.returncode, Pushed(False, done.stderr).codes) == (1, ["internal"])
    assert "took more than 384 MiB of memory" in refusals(server)[0]


def test_limits_hold_for_what_the_hook_starts_as_well(server: Server) -> None:
    body = """
    shown = subprocess.run(["sh", "-c", "ulimit -d; ulimit -c; umask"], capture_output=True, text=True).stdout
    raise RuntimeError(" ".join(shown.split()))
    """
    faulty(server, body)

    assert refusals(server) == [f"RuntimeError: {hook.MEMORY_LIMIT >> 10} 0 0077"]


def test_a_limit_that_is_there_already_is_not_raised(server: Server) -> None:
    body = "raise RuntimeError(str(resource.getrlimit(resource.RLIMIT_DATA)))"
    limit = 200 << 20
    limits = f"{LIMITS}\nresource.setrlimit(resource.RLIMIT_DATA, ({limit}, {limit}))"
    run(script(body, limits=limits), server.path, environment={"GL_USER": "root"}, data=b"", check=False)

    assert refusals(server) == [f"RuntimeError: ({limit}, {limit})"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="bounds memory as Linux does")
@pytest.mark.parametrize(("count", "mebibytes"), [(1, 64), (1000, 128)])
def test_pushes_are_judged_in_a_part_of_the_memory_they_may_take(server: Server, count: int, mebibytes: int) -> None:
    edits: dict[str, bytes] = {}
    for number in range(count):
        edits |= version_file(f"2.{number}.0")
    oid = bring(server, server.commit(edits))
    done = run(
        script(limits=f"hook.MEMORY_LIMIT = {mebibytes} << 20", judge=True),
        server.path,
        environment={"GL_USER": "alice"},
        data=f"{server.tip()} {oid} {MAIN}\n".encode(),
        check=False,
    )

    assert done.stderr == ""
    assert done.returncode == hook.ACCEPTED


# What is told and logged


def test_all_violations_are_logged_where_not_all_are_told(server: Server) -> None:
    edits = dict(itertools.chain.from_iterable(version_file(f"3.{each}.0").items() for each in range(150)))
    pushed = server.push("bob", edits)

    assert not pushed.accepted
    assert "more" in pushed.said
    logged = server.log()[0]["violations"]
    assert len(logged) >= 150
    assert {each["path"] for each in logged if "path" in each} == set(edits)


def test_where_a_push_comes_from_is_logged(server: Server) -> None:
    environment = {"GL_USER": "alice", "SSH_CONNECTION": "10.1.2.3 50000 10.0.0.1 22", "GITREG_SESSION": "5e" * 16}
    oid = server.commit(version_file("1.1.0"))
    run(["git", "push", str(server.path), f"{oid}:{MAIN}"], server.client.git_dir, environment=environment)

    found = server.log()[0]

    assert found["source"] == {"identity": "GL_USER", "address": "10.1.2.3", "session": "5e" * 16}
    assert found["models"] == ["risk/fraud"]
    assert "signers" not in found
    assert json.dumps(found)
