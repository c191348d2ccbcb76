from __future__ import annotations

from dataclasses import replace

import pytest

from gitreg.access import Access, Action, Grant
from gitreg.changes import pointer_action
from gitreg.deployment import Verdict
from gitreg.gate import Code
from gitreg.layout import version_path
from gitreg.names import EnvironmentName, ModelName, Version
from tests.gate.support import (
    ALICE,
    BOB,
    CAROL,
    DANA,
    FRAUD,
    NOW,
    PROD,
    ROOT,
    SETTINGS,
    STAGING,
    Judge,
    MemoryFacts,
    approval_file,
    manifest,
    only,
    pointer,
    pointer_file,
    start,
    status_file,
    tombstone_file,
    version_file,
)

POINTER = "deployments/staging/risk/fraud.yaml"


def history(*versions: str | None, environment: EnvironmentName = STAGING) -> MemoryFacts:
    states = [pointer(version, environment) if version else None for version in versions]
    return MemoryFacts(pointers={(environment, FRAUD): states})


def approvals(count: int) -> Judge:
    staging, prod = SETTINGS.environments
    return Judge(BOB, settings=replace(SETTINGS, environments=(staging, replace(prod, approvals=count))))


@pytest.mark.parametrize("lifecycle", ["active", "deprecated"])
def test_a_version_is_deployed(lifecycle: str) -> None:
    assert Judge(BOB).codes(start(version_file(lifecycle=lifecycle)), pointer_file("1.0.0")) == []


@pytest.mark.parametrize("lifecycle", ["yanked", "archived"])
def test_a_yanked_or_archived_version_is_not_deployed(lifecycle: str) -> None:
    before = start(version_file(lifecycle=lifecycle))

    assert Judge(BOB).codes(before, pointer_file("1.0.0")) == [Code.VERSION_STATE]


def test_what_runs_may_be_yanked() -> None:
    assert Judge().codes(start(pointer_file("1.0.0")), version_file(lifecycle="yanked")) == []


def test_an_unknown_or_deleted_version_is_not_deployed() -> None:
    assert Judge(BOB).codes(start(), pointer_file("1.1.0")) == [Code.VERSION_UNKNOWN]
    assert Judge(BOB).codes(start(tombstone_file()), pointer_file("1.0.0")) == [Code.VERSION_UNKNOWN]


def test_a_pointer_stands_in_an_environment_that_there_is() -> None:
    edits = pointer_file("1.0.0", EnvironmentName("stagin"))

    [found] = Judge(BOB).violations(start(), edits)

    assert found.code is Code.ENVIRONMENT_UNKNOWN
    assert found.remedy == "did you mean staging?"


@pytest.mark.parametrize(("field", "said"), [("environment", "prod"), ("model", "risk/churn")])
def test_what_a_pointer_says_equals_its_path(field: str, said: str) -> None:
    held = "staging" if field == "environment" else "risk/fraud"
    data = pointer_file("1.0.0")[POINTER].replace(f"{field}: {held}".encode(), f"{field}: {said}".encode())

    assert Judge(BOB).codes(start(), {POINTER: data}) == [Code.PATH_MISMATCH]


def test_the_earlier_environment_comes_first() -> None:
    assert Judge(BOB).codes(start(), pointer_file("1.0.0", PROD)) == [Code.ORDER]
    assert Judge(BOB).codes(start(pointer_file("1.0.0")), pointer_file("1.0.0", PROD)) == []


def test_a_canary_of_the_earlier_environment_counts_as_running_there() -> None:
    before = start(version_file("1.1.0"), pointer_file("1.0.0", canary="1.1.0"))

    assert Judge(BOB).codes(before, pointer_file("1.1.0", PROD)) == []


# Approvals


def test_approvals_are_counted() -> None:
    before = start(pointer_file("1.0.0"))

    assert approvals(1).codes(before, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]
    assert approvals(1).codes({**before, **approval_file()}, pointer_file("1.0.0", PROD)) == []
    assert approvals(2).codes({**before, **approval_file()}, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]


def test_an_approval_of_other_bytes_does_not_count() -> None:
    before = start(pointer_file("1.0.0"), approval_file(data=b"the manifest as it was"))

    assert approvals(1).codes(before, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]


def test_an_approval_by_somebody_who_may_not_does_not_count() -> None:
    before = start(pointer_file("1.0.0"), approval_file(user=ALICE))

    assert approvals(1).codes(before, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]


def test_an_approval_for_another_environment_does_not_count() -> None:
    before = start(pointer_file("1.0.0"), approval_file(environment=STAGING))

    assert approvals(1).codes(before, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]


