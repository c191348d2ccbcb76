from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import DeniedError, GitregError, InvalidError, NotFoundError
from gitreg.gate_hooks.receiving import limits, reason_of
from gitreg.gate_hooks.shell import Request, authorized_key, environment, find, greeting, parse, public_key, serve
from gitreg.git import Repository
from gitreg.git.serve import Limits, Served
from gitreg.names import UserName
from tests.gate_hooks.support import Server, run

if TYPE_CHECKING:
    from pathlib import Path

ALICE = UserName("alice")


@pytest.mark.parametrize(
    ("command", "service", "path"),
    [
        ("git-receive-pack 'models.git'", "receive-pack", "models.git"),
        ("git receive-pack 'models.git'", "receive-pack", "models.git"),
        ("git-upload-pack '/srv/models.git'", "upload-pack", "/srv/models.git"),
        ("git upload-pack ''", "upload-pack", ""),
        (r"git-upload-pack 'it'\''s'\!'.git'", "upload-pack", "it's!.git"),
    ],
)
def test_what_git_s_clients_write_is_read(command: str, service: str, path: str) -> None:
    assert parse(command) == Request(service, path)


def test_git_s_own_quoting_is_read(tmp_path: Path) -> None:
    """Ask git itself how it writes a path with everything in it that it quotes."""
    script = tmp_path / "ssh"
    script.write_text('#!/bin/sh\nprintf %s "$*" >"$0.said"\n')
    script.chmod(0o755)
    odd = '/it\'s "a" !path! `x` $y \\z'
    subprocess.run(
        ["git", "-c", f"core.sshCommand={script}", "-c", "ssh.variant=simple", "ls-remote", f"host:{odd}"],
        check=False,
        capture_output=True,
        cwd=tmp_path,
    )

    command = (tmp_path / "ssh.said").read_text().removeprefix("host ")

    if "\\z" in command:  # a backslash is no part of what is read
        with pytest.raises(InvalidError):
            parse(command)
    assert parse(command.replace(" \\z", "")).path == odd.removesuffix(" \\z")


