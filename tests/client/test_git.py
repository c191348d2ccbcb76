"""Let git in with the token that gitreg itself would send."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import gitreg
from gitreg.cli.group import gitreg as command
from gitreg.errors import DeniedError
from gitreg.registry.setup import clone
from tests.gate_hooks.support import run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.rest.client import Rest


@pytest.fixture
def url(served: Rest) -> str:
    """Name the server."""
    return f"http://127.0.0.1:{served.port}"


def test_a_server_is_cloned_and_plain_git_works_in_the_clone(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = clone(url)
    assert made.name == "127.0.0.1"
    assert run(["git", "config", "remote.origin.url"], made).stdout.strip() == f"{url}/registry.git"
    run(["git", "fetch", "--quiet"], made)
    assert "gitreg_" not in (made / ".git" / "config").read_text()


def test_commands_work_on_the_repository_behind_a_server(url: str) -> None:
    with gitreg.open(f"{url}/registry.git") as registry:
        assert registry.access_explain("root")


def test_who_has_no_token_is_denied_and_told_where_to_put_one(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GITREG_TOKEN")
    with pytest.raises(DeniedError, match=f"no token is sent to {url}, because there is none"):
        clone(url, tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("asked", ["get", "store", "erase"])
def test_only_the_host_that_was_named_is_told_the_token_and_only_when_asked(url: str, served: Rest, asked: str) -> None:
    def ask(host: str) -> str:
        words = ["credential", "--server", url, asked]
        done = CliRunner().invoke(command, words, input=f"protocol=http\nhost={host}\n", catch_exceptions=False)
        assert done.exit_code == 0
        return done.stdout

    told = f"username=token\npassword={served.token('root')}\n"
    assert ask(f"127.0.0.1:{served.port}") == (told if asked == "get" else "")
    assert ask("else.example.org") == ""


def test_what_is_no_gitreg_server_is_told_nothing(served: Rest) -> None:
    assert served.token("root")
    said = "protocol=http\nhost=127.0.0.1:1\n"
    done = CliRunner().invoke(command, ["credential", "get"], input=said, catch_exceptions=False)
    assert (done.exit_code, done.stdout) == (0, "")
