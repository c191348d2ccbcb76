from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.configuration import SERVER_CONFIG, configure_server, settings_of
from gitreg.gate_hooks.examine import examine
from gitreg.git import Repository
from gitreg.layout import MAIN
from gitreg.registry.setup import InitRequest, fix, init
from tests.attacks import raw
from tests.gate.support import version_file
from tests.gate_hooks.support import Server, run
from tests.measured import measured

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.gate_hooks.finding import Finding

LEVELS = [key for key in SERVER_CONFIG if key.startswith("receive.fsck.")]
OPENS = {"receive.fsckObjects", "receive.shallowUpdate", "receive.maxInputSize", "core.useReplaceRefs", *LEVELS}


def wrong(server: Server) -> dict[str, Finding]:
    with Repository.open(server.path) as repository:
        return {finding.subject: finding for finding in examine(repository) if not finding.fine}


def put_right(server: Server) -> dict[str, Finding]:
    with Repository.open(server.path) as repository:
        fix(repository)
    return wrong(server)


@pytest.mark.parametrize("key", SERVER_CONFIG)
@pytest.mark.parametrize("value", ["7", None])
def test_every_setting_is_missed_and_put_back(server: Server, key: str, value: str | None) -> None:
    server.git("config", *([key, value] if value else ["--unset-all", key]))

    found = wrong(server)

    assert list(found) == [key]
    assert found[key].opens == (key in OPENS if value or key not in LEVELS else False)
    assert put_right(server) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("receive.fsckObjects", "yes"),
        ("receive.fsckObjects", "TRUE"),
        ("receive.autogc", "no"),
        ("receive.maxInputSize", "100m"),
        ("core.bigFileThreshold", "1M"),
        ("core.bigFileThreshold", "1024k"),
        ("receive.fsck.badTagName", "ERROR"),
    ],
)
def test_another_way_of_writing_the_same_is_no_drift(server: Server, key: str, value: str) -> None:
    server.git("config", key, value)

    assert wrong(server) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("receive.fsck.skipList", "/nowhere/list"),
        ("receive.fsck.missingSpaceBeforeDate", "ignore"),
        ("receive.fsck.treeNotSorted", "warn"),
        ("receive.fsck.duplicateEntries", "info"),
        ("receive.fsck.hasDotgit", "nonsense"),
        ("receive.procReceiveRefs", "refs/heads/main"),
        ("core.alternateRefsCommand", "true"),
        ("extensions.partialClone", "origin"),
        ("remote.x.promisor", "true"),
        ("remote.a.b.partialCloneFilter", "blob:none"),
    ],
)
def test_what_may_not_be_there_is_found_and_taken_away(server: Server, key: str, value: str) -> None:
    server.git("config", "--add", key, value)
    server.git("config", "--add", key, value)

    found = wrong(server)

    assert [each.lower() for each in found] == [key.lower()]
    assert found[key.lower()].opens
    assert put_right(server) == {}


def test_an_error_that_stays_one_is_no_drift(server: Server) -> None:
    server.git("config", "receive.fsck.treeNotSorted", "error")

    assert wrong(server) == {}


def test_what_the_account_says_is_overridden_here(server: Server, tmp_path: Path) -> None:
    for key, value in (("receive.fsckObjects", "false"), ("receive.autogc", "true"), ("core.useReplaceRefs", "true")):
        run(["git", "config", "--global", key, value], tmp_path)

    assert wrong(server) == {}
    server.git("config", "--unset", "receive.fsckObjects")
    found = wrong(server)
    assert list(found) == ["receive.fsckObjects"]
    assert ".gitconfig)" in found["receive.fsckObjects"].message
    assert put_right(server) == {}


def test_a_level_that_the_account_lowers_is_raised_again_here(server: Server, tmp_path: Path) -> None:
    run(["git", "config", "--global", "receive.fsck.treeNotSorted", "ignore"], tmp_path)
    found = wrong(server)
    assert list(found) == ["receive.fsck.treenotsorted"]
    assert ".gitconfig)" in found["receive.fsck.treenotsorted"].message

    assert put_right(server) == {}


def test_what_cannot_be_overridden_is_told_with_its_file(server: Server, tmp_path: Path, home: Path) -> None:
    run(["git", "config", "--global", "receive.fsck.skipList", "/nowhere/list"], tmp_path)
    run(["git", "config", "--global", "receive.procReceiveRefs", "refs/x"], tmp_path)

    for found in (wrong(server), put_right(server)):
        assert sorted(found) == ["receive.fsck.skiplist", "receive.procreceiverefs"]
        assert found["receive.procreceiverefs"].remedy == f"take it out of {home / '.gitconfig'}"


