from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitreg.gate import Code, DeployMark, PushedTag, RefUpdate, judge_mark, judge_refs, parse_updates
from gitreg.layout import DeployTag
from gitreg.names import EnvironmentName, ModelName, UserName

ALICE = UserName("alice")
KNOWN = frozenset({"alice", "bob"})
ZERO, OLD, NEW = "0" * 40, "a" * 40, "b" * 40
MAIN = "refs/heads/main"
TAG = "refs/tags/deploy/prod/risk/fraud/1"
MINE = "refs/heads/proposals/alice/new-model"


def line(ref: str = MAIN, old: str = OLD, new: str = NEW) -> bytes:
    return f"{old} {new} {ref}\n".encode()


def codes(update: RefUpdate, now: str | None = OLD, *, who: UserName = ALICE, server: bool = True) -> list[str]:
    return [str(each.code) for each in judge_refs([update], {update.ref: now}, who, KNOWN, server_marks=server)]


# What git hands over


def test_ref_updates_are_read_line_by_line() -> None:
    updates, violations = parse_updates(line() + line(MINE, ZERO))

    assert violations == []
    assert updates == [RefUpdate(OLD, NEW, MAIN), RefUpdate(ZERO, NEW, MINE)]
    assert [update.creates for update in updates] == [False, True]


def test_a_sha256_repository_has_longer_ids() -> None:
    updates, violations = parse_updates(line(old="a" * 64, new="b" * 64))

    assert violations == []
    assert len(updates[0].new) == 64


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        line()[:-1],
        line() + line()[:-1],
        line() + b"\n",
        b"garbage\n",
        line().replace(b" ", b"  ", 1),
        line().replace(b" ", b"\t", 1),
        line().replace(b"\n", b"\r\n"),
        b" " + line(),
        line(old="a" * 39),
        line(old="A" * 40),
        line(old="a" * 64),
        line(old="g" * 40),
        line() + b"\0",
        line(ref="refs/heads/main extra"),
        line(ref="HEAD"),
        line(ref="main"),
        line(ref="REFS/heads/main"),
        line(ref="--all"),
        line(ref="refs/heads/m\u00e4in"),
        line(ref="refs/heads/main\x7f"),
        line(ref="refs/heads/" + "m" * 1100),
    ],
)
def test_a_malformed_line_refuses(data: bytes) -> None:
    _, violations = parse_updates(data)

    assert {each.code for each in violations} == {Code.REF_MALFORMED}


@pytest.mark.parametrize(
    "name",
    [
        "a..b",
        "a//b",
        "a/.b",
        ".a/../b",
        "a.lock",
        "a.lock/b",
        "a/",
        "a.",
        "a~1",
        "a^",
        "a:b",
        "a?",
        "a*",
        "a[b",
        "a\\b",
        "a@{1}",
    ],
)
def test_what_git_would_not_take_for_a_ref_refuses(name: str) -> None:
    _, violations = parse_updates(line(f"refs/heads/proposals/alice/{name}"))

    assert [each.code for each in violations] == [Code.REF_MALFORMED]


def test_too_many_updates_are_not_read() -> None:
    updates, violations = parse_updates(b"".join(line(f"refs/heads/proposals/alice/{n}") for n in range(1001)))

    assert updates == []
    assert [each.code for each in violations] == [Code.REF_MALFORMED]


# Which refs


def test_a_ref_is_updated_once() -> None:
    updates = [RefUpdate(OLD, NEW, MAIN), RefUpdate(OLD, "c" * 40, MAIN)]

    violations = judge_refs(updates, {MAIN: OLD}, ALICE, KNOWN, server_marks=True)

    assert [each.code for each in violations] == [Code.REF_DUPLICATE]


def test_main_moves_from_where_it_is() -> None:
    assert codes(RefUpdate(OLD, NEW, MAIN)) == []
    assert codes(RefUpdate("c" * 40, NEW, MAIN)) == [Code.REF_STALE]
    assert codes(RefUpdate(ZERO, NEW, MAIN)) == [Code.REF_STALE]


