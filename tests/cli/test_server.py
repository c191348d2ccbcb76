from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import pytest

from tests.gate_hooks.support import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Result

    Gitreg = Callable[..., Result]

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ bob@laptop"


def test_init_makes_a_bare_registry_and_may_run_again(gitreg: Gitreg, tmp_path: Path) -> None:
    path = tmp_path / "models.git"

    assert gitreg("server", "init", path, "--admin", "root", "--identity", "GITREG_USER").code == 0
    again = gitreg("server", "init", path)

    assert again.code == 0
    assert "GITREG_USER" in again.out
    assert gitreg("--registry", path, "doctor").code == 0


def test_authorize_prints_the_line_of_a_key(gitreg: Gitreg, tmp_path: Path) -> None:
    (tmp_path / "bob.pub").write_text(f"{KEY}\n")

    done = gitreg("server", "authorize", "bob", tmp_path / "bob.pub", "--root", tmp_path)
    piped = gitreg("server", "authorize", "bob", "-", "--root", tmp_path, "--json", stdin=KEY)

    assert done.code == 0
    assert done.out.count("\n") == 1
    assert f'server shell bob --root {tmp_path}",restrict {KEY}\n' in done.out
    assert json.loads(piped.out)["line"] == done.out.rstrip("\n")


@pytest.mark.parametrize("text", ["", "nonsense", f"{KEY}\n{KEY}\n", f"{KEY}{'x' * 20_000}"])
def test_authorize_refuses_what_is_no_key(gitreg: Gitreg, tmp_path: Path, text: str) -> None:
    done = gitreg("server", "authorize", "bob", "-", "--root", tmp_path, stdin=text)

    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith("gitreg: ")


def test_shell_greets_who_asks_for_nothing(gitreg: Gitreg, tmp_path: Path) -> None:
    assert gitreg("server", "shell", "bob", "--root", tmp_path).out.startswith("Hello bob: there is no shell here;")
    assert gitreg("server", "shell", "-c", "id", "--root", tmp_path).code == 2
    assert gitreg("server", "shell", "Bob", "--root", tmp_path).code == 2
    assert gitreg("server", "shell", "bob").code == 2


@pytest.mark.parametrize(
    ("command", "code"), [("id", 2), ("git-receive-pack 'missing.git'", 3), ("git-receive-pack '../x'", 3)]
)
def test_shell_serves_nothing_else(
    gitreg: Gitreg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, code: int
) -> None:
    monkeypatch.setenv("SSH_ORIGINAL_COMMAND", command)

    done = gitreg("server", "shell", "bob", "--root", tmp_path)

    assert (done.code, done.out) == (code, "")
    assert done.err.count("\n") == 1


def test_doctor_notes_what_is_no_fault(gitreg: Gitreg, tmp_path: Path) -> None:
    path = tmp_path / "models.git"
    gitreg("server", "init", path, "--admin", "root")
    (path / "hooks" / "update").write_text("#!/bin/sh\n")
    (path / "hooks" / "update").chmod(0o755)

    done = gitreg("--registry", path, "doctor")
    assert done.code == 0
    assert [line.split()[:2] for line in done.lines if "update" in line] == [["note", "update"]]

    run(["git", "config", "receive.fsckObjects", "false"], path)
    done = gitreg("--registry", path, "doctor", "--json")
    assert done.code == 6
    assert [each["opens"] for each in json.loads(done.out) if not each["fine"]] == [True]
    assert gitreg("--registry", path, "doctor", "--fix").code == 0


def test_a_port_that_is_taken_is_said_with_the_way_out_and_what_the_doctor_would(
    gitreg: Gitreg, tmp_path: Path
) -> None:
    gitreg("server", "init", tmp_path / "models.git", "--admin", "root", "--identity", "GITREG_USER")
    run(["git", "config", "--unset", "core.fsync"], tmp_path / "models.git")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = gitreg("serve", tmp_path / "models.git", "--port", port)
        named = gitreg("--registry", tmp_path / "models.git", "serve", "--port", port)

    assert named == done
    assert gitreg("serve", tmp_path / "nowhere.git").code == 3
    assert gitreg("--registry", "https://host.example/models", "serve").code == 2
    assert done.code == 7
    assert f"cannot listen on 127.0.0.1 port {port}" in done.err
    assert "--port" in done.err
    (note,) = [line for line in done.err.splitlines() if "core." in line]
    assert note.startswith("note: core.fsync: found nothing")
    assert "git config core.fsync" in note
