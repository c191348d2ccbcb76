"""DESIGN's table of changes and the action each needs, row by row."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gitreg.access import Access, Action, Grant
from gitreg.gate import Code
from gitreg.names import ModelName
from tests.gate.support import (
    BOB,
    FRAUD,
    ROOT,
    STAGING,
    Edits,
    Files,
    Judge,
    MemoryFacts,
    approval_file,
    model_file,
    only,
    pointer,
    pointer_file,
    start,
    status_file,
    tombstone_file,
    version_file,
)

CHURN = ModelName("risk", "churn")
POINTER = "deployments/staging/risk/fraud.yaml"
SOME = start(version_file("1.1.0"))
RUNNING = {**SOME, **pointer_file("1.1.0")}
HISTORY = MemoryFacts(pointers={(STAGING, FRAUD): [pointer("1.0.0"), pointer("1.1.0")]})

Row = tuple[Files, Edits, set[Action]]
ROWS: dict[str, Row] = {
    "new model": (SOME, model_file(CHURN), {Action.REGISTER}),
    "new version": (SOME, version_file("1.2.0"), {Action.REGISTER}),
    "restore a tombstoned version": ({**SOME, **tombstone_file()}, version_file(), {Action.REGISTER}),
    "model.yaml": (SOME, model_file(task="ranking"), {Action.UPDATE}),
    "model.yaml goes": ({**SOME, **model_file(CHURN)}, dict.fromkeys(model_file(CHURN)), {Action.UPDATE}),
    "model card": (SOME, {"models/risk/fraud/README.md": b"# Fraud\n"}, {Action.UPDATE}),
    "editable parts": (SOME, version_file(description="Better."), {Action.UPDATE}),
    "deprecate": (SOME, version_file(lifecycle="deprecated"), {Action.UPDATE}),
    "alias": (SOME, model_file(aliases={"champion": "1.0.0"}), {Action.ALIAS}),
    "alias goes": ({**SOME, **model_file(aliases={"champion": "1.0.0"})}, model_file(), {Action.ALIAS}),
    "new pointer": ({**SOME, **version_file("1.2.0")}, pointer_file("1.2.0"), {Action.DEPLOY}),
    "changed pointer": ({**RUNNING, **version_file("1.2.0")}, pointer_file("1.2.0"), {Action.DEPLOY}),
    "canary": (RUNNING, pointer_file("1.1.0", canary="1.0.0"), {Action.DEPLOY}),
    "pointer goes back": (RUNNING, pointer_file("1.0.0"), {Action.DEPLOY, Action.ROLLBACK}),
    "undeploy": (RUNNING, {POINTER: None}, {Action.DEPLOY, Action.ROLLBACK}),
    "yank": (SOME, version_file(lifecycle="yanked"), {Action.YANK}),
    "unyank": ({**SOME, **version_file(lifecycle="yanked")}, version_file(), {Action.YANK}),
    "yanked to deprecated": (
        {**SOME, **version_file(lifecycle="yanked")},
        version_file(lifecycle="deprecated"),
        {Action.YANK},
    ),
    "archive": (SOME, version_file(lifecycle="archived"), {Action.ARCHIVE}),
    "unarchive": ({**SOME, **version_file(lifecycle="archived")}, version_file(), {Action.ARCHIVE}),
    "delete": (SOME, tombstone_file(), {Action.DELETE}),
    "approval": (SOME, approval_file(user=BOB), {Action.APPROVE}),
    "status": (SOME, status_file(), {Action.REPORT}),
    "free-form file": (SOME, {"README.md": b"hello\n"}, set()),
    "free-form file in a folder": (SOME, {".github/workflows/check.yml": b"on: push\n"}, set()),
    "schemas": (SOME, {".gitreg/schemas/manifest.schema.json": b"{}\n"}, set()),
    "keys": (SOME, {"keys/allowed_signers": b""}, set()),
    "access rules": (SOME, {"access.yaml": SOME["access.yaml"] + b"# more\n"}, set()),
    "settings": (SOME, {"registry.yaml": SOME["registry.yaml"] + b"# more\n"}, set()),
    "empty commit": (SOME, {}, set()),
}


@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("action", list(Action))
def test_a_change_is_allowed_by_its_action_and_by_no_other(row: str, action: Action) -> None:
    before, edits, needed = ROWS[row]
    access = only(BOB, action)
    if action is Action.ADMIN:
        access = Access(grants=(Grant(to=(BOB,), actions=(Action.ADMIN,)),))

    codes = Judge(BOB, access=access, facts=HISTORY).codes(before, edits)

    assert codes == ([] if action in needed | {Action.ADMIN} else [Code.ACCESS_DENIED])


@pytest.mark.parametrize("row", ["new model with aliases", "yanked to archived", "alias and text", "everything"])
def test_a_change_of_two_kinds_needs_both_actions(row: str) -> None:
    mixed: dict[str, tuple[Files, Edits, tuple[Action, ...]]] = {
        "new model with aliases": (
            SOME,
            {**model_file(CHURN, {"first": "1.0.0"}), **version_file("1.0.0", CHURN)},
            (Action.REGISTER, Action.ALIAS),
        ),
        "yanked to archived": (
            {**SOME, **version_file(lifecycle="yanked")},
            version_file(lifecycle="archived"),
            (Action.YANK, Action.ARCHIVE),
        ),
        "alias and text": (
            SOME,
            model_file(aliases={"champion": "1.0.0"}, description="New."),
            (Action.ALIAS, Action.UPDATE),
        ),
        "everything": (
            SOME,
            {**version_file("1.2.0"), **pointer_file("1.2.0"), **status_file()},
            (Action.REGISTER, Action.DEPLOY, Action.REPORT),
        ),
    }
    before, edits, needed = mixed[row]

    assert Judge(BOB, access=only(BOB, *needed)).codes(before, edits) == []
    for left_out in needed:
        some = only(BOB, *(action for action in needed if action is not left_out))
        assert set(Judge(BOB, access=some).codes(before, edits)) == {Code.ACCESS_DENIED}


def test_a_refusal_names_who_may() -> None:
    [found] = Judge(BOB, access=only(BOB, Action.READ)).violations(SOME, version_file("1.2.0"))

    assert found.message.startswith("bob may not register risk/fraud")
    assert found.remedy == "may: root"
    assert found.path == "models/risk/fraud/1.2.0.yaml"


def test_nobody_is_asked_where_no_actor_is_judged() -> None:
    assert Judge(None, access=only(BOB, Action.READ)).codes(SOME, version_file("1.2.0")) == []


def test_a_group_s_users_have_what_the_group_has() -> None:
    grants = (
        Grant(to=("group:team",), actions=(Action.REGISTER,), models=("risk/*",)),
        Grant(to=(ROOT,), actions=(Action.ADMIN,)),
    )

    assert Judge(BOB, access=Access(groups={"team": (BOB,)}, grants=grants)).codes(SOME, version_file("1.2.0")) == []
    assert Judge(BOB, access=Access(groups={"team": ()}, grants=grants)).codes(SOME, version_file("1.2.0")) == [
        Code.ACCESS_DENIED
    ]


def test_a_denial_of_admin_leaves_no_admin() -> None:
    denied = replace(
        Access(grants=(Grant(to=(ROOT,), actions=(Action.ADMIN,)),)),
        deny=(Grant(to=(ROOT,), actions=(Action.ADMIN,)),),
    )

    assert Judge(ROOT, access=denied).codes(SOME, {"README.md": b"x"}) == [Code.ACCESS_DENIED]