def test_an_included_file_is_read_as_well(server: Server, tmp_path: Path) -> None:
    more = tmp_path / "more"
    more.write_text("[receive]\n\tfsckObjects = false\n\tprocReceiveRefs = refs/x\n")
    server.git("config", "include.path", str(more))

    found = wrong(server)

    assert sorted(found) == ["receive.fsckObjects", "receive.procreceiverefs"]
    assert f"(in {more})" in found["receive.fsckObjects"].message
    assert sorted(put_right(server)) == ["receive.fsckObjects", "receive.procreceiverefs"]
    server.git("config", "--unset", "include.path")
    assert wrong(server) == {}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("receive.hideRefs", "!refs/tags/deploy"),
        ("receive.hideRefs", "!refs/tags/deploy/prod"),
        ("receive.hideRefs", "!refs/tags"),
        ("receive.hideRefs", "!^refs/tags/deploy"),
        ("receive.hideRefs", "refs/heads/main"),
        ("receive.hideRefs", "refs"),
        ("receive.hideRefs", "refs/heads/proposals/alice"),
        ("transfer.hideRefs", "!refs/tags/deploy"),
        ("transfer.hideRefs", "refs/heads"),
    ],
)
def test_refs_that_are_hidden_or_shown_otherwise_are_found(server: Server, key: str, value: str) -> None:
    server.git("config", "--add", key, value)

    assert list(wrong(server)) == ["receive.hideRefs"]
    assert put_right(server) == {}


@pytest.mark.parametrize("value", ["refs/changes", "!refs/pull", "refs/tags/other", "refs/heads/mainly"])
def test_refs_that_a_registry_has_not_may_be_hidden(server: Server, value: str) -> None:
    server.git("config", "--add", "receive.hideRefs", value)
    server.git("config", "--add", "transfer.hideRefs", value)

    assert wrong(server) == {}


def test_hidden_refs_of_the_account_are_told_with_their_file(server: Server, tmp_path: Path) -> None:
    run(["git", "config", "--global", "transfer.hideRefs", "!refs/tags/deploy"], tmp_path)

    found = put_right(server)

    assert list(found) == ["receive.hideRefs"]
    assert "transfer.hiderefs" in (found["receive.hideRefs"].remedy or "")


def test_what_is_asked_on_the_command_line_is_no_setting(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "safe.directory")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "*")
    with Repository.open(server.path) as repository:
        assert "safe.directory" not in {each.key for each in settings_of(repository)}


def test_telling_git_twice_changes_nothing(server: Server) -> None:
    before = (server.path / "config").read_bytes()
    with Repository.open(server.path) as repository:
        configure_server(repository)

    assert (server.path / "config").read_bytes() == before


def test_a_registry_with_a_work_tree_is_updated_by_a_push(tmp_path: Path) -> None:
    result = init(InitRequest(path=tmp_path / "registry", admin="root", identity="account"))
    run(["git", "config", "receive.denyCurrentBranch", "ignore"], result.path)
    with Repository.open(result.path) as repository:
        assert [each.subject for each in examine(repository) if not each.fine] == ["receive.denyCurrentBranch"]
        fix(repository)
    with Repository.open(result.path) as repository:
        assert all(each.fine for each in examine(repository))


# What the settings are for


def push_of(server: Server, objects: raw.Objects, tree: str, **fields: bytes) -> raw.Report:
    commit = objects.add("commit", raw.commit_body(tree, [server.tip()], **fields))
    return raw.send(server.path, raw.Push([(server.tip(), commit, MAIN)], objects), "root")


def test_git_refuses_the_mode_that_it_only_remarks_on_by_default(server: Server) -> None:
    objects = raw.Objects()
    tree = objects.tree([("100664", "README.md", objects.blob(b"x"))])
    assert "badFilemode" in push_of(server, objects, tree).said

    server.git("config", "--unset", "receive.fsck.badFilemode")
    report = push_of(server, objects, tree)
    assert report.unpacked == "ok"  # and the gate has to refuse it


def test_git_refuses_push_options(server: Server) -> None:
    commit = server.commit(version_file("1.1.0"))

    refused = server.send("alice", f"{commit}:{MAIN}", options=["--push-option=x"])

    assert not refused.accepted
    assert "does not support push options" in refused.said
    assert server.send("alice", f"{commit}:{MAIN}").accepted


@pytest.mark.slow
def test_a_huge_file_of_zeros_needs_no_memory_by_the_settings_alone(server: Server) -> None:
    objects = raw.Objects()
    size = 300 << 20
    entry = raw.packed("blob", size, raw.zeros(size))
    tree = objects.tree([("100644", "README.md", raw.oid_of("blob", bytes(size)))])
    commit = objects.add("commit", raw.commit_body(tree, [server.tip()]))
    data = raw.Push([(server.tip(), commit, MAIN)], objects, [entry]).said()
    environment = {**os.environ, "GL_USER": "root"}

    done = measured(["git", "receive-pack", str(server.path)], environment, data)

    assert done.code == 0
    assert done.memory < 200 << 20
    assert server.log()[-1]["verdict"] == "refused"
