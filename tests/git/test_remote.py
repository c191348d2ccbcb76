from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from gitreg.git import Draft, Repository, refs, remote, scratch, write_commits, write_tag
from gitreg.git.create import create
from gitreg.git.progress import Listener, printable
from tests.git.support import ALICE, MAIN, advance, commit, git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

OTHER = "refs/heads/proposals/alice/x"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Repository]:
    """A registry to push to, with one commit on main."""
    create(tmp_path / "server.git", bare=True)
    with Repository.open(tmp_path / "server.git") as opened:
        advance(opened, {"a": b"1"})
        yield opened


def _url(server: Repository) -> str:
    return f"file://{server.git_dir}"


def _tip(server: Repository) -> str:
    tip = refs.resolve(server, MAIN)
    assert tip is not None
    return tip


def _hook(server: Repository, name: str, script: str) -> None:
    path = server.git_dir / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


# Push


def test_a_push_from_a_scratch_repository_moves_main(server: Repository) -> None:
    tip = _tip(server)
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        result = remote.push(beside, _url(server), {MAIN: (tip, oid)})
    assert result == remote.PushResult(
        accepted=True, stale=False, refused=False, message="", refs=(remote.RefResult(MAIN, None),)
    )
    assert refs.resolve(server, MAIN) == oid
    assert server.objects.blob(oid, "b") == b"2"


