from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Access, Action
from gitreg.errors import DeniedError
from gitreg.names import EnvironmentName, ModelName, UserName
from gitreg.records import replace
from gitreg.server.auth import callers
from gitreg.server.auth.callers import Caller, Readable, Readers, may_read, permission, require
from gitreg.server.auth.errors import UnauthenticatedError
from tests.registries import MAIN, Forge, forge, git, template

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["forge", "template"]

FRAUD, OCR = ModelName("risk", "fraud"), ModelName("vision", "ocr")
PROD = EnvironmentName("prod")
RULES = Access.parse(b"""\
api_version: gitreg/v1
kind: Access
groups: {risk-team: [alice, bob]}
grants:
  - {to: [group:risk-team], actions: [read, register], models: [risk/*]}
  - {to: [carol], actions: [deploy], models: [risk/*], environments: [prod]}
  - {to: [carol, dana, anybody], actions: [read], models: ["*/*"]}
  - {to: [root], actions: [admin]}
deny:
  - {to: [dana], actions: [read], models: [vision/*]}
""")


def known(user: str, *scopes: Action) -> Caller:
    return Caller(
        user=UserName(user),
        reader=UserName(user),
        how="token:abc",
        scopes=frozenset(scopes) if scopes else None,
        address="192.0.2.7",
    )


STRANGER = Caller(user=None, reader=UserName("anybody"), how="anonymous", scopes=callers.READING)


@pytest.mark.parametrize(
    ("caller", "fraud", "ocr"),
    [
        (known("alice"), True, False),
        (known("carol"), True, True),
        (known("dana"), True, False),
        (known("root"), True, True),
        (known("nobody"), False, False),
        (known("alice", Action.READ), True, False),
        (known("root", Action.DEPLOY), False, False),
        (known("root", Action.ADMIN), True, True),
        (STRANGER, True, True),
        (replace(STRANGER, reader=UserName("nobody")), False, False),
    ],
)
def test_reading_follows_the_rules_and_the_scopes(caller: Caller, fraud: bool, ocr: bool) -> None:
    assert (may_read(RULES, caller, FRAUD), may_read(RULES, caller, OCR)) == (fraud, ocr)
    readable = Readers().readable(RULES, caller)
    assert (readable(FRAUD), readable(OCR)) == (fraud, ocr)
    assert not readable.everything or (fraud and ocr)
    assert not readable.nothing or not (fraud or ocr)


def test_who_may_read_all_or_nothing_needs_no_question_for_each_model() -> None:
    assert Readable(RULES, known("root")).everything
    assert Readable(RULES, known("carol")).everything
    assert not Readable(RULES, known("dana")).everything
    assert Readable(RULES, known("nobody")).nothing
    assert Readable(RULES, known("carol", Action.DEPLOY)).nothing


def test_answers_are_remembered_for_the_same_rules_and_a_bounded_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_KEPT", 2)
    readers = Readers()
    first = readers.readable(RULES, known("alice"))
    assert readers.readable(RULES, known("alice")) is first
    assert readers.readable(RULES, known("alice", Action.DEPLOY)) is not first
    assert readers.readable(replace(RULES, deny=()), known("dana"))(OCR)
    assert not readers.readable(RULES, known("dana"))(OCR)
    assert len(readers._known) == 2


def test_an_action_needs_the_grant_and_the_scope() -> None:
    assert permission(RULES, known("carol"), Action.DEPLOY, FRAUD, PROD).allowed
    assert permission(RULES, known("carol", Action.DEPLOY), Action.DEPLOY, FRAUD, PROD).allowed
    assert not permission(RULES, known("carol", Action.REGISTER), Action.DEPLOY, FRAUD, PROD).allowed
    assert not permission(RULES, known("alice", Action.DEPLOY), Action.DEPLOY, FRAUD, PROD).allowed


def test_a_refusal_names_what_decided() -> None:
    with pytest.raises(DeniedError, match="carol may not deploy vision/ocr in prod: no grant"):
        require(RULES, known("carol"), Action.DEPLOY, OCR, PROD)
    with pytest.raises(DeniedError, match="the token was made for: read; use another token"):
        require(RULES, known("carol", Action.READ), Action.DEPLOY, FRAUD, PROD)
    require(RULES, known("carol"), Action.DEPLOY, FRAUD, PROD)


def test_a_stranger_is_asked_who_it_is() -> None:
    with pytest.raises(UnauthenticatedError, match="without a token"):
        require(RULES, replace(STRANGER, reader=UserName("nobody")), Action.READ, FRAUD)
    with pytest.raises(UnauthenticatedError):
        require(RULES, STRANGER, Action.REGISTER, FRAUD)
    with pytest.raises(UnauthenticatedError):
        STRANGER.require_user()
    with pytest.raises(UnauthenticatedError):
        STRANGER.environment()


def test_requests_are_counted_by_user_and_strangers_by_address() -> None:
    assert known("alice").key == replace(known("alice"), address="elsewhere", how="proxy").key
    assert known("alice").key != known("bob").key
    assert replace(STRANGER, address="192.0.2.1").key != replace(STRANGER, address="192.0.2.2").key


def test_a_stranger_has_one_key_in_a_whole_network_of_ipv6() -> None:
    first, second, other = (replace(STRANGER, address=f"2001:db8::{each}").key for each in ("1", "2", "1:0:0:0:1"))
    assert first == second != other


# Scopes at the gate


def _push(forge: Forge, environment: Mapping[str, str], ref: str = MAIN) -> str:
    """Push an empty commit as root, whom everything is granted; give the hook's words, or nothing."""
    clone = forge.folder / "clone"
    if not clone.exists():
        git(forge.folder, "clone", "--quiet", "registry.git", "clone")
    git(forge.bare, "config", "gitreg.identity", "GITREG_USER")
    git(clone, "commit", "--quiet", "--allow-empty", "-m", "nothing")
    try:
        git(clone, "push", "origin", f"HEAD:{ref}", env=environment)
    except AssertionError as error:
        return str(error)
    return ""


def test_the_hook_holds_a_push_to_the_scopes_of_its_token(forge: Forge) -> None:
    deploys = known("root", Action.DEPLOY, Action.READ).environment()
    assert deploys == {
        "GITREG_USER": "root",
        "GITREG_CALLER": "token:abc",
        "GITREG_SCOPES": "deploy read",
        "REMOTE_ADDR": "192.0.2.7",
    }

    assert "[access-denied]" in _push(forge, deploys)
    assert "[access-denied]" in _push(forge, known("root", Action.READ).environment(), "refs/heads/proposals/root/x")
    assert "[actor-unknown]" in _push(forge, {**deploys, "GITREG_SCOPES": "everything"})
    assert "[access-denied]" in _push(forge, {**deploys, "GITREG_SCOPES": ""})
    assert _push(forge, deploys, "refs/heads/proposals/root/y") == ""
    assert _push(forge, known("root", Action.ADMIN).environment()) == ""

    last = (forge.bare / "gitreg" / "audit.jsonl").read_text().splitlines()[-1]
    assert '"source":{"address":"192.0.2.7","identity":"token:abc"}' in last
    assert os.environ.get("GITREG_SCOPES") is None