def test_a_rejection_holds_a_deployment_up() -> None:
    before = start(pointer_file("1.0.0"), approval_file(verdict=Verdict.REJECT), approval_file(user=ROOT))

    assert approvals(1).codes(before, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]
    assert approvals(0).codes(before, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]


def test_an_approval_is_written_in_one_s_own_name() -> None:
    access = Access(
        grants=(
            Grant(to=(DANA, BOB), actions=(Action.APPROVE,), models=("*/*",)),
            Grant(to=(ROOT,), actions=(Action.ADMIN,)),
        )
    )

    assert Judge(DANA, access=access).codes(start(), approval_file()) == []
    assert Judge(BOB, access=access).codes(start(), approval_file()) == [Code.APPROVAL_FOREIGN]
    assert Judge(ROOT, access=access).codes(start(), approval_file()) == [Code.APPROVAL_FOREIGN]
    assert Judge(BOB, access=access).codes(start(approval_file()), dict.fromkeys(approval_file())) == [
        Code.APPROVAL_FOREIGN
    ]


def test_an_approval_is_of_the_bytes_that_are_there() -> None:
    assert Judge(DANA).codes(start(), approval_file(data=b"else")) == [Code.APPROVAL_STALE]
    assert Judge(DANA).codes(start(), approval_file("1.1.0")) == [Code.VERSION_UNKNOWN]
    assert Judge(DANA).codes(start(tombstone_file()), approval_file()) == [Code.VERSION_UNKNOWN]
    assert Judge(DANA).codes(start(), approval_file(environment=EnvironmentName("qa"))) == [Code.ENVIRONMENT_UNKNOWN]


def test_an_approval_says_what_its_path_says() -> None:
    [(path, data)] = approval_file().items()

    found = Judge(DANA).codes(start(), {path: data.replace(b"user: dana", b"user: bob")})

    assert found == [Code.PATH_MISMATCH]


def test_an_approval_may_be_taken_back() -> None:
    assert Judge(DANA).codes(start(approval_file()), dict.fromkeys(approval_file())) == []


# Going back


def test_who_may_only_roll_back_returns_to_an_earlier_state() -> None:
    judge = Judge(CAROL, facts=history("1.0.0", "1.1.0"))
    before = start(version_file("1.1.0"), version_file("1.2.0"), pointer_file("1.1.0"))

    assert judge.codes(before, pointer_file("1.0.0")) == []
    assert judge.codes(before, pointer_file("1.2.0")) == [Code.ACCESS_DENIED]


def test_who_may_only_roll_back_may_undeploy() -> None:
    assert Judge(CAROL).codes(start(pointer_file("1.0.0")), {POINTER: None}) == []
    assert Judge(DANA).codes(start(pointer_file("1.0.0")), {POINTER: None}) == [Code.ACCESS_DENIED]


def test_an_earlier_state_of_another_environment_is_no_way_back() -> None:
    judge = Judge(CAROL, facts=history("1.0.0", environment=PROD))

    assert judge.codes(start(version_file("1.1.0"), pointer_file("1.1.0")), pointer_file("1.0.0")) == [
        Code.ACCESS_DENIED
    ]


def test_a_restored_pointer_met_order_and_approvals_when_it_first_came() -> None:
    facts = history("1.0.0", "1.1.0", environment=PROD)
    judge = replace(approvals(1), facts=facts, who=CAROL)
    before = start(version_file("1.1.0"), pointer_file("1.1.0"), pointer_file("1.1.0", PROD))

    assert judge.codes(before, pointer_file("1.0.0", PROD)) == []
    rejected = {**before, **approval_file(verdict=Verdict.REJECT)}
    assert judge.codes(rejected, pointer_file("1.0.0", PROD)) == [Code.APPROVALS]
    yanked = {**before, **version_file(lifecycle="yanked")}
    assert judge.codes(yanked, pointer_file("1.0.0", PROD)) == [Code.VERSION_STATE]


# Canaries


def test_a_canary_exists_and_is_deployable() -> None:
    before = start(pointer_file("1.0.0"))

    assert Judge(BOB).codes({**before, **version_file("1.1.0")}, pointer_file("1.0.0", canary="1.1.0")) == []
    assert Judge(BOB).codes(before, pointer_file("1.0.0", canary="1.1.0")) == [Code.VERSION_UNKNOWN]
    yanked = {**before, **version_file("1.1.0", lifecycle="yanked")}
    assert Judge(BOB).codes(yanked, pointer_file("1.0.0", canary="1.1.0")) == [Code.VERSION_STATE]