@pytest.mark.parametrize(
    "command",
    [
        "",
        "git-receive-pack",
        "git-receive-pack ",
        "git-receive-pack 'a",
        "git-receive-pack a'",
        "git-receive-pack 'a''b'",
        "git-receive-pack 'a'\\'b'",
        "git-receive-pack 'a'\\$'b'",
        "git-receive-pack 'a' 'b'",
        "git-receive-pack 'a'\n",
        "git-receive-pack 'a'\0",
        "\ngit-receive-pack 'a'",
        "git-upload-archive 'a'",
        "git  upload-pack 'a'",
        "git-shell 'a'",
        "xgit-upload-pack 'a'",
        f"git-upload-pack '{'a' * 4096}'",
    ],
)
def test_any_other_command_is_refused(command: str) -> None:
    with pytest.raises(InvalidError, match="is not served here"):
        parse(command)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make a folder of registries, and one beside it that nobody may reach."""
    folder = tmp_path / "srv"
    for name in ("srv/a.git", "srv/team/b.git", "srv/c", "outside/x.git"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        options = [] if name.endswith("c") else ["--bare"]
        run(["git", "init", "--quiet", *options, str(tmp_path / name)], tmp_path)
    (folder / "inside.git").symlink_to("team/b.git")
    (folder / "out.git").symlink_to(tmp_path / "outside" / "x.git")
    (folder / "outer").symlink_to(tmp_path / "outside")
    (folder / "empty").mkdir()
    (folder / ".hidden.git").symlink_to("a.git")
    return folder


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("a.git", "a.git"),
        ("/a.git", "a.git"),
        ("a.git/", "a.git"),
        ("a", "a.git"),
        ("team/b.git", "team/b.git"),
        ("team/b", "team/b.git"),
        ("c", "c/.git"),
        ("inside.git", "team/b.git"),
    ],
)
def test_a_path_leads_to_a_registry_below_the_root(root: Path, path: str, found: str) -> None:
    assert find(root, path) == root / found
    assert find(root, f"{root}/{path}") == root / found


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "empty",
        "missing.git",
        "out.git",
        "outer/x.git",
        "../outside/x.git",
        "team/../a.git",
        "team/./b.git",
        "team//b.git",
        "./a.git",
        "..",
        "a.git/..",
        "a..git",
        ".hidden.git",
        "c/.git",
        "~/a.git",
        "-a.git",
        "--upload-pack=x",
        "a.git\n",
        "a.git\0",
        "a git",
        "ä.git",
        "a.git/objects",
        "x" * 1000,
        "a.git/HEAD",
    ],
)
def test_any_other_path_leads_nowhere(root: Path, path: str) -> None:
    for each in (path, f"{root}/{path}"):
        with pytest.raises(NotFoundError, match="is no registry here"):
            find(root, each)


def test_the_folder_beside_one_with_a_longer_name_is_not_reached(root: Path) -> None:
    run(["git", "init", "--quiet", "--bare", f"{root}-private/a2.git"], root)
    with pytest.raises(NotFoundError):
        find(root, f"{root}-private/a2.git")


@pytest.mark.parametrize("path", ["a.git", "a", "/a.git", "", "/", "WHOLE"])
def test_a_root_that_is_a_registry_is_the_only_one(root: Path, path: str) -> None:
    one = root / "a.git"

    assert find(one, str(one) if path == "WHOLE" else path) == one
    with pytest.raises(NotFoundError):
        find(one, "c")


def test_a_session_s_environment_has_nothing_of_the_client_s() -> None:
    given = {
        "HOME": "/home/git",
        "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22",
        "PATH": "/usr/bin:bin::/bin",
        "GIT_DIR": "/x",
        "GIT_PROTOCOL": "version=2",
        "GITREG_USER": "root",
        "GITREG_SESSION": "0" * 32,
        "LD_PRELOAD": "/x",
        "LANG": "de_DE.UTF-8",
        "SSH_ORIGINAL_COMMAND": "id",
        "PYTHONPATH": "/x",
    }

    clean = environment(given, ALICE)

    session = clean.pop("GITREG_SESSION")
    assert len(session) == 32
    assert int(session, 16)
    assert clean == {
        "HOME": "/home/git",
        "SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22",
        "PATH": "/usr/bin:/bin",
        "GIT_PROTOCOL": "version=2",
        "GITREG_USER": "alice",
        "LANG": "C",
        "LC_ALL": "C",
    }
    assert environment(given, ALICE)["GITREG_SESSION"] != session


@pytest.mark.parametrize("value", ["", "version=3", "version=2:x", "version=2\n", "2"])
def test_the_protocol_s_version_is_a_version(value: str) -> None:
    assert "GIT_PROTOCOL" not in environment({"GIT_PROTOCOL": value}, ALICE)


def test_without_a_path_the_system_s_is_taken() -> None:
    assert environment({"PATH": "bin:."}, ALICE)["PATH"]


def test_the_limits_come_from_the_registry_s_configuration(server: Server) -> None:
    with Repository.open(server.path) as repository:
        assert limits(repository) == Limits()
    for key, value in {"Seconds": "7", "Memory": "300", "Object": "16", "Idle": "20", "Total": "90"}.items():
        server.git("config", f"gitreg.push{key}", value)
    with Repository.open(server.path) as repository:
        assert limits(repository) == Limits(7, 300 << 20, 16 << 20, 20, 90)


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "10m", "", "unlimited", "9" * 20])
def test_a_limit_that_is_none_is_told(server: Server, value: str) -> None:
    server.git("config", "gitreg.pushMemory", value)
    with Repository.open(server.path) as repository, pytest.raises(InvalidError, match=r"gitreg\.pushMemory"):
        limits(repository)


def test_a_push_is_refused_where_somebody_else_would_be_named(server: Server) -> None:
    asked = {"SSH_ORIGINAL_COMMAND": f"git-receive-pack '{server.path.name}'"}
    for source in ("GL_USER", "signature", "account"):
        server.git("config", "gitreg.identity", source)
        with pytest.raises(DeniedError, match=f"gitreg.identity is {source}"):
            serve("alice", server.path.parent, asked)


def test_names_and_roots_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError):
        serve("Alice; id", tmp_path, {})
    with pytest.raises(NotFoundError, match="is not a folder"):
        serve("alice", tmp_path / "missing", {})
    with pytest.raises(InvalidError):
        serve("alice", tmp_path, {})
    assert greeting("alice").startswith("Hello alice:")
    with pytest.raises(InvalidError):
        greeting("A")


def served(**fields: Any) -> Served:  # noqa: ANN401 - the fields of what it makes
    return Served(**{"code": 0, "updates": (), "unpacked": None, "rejected": {}, "said": "", "stopped": None, **fields})


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"stopped": "no byte for 1 s", "said": "fatal: x"}, "no byte for 1 s"),
        ({"unpacked": "index-pack failed", "said": "remote: x\nfatal: too large\n"}, "index-pack failed: too large"),
        ({"unpacked": "index-pack failed"}, "index-pack failed"),
        ({"unpacked": "ok", "rejected": {"a": "branch is checked out"}}, "branch is checked out"),
        ({"code": 128, "said": "fatal: protocol error"}, "protocol error"),
        ({"code": -9}, "git ended by signal 9"),
        ({"code": 1}, "git ended with 1"),
    ],
)
def test_the_reason_is_git_s_own(fields: dict[str, Any], reason: str) -> None:
    assert reason_of(served(**fields)) == reason


ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJdD7y3aLq454yWBdwLWbieU1ebz9/cu7/QEXn9OIeZJ"


def test_a_line_of_authorized_keys_holds_command_and_key(tmp_path: Path) -> None:
    line = authorized_key("alice", f"{ED25519} alice@laptop\n", tmp_path, "/opt/gitreg/bin/python")

    assert line == (
        f'command="/opt/gitreg/bin/python -I -m gitreg server shell alice --root {tmp_path}",'
        f"restrict {ED25519} alice@laptop"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ssh-ed25519",
        ED25519.replace("ed25519", "rsa"),
        f"{ED25519}\n{ED25519}",
        f'command="id" {ED25519}',
        f"no-pty {ED25519}",
        f"{ED25519} a\x1bb",
        f"{ED25519[:-4]}",
        "ssh-ed25519 " + "A" * 68,
        "-----BEGIN OPENSSH PRIVATE KEY-----",
        f"# {ED25519}",
        f"{ED25519} {'x' * 300}",
    ],
)
def test_what_is_not_one_public_key_is_refused(text: str) -> None:
    with pytest.raises(GitregError):
        public_key(text)


def test_a_folder_that_no_line_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match="what no line of authorized_keys can"):
        authorized_key("alice", ED25519, tmp_path / "a\nb")
