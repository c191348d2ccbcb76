"""The writer in a process of its own: it does what the thread does, and its end is told."""

from __future__ import annotations

import inspect
import logging
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.layout import MAIN
from gitreg.manifest import Lifecycle
from gitreg.names import UserName
from gitreg.registry import planners
from gitreg.writer import process
from gitreg.writer.process import ProcessWriter
from tests.registries import git
from tests.writer.grouping import change, check_proof, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.writer.plan import Planner
    from tests.registries import Forge

ROOT = Path(__file__).parents[2]
PATIENCE = 60.0
VERSION = "risk/fraud@1.0.0"


def labelled(text: str) -> Planner:
    return planners.update(VERSION, labels={"note": text})


@pytest.fixture
def sizes() -> list[int]:
    return []


@pytest.fixture
def writer(forge: Forge, sizes: list[int]) -> Iterator[ProcessWriter]:
    found = ProcessWriter(forge.bare, landed=sizes.append)
    yield found
    found.close()


def pid(writer: ProcessWriter) -> int:
    return writer._child._process.pid


def test_changes_land_and_their_groups_are_told(forge: Forge, writer: ProcessWriter, sizes: list[int]) -> None:
    before = forge.tip()
    futures = [writer.submit(change(labelled(f"change {number}"))) for number in range(5)]
    commits = [future.result(PATIENCE).commit for future in futures]
    assert commits == git(forge.bare, "rev-list", "--reverse", "--first-parent", f"{before}..{MAIN}").split()
    until(lambda: sum(sizes) == 5)
    check_proof(forge.bare)


def test_what_is_refused_comes_back_with_all_that_it_says(forge: Forge, writer: ProcessWriter) -> None:
    stranger = writer.submit(change(labelled("mine"), actor="mallory"))
    nowhere = writer.submit(change(planners.update("risk/nothing@1.0.0", license="MIT")))
    refused = stranger.exception(PATIENCE)
    assert [str(each.code) for each in getattr(refused, "violations", ())] == ["actor-unknown"]
    missing = nowhere.exception(PATIENCE)
    assert isinstance(missing, NotFoundError)
    assert missing.hint


def test_a_bug_is_told_with_its_traceback(writer: ProcessWriter) -> None:
    found = writer.submit(change(len)).exception(PATIENCE)  # type: ignore[arg-type] # no planner, and that is the bug
    assert isinstance(found, TypeError)
    assert "Traceback" in found.__notes__[0]


def test_what_cannot_go_to_another_process_is_refused_at_once(writer: ProcessWriter) -> None:
    with pytest.raises((AttributeError, pickle.PicklingError)):
        writer.submit(change(lambda at: at))  # type: ignore[arg-type,return-value] # neither can it be planned


def test_those_who_wait_hear_of_its_end_and_the_next_finds_another(forge: Forge, writer: ProcessWriter) -> None:
    assert writer.submit(change(labelled("before"))).result(PATIENCE).commit == forge.tip()
    gone = pid(writer)
    os.kill(gone, signal.SIGSTOP)
    waiting = writer.submit(change(labelled("lost")))
    os.kill(gone, signal.SIGKILL)
    with pytest.raises(UnavailableError, match="may have landed"):
        waiting.result(PATIENCE)
    assert writer.submit(change(labelled("after"))).result(PATIENCE).commit == forge.tip()
    assert pid(writer) != gone
    check_proof(forge.bare)


def test_too_many_that_wait_are_turned_away(writer: ProcessWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "MOST_WAITING", 2)
    os.kill(pid(writer), signal.SIGSTOP)
    waiting = [writer.submit(change(labelled(f"change {number}"))) for number in range(2)]
    with pytest.raises(UnavailableError, match="waiting already"):
        writer.submit(change(labelled("one more")))
    os.kill(pid(writer), signal.SIGCONT)
    assert all(future.result(PATIENCE).commit for future in waiting)


def test_closing_finishes_what_was_begun_and_takes_no_more(forge: Forge) -> None:
    writer = ProcessWriter(forge.bare)
    last = writer.submit(change(labelled("last")))
    writer.close()
    error = last.exception(0)
    assert error is None or "stopping" in str(error)
    with pytest.raises(UnavailableError, match="stopping"):
        writer.submit(change(labelled("late")))
    assert not Path(f"/proc/{pid(writer)}").exists()


def test_signals_for_all_processes_of_the_server_leave_its_end_to_the_server(
    forge: Forge, writer: ProcessWriter
) -> None:
    assert writer.submit(change(labelled("before"))).result(PATIENCE).commit
    os.kill(pid(writer), signal.SIGTERM)
    os.kill(pid(writer), signal.SIGINT)
    assert writer.submit(change(labelled("after"))).result(PATIENCE).commit == forge.tip()


def test_it_ends_with_a_server_that_was_killed(forge: Forge) -> None:
    program = (
        "import sys, time; from gitreg.writer.process import ProcessWriter; "
        "print(ProcessWriter(sys.argv[1])._child._process.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", program, forge.bare], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        child = int(server.stdout.readline())
        server.kill()
    until(lambda: not is_running(child), PATIENCE)


def is_running(child: int) -> bool:
    try:
        return Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_its_log_is_the_servers(forge: Forge, writer: ProcessWriter, caplog: pytest.LogCaptureFixture) -> None:
    lock = forge.bare / f"{MAIN}.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    with caplog.at_level(logging.WARNING):
        assert writer.submit(change(labelled("through"))).result(PATIENCE).commit
        until(lambda: caplog.records)
    (record,) = caplog.records
    assert (record.name, record.levelname, record.process) == ("gitreg.writer", "WARNING", pid(writer))
    assert record.getMessage() == f"{lock} was left by a process that is gone; it is removed"


def test_what_makes_no_sense_ends_it(writer: ProcessWriter) -> None:
    with pytest.raises(ValueError, match="nothing that a writer says"):
        writer._child._take("invented")


# What goes there

_ASKED: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {
    "update": ((VERSION,), {"license": "MIT"}),
    "update_model": (("risk/fraud",), {"task": "scoring"}),
    "alias": ((VERSION, "best"), {}),
    "retire": ((VERSION, Lifecycle.YANKED), {"undo": True}),
    "delete": ((VERSION,), {"undo": True}),
    "deploy": ((VERSION, "prod"), {"reason": "better"}),
    "promote": (("risk/fraud", "staging"), {}),
    "rollback": (("risk/fraud", "prod"), {}),
    "undeploy": (("risk/fraud", "prod"), {}),
    "approve": ((VERSION, "prod", UserName("dana").__str__), {}),
    "report": ((VERSION, "prod"), {}),
}


def test_every_planner_is_among_them() -> None:
    made = {
        name for name, each in inspect.getmembers(planners, inspect.isfunction) if each.__module__ == planners.__name__
    }
    assert {name for name in made if not name.startswith("_")} == {*_ASKED}


@pytest.mark.parametrize("name", _ASKED)
def test_every_planner_can_go_to_another_process(name: str) -> None:
    given, named = _ASKED[name]
    copied = pickle.loads(pickle.dumps(getattr(planners, name)(*given, **named)))
    assert callable(copied)


def test_an_error_keeps_what_it_says_on_the_way() -> None:
    error = InvalidError("wrong", hint="right")
    error.violations = ("one",)
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.message, copied.hint, copied.violations) == ("wrong", "right", ("one",))
