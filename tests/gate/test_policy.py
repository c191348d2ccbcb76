from __future__ import annotations

from dataclasses import replace

import pytest

from gitreg.access import Access, Action, Grant
from gitreg.gate import Code, judge_mixture
from gitreg.names import EnvironmentName
from tests.gate.support import (
    ACCESS,
    BOB,
    ROOT,
    SETTINGS,
    Judge,
    only,
    pointer_file,
    start,
    status_file,
    version_file,
)


@pytest.mark.parametrize("path", ["access.yaml", "registry.yaml", "keys/allowed_signers"])
def test_rules_change_alone(path: str) -> None:
    assert judge_mixture([path]) == []
    assert judge_mixture(["access.yaml", "registry.yaml", "keys/allowed_signers"]) == []
    assert [each.code for each in judge_mixture([path, "README.md"])] == [Code.POLICY_MIXED]


def test_what_only_looks_like_rules_is_none() -> None:
    assert judge_mixture(["docs/access.yaml", "README.md"]) == []


def test_the_last_effective_admin_stays() -> None:
    gone = replace(ACCESS, grants=ACCESS.grants[:-1])
    denied = replace(ACCESS, deny=(Grant(to=(ROOT,), actions=(Action.ADMIN,)),))
    handed = Access(grants=(Grant(to=(BOB,), actions=(Action.ADMIN,)),))

    assert Judge().codes(start(), {"access.yaml": handed.to_bytes()}) == []
    assert Judge().codes(start(), {"access.yaml": gone.to_bytes()}) == [Code.LAST_ADMIN]
    assert Judge().codes(start(), {"access.yaml": denied.to_bytes()}) == [Code.LAST_ADMIN]


def test_an_admin_group_without_users_is_no_admin() -> None:
    access = Access(groups={"admins": ()}, grants=(Grant(to=("group:admins",), actions=(Action.ADMIN,)),))

    codes = Judge().codes(start(), {"access.yaml": access.to_bytes()})

    assert codes in ([Code.LAST_ADMIN], [Code.FILE_INVALID])


@pytest.mark.parametrize("path", ["access.yaml", "registry.yaml"])
def test_rules_are_never_removed(path: str) -> None:
    assert Judge().codes(start(), {path: None}) == [Code.POLICY_MISSING]


@pytest.mark.parametrize("path", ["access.yaml", "registry.yaml"])
def test_rules_are_valid(path: str) -> None:
    [found] = Judge().violations(start(), {path: start()[path] + b"surprise: 1\n"})

    assert (found.code, found.path) == (Code.FILE_INVALID, path)
    assert found.line == start()[path].count(b"\n") + 1


def test_the_rules_from_before_the_push_decide() -> None:
    """The commit grants bob what it then uses."""
    granted = only(BOB, Action.REGISTER).to_bytes()

    codes = Judge(BOB).codes(start(), {"access.yaml": granted, **version_file("1.1.0")})

    assert codes == [Code.ACCESS_DENIED, Code.ACCESS_DENIED]


def test_an_environment_in_use_stays() -> None:
    less = replace(SETTINGS, environments=SETTINGS.environments[1:])
    less = replace(less, environments=(replace(less.environments[0], after=None),))

    assert Judge().codes(start(), {"registry.yaml": less.to_bytes()}) == []
    for used in (pointer_file("1.0.0"), status_file()):
        assert Judge().codes(start(used), {"registry.yaml": less.to_bytes()}) == [Code.ENVIRONMENT_IN_USE]


def test_an_environment_follows_one_that_there_is() -> None:
    staging, prod = SETTINGS.environments
    broken = replace(SETTINGS, environments=(staging, replace(prod, after=EnvironmentName("qa"))))

    assert Judge().codes(start(), {"registry.yaml": broken.to_bytes()}) == [Code.FILE_INVALID]


def test_a_whole_state_is_judged_as_it_stands() -> None:
    state = start(version_file("1.1.0", lifecycle="archived"), pointer_file("1.1.0"))

    assert Judge(None, transition=False).codes({}, state) == []
    broken = {**state, **pointer_file("3.0.0")}
    assert Judge(None, transition=False).codes({}, broken) == [Code.VERSION_UNKNOWN]
