from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import Result

if TYPE_CHECKING:
    from pathlib import Path

Gitreg = Callable[..., Result]

# Complete a line as bash does: it breaks words at `@` and puts a completion in the place of the last one.
BASH = """\
COMP_WORDBREAKS=$' \\t\\n"\\'@><=;|&(:'
compopt() { :; }
source /dev/stdin <<<"$(gitreg completion bash)"
COMP_LINE="$1" COMP_POINT=${#1} COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
_gitreg_completion gitreg
printf '%s\\n' "${COMPREPLY[@]}"
"""


def _bash(line: str) -> list[str]:
    command = ["bash", "--norc", "--noprofile", "-c", BASH, "bash", line]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.fixture(autouse=True)
def _gitreg_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "gitreg"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gitreg "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("gitreg prom", ["promote"]),
        ("gitreg no-", []),
        ("gitreg access ex", ["explain"]),
        ("gitreg versions ri", ["risk/fraud"]),
        (
            "gitreg show ri",
            [f"risk/fraud@{each}" for each in ("latest", "staging", "prod", "champion", "1.1.0", "1.0.0")],
        ),
        ("gitreg show risk/fraud@1.", ["1.1.0", "1.0.0"]),
        ("gitreg show risk/fraud@p", ["prod"]),
        ("gitreg show other/", []),
        ("gitreg deploy risk/fraud@1.1.0 ", ["staging", "prod"]),
        ("gitreg deploy risk/fraud@1.1.0 p", ["prod"]),
        ("gitreg rollback risk/fraud s", ["staging"]),
        ("gitreg promote risk/fraud staging p", ["prod"]),
        ("gitreg status p", ["prod"]),
        ("gitreg deploy risk/fraud@1.1.0 prod --dry", ["--dry-run"]),
        ("gitreg completion z", ["zsh"]),
    ],
)
def test_bash_completes(registry: Path, line: str, found: list[str]) -> None:
    assert _bash(line) == found


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_bash_completes_in_the_registry_that_the_line_names(
    registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("GITREG_REGISTRY")
    monkeypatch.chdir(tmp_path)
    assert _bash(f"gitreg --registry {registry} versions r") == ["risk/fraud"]


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
def test_completing_without_a_registry_is_silent(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert _bash("gitreg show r") == []


@pytest.mark.parametrize(
    ("shell", "words"), [("zsh", "COMP_WORDS=gitreg versions ri"), ("fish", "COMP_WORDS=gitreg versions ri")]
)
def test_the_other_shells_complete_through_click(registry: Path, shell: str, words: str) -> None:
    name, _, value = words.partition("=")
    point = {"zsh": "2", "fish": "ri"}[shell]
    env = {**os.environ, name: value, "COMP_CWORD": point, "_GITREG_COMPLETE": f"{shell}_complete"}
    done = subprocess.run([sys.executable, "-m", "gitreg"], env=env, capture_output=True, text=True, check=True)
    assert "risk/fraud" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_printed_and_is_what_the_shells_own_question_gets(
    gitreg: Gitreg, shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = gitreg("completion", shell)
    assert script.code == 0
    assert "_GITREG_COMPLETE" in script.out
    monkeypatch.setenv("_GITREG_COMPLETE", f"{shell}_source")
    assert gitreg().out.strip() == script.out.strip()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_understands_the_script(gitreg: Gitreg, shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}")
    path = tmp_path / "script"
    path.write_text(gitreg("completion", shell).out)
    subprocess.run([shell, "-n", path], check=True)


def test_completing_commands_imports_none_of_them(registry: Path) -> None:
    code = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr))\n"
        "from gitreg.cli import main\n"
        "main()\n"
    )
    env = {**os.environ, "COMP_WORDS": "gitreg ", "COMP_CWORD": "1", "_GITREG_COMPLETE": "zsh_complete"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    assert "register" in done.stdout
    assert not {"gitreg.cli.register", "gitreg.registry", "yaml", "rich"} & set(done.stderr.split())


@pytest.mark.skipif(not shutil.which("bash"), reason="needs bash")
@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("gitreg versions co", ["corp:"]),
        ("gitreg versions corp:ri", ["risk/fraud"]),
        ("gitreg show corp:risk/fraud@p", ["prod"]),
        ("gitreg deploy corp:risk/fraud@1.1.0 s", ["staging"]),
        ("gitreg show crop:ri", []),
    ],
)
def test_bash_completes_in_the_registry_that_a_model_names(
    registry: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, found: list[str]
) -> None:
    monkeypatch.delenv("GITREG_REGISTRY")
    monkeypatch.chdir(tmp_path)
    subprocess.run(["git", "config", "--global", "gitreg.registry.corp.url", registry], check=True)
    assert _bash(line) == found
