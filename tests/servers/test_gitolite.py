from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.examine import examine
from gitreg.git import Repository
from gitreg.layout import MAIN
from tests.gate_hooks.support import Server
from tests.servers.clients import NEW_VERSION, TO_STAGING
from tests.servers.gitolite import Gitolite, block, configuration, gitolite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CLAIMS = ("GL_USER", "REMOTE_USER", "GITREG_USER", "GITEA_PUSHER_NAME", "GL_USERNAME", "GL_ID")


@pytest.fixture(scope="module")
def running(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gitolite]:
    """Run gitolite with a registry; its sshd lets a client name itself as it likes."""
    with gitolite(tmp_path_factory.mktemp("gitolite"), accept_env=CLAIMS) as made:
        made.keep()
        yield made


@pytest.fixture
def server(running: Gitolite) -> Gitolite:
    """Give the server with its configuration, its repositories and its hooks as they were at first."""
    running.restore()
    return running


@pytest.fixture
def registry(server: Gitolite) -> Iterator[Server]:
    """Look at the registry from behind the server."""
    with Repository.open(server.registry) as repository:
        yield Server(server.registry, repository)


def _wrong(registry: Server) -> list[str]:
    return [finding.subject for finding in examine(registry.client) if not finding.fine]


def test_who_may_register_does_so_by_a_plain_push_and_is_named_in_the_log(
    server: Gitolite, registry: Server, tmp_path: Path
) -> None:
    clone = server.clone("alice", tmp_path / "alice")
    commit = clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert pushed.accepted, pushed.said
    assert registry.tip() == commit
    (entry,) = registry.log()
    assert (entry["actor"], entry["verdict"]) == ("alice", "accepted")
    assert entry["source"] == {"identity": "GL_USER", "address": "127.0.0.1"}
    bob = server.clone("bob", tmp_path / "bob")
    assert bob.git("rev-parse", "HEAD").stdout.strip() == commit


def test_who_may_not_is_told_why(server: Gitolite, registry: Server, tmp_path: Path) -> None:
    before = registry.tip()
    clone = server.clone("bob", tmp_path / "bob")
    clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert not pushed.accepted
    assert pushed.codes == ["access-denied"]
    assert "bob may not register risk/fraud" in pushed.said
    assert registry.tip() == before
    assert [(entry["actor"], entry["verdict"]) for entry in registry.log()] == [("bob", "refused")]