@pytest.mark.parametrize("old", [OLD, ZERO, "c" * 40])
def test_main_is_never_deleted_whatever_the_old_value_says(old: str) -> None:
    assert Code.MAIN_DELETED in codes(RefUpdate(old, ZERO, MAIN))


def test_main_is_never_created_by_a_push() -> None:
    assert codes(RefUpdate(ZERO, NEW, MAIN), None) == [Code.MAIN_CREATED]


def test_an_actor_whom_the_rules_do_not_name_pushes_nothing() -> None:
    assert codes(RefUpdate(OLD, NEW, MAIN), who=UserName("eve")) == [Code.ACTOR_UNKNOWN]
    assert codes(RefUpdate(ZERO, NEW, "refs/heads/proposals/eve/x"), None, who=UserName("eve")) == [Code.ACTOR_UNKNOWN]


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/master",
        "refs/heads/Main",
        "refs/heads/main2",
        "refs/heads/main/x",
        "refs/heads/proposals",
        "refs/heads/proposals/alice",
        "refs/tags/main",
        "refs/tags/v1.0.0",
        "refs/tags/deploy",
        "refs/notes/commits",
        "refs/replace/" + OLD,
        "refs/gitreg/pending",
        "refs/pull/1/head",
        "refs/for/main",
    ],
)
def test_every_other_ref_is_refused(ref: str) -> None:
    assert codes(RefUpdate(ZERO, NEW, ref), None) == [Code.REF_UNKNOWN]
    assert codes(RefUpdate(OLD, ZERO, ref)) == [Code.REF_UNKNOWN]


def test_one_s_own_proposals_come_move_and_go() -> None:
    assert codes(RefUpdate(ZERO, NEW, MINE), None) == []
    assert codes(RefUpdate(OLD, NEW, MINE)) == []
    assert codes(RefUpdate(OLD, ZERO, MINE)) == []


@pytest.mark.parametrize(("old", "new"), [(ZERO, NEW), (OLD, NEW), (OLD, ZERO)])
def test_somebody_else_s_proposals_are_left_alone(old: str, new: str) -> None:
    assert codes(RefUpdate(old, new, "refs/heads/proposals/bob/x")) == [Code.PROPOSAL_FOREIGN]


def test_a_proposal_of_no_possible_user_is_no_proposal() -> None:
    assert codes(RefUpdate(ZERO, NEW, "refs/heads/proposals/Alice/x"), None) == [Code.REF_UNKNOWN]


@pytest.mark.parametrize(
    "name",
    ["-x", "a/-x", "--exec=x", "$(id)", "`id`", "a;b", "a|b", "a&b", "a>b", "a'b", 'a"b', "a!b", "{a}", "x" * 201],
)
def test_a_proposal_s_name_is_nothing_that_a_shell_an_option_parser_or_a_file_system_misreads(name: str) -> None:
    ref = f"refs/heads/proposals/alice/{name}"

    assert codes(RefUpdate(ZERO, NEW, ref), None) == [Code.REF_UNKNOWN]
    assert codes(RefUpdate(OLD, ZERO, ref)) == []


@pytest.mark.parametrize("name", ["fix", "fix/1.2.0-rc.1", "a@b", "a+b=c,d#1%", "x" * 200, "HEAD", "a-"])
def test_a_proposal_may_be_called_anything_else(name: str) -> None:
    assert codes(RefUpdate(ZERO, NEW, f"refs/heads/proposals/alice/{name}"), None) == []


# Deploy tags


def test_the_server_writes_its_tags_itself() -> None:
    assert codes(RefUpdate(ZERO, NEW, TAG), None) == [Code.TAG_BY_SERVER]
    assert codes(RefUpdate(OLD, ZERO, TAG)) == [Code.TAG_BY_SERVER]