def test_a_plain_path_is_pushed_to_as_well(server: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    tip = _tip(server)
    monkeypatch.chdir(server.git_dir.parent)
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        assert remote.push(beside, "server.git", {MAIN: (tip, oid)}).accepted
        assert remote.push(beside, str(server.git_dir), {MAIN: (oid, tip)}).accepted


def test_pushing_what_is_there_already_is_accepted(server: Repository) -> None:
    tip = _tip(server)
    assert remote.push(server, _url(server), {MAIN: (None, tip)}).accepted
    assert remote.push(server, _url(server), {}).accepted


@pytest.mark.parametrize("expects_nothing", [True, False])
def test_a_push_that_somebody_was_faster_than_is_stale(server: Repository, expects_nothing: bool) -> None:
    tip = _tip(server)
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        faster = advance(server, {"c": b"3"})
        result = remote.push(beside, _url(server), {MAIN: (None if expects_nothing else tip, oid)})
    assert (result.accepted, result.stale, result.refused) == (False, True, False)
    assert refs.resolve(server, MAIN) == faster


def test_a_push_that_is_overtaken_while_the_hook_runs_is_stale(server: Repository) -> None:
    tip = _tip(server)
    faster = commit(server, tip, {"c": b"3"})
    _hook(server, "pre-receive", f"unset GIT_QUARANTINE_PATH; git update-ref {MAIN} {faster}")
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        result = remote.push(beside, _url(server), {MAIN: (tip, oid)})
    assert (result.accepted, result.stale, result.refused) == (False, True, False)
    assert refs.resolve(server, MAIN) == faster


def test_a_locked_ref_on_the_server_is_stale(server: Repository) -> None:
    tip = _tip(server)
    (server.git_dir / "refs" / "heads" / "main.lock").touch()
    with scratch(server) as beside:
        result = remote.push(beside, _url(server), {MAIN: (tip, commit(beside, tip, {"b": b"2"}))})
    assert (result.stale, result.refused) == (True, False)


@pytest.mark.parametrize("hook", ["pre-receive", "update"])
def test_a_refusal_carries_what_the_hook_said(server: Repository, hook: str) -> None:
    said = r"gitreg: refused: 2 violations\n  [order] deployments/x.yaml:3: version: 7 of 9\n\nend"
    _hook(server, hook, f"printf '{said}\\n' >&2; exit 1")
    tip = _tip(server)
    with scratch(server) as beside:
        result = remote.push(beside, _url(server), {MAIN: (tip, commit(beside, tip, {"b": b"2"}))})
    assert (result.accepted, result.stale, result.refused) == (False, False, True)
    lines = result.message.splitlines()
    assert lines[:4] == [
        "gitreg: refused: 2 violations",
        "  [order] deployments/x.yaml:3: version: 7 of 9",
        "",
        "end",
    ]
    assert refs.resolve(server, MAIN) == tip


def test_a_refusal_cannot_drive_the_terminal(server: Repository) -> None:
    _hook(server, "pre-receive", r"printf '\033[2Jno\007\n' >&2; exit 1")
    tip = _tip(server)
    with scratch(server) as beside:
        result = remote.push(beside, _url(server), {MAIN: (tip, commit(beside, tip, {"b": b"2"}))})
    assert result.message == "[2Jno"


def test_bytes_that_are_no_text_do_not_break_a_push(server: Repository) -> None:
    _hook(server, "pre-receive", r"printf '\377\376 no\n' >&2; exit 1")
    tip = _tip(server)
    with scratch(server) as beside:
        result = remote.push(beside, _url(server), {MAIN: (tip, commit(beside, tip, {"b": b"2"}))})
    assert result.refused
    assert "no" in result.message


def test_a_hidden_ref_is_refused(server: Repository) -> None:
    server.run(["config", "receive.hideRefs", "refs/tags/deploy"])
    tip = _tip(server)
    tag = write_tag(server, "deploy/1", tip, "x", ALICE)
    result = remote.push(server, _url(server), {"refs/tags/deploy/1": (None, tag)})
    assert (result.accepted, result.stale, result.refused) == (False, False, True)
    assert "hidden ref" in result.message


def test_a_branch_that_is_checked_out_is_refused(server: Repository, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(server.git_dir), "checked-out")
    tip = _tip(server)
    oid = advance(server, {"b": b"2"})
    result = remote.push(server, str(tmp_path / "checked-out"), {MAIN: (tip, oid)})
    assert result.refused
    assert "checked out" in result.message


def test_several_refs_move_together_or_not_at_all(server: Repository) -> None:
    tip = _tip(server)
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        stale = remote.push(beside, _url(server), {MAIN: (tip, oid), OTHER: (tip, oid)})
        assert (stale.accepted, stale.stale, stale.refused) == (False, True, False)
        assert refs.list_refs(server, "refs/") == [(MAIN, tip)]
        assert remote.push(beside, _url(server), {MAIN: (tip, oid), OTHER: (None, oid)}).accepted
    assert refs.list_refs(server, "refs/") == [(MAIN, oid), (OTHER, oid)]


def test_a_ref_is_deleted_from_its_expected_value(server: Repository) -> None:
    tip = _tip(server)
    refs.update(server, OTHER, tip, None)
    assert remote.push(server, _url(server), {OTHER: ("1" * 40, None)}).stale
    assert remote.push(server, _url(server), {OTHER: (tip, None)}).accepted
    assert refs.resolve(server, OTHER) is None


_BENT = """
[push]
    followTags = true
    gpgSign = true
    default = matching
    recurseSubmodules = only
    pushOption = surprise
    useForceIfIncludes = true
    autoSetupRemote = true
[remote "{url}"]
    mirror = true
    push = refs/heads/*:refs/heads/*
[core]
    hooksPath = {hooks}
[color]
    ui = always
    push = always
    transport = always
    remote = always
[submodule]
    recurse = true
[alias]
    push = !false
"""


def test_the_users_configuration_does_not_change_what_is_pushed(server: Repository, home: Path) -> None:
    tip = _tip(server)
    hooks = home / "hooks"
    hooks.mkdir()
    (hooks / "pre-push").write_text("#!/bin/sh\nexit 1\n")
    (hooks / "pre-push").chmod(0o755)
    with (home / ".gitconfig").open("a") as file:
        file.write(_BENT.format(url=_url(server), hooks=hooks))
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        tag = write_tag(beside, "v1", oid, "x", ALICE)
        refs.update(beside, "refs/tags/v1", tag, None)
        refs.update(beside, "refs/heads/private", oid, None)
        # The server's own hooks would follow core.hooksPath of this home as well.
        server.run(["config", "core.hooksPath", str(server.git_dir / "hooks")])
        assert remote.push(beside, _url(server), {MAIN: (tip, oid)}).accepted
    assert refs.list_refs(server, "refs/") == [(MAIN, oid)]


def test_url_rewriting_keeps_working(server: Repository, home: Path) -> None:
    git(home, "config", "--global", f"url.file://{server.git_dir.parent}/.insteadOf", "models:")
    assert remote.ls_remote("models:server.git") == {MAIN: _tip(server)}


# Nobody there


@contextlib.contextmanager
def _deaf() -> Iterator[int]:
    """A server on the loopback that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        held: list[socket.socket] = []

        def take() -> None:
            with contextlib.suppress(OSError):
                held.append(listening.accept()[0])

        thread = threading.Thread(target=take)
        thread.start()
        yield listening.getsockname()[1]
        for taken in held:
            taken.close()
        thread.join()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def test_a_server_that_does_not_listen_is_unavailable(server: Repository) -> None:
    url = f"http://alice:secret@127.0.0.1:{_free_port()}/models.git"
    with pytest.raises(UnavailableError, match="cannot be reached") as caught:
        remote.push(server, url, {MAIN: (None, _tip(server))})
    assert "secret" not in str(caught.value)
    assert "hint" not in caught.value.message
    with pytest.raises(UnavailableError):
        remote.fetch(server, url, [f"{MAIN}:refs/x/main"])
    with pytest.raises(UnavailableError):
        remote.ls_remote(url)


def test_a_server_that_falls_silent_is_given_up(server: Repository) -> None:
    with _deaf() as port, pytest.raises(UnavailableError, match="did not answer within"):
        remote.ls_remote(f"http://127.0.0.1:{port}/models.git", repository=server, timeout=0.5)


def test_ssh_that_is_turned_away_says_why(server: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text("#!/bin/sh\necho 'git@host: Permission denied (publickey).' >&2\nexit 255\n")
    ssh.chmod(0o755)
    monkeypatch.setenv("GIT_SSH_COMMAND", str(ssh))
    with Repository.open(server.git_dir) as opened, pytest.raises(UnavailableError, match="Permission denied"):
        remote.push(opened, "ssh://git@host/models.git", {MAIN: (None, _tip(server))})


def test_a_connection_that_breaks_off_after_the_push_was_sent_is_unavailable(
    server: Repository,
) -> None:
    # A hook that kills receive-pack once the ref has moved: the client never hears of it.
    _hook(server, "reference-transaction", 'test "$1" != committed || kill -9 $PPID')
    tip = _tip(server)
    with scratch(server) as beside:
        oid = commit(beside, tip, {"b": b"2"})
        with pytest.raises(UnavailableError) as caught:
            remote.push(beside, _url(server), {MAIN: (tip, oid)})
        assert "may have been accepted" in str(caught.value.hint)
        assert remote.ls_remote(_url(server), [MAIN]) == {MAIN: oid}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_server_that_cannot_write_is_unavailable(server: Repository) -> None:
    tip = _tip(server)
    (server.git_dir / "objects").chmod(0o500)
    with scratch(server) as beside, pytest.raises(UnavailableError):
        remote.push(beside, _url(server), {MAIN: (tip, commit(beside, tip, {"b": b"2"}))})


@pytest.mark.parametrize("scheme", ["file://", ""])
def test_a_repository_that_does_not_exist_is_not_found(server: Repository, tmp_path: Path, scheme: str) -> None:
    url = f"{scheme}{tmp_path}/none.git"
    with pytest.raises(NotFoundError):
        remote.push(server, url, {MAIN: (None, _tip(server))})
    with pytest.raises(NotFoundError):
        remote.clone(url, tmp_path / "clone")
    assert not (tmp_path / "clone").exists()


@pytest.mark.parametrize(
    "url", ["", "ext::sh -c id", "a\nb", "gopher://host/x", "ssh://-oProxyCommand=x/y", "foo::bar"]
)
def test_what_is_no_url_of_a_repository_is_invalid(server: Repository, url: str) -> None:
    with pytest.raises(InvalidError):
        remote.ls_remote(url)
    with pytest.raises(InvalidError):
        remote.push(server, url, {MAIN: (None, _tip(server))})


@pytest.mark.parametrize("ref", ["main", "refs/heads/*", "+refs/heads/main", "refs/heads/a:b", "--mirror"])
def test_a_push_names_full_refs(server: Repository, ref: str) -> None:
    with pytest.raises(InvalidError, match="is not a full ref"):
        remote.push(server, _url(server), {ref: (None, _tip(server))})


# Fetch, list, clone


def test_a_fetch_brings_exactly_what_was_asked_for(server: Repository, repository: Repository, home: Path) -> None:
    tip = _tip(server)
    tag = write_tag(server, "v1", tip, "x", ALICE)
    refs.update(server, "refs/tags/v1", tag, None)
    refs.update(repository, "refs/x/stale", commit(repository, None, {"z": b""}), None)
    with (home / ".gitconfig").open("a") as file:
        file.write("[fetch]\n prune = true\n pruneTags = true\n recurseSubmodules = true\n output = compact\n")
        file.write(f'[remote "{_url(server)}"]\n fetch = +refs/*:refs/*\n tagOpt = --tags\n mirror = true\n')
    with Repository.open(repository.git_dir) as opened:
        remote.fetch(opened, _url(server), [f"+{MAIN}:refs/x/main"])
        assert [ref for ref, _ in refs.list_refs(opened, "refs/")] == ["refs/x/main", "refs/x/stale"]
        assert refs.resolve(opened, "refs/x/main") == tip
        remote.fetch(opened, _url(server), ["+refs/tags/*:refs/tags/*"])
        assert refs.resolve(opened, "refs/tags/v1") == tag
    assert not (repository.git_dir / "FETCH_HEAD").exists()


def test_a_fetch_reports_progress(server: Repository, repository: Repository) -> None:
    drafts = [Draft(edits={"a": b"%d" % n}, message="m", author=ALICE, committer=ALICE) for n in range(60)]
    refs.update(server, OTHER, write_commits(server, _tip(server), drafts)[-1], None)
    seen: list[tuple[str, int, int | None]] = []
    remote.fetch(repository, _url(server), [f"{OTHER}:refs/x/other"], report=lambda *step: seen.append(step))
    assert {"counting", "receiving"} <= {stage for stage, _, _ in seen}


def test_a_fetch_of_a_ref_that_is_not_there_is_not_found(server: Repository, repository: Repository) -> None:
    with pytest.raises(NotFoundError, match="couldn't find remote ref"):
        remote.fetch(repository, _url(server), ["refs/heads/none:refs/x/none"])


def test_a_fetch_that_would_rewind_a_ref_is_a_conflict(server: Repository, repository: Repository) -> None:
    refs.update(repository, "refs/heads/x", commit(repository, None, {"z": b""}), None)
    with pytest.raises(ConflictError):
        remote.fetch(repository, _url(server), [f"{MAIN}:refs/heads/x"])


def test_remote_refs_are_listed_exactly(server: Repository, tmp_path: Path) -> None:
    tip = _tip(server)
    refs.update(server, OTHER, tip, None)
    refs.update(server, "refs/x/refs/heads/main", tip, None)
    assert remote.ls_remote(_url(server), [MAIN]) == {MAIN: tip}
    assert remote.ls_remote(_url(server), ["refs/heads/proposals/*"]) == {OTHER: tip}
    assert set(remote.ls_remote(_url(server))) == {MAIN, OTHER, "refs/x/refs/heads/main"}
    create(tmp_path / "empty.git", bare=True)
    assert remote.ls_remote(str(tmp_path / "empty.git")) == {}


def test_a_clone_has_main_and_no_tags(server: Repository, tmp_path: Path) -> None:
    tip = _tip(server)
    refs.update(server, "refs/tags/v1", write_tag(server, "v1", tip, "x", ALICE), None)
    refs.update(server, OTHER, tip, None)
    with remote.clone(_url(server), tmp_path / "clone") as cloned:
        assert cloned.work_tree == tmp_path / "clone"
        assert (tmp_path / "clone" / "a").read_text() == "1"
        assert set(dict(refs.list_refs(cloned, "refs/"))) == {
            MAIN,
            "refs/remotes/origin/HEAD",
            "refs/remotes/origin/main",
        }
        assert cloned.config("remote.origin.url") == _url(server)


def test_a_clone_may_be_bare_and_of_another_branch(server: Repository, tmp_path: Path) -> None:
    refs.update(server, OTHER, _tip(server), None)
    with remote.clone(_url(server), tmp_path / "c.git", bare=True, branch="proposals/alice/x") as cloned:
        assert cloned.is_bare
        assert dict(refs.list_refs(cloned, "refs/")) == {OTHER: _tip(server)}


def test_an_empty_registry_is_cloned(tmp_path: Path) -> None:
    create(tmp_path / "empty.git", bare=True)
    with remote.clone(str(tmp_path / "empty.git"), tmp_path / "clone") as cloned:
        assert refs.resolve(cloned, MAIN) is None


def test_a_clone_never_goes_over_what_is_there(server: Repository, tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "precious").touch()
    with pytest.raises(ConflictError, match="is not empty"):
        remote.clone(_url(server), tmp_path / "clone")


def test_a_clone_in_a_hook_is_not_led_astray(
    server: Repository, repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(repository.git_dir))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    with remote.clone(_url(server), tmp_path / "clone") as cloned:
        assert cloned.git_dir == tmp_path / "clone" / ".git"
    assert not (tmp_path / "index").exists()


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_a_mirror_has_the_object_format_of_its_origin(tmp_path: Path, object_format: str) -> None:
    create(tmp_path / "origin.git", bare=True, object_format=object_format)
    with Repository.open(tmp_path / "origin.git") as origin:
        tip = advance(origin, {"a": b"1"})
    mirror = tmp_path / "cache" / "mirror.git"
    remote.init_bare(mirror, like=str(tmp_path / "origin.git"))
    remote.init_bare(mirror, like=str(tmp_path / "origin.git"))
    with Repository.open(mirror) as opened:
        remote.fetch(opened, str(tmp_path / "origin.git"), [f"+{MAIN}:{MAIN}"])
        assert refs.resolve(opened, MAIN) == tip
        with scratch(opened) as beside:
            oid = commit(beside, tip, {"b": b"1"})
            assert remote.push(beside, str(tmp_path / "origin.git"), {MAIN: (tip, oid)}).accepted
    assert [path.name for path in mirror.parent.iterdir()] == ["mirror.git"]


def test_a_mirror_of_nothing_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        remote.init_bare(tmp_path / "mirror.git", like=str(tmp_path / "none.git"))
    assert not (tmp_path / "mirror.git").exists()


def test_a_hooks_line_with_numbers_is_no_progress() -> None:
    listener = Listener()
    take = listener.new_message_handler()
    for line in ("remote: refused: 3 violations", "remote: Counting objects: 100% (3/3), done.", "fatal: no", "To x"):
        take(line + "\n")
    assert listener.remote == ["refused: 3 violations"]
    assert listener.errors == ["fatal: no", "To x"]


def test_what_the_other_side_says_is_bounded() -> None:
    listener = Listener()
    take = listener.new_message_handler()
    for _ in range(2000):
        take("remote: " + "x" * 10_000)
    assert len(listener.remote) <= 500
    assert max(map(len, listener.remote)) <= 2000
    assert printable("a\x1b[1mb\tc\u202e") == "a[1mb\tc"
