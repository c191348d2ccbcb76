from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.access import (
    IN_ENVIRONMENTS,
    Access,
    Action,
    Decision,
    Grant,
    actions_of,
    effective_admins,
    known_users,
    matches,
    may,
)
from gitreg.errors import InvalidError
from gitreg.names import EnvironmentName, ModelName, UserName
from gitreg.wire import load_plain

PROD, STAGING = EnvironmentName("prod"), EnvironmentName("staging")
FRAUD, ADS = ModelName("risk", "fraud"), ModelName("ads", "clicks")
HEAD = "api_version: gitreg/v1\nkind: Access\n"
DESIGN = """\
api_version: gitreg/v1
kind: Access
groups: {risk-team: [alice, bob], contractors: [bob]}
grants:
  - {to: [group:risk-team], actions: [register, update], models: [risk/*]}
  - {to: [carol, bob], actions: [deploy, rollback], models: [risk/*], environments: [staging, prod]}
  - {to: [ci-bot], actions: [report], models: ["*/*"], environments: [prod]}
  - {to: [root], actions: [admin]}
deny:
  - {to: [group:contractors], actions: [deploy], models: ["*/*"], environments: [prod]}
"""


@pytest.fixture
def access() -> Access:
    return Access.parse(DESIGN.encode(), "access.yaml")


def rule(to: str, actions: str, models: str = "", environments: str = "") -> Grant:
    return Grant(
        to=tuple(to.split()),
        actions=tuple(map(Action, actions.split())),
        models=tuple(models.split()),
        environments=tuple(map(EnvironmentName, environments.split())),
    )


def problems_of(text: str) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        Access.parse((HEAD + text).encode(), "access.yaml")
    return [f"{problem.line}: {problem.field}: {problem.message}" for problem in caught.value.problems]


# Decisions


def test_what_nobody_granted_is_denied(access: Access) -> None:
    assert may(access, "alice", Action.DEPLOY, FRAUD, PROD) == Decision(
        allowed=False, rule="no grant", reason="no grant in access.yaml covers it"
    )
    assert may(access, "mallory", Action.READ, FRAUD).reason == "access.yaml does not know mallory"
    assert not may(Access(), "root", Action.ADMIN, None).allowed


def test_a_decision_names_its_rule_and_line(access: Access) -> None:
    assert may(access, "alice", Action.REGISTER, FRAUD) == Decision(
        allowed=True,
        rule="grants[0]",
        reason="grants[0] (line 5) grants group:risk-team register, update on risk/*",
        line=5,
    )
    assert may(access, "bob", Action.DEPLOY, FRAUD, PROD) == Decision(
        allowed=False,
        rule="deny[0]",
        reason="deny[0] (line 10) denies group:contractors deploy on */* in prod",
        line=10,
    )
    assert may(Access.from_data(access.to_data()), "root", Action.ADMIN, None).line is None


def test_a_denial_beats_any_grant_where_it_applies(access: Access) -> None:
    assert may(access, "bob", Action.DEPLOY, FRAUD, STAGING).allowed
    assert not may(access, "bob", Action.DEPLOY, FRAUD, PROD).allowed
    assert may(access, "carol", Action.DEPLOY, FRAUD, PROD).allowed


def test_a_grant_for_environments_covers_no_others(access: Access) -> None:
    assert not may(access, "carol", Action.DEPLOY, FRAUD, EnvironmentName("dev")).allowed
    assert not may(access, "carol", Action.DEPLOY, FRAUD).allowed
    everywhere = Access(grants=(rule("carol", "deploy", "risk/*"),))
    assert may(everywhere, "carol", Action.DEPLOY, FRAUD, PROD).allowed


@pytest.mark.parametrize("action", Action)
def test_admin_stands_for_every_action_everywhere(access: Access, action: Action) -> None:
    assert may(access, "root", action, FRAUD, PROD).allowed
    assert may(access, "root", action, None).allowed


def test_an_admin_of_some_models_is_none_of_the_registry() -> None:
    access = Access(grants=(rule("lead", "admin", "risk/*"),))
    assert may(access, "lead", Action.DELETE, FRAUD).allowed
    assert not may(access, "lead", Action.DELETE, ADS).allowed
    assert not may(access, "lead", Action.ADMIN, None).allowed
    assert effective_admins(access) == frozenset()


def test_a_denial_binds_an_admin_too() -> None:
    access = Access(grants=(rule("root", "admin"),), deny=(rule("root", "deploy", "*/*", "prod"),))
    assert not may(access, "root", Action.DEPLOY, FRAUD, PROD).allowed
    assert may(access, "root", Action.DEPLOY, FRAUD, STAGING).allowed
    assert effective_admins(access) == {"root"}


def test_a_denial_without_models_is_for_everything() -> None:
    access = Access(grants=(rule("eve", "deploy register", "*/*"),), deny=(rule("eve", "deploy"),))
    assert not may(access, "eve", Action.DEPLOY, FRAUD, PROD).allowed
    assert may(access, "eve", Action.REGISTER, FRAUD).allowed