def test_a_client_adds_tags_and_neither_moves_nor_deletes_them() -> None:
    assert codes(RefUpdate(ZERO, NEW, TAG), None, server=False) == []
    assert codes(RefUpdate(OLD, NEW, TAG), server=False) == [Code.TAG_MOVED]
    assert codes(RefUpdate(ZERO, NEW, TAG), server=False) == [Code.TAG_MOVED]
    assert codes(RefUpdate(OLD, ZERO, TAG), server=False) == [Code.TAG_MOVED]


@pytest.mark.parametrize(
    "name",
    [
        "prod/risk/fraud",
        "prod/risk/fraud/0",
        "prod/risk/fraud/01",
        "prod/risk/fraud/x",
        "prod/risk/fraud/1/2",
        "Prod/risk/fraud/1",
        "1",
    ],
)
def test_a_tag_that_only_looks_like_a_deploy_tag_is_refused(name: str) -> None:
    assert codes(RefUpdate(ZERO, NEW, f"refs/tags/deploy/{name}"), None, server=False) == [Code.REF_UNKNOWN]


IMPLIED = DeployMark(
    DeployTag(EnvironmentName("prod"), ModelName("risk", "fraud"), 1),
    OLD,
    {"Model": "risk/fraud", "Version": "1.0.0", "Environment": "prod", "Action": "deploy", "Reason": "January retrain"},
)
MESSAGE = """Deploy risk/fraud@1.0.0 to prod

Model: risk/fraud
Version: 1.0.0
Environment: prod
Action: deploy
Reason: January retrain
"""
EXACT = PushedTag("deploy/prod/risk/fraud/1", OLD, MESSAGE)


def said(**changes: Any) -> PushedTag:  # noqa: ANN401 - the tag's own fields
    return replace(EXACT, **changes)


@pytest.mark.parametrize(
    "pushed",
    [
        EXACT,
        said(message=MESSAGE.replace("Deploy risk/fraud@1.0.0 to prod", "It runs now")),
        said(message=MESSAGE + "Actor: bob\n"),
        said(message=MESSAGE + "-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----\n"),
    ],
)
def test_the_tag_that_history_implies_is_accepted(pushed: PushedTag) -> None:
    assert judge_mark(TAG, pushed, IMPLIED) == []


@pytest.mark.parametrize(
    "pushed",
    [
        said(name="deploy/prod/risk/fraud/2"),
        said(target=NEW),
        said(message="Deploy\n"),
        said(message=MESSAGE.replace("Version: 1.0.0", "Version: 1.1.0")),
        said(message=MESSAGE.replace("Version: 1.0.0\n", "")),
        said(message=MESSAGE.replace("Action: deploy", "Action: promote")),
        said(message=MESSAGE.replace("January retrain", "no reason")),
        said(message=MESSAGE + "Previous: 0.9.0\n"),
        said(message=MESSAGE + "Version: 6.6.6\n"),
        said(message=MESSAGE + "version: 6.6.6\n"),
        said(message=MESSAGE + "Approved-by: eve\n"),
        said(message=MESSAGE + "\nVersion: 6.6.6\n"),
        said(message=MESSAGE.replace("January", "January\n ")),
    ],
)
def test_any_other_tag_is_refused(pushed: PushedTag) -> None:
    found = judge_mark(TAG, pushed, IMPLIED)

    assert {each.code for each in found} == {Code.TAG_WRONG}


def test_a_tag_does_not_claim_another_actor_than_the_server_knows() -> None:
    known = replace(IMPLIED, trailers={**IMPLIED.trailers, "Actor": "alice", "Audit": "f" * 64})

    assert judge_mark(TAG, EXACT, known) == []
    assert judge_mark(TAG, said(message=f"{MESSAGE}Actor: alice\nAudit: {'f' * 64}\n"), known) == []
    assert len(judge_mark(TAG, said(message=f"{MESSAGE}Actor: bob\nAudit: {'e' * 64}\n"), known)) == 2


def test_a_lightweight_tag_and_one_of_no_deployment_are_refused() -> None:
    assert [each.code for each in judge_mark(TAG, None, IMPLIED)] == [Code.TAG_WRONG]
    assert [each.code for each in judge_mark(TAG, EXACT, None)] == [Code.TAG_WRONG]
