"""The decision on rights, beside the oracle's plain reading of the same rules."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from gitreg.access import Access, Action, known_users, may, who_may
from gitreg.errors import InvalidError
from gitreg.names import EnvironmentName, ModelName
from tests.differential import oracle

USERS = ["ann", "ben", "cat", "a.b@c", "team"]
GROUPS = ["team-a", "team-b"]
MODELS = ["risk/fraud", "risk/fraud.v2", "vision/cats", "r/f"]
PATTERNS = ["*/*", "risk/*", "*/fraud", "*/fraud*", "risk/*.v*", "r*/f*d", "vision/cats", "*s*/*", "**/*"]
IN_ENVIRONMENTS = {"approve", "deploy", "rollback", "report"}


def some(values: list[str]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)


@st.composite
def rules(draw: st.DrawFn) -> dict[str, Any]:
    made: dict[str, Any] = {
        "to": draw(some(USERS + [f"group:{name}" for name in GROUPS])),
        "actions": draw(some([*map(str, Action)])),
    }
    if draw(st.integers(0, 3)) > 0:
        made["models"] = draw(some(PATTERNS))
    environments: list[str] = draw(st.just([]) | some(["prod", "staging"]))
    if environments and IN_ENVIRONMENTS.intersection(made["actions"]):
        made["environments"] = environments
    return made


def is_grant(rule: dict[str, Any]) -> bool:
    return "models" in rule or "admin" in rule["actions"]


ACCESS = st.fixed_dictionaries(
    {
        "api_version": st.just("gitreg/v1"),
        "kind": st.just("Access"),
        "groups": st.fixed_dictionaries({name: st.lists(st.sampled_from(USERS), unique=True) for name in GROUPS}),
        "grants": st.lists(rules().filter(is_grant), min_size=1, max_size=4),
        "deny": st.lists(rules(), max_size=2),
    }
)
DEEDS = st.tuples(
    st.sampled_from([*USERS, "stranger", "team-a", "group:team-a"]),
    st.sampled_from(list(Action)),
    st.sampled_from([None, *MODELS]),
    st.sampled_from([None, "prod", "staging", "edge"]),
)


def allowed(data: dict[str, Any], deed: tuple[str, Action, str | None, str | None]) -> bool:
    user, action, model, environment = deed
    on = ModelName.parse(model) if model else None
    where = EnvironmentName(environment) if environment else None
    return may(Access.parse(to_bytes(data)), user, action, on, where).allowed


def to_bytes(data: dict[str, Any]) -> bytes:
    return json.dumps(data).encode()


@given(ACCESS, DEEDS)
def test_rights_are_what_a_plain_reading_of_the_rules_says(
    data: dict[str, Any], deed: tuple[str, Action, str | None, str | None]
) -> None:
    user, action, model, environment = deed
    # What happens in an environment is asked about one; nothing else is.
    environment = (environment or "prod") if action in IN_ENVIRONMENTS else None
    expected = ":" not in user and oracle.may(data, user, str(action), model, environment)

    assert allowed(data, (user, action, model, environment)) == expected


@given(ACCESS, rules(), DEEDS)
def test_a_denial_more_never_allows_and_a_grant_more_never_denies(
    data: dict[str, Any], rule: dict[str, Any], deed: tuple[str, Action, str | None, str | None]
) -> None:
    now = allowed(data, deed)

    assert allowed({**data, "deny": [*data["deny"], rule]}, deed) <= now
    if is_grant(rule):
        assert allowed({**data, "grants": [*data["grants"], rule]}, deed) >= now
        assert not allowed({**data, "deny": [{**rule, "to": USERS}], "grants": [rule]}, deed)


@given(ACCESS, DEEDS)
def test_nobody_may_what_no_rule_grants(data: dict[str, Any], deed: tuple[str, Action, str | None, str | None]) -> None:
    nothing = {"to": ["nobody"], "actions": ["read"], "models": ["no/thing"]}

    assert not allowed({**data, "grants": [nothing]}, deed)


@given(ACCESS, DEEDS)
def test_who_may_names_exactly_those_who_may(
    data: dict[str, Any], deed: tuple[str, Action, str | None, str | None]
) -> None:
    access = Access.parse(to_bytes(data))
    _, action, model, environment = deed
    on = ModelName.parse(model) if model else None
    where = EnvironmentName(environment) if environment else None
    everyone = {*USERS, "stranger", *known_users(access)}

    assert who_may(access, action, on, where) == {
        user for user in everyone if may(access, user, action, on, where).allowed
    }


@given(ACCESS, st.sampled_from(["group", "grant", "To", "users", "environment", "<<", "deny "]))
def test_an_unknown_key_anywhere_is_an_error(data: dict[str, Any], key: str) -> None:
    for spoilt in ({**data, key: []}, {**data, "grants": [{**data["grants"][0], key: ["ann"]}]}):
        try:
            Access.parse(to_bytes(spoilt))
        except InvalidError:
            continue
        raise AssertionError(key)