def test_a_denial_of_admin_stands_for_every_action_as_a_grant_does() -> None:
    access = Access(grants=(rule("eve", "admin register", "*/*"),), deny=(rule("eve", "admin"),))
    assert not any(may(access, "eve", action, FRAUD, PROD).allowed for action in Action)


def test_a_grant_without_models_covers_no_model() -> None:
    access = Access(grants=(rule("eve", "register read"),))
    assert not may(access, "eve", Action.REGISTER, FRAUD).allowed
    assert not may(access, "eve", Action.READ, None).allowed


@pytest.mark.parametrize("name", ["group:risk-team", "risk-team", "", "*", "Alice", "alice ", "alice\n"])
def test_nobody_acts_under_a_name_that_is_no_users(access: Access, name: str) -> None:
    assert not any(may(access, name, action, FRAUD, PROD).allowed for action in Action)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("risk/fraud", True),
        ("risk/*", True),
        ("*/*", True),
        ("*/fraud", True),
        ("risk/f*d", True),
        ("r*k/*a*", True),
        ("risk/**", True),
        ("risk/frau", False),
        ("isk/fraud", False),
        ("ris/*", False),
        ("*", False),
        ("risk", False),
        ("risk/fraud*x", False),
        ("risk/fra*aud", False),
        ("*k/fraud/x", False),
        ("RISK/*", False),
        ("ris?/*", False),
    ],
)
def test_patterns_match_whole_segments(pattern: str, *, expected: bool) -> None:
    assert matches(pattern, FRAUD) is expected


@given(st.text("ab*", min_size=1, max_size=8), st.text("ab", min_size=1, max_size=8))
def test_a_star_stands_for_any_part_of_a_segment(pattern: str, text: str) -> None:
    reference = re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None
    assert matches(f"{pattern}/{pattern}", ModelName(text, text)) is reference


def test_a_pattern_full_of_stars_is_matched_in_time() -> None:
    assert not matches(f"*/{'*a' * 31}b", ModelName("risk", "a" * 63))


# Properties

users = st.sampled_from(["ann", "ben", "cat"])
groups = st.dictionaries(
    st.sampled_from(["devs", "ops"]), st.lists(users.map(UserName), unique=True, max_size=3).map(tuple)
)
deeds = st.tuples(
    users,
    st.sampled_from(Action),
    st.none() | st.sampled_from([FRAUD, ADS]),
    st.none() | st.sampled_from([PROD, STAGING]),
)


def several(strategy: st.SearchStrategy[str], least: int = 0) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(strategy, min_size=least, max_size=3, unique=True).map(tuple)


rules = st.builds(
    Grant,
    to=several(users | st.sampled_from(["group:devs", "group:ops", "group:none"]), 1),
    actions=st.lists(st.sampled_from(Action), min_size=1, max_size=3, unique=True).map(tuple),
    models=several(st.sampled_from(["risk/*", "*/*", "ads/cl*", "risk/fraud"])),
    environments=st.lists(st.sampled_from([PROD, STAGING]), max_size=1).map(tuple),
)
accesses = st.builds(
    Access,
    groups=groups,
    grants=st.lists(rules, max_size=4).map(tuple),
    deny=st.lists(rules, max_size=2).map(tuple),
)
Deed = tuple[str, Action, ModelName | None, EnvironmentName | None]


@given(accesses, rules, deeds)
def test_a_further_denial_never_allows_and_a_further_grant_never_denies(
    access: Access, extra: Grant, deed: Deed
) -> None:
    now = may(access, *deed).allowed
    assert may(replace(access, deny=(*access.deny, extra)), *deed).allowed <= now
    assert may(replace(access, grants=(extra, *access.grants)), *deed).allowed >= now


@given(accesses, deeds)
def test_whoever_is_denied_everything_may_nothing(access: Access, deed: Deed) -> None:
    barred = replace(access, deny=(*access.deny, rule(deed[0], "admin")))
    assert not may(barred, *deed).allowed
    assert deed[0] not in effective_admins(barred)


@given(accesses, deeds)
def test_an_admin_may_whatever_is_not_denied(access: Access, deed: Deed) -> None:
    made = replace(access, grants=(*access.grants, rule(deed[0], "admin")))
    decision = may(made, *deed)
    assert decision.allowed is not decision.rule.startswith("deny")


@given(accesses, deeds)
def test_a_group_is_its_users(access: Access, deed: Deed) -> None:
    def flat(rules: tuple[Grant, ...]) -> tuple[Grant, ...]:
        return tuple(
            replace(
                each,
                to=tuple(
                    user
                    for whom in each.to
                    for user in (access.groups.get(whom.removeprefix("group:"), ()) if ":" in whom else (whom,))
                ),
            )
            for each in rules
        )

    without = Access(grants=flat(access.grants), deny=flat(access.deny))
    assert may(without, *deed).allowed == may(access, *deed).allowed
    assert effective_admins(without) == effective_admins(access)


@given(accesses)
def test_effective_admins_are_those_who_may_admin_the_registry(access: Access) -> None:
    everyone = known_users(access) | {"ann", "ben", "cat"}
    assert effective_admins(access) == {user for user in everyone if may(access, user, Action.ADMIN, None).allowed}
    assert effective_admins(access) <= known_users(access)


