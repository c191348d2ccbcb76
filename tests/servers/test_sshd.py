from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.servers.programs import REQUIRED, program
from tests.servers.sshd import running

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.sshd import Sshd


def test_each_key_runs_its_own_command_and_nothing_else(sshd: Sshd, home: Path) -> None:
    sshd.authorize({"alice": 'echo alice "$SSH_ORIGINAL_COMMAND" $HOME', "bob": "echo bob"})

    assert sshd.run("alice", "id").stdout.decode() == f"alice id {home}\n"
    assert sshd.run("bob", "id").stdout == b"bob\n"
    assert sshd.run("mallory", "id").returncode == 255
    assert b"Permission denied" in sshd.run("mallory", "id").stderr


def test_variables_of_the_client_pass_only_where_the_server_takes_them(sshd: Sshd, tmp_path: Path) -> None:
    sshd.authorize({"alice": "echo got $LC_GREETING"})
    assert sshd.run("alice", "x", "-o", "SetEnv=LC_GREETING=hello").stdout == b"got\n"

    with running(tmp_path / "open", accept_env=["LC_*"]) as server:
        server.authorize({"alice": "echo got $LC_GREETING"})
        assert server.run("alice", "x", "-o", "SetEnv=LC_GREETING=hello").stdout == b"got hello\n"


def test_a_missing_program_skips_unless_servers_are_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is not installed"):
        program("no-such-server")
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="GITREG_REQUIRE_SERVERS"):
        program("no-such-server")
