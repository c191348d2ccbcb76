"""Clone, fetch and push by plain git over HTTP."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Action
from gitreg.git import Repository
from gitreg.layout import MAIN
from gitreg.names import UserName
from gitreg.server.auth.settings import AuthSettings
from tests.gate.support import version_file
from tests.gate_hooks.support import run
from tests.server.githttp.site import ALICE, BOB, MOLE, ROOT, STRANGER, running
from tests.servers.clients import NEW_VERSION, TO_STAGING

if TYPE_CHECKING:
    from pathlib import Path

    from tests.gate_hooks.support import Pushed
    from tests.server.githttp.site import Site


def _unchanged(site: Site, before: str, after: Pushed) -> bool:
    return not after.accepted and site.registry.tip() == before


@pytest.mark.parametrize("version", ["0", "2"])
def test_who_may_register_clones_pushes_and_fetches_by_plain_git(site: Site, tmp_path: Path, version: str) -> None:
    clone = site.clone(ALICE, tmp_path)
    clone.git("config", "protocol.version", version)
    commit = clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert pushed.accepted, pushed.said
    assert site.registry.tip() == commit
    clone.git("fetch", "--quiet")
    assert clone.git("rev-parse", "origin/main").stdout.strip() == commit
    assert [each.outcome for each in site.endings if each.asked.is_push] == ["accepted"]


def test_the_log_names_the_user_the_token_and_the_address(site: Site, tmp_path: Path) -> None:
    clone = site.clone(ALICE, tmp_path)
    clone.commit(NEW_VERSION)
    forged = [f"http.extraHeader={header}: 192.0.2.1" for header in ("X-Forwarded-For", "Remote-Addr", "Remote-User")]
    assert clone.push(options=tuple(word for each in forged for word in ("-c", each))).accepted
    (entry,) = site.registry.log()
    assert (entry["actor"], entry["verdict"]) == ("alice", "accepted")
    identifier = site.token(ALICE).split("_")[1]
    assert (entry["source"]["identity"], entry["source"]["address"]) == (f"token:{identifier}", "127.0.0.1")
    assert len(entry["source"]["session"]) == 32


def test_who_may_not_is_told_every_violation(site: Site, tmp_path: Path) -> None:
    before = site.registry.tip()
    clone = site.clone(BOB, tmp_path)
    clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert _unchanged(site, before, pushed)
    assert pushed.codes == ["access-denied"]
    assert "bob may not register risk/fraud" in pushed.said
    assert [(entry["actor"], entry["verdict"]) for entry in site.registry.log()] == [("bob", "refused")]
    assert [each.outcome for each in site.endings if each.asked.is_push] == ["refused"]


def test_a_token_does_no_more_than_it_was_made_for(site: Site, tmp_path: Path) -> None:
    before = site.registry.tip()
    clone = site.clone(ALICE, tmp_path, Action.READ, Action.UPDATE)
    clone.commit(NEW_VERSION)
    pushed = clone.push()
    assert _unchanged(site, before, pushed)
    assert "the token was made for: read, update" in pushed.said


def test_the_server_marks_deployments(site: Site, tmp_path: Path) -> None:
    clone = site.clone(BOB, tmp_path)
    commit = clone.commit(TO_STAGING)
    assert clone.push().accepted
    tag = "deploy/staging/risk/fraud/1"
    assert site.registry.refs("refs/tags/") == [f"refs/tags/{tag}"]
    assert site.registry.trailers(tag)["Actor"] == "bob"
    clone.git("fetch", "--quiet", "--tags")
    assert clone.git("rev-parse", f"{tag}^{{commit}}").stdout.strip() == commit
    advertised = clone.git("ls-remote", "--refs", "origin").stdout
    assert tag in advertised
    # They are hidden from pushes.
    assert tag.encode() not in site.ask("GET", "/registry.git/info/refs?service=git-receive-pack", [site.basic(BOB)])[2]


def test_who_may_not_read_every_model_is_refused_a_clone_and_told_why(standing: Site, tmp_path: Path) -> None:
    for user in (MOLE, STRANGER):
        done = run(["git", "clone", standing.url(user), "x"], tmp_path, environment={"no_proxy": "*"}, check=False)
        assert done.returncode != 0
        assert f"{user} may not read every model, and a clone holds them all" in done.stderr
        assert "403" in done.stderr
    kind = ("Content-Type", "application/x-git-upload-pack-request")
    status, _, said = standing.ask("POST", "/registry.git/git-upload-pack", [standing.basic(MOLE), kind], b"0000")
    assert status == 403
    assert b"git cannot hide one" in said


def test_without_credentials_git_is_asked_for_a_password(standing: Site, tmp_path: Path) -> None:
    for path in ("info/refs?service=git-upload-pack", "info/refs?service=git-receive-pack"):
        status, headers, _ = standing.ask("GET", f"/registry.git/{path}")
        assert status == 401
        assert headers["www-authenticate"].startswith("Basic ")
    for url in (
        standing.url(None),
        standing.url(ALICE).replace("gitreg_", "gitreg-"),
        standing.url(ALICE).replace("alice:", "root:"),
    ):
        done = run(["git", "ls-remote", url], tmp_path, environment={"no_proxy": "*"}, check=False)
        assert done.returncode != 0
        assert "Authentication failed" in done.stderr or "could not read Username" in done.stderr


def test_where_strangers_may_read_they_clone_and_are_asked_who_they_are_when_they_push(
    path: Path, tmp_path: Path
) -> None:
    settings = AuthSettings(anonymous=UserName("bob"), rate=0, rate_anonymous=0, rate_failed=0)
    with running(path, settings) as site:
        run(["git", "clone", "--quiet", site.url(None), "x"], tmp_path, environment={"no_proxy": "*"})
        status, headers, _ = site.ask("GET", "/registry.git/info/refs?service=git-receive-pack")
        assert status == 401
        assert headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize("source", ["account", None])
def test_where_the_repository_knows_pushers_otherwise_pushes_are_refused_and_clones_go_on(
    site: Site, tmp_path: Path, source: str | None
) -> None:
    before = site.registry.tip()
    clone = site.clone(ROOT, tmp_path)
    clone.commit(NEW_VERSION)
    site.registry.git("config", *(["gitreg.identity", source] if source else ["--unset", "gitreg.identity"]))
    pushed = clone.push()
    assert _unchanged(site, before, pushed)
    assert f"gitreg.identity is {source or 'not set'}" in pushed.said
    assert "git config gitreg.identity GITREG_USER" in pushed.said
    assert clone.git("fetch").returncode == 0


def test_a_pusher_is_not_told_where_the_store_was(site: Site, tmp_path: Path) -> None:
    clone = site.clone(ALICE, tmp_path)
    clone.commit(NEW_VERSION)
    store = site.registry.path.parent / "store"
    store.rename(store.with_name("away"))
    pushed = clone.push()
    assert pushed.codes == ["store-unavailable"]
    assert "<store>" in pushed.said
    assert str(site.registry.path.parent) not in pushed.said
    (entry,) = site.registry.log()
    assert str(store) in entry["violations"][0]["message"]


def test_without_the_gate_nothing_is_taken_in(site: Site, tmp_path: Path) -> None:
    before = site.registry.tip()
    clone = site.clone(ROOT, tmp_path)
    clone.commit(NEW_VERSION)
    (site.registry.path / "hooks" / "pre-receive").write_text("")
    pushed = clone.push()
    assert _unchanged(site, before, pushed)
    assert "the gate is not in force" in pushed.said


def test_a_large_push_arrives_in_chunks_and_is_fetched_whole(site: Site, tmp_path: Path) -> None:
    clone = site.clone(ALICE, tmp_path)
    commit = clone.commit({f"notes/{number}.bin": secrets.token_bytes(900_000) for number in range(5)})
    branch = "refs/heads/proposals/alice/large"
    pushed = clone.push("origin", f"HEAD:{branch}", options=("-c", "http.postBuffer=65536"))
    assert pushed.accepted, pushed.said
    again = site.clone(BOB, tmp_path)
    assert again.git("rev-parse", "origin/proposals/alice/large").stdout.strip() == commit


def test_of_two_pushes_one_wins_and_the_other_is_told_that_main_moved(site: Site, tmp_path: Path) -> None:
    one, other = site.clone(ALICE, tmp_path), site.clone(BOB, tmp_path)
    one.commit(version_file("3.0.0"))
    other.commit(TO_STAGING)
    assert one.push().accepted
    late = other.push()
    assert not late.accepted
    assert "fetch first" in late.said or "rejected" in late.said


def test_no_variable_of_the_server_s_own_environment_makes_a_pusher_somebody_else(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("GITREG_USER", "GITREG_SCOPES", "GITREG_CALLER", "REMOTE_ADDR", "SSH_CONNECTION", "GIT_CONFIG_COUNT"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    with running(path) as site:
        monkeypatch.undo()
        with Repository.open(path) as repository:
            before = repository.run(["rev-parse", MAIN])
        clone = site.clone(BOB, tmp_path)
        clone.commit({"README.md": b"mine\n"})
        assert clone.push().codes == ["access-denied"]
        (entry,) = site.registry.log()
        assert (entry["actor"], entry["source"]["address"]) == ("bob", "127.0.0.1")
        assert site.registry.tip() == before.decode().strip()