def test_a_canary_meets_the_gates_and_what_runs_beside_it_keeps_its_place() -> None:
    before = start(version_file("1.1.0"), pointer_file("1.0.0", PROD))
    canary = pointer_file("1.0.0", PROD, canary="1.1.0")

    assert Judge(BOB).codes(before, canary) == [Code.ORDER]
    assert Judge(BOB).codes({**before, **pointer_file("1.1.0")}, canary) == []


def test_a_canary_that_runs_may_take_over() -> None:
    before = start(version_file("1.1.0"), pointer_file("1.0.0", PROD, canary="1.1.0"))

    assert Judge(BOB).codes(before, pointer_file("1.1.0", PROD)) == []


def test_the_halves_of_a_canary_may_change_places() -> None:
    before = start(version_file("1.1.0"), pointer_file("1.0.0", PROD, canary="1.1.0"))

    assert approvals(1).codes(before, pointer_file("1.1.0", PROD, canary="1.0.0")) == []


def test_a_rejection_of_what_runs_on_does_not_keep_traffic_from_moving_away() -> None:
    before = start(version_file("1.1.0"), pointer_file("1.1.0"), pointer_file("1.0.0", PROD))
    rejected = {**before, **approval_file(verdict=Verdict.REJECT)}

    assert Judge(BOB).codes(rejected, pointer_file("1.0.0", PROD, canary="1.1.0")) == []
    assert Judge(BOB).codes(rejected, pointer_file("1.1.0", PROD, canary="1.0.0")) == [Code.APPROVALS]


def test_a_rejected_canary_gets_no_more_traffic() -> None:
    before = start(version_file("1.1.0"), pointer_file("1.0.0", PROD, canary="1.1.0"))
    rejected = {**before, **approval_file("1.1.0", verdict=Verdict.REJECT, data=manifest("1.1.0").to_bytes())}
    path = "deployments/prod/risk/fraud.yaml"

    def percent(number: int) -> dict[str, bytes]:
        return {path: before[path].replace(b"canary_percent: 10", b"canary_percent: %d" % number)}

    assert Judge(BOB).codes(before, percent(11)) == []
    assert Judge(BOB).codes(rejected, percent(11)) == [Code.APPROVALS]
    assert Judge(BOB).codes(rejected, percent(9)) == []
    assert Judge(BOB).codes(rejected, pointer_file("1.0.0", PROD)) == []


def test_a_state_is_checked_without_asking_how_its_pointers_came_to_be() -> None:
    """Order, approvals, rejections and the lifecycle are asked of a change; what a pointer names is there or not."""
    whole = replace(approvals(1), who=None, transition=False)
    found = {**pointer_file("1.0.0", PROD), **pointer_file("1.1.0", canary="1.0.0")}
    before = start(version_file("1.1.0", lifecycle="yanked"), approval_file(verdict=Verdict.REJECT))

    assert whole.codes(before, found) == []
    assert whole.codes(before, pointer_file("1.2.0")) == [Code.VERSION_UNKNOWN]
    assert replace(whole, transition=True).codes(before, found) != []


def test_a_canary_is_another_version_and_has_its_percentage() -> None:
    data = pointer_file("1.0.0")[POINTER]

    same = data + b"canary_version: 1.0.0\ncanary_percent: 10\n"
    alone = data + b"canary_version: 1.1.0\n"
    for text in (same, alone, data + b"canary_version: 1.1.0\ncanary_percent: 100\n"):
        assert set(Judge(BOB).codes(start(version_file("1.1.0")), {POINTER: text})) == {Code.FILE_INVALID}


# One at a time


def test_one_commit_changes_one_pointer() -> None:
    both = {**pointer_file("1.0.0"), **pointer_file("1.0.0", PROD)}

    assert Judge(BOB).codes(start(), both) == [Code.ONE_POINTER]


def test_several_pointers_come_back_at_once() -> None:
    facts = MemoryFacts(
        pointers={
            (STAGING, FRAUD): [pointer("1.0.0"), pointer("1.1.0")],
            (PROD, FRAUD): [pointer("1.0.0", PROD), pointer("1.1.0", PROD)],
        }
    )
    before = start(version_file("1.1.0"), pointer_file("1.1.0"), pointer_file("1.1.0", PROD))
    back = {**pointer_file("1.0.0"), **pointer_file("1.0.0", PROD)}

    assert Judge(CAROL, facts=facts).codes(before, back) == []
    assert Judge(CAROL, facts=facts).codes(before, {**back, POINTER: None}) == []
    assert Judge(BOB, facts=facts).codes({**before, **version_file("1.2.0")}, {**back, **pointer_file("1.2.0")}) == [
        Code.ONE_POINTER
    ]


