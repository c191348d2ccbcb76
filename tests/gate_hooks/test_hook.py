"""The hook as a process: whatever happens to it, the answer is no, and the log knows."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from tests.gate_hooks.support import Pushed, Server, run

if TYPE_CHECKING:
    from collections.abc import Sequence

MAIN = "refs/heads/main"
BEGIN = """
import signal, sys, time
from gitreg.gate_hooks import hook, push
hook.TIME_LIMIT, hook._GRACE = 1, 1
def judged(*_):
    {body}
push.judge_push = judged
hook.main({name!r})
"""


def faulty(server: Server, body: str, *, name: str = "pre-receive", data: Sequence[str] = ()) -> Pushed:
    """Run a hook whose judgement does something else."""
    lines = data or [f"{server.tip()} {'b' * 40} {MAIN}"]
    script = BEGIN.format(body=body, name=name)
    done = run(
        [sys.executable, "-c", script],
        server.path,
        environment={"GL_USER": "root"},
        data="".join(f"{line}\n" for line in lines).encode(),
        check=False,
    )
    return Pushed(done.returncode == 0, done.stderr)


@pytest.mark.parametrize(
    "body",
    [
        "raise RuntimeError('boom')",
        "raise MemoryError",
        "1 / 0",
        "judged()",
        "raise KeyboardInterrupt",
        "raise OSError",
    ],
)
def test_a_bug_refuses(server: Server, body: str) -> None:
    assert not faulty(server, body).accepted


def test_a_bug_is_told_and_logged(server: Server) -> None:
    done = faulty(server, "raise RuntimeError('boom')")

    assert done.codes == ["internal"]
    assert [(each["actor"], each["verdict"]) for each in server.log()] == [("root", "refused")]
    assert "RuntimeError: boom" in server.log()[0]["violations"][0]
    assert server.log()[0]["updates"][0]["ref"] == MAIN


def test_judging_that_takes_too_long_is_refused_and_logged(server: Server) -> None:
    done = faulty(server, "time.sleep(20)")

    assert not done.accepted
    assert done.codes == ["internal"]
    assert "took longer than 1 s" in server.log()[0]["violations"][0]


def test_judging_that_no_signal_reaches_is_ended_all_the_same(server: Server) -> None:
    done = faulty(server, "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM]); time.sleep(20)")

    assert not done.accepted


def test_a_killed_judge_accepts_nothing(server: Server) -> None:
    assert not faulty(server, "import os; os.kill(os.getpid(), signal.SIGKILL)").accepted


def test_an_unknown_hook_refuses(server: Server) -> None:
    assert not faulty(server, "pass", name="update").accepted


def test_a_verdict_of_none_at_all_refuses(server: Server) -> None:
    assert not faulty(server, "return None").accepted