@given(accesses, deeds)
def test_the_deciding_rule_is_one_that_speaks_of_the_user(access: Access, deed: Deed) -> None:
    decision = may(access, *deed)
    speaking = {each.rule: each.allows for each in actions_of(access, deed[0])}
    assert speaking.get(decision.rule, False) is decision.allowed
    assert (decision.rule in speaking) is (decision.rule != "no grant")


@given(accesses)
def test_rules_read_back_as_they_were_written(access: Access) -> None:
    data = access.to_bytes()
    assert Access.from_data({"groups": {}, **load_plain(data)}) == access
    if access.grants and not access.validate():
        assert Access.parse(data) == access


# Questions over all rules


def test_known_users_are_those_with_a_group_or_a_grant(access: Access) -> None:
    assert known_users(access) == {"alice", "bob", "carol", "ci-bot", "root"}
    assert known_users(Access(deny=(rule("eve", "read"),))) == frozenset()


def test_every_rule_about_a_user_is_listed_with_the_way_it_means_them(access: Access) -> None:
    found = [(each.rule, each.allows, each.to) for each in actions_of(access, "bob")]
    assert found == [
        ("deny[0]", False, "group:contractors"),
        ("grants[0]", True, "group:risk-team"),
        ("grants[1]", True, "bob"),
    ]
    assert actions_of(access, "mallory") == ()


def test_admins_come_from_groups_and_go_by_denials() -> None:
    access = Access(
        groups={"admins": (UserName("ann"), UserName("ben"), UserName("cat")), "away": (UserName("ben"),)},
        grants=(rule("group:admins", "admin"),),
        deny=(rule("group:away", "admin"), rule("cat", "admin", "risk/*")),
    )
    assert effective_admins(access) == {"ann", "cat"}


# What is refused


def test_every_problem_is_found_at_once_with_line_and_field() -> None:
    found = problems_of(
        "groups:\n"
        "  ops: [ann, devs]\n"
        "  devs: [ben]\n"
        "grants:\n"
        "  - {to: [group:dev], actions: [admin]}\n"
        "  - to: [ops]\n"
        "    actions: [deploy, register]\n"
        "    models: ['*/*']\n"
        "    environments: [prod]\n"
        "  - {to: [ann], actions: [read]}\n"
    )
    assert found == [
        "4: groups.ops[1]: devs is a group, and no group lies in another; name its users, or rename the group",
        "7: grants[0].to[0]: there is no group dev; did you mean group:devs?",
        "8: grants[1].to[0]: ops is a group; write group:ops, or rename the group",
        '12: grants[2]: grants nothing without models; write models: ["*/*"] for all',
    ]


@pytest.mark.parametrize("action", sorted(set(Action) - IN_ENVIRONMENTS))
@pytest.mark.parametrize("kind", ["grants", "deny"])
def test_environments_go_only_with_what_happens_in_one(action: Action, kind: str) -> None:
    extra = f"  - {{to: [ann], actions: [{action}], models: ['*/*'], environments: [prod]}}\n"
    text = "grants:\n  - {to: [root], actions: [admin]}\n" + (extra if kind == "grants" else f"deny:\n{extra}")
    assert len(problems_of(text)) == 1


def test_environments_narrow_only_what_happens_in_one() -> None:
    grant = Grant(
        to=("ann",),
        actions=(Action.REGISTER, Action.DEPLOY),
        models=("*/*",),
        environments=(EnvironmentName("staging"),),
    )
    access, model = Access(grants=(grant,)), ModelName("risk", "fraud")
    assert may(access, "ann", Action.REGISTER, model).allowed
    assert may(access, "ann", Action.DEPLOY, model, EnvironmentName("staging")).allowed
    assert not may(access, "ann", Action.DEPLOY, model, EnvironmentName("prod")).allowed


@pytest.mark.parametrize(
    "text",
    [
        "grants: []\n",
        "grants: [{to: ['*'], actions: [admin]}]\n",
        "grants: [{to: [root], actions: [admin], model: [risk/*]}]\n",
        "grants: [{to: [root], actions: [admn]}]\n",
        "grants: [{to: [root], actions: [admin], models: [risk]}]\n",
        "groups: {a: ['group:b']}\ngrants: [{to: [root], actions: [admin]}]\n",
    ],
)
def test_rules_that_nobody_can_mean_are_refused(text: str) -> None:
    assert problems_of(text)


def test_rules_made_in_python_are_validated_alike() -> None:
    access = Access(grants=(rule("group:none", "admin"),))
    assert [problem.field for problem in access.validate("access.yaml")] == ["grants[0].to[0]"]
    assert Access.parse(DESIGN.encode()).validate() == ()
    assert Access().validate() == ()


def test_a_large_company_is_decided_in_time() -> None:
    staff = tuple(UserName(f"user{number}") for number in range(5000))
    access = Access(groups={"staff": staff}, grants=(rule("group:staff", "admin"),), deny=(rule("user7", "admin"),))
    assert len(effective_admins(access)) == 4999