def test_bytes_that_leave_the_pointer_as_it_is_are_no_deployment() -> None:
    remark = {POINTER: pointer_file("1.0.0")[POINTER] + b"# as agreed\n"}
    before = start(version_file(lifecycle="yanked"), pointer_file("1.0.0"))

    assert Judge(BOB).codes(before, remark) == []
    assert Judge(CAROL).codes(before, remark) == [Code.ACCESS_DENIED]


def test_an_unreadable_file_beside_does_not_hide_the_rest() -> None:
    """The order of prod looks at staging, whose file is not valid."""
    edits = {**pointer_file("1.0.0", PROD), POINTER: b"kind: Deployment\n", "notes": b"x"}

    codes = Judge(BOB).codes(start(), edits)

    assert set(codes) == {Code.FILE_INVALID, Code.ACCESS_DENIED}


# Status


def test_a_report_is_of_a_version_and_an_environment_that_there_are() -> None:
    assert Judge(DANA).codes(start(), status_file()) == []
    assert Judge(DANA).codes(start(), status_file("1.1.0")) == [Code.VERSION_UNKNOWN]
    assert Judge(DANA).codes(start(tombstone_file()), status_file()) == []
    path = "status/qa/risk/fraud.yaml"
    data = status_file()["status/staging/risk/fraud.yaml"]
    assert Judge(DANA).codes(start(), {path: data.replace(b"staging", b"qa")}) == [Code.ENVIRONMENT_UNKNOWN]
    assert Judge(DANA).codes(start(), {path: data}) == [Code.PATH_MISMATCH, Code.ENVIRONMENT_UNKNOWN]


def test_a_report_does_not_come_from_the_future() -> None:
    assert Judge(DANA).codes(start(), status_file(reported="2026-03-01T00:00:00Z")) == [Code.TIME_IN_FUTURE]
    later = Judge(DANA, facts=MemoryFacts(now=NOW + 90 * 86_400))
    assert later.codes(start(), status_file(reported="2026-03-01T00:00:00Z")) == []


def test_a_report_may_be_removed() -> None:
    assert Judge(DANA).codes(start(status_file()), dict.fromkeys(status_file())) == []


# The words for it


@pytest.mark.parametrize(
    ("earlier", "after", "claimed", "action"),
    [
        ([], "1.0.0", None, "deploy"),
        ([], "1.0.0", "promote", "promote"),
        ([], "1.0.0", "rollback", "deploy"),
        (["1.0.0"], "1.1.0", "undeploy", "deploy"),
        (["1.0.0", "1.1.0"], "1.0.0", "promote", "rollback"),
        (["1.0.0"], None, "deploy", "undeploy"),
        (["1.0.0", None], "1.0.0", None, "rollback"),
    ],
)
def test_history_names_the_action(
    earlier: list[str | None], after: str | None, claimed: str | None, action: str
) -> None:
    states = [pointer(each) if each else None for each in earlier]

    assert pointer_action(states, pointer(after) if after else None, claimed) == action


def test_access_in_one_environment_does_not_reach_into_another() -> None:
    access = only(BOB, Action.DEPLOY, environments=(STAGING,))
    before = start(pointer_file("1.0.0"))

    assert Judge(BOB, access=access).codes(start(), pointer_file("1.0.0")) == []
    assert Judge(BOB, access=access).codes(before, pointer_file("1.0.0", PROD)) == [Code.ACCESS_DENIED]


def test_access_to_one_model_does_not_reach_another() -> None:
    other = ModelName("vision", "cats")
    data = manifest("1.0.0", other).to_bytes()

    codes = Judge(ALICE).codes(start(), {version_path(other, Version("1.0.0")): data})

    assert codes == [Code.MODEL_MISSING, Code.ACCESS_DENIED]


def test_who_is_denied_stays_out_whatever_is_granted() -> None:
    denied = Grant(to=(BOB,), actions=(Action.DEPLOY,), models=("*/*",), environments=(PROD,))
    access = replace(only(BOB, Action.DEPLOY), deny=(denied,))
    before = start(pointer_file("1.0.0"))

    assert Judge(BOB, access=access).codes(before, pointer_file("1.0.0", PROD)) == [Code.ACCESS_DENIED]
