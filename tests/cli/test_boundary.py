from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from gitreg import errors
from gitreg.cli.session import Session
from tests.cli.conftest import Result

Gitreg = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]

CLASSES = [
    errors.InvalidError,
    errors.NotFoundError,
    errors.ConflictError,
    errors.DeniedError,
    errors.IntegrityError,
    errors.UnavailableError,
]


def _failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(_session: Session) -> None:
        raise error

    monkeypatch.setattr(Session, "registry", fail)


@pytest.mark.parametrize("kind", CLASSES)
def test_an_error_is_one_line_and_the_code_of_its_class(
    gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch, kind: type[errors.GitregError]
) -> None:
    _failing(monkeypatch, kind("what is wrong", hint="what to do"))
    assert gitreg("list") == Result(kind.exit_code, "", "gitreg: what is wrong; what to do\n")


def test_an_error_is_json_where_the_answer_was_to_be(gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = errors.Problem("found x", "a.yaml", 3, 4, "field")
    _failing(monkeypatch, errors.InvalidError("wrong", hint="so", problems=[problem]))
    result = gitreg("list", "--json")
    assert (result.code, result.out) == (2, "")
    assert json.loads(result.err) == {
        "error": {
            "class": "InvalidError",
            "message": "wrong",
            "hint": "so",
            "problems": [{"message": "found x", "path": "a.yaml", "line": 3, "column": 4, "field": "field"}],
        }
    }


def test_an_errors_text_cannot_drive_the_terminal(gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, errors.ConflictError("\x1b[2Jrefused", problems=[errors.Problem("a\x9b")]))
    assert gitreg("list").err == "gitreg: \\x1b[2Jrefused\n  a\\x9b\n"


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["list", "--jsn"], "Did you mean '--json'?"),
        (["show"], "Missing argument 'MODEL@VERSION'; `gitreg show --help` says how it is used"),
        (["deploy", "a/b@1.0.0", "prod", "--percent", "100"], "'--percent'"),
        (["check", "--format", "xml"], "'--format'"),
        (["--registry"], "'--registry'"),
    ],
)
def test_misuse_is_one_line_and_code_two(gitreg: Gitreg, args: list[str], said: str) -> None:
    result = gitreg(*args)
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("gitreg: ")
    assert said in result.err
    assert result.err.count("\n") == 1


def test_misuse_is_json_where_the_answer_was_to_be(gitreg: Gitreg) -> None:
    assert json.loads(gitreg("show", "--json").err)["error"]["class"] == "UsageError"


def test_ctrl_c_ends_cleanly(gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch) -> None:
    _failing(monkeypatch, KeyboardInterrupt())
    assert gitreg("list") == Result(130, "", "gitreg: interrupted\n")


def test_a_signal_ends_a_waiting_process_cleanly(registry: Path, weights: Path) -> None:
    args = ["register", "risk/fraud", str(weights), "--version", "2.0.0", "--metrics", "-"]
    with subprocess.Popen(
        [sys.executable, "-m", "gitreg", *args],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has a shell that makes them deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    ) as process:
        time.sleep(1.5)  # it waits for its standard input by then; were it slower, the end would be the same
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_bug_keeps_its_traceback(registry: Path, process: Process) -> None:
    code = (
        "from gitreg.cli import main, session\n"
        "import sys\n"
        "def fail(self): raise ZeroDivisionError\n"
        "session.Session.registry = fail\n"
        "sys.argv = ['gitreg', 'list']\n"
        "main()\n"
    )
    done = process(code="import gitreg.cli.session\n" + code)
    assert done.returncode == 1
    assert "ZeroDivisionError" in done.stderr
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("args", [["--help"], ["log"], ["show", "--help"]])
def test_a_closed_pipe_is_no_error(registry: Path, args: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with subprocess.Popen(
        [sys.executable, "-m", "gitreg", *args], stdout=write, stderr=subprocess.PIPE, text=True
    ) as process:
        os.close(write)
        _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_output_is_said(registry: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gitreg", "list"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 7
    assert done.stderr == "gitreg: cannot write: No space left on device; nothing more was done\n"


def test_an_encoding_that_lacks_a_character_is_no_error(registry: Path, process: Process) -> None:
    done = process("lineage", "risk/fraud@1.1.0", env={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0
    assert "\\u2514" in done.stdout


def test_the_registry_may_be_named_before_or_after_the_command(
    registry: Path, gitreg: Gitreg, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITREG_REGISTRY")
    before, after = gitreg("--registry", registry, "list"), gitreg("list", "--registry", registry)
    assert before.code == 0
    assert before == after


def test_no_registry_is_not_found_and_says_what_to_do(
    gitreg: Gitreg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = gitreg("list")
    assert result.code == 3
    assert "there is no registry here" in result.err
    assert "gitreg init" in result.err
