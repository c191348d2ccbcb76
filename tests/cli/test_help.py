from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module

import click
import pytest

from gitreg.cli.commands import COMMANDS
from gitreg.cli.group import gitreg as cli
from gitreg.cli.help import help_text
from tests.cli.conftest import Result

Gitreg = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]

HEAVY = {"click", "rich", "git", "yaml", "jsonschema", "jsonschema_rs", "semver", "subprocess", "asyncio", "email"}
RUN = (
    "import sys; from gitreg.cli import main; sys.argv = ['gitreg', *{args!r}]\ntry: main()\nexcept SystemExit: pass\n"
)
MODULES = "print(*sorted(sys.modules), file=sys.stderr)"


def _command(name: str) -> click.Command:
    module, _, attribute = COMMANDS[name].target.partition(":")
    command = getattr(import_module(f"gitreg.cli.{module}"), attribute)
    assert isinstance(command, click.Command)
    return command


def _leaves(command: click.Command) -> list[click.Command]:
    if isinstance(command, click.Group):
        return [leaf for each in command.commands.values() for leaf in _leaves(each)]
    return [command]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_says(name: str) -> None:
    command, entry = _command(name), COMMANDS[name]
    assert command.name == name
    assert command.help is not None
    assert command.help.strip().splitlines()[0] == entry.help
    assert command.hidden == (entry.section is None)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "demo"])  # a demonstration answers nothing
def test_every_command_takes_json_and_a_short_help_option(name: str) -> None:
    for leaf in _leaves(_command(name)):
        assert any("--json" in parameter.opts for parameter in leaf.params), leaf.name
        assert "-h" in leaf.context_settings["help_option_names"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help(name: str) -> None:
    for leaf in _leaves(_command(name)):
        for parameter in leaf.params:
            if isinstance(parameter, click.Option) and not parameter.hidden:
                assert parameter.help, f"{leaf.name} {parameter.opts}"


WRITES = [
    *("register", "update", "alias", "yank", "archive", "delete"),
    *("approve", "deploy", "promote", "rollback", "undeploy", "report"),
]


@pytest.mark.parametrize("name", WRITES)
def test_every_write_can_be_tried_and_proposed(name: str) -> None:
    options = {option for parameter in _command(name).params for option in parameter.opts}
    assert {"--dry-run", "--propose", "--as"} <= options


def test_the_help_lists_every_command_that_is_not_hidden() -> None:
    text = help_text(100)
    for name, entry in COMMANDS.items():
        assert (f"  {name} " in text) == (entry.section is not None)


def test_the_help_names_every_global_option() -> None:
    text = help_text(100)
    for parameter in cli.params:
        assert all(option in text for option in (*parameter.opts, *parameter.secondary_opts))


@pytest.mark.parametrize("width", [1, 50, 80, 200])
def test_the_help_keeps_to_the_width(width: int) -> None:
    assert max(map(len, help_text(width).splitlines())) <= max(50, min(width, 110))


def test_the_fast_help_is_the_help_of_click(process: Process, gitreg: Gitreg) -> None:
    env = {"COLUMNS": "80"}
    fast = process("--help", env=env)
    slow = process("--no-fetch", "--help", env=env)
    assert fast.returncode == slow.returncode == 0
    assert fast.stdout == slow.stdout == process("-h", env=env).stdout


def test_the_help_imports_nothing_heavy(process: Process) -> None:
    done = process(code=RUN.format(args=["--help"]) + MODULES)
    assert "Usage: gitreg" in done.stdout
    assert not HEAVY & set(done.stderr.split())


@pytest.mark.parametrize("args", [["show", "--help"], ["register", "-h"], ["check", "-h"], ["zzz"]])
def test_a_command_imports_no_more_than_click_before_it_runs(process: Process, args: list[str]) -> None:
    loaded = set(process(code=RUN.format(args=args) + MODULES).stderr.split())
    assert not (HEAVY - {"click"}) & loaded
    assert "gitreg.registry" not in loaded


def test_a_pipe_does_not_need_rich(process: Process, registry: object) -> None:
    loaded = set(process(code=RUN.format(args=["show", "risk/fraud@prod"]) + MODULES).stderr.split())
    assert "gitreg.registry" in loaded
    assert not {name for name in loaded if name.partition(".")[0] in {"rich", "git"}}


def test_no_command_shows_the_help_and_is_misuse(gitreg: Gitreg) -> None:
    for args in ([], ["access"], ["audit"], ["server"]):
        result = gitreg(*args)
        assert (result.code, result.out) == (2, "")
        assert result.err.startswith("Usage: gitreg")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("shwo", "show"), ("STATUS", "status"), ("dep", "deploy"), ("und", "undeploy"), ("hist", "history")],
)
def test_a_mistyped_command_is_answered_with_the_one_that_was_meant(gitreg: Gitreg, typed: str, meant: str) -> None:
    result = gitreg(typed)
    assert result.code == 2
    assert result.err == f"gitreg: there is no command {typed!r}; did you mean {meant}?\n"


def test_a_beginning_that_several_commands_share_names_them(gitreg: Gitreg) -> None:
    assert "did you mean delete or deploy or demo?" in gitreg("de").err


def test_hidden_commands_are_not_suggested(gitreg: Gitreg) -> None:
    assert "no-model-files" not in gitreg("no-model-file").err


def test_the_version_is_the_packages(gitreg: Gitreg) -> None:
    from gitreg import __version__

    assert gitreg("--version") == Result(0, f"gitreg {__version__}\n", "")


def test_no_command_s_module_takes_the_name_of_one_that_the_process_needs() -> None:
    # Python puts a submodule into its package's names, over whatever was there.
    for entry in COMMANDS.values():
        import_module(f"gitreg.cli.{entry.target.partition(':')[0]}")

    package = vars(import_module("gitreg.cli"))
    assert (package["gc"], package["sys"]) == (gc, sys)