def test_nobody_becomes_somebody_else_by_a_variable_of_their_own(
    server: Gitolite, registry: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = registry.tip()
    for name in CLAIMS:
        monkeypatch.setenv(name, "root")
    sent = [word for name in CLAIMS for word in ("-o", f"SendEnv={name}")]
    given = ["-o", "SetEnv=" + " ".join(f"{name}=root" for name in CLAIMS)]
    for number, options in enumerate((sent, given)):
        clone = server.clone("bob", tmp_path / f"bob-{number}", *options)
        clone.commit({"README.md": b"mine\n"})
        assert clone.push().codes == ["access-denied"]
        assert clone.push(options=("-c", "push.pushOption=GL_USER=root")).codes in ([], ["access-denied"])
    assert registry.tip() == before
    assert {entry["actor"] for entry in registry.log()} == {"bob"}


def test_the_server_took_those_variables_over_so_that_the_test_above_means_something(server: Gitolite) -> None:
    with server.sshd.authorized_keys.open("a") as keys:
        keys.write(f'command="echo $GL_USER" {server.sshd.public_key("probe")}\n')
    assert server.sshd.run("probe", "x", "-o", "SetEnv=GL_USER=root").stdout == b"root\n"


def test_a_key_that_gitolite_does_not_know_reaches_nothing(server: Gitolite) -> None:
    done = server.sshd.run("stranger", "git-upload-pack 'models'")
    assert (done.returncode, done.stdout) == (255, b"")
    assert b"Permission denied" in done.stderr


def test_proposals_are_their_owners_and_the_server_writes_deploy_tags(
    server: Gitolite, registry: Server, tmp_path: Path
) -> None:
    clone = server.clone("bob", tmp_path / "bob")
    commit = clone.commit(TO_STAGING)
    assert clone.push("origin", "HEAD:refs/heads/proposals/bob/x").accepted
    assert clone.push("origin", "HEAD:refs/heads/proposals/alice/x").codes == ["proposal-foreign"]
    assert clone.push().accepted
    tag = "deploy/staging/risk/fraud/1"
    assert registry.refs("refs/tags/") == [f"refs/tags/{tag}"]
    assert registry.git("rev-parse", f"{tag}^{{commit}}") == commit
    assert registry.trailers(tag)["Actor"] == "bob"
    assert clone.push("origin", "--delete", "proposals/bob/x").accepted
    clone.git("tag", "-a", "-m", "mine", "deploy/staging/risk/fraud/2")
    assert not clone.push("origin", "deploy/staging/risk/fraud/2").accepted
    assert registry.refs("refs/heads/") == [MAIN]


def test_the_gate_outlives_gitolites_own_repairs(server: Gitolite, registry: Server, tmp_path: Path) -> None:
    assert _wrong(registry) == []
    for again in (["setup"], ["setup", "--hooks-only"], ["compile"], ["trigger", "POST_COMPILE"]):
        server.server("gitolite", *again)
        assert _wrong(registry) == [], again
    server.configure(f"{configuration()}\nrepo another\n    RW+ = root\n")
    assert _wrong(registry) == []
    assert (server.registry / "hooks" / "update").is_symlink()
    clone = server.clone("bob", tmp_path / "bob")
    clone.commit(NEW_VERSION)
    assert clone.push().codes == ["access-denied"]


def test_a_common_hook_of_gitolites_replaces_the_gates_and_the_doctor_finds_it(
    server: Gitolite, registry: Server
) -> None:
    """What the page warns of."""
    hook = server.home / ".gitolite" / "hooks" / "common" / "pre-receive"
    hook.write_text("#!/bin/sh\nexit 0\n")
    hook.chmod(0o755)
    server.server("gitolite", "setup", "--hooks-only")
    assert _wrong(registry) == ["pre-receive"]
    hook.unlink()
    fix = [sys.executable, "-m", "gitreg", "--registry", str(server.registry), "doctor", "--fix"]
    done = server.server(*fix, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _wrong(registry) == []
    assert not hook.exists()


def test_the_pages_trigger_tells_who_pushes_to_gitolite_that_the_gate_is_gone(
    server: Gitolite, registry: Server
) -> None:
    server.settings(block("perl"))
    trigger = server.home / "local" / "triggers" / "gitreg-doctor"
    trigger.parent.mkdir(parents=True)
    command = f"{sys.executable} -m gitreg --registry ~/repositories/models.git doctor"
    trigger.write_text(f"#!/bin/sh\nexec {command} >&2\n")
    trigger.chmod(0o755)
    server.admin.commit({"README": b"1\n"})
    said = server.push_admin().said
    assert "installed, runs" in said
    assert "does not run gitreg" not in said
    (server.registry / "hooks" / "pre-receive").write_text("#!/bin/sh\nexit 0\n")
    server.admin.commit({"README": b"2\n"})
    assert "does not run gitreg" in server.push_admin().said


def test_gitolite_judges_after_the_gate_and_what_it_refuses_is_not_on_main(
    server: Gitolite, registry: Server, tmp_path: Path
) -> None:
    """Why the page grants RW+ on every ref: the log has an acceptance that led to nothing."""
    server.configure(configuration().replace("RW+     =   @people\n", "RW proposals/ = @people\n"))
    before = registry.tip()
    clone = server.clone("alice", tmp_path / "alice")
    clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert not pushed.accepted
    assert "DENIED by" in pushed.said
    assert registry.tip() == before
    verify = [sys.executable, "-m", "gitreg", "--registry", str(server.registry), "audit", "verify"]
    assert server.server(*verify, check=False).returncode == 0


def test_the_configuration_of_gitolite_cannot_touch_that_of_the_gate(server: Gitolite, registry: Server) -> None:
    conf = f"{configuration()}    config gitreg.identity = account\n    config core.hooksPath = /dev/null\n"
    server.admin.commit({"conf/gitolite.conf": conf.encode()})
    said = server.push_admin().said
    assert "not allowed" in said
    assert _wrong(registry) == []
    assert registry.git("config", "gitreg.identity") == "GL_USER"
