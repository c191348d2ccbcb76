from __future__ import annotations

import os
import pwd

import pytest

from gitreg.errors import DeniedError, InvalidError
from gitreg.gate_hooks import identity


@pytest.mark.parametrize("source", identity.VARIABLES)
def test_a_server_names_the_actor_by_its_variable(source: str) -> None:
    assert identity.actor_by(source, {source: "alice"}) == "alice"


@pytest.mark.parametrize("source", identity.VARIABLES)
def test_no_other_variable_counts(source: str) -> None:
    others = {name: "root" for name in (*identity.VARIABLES, "USER", "LOGNAME") if name != source}

    with pytest.raises(DeniedError, match="does not say who pushes"):
        identity.actor_by(source, others)


@pytest.mark.parametrize(
    "name", ["Alice", "alice bob", "alice\n", "\u0430lice", "-alice", "a..b", "group:team", "x" * 200]
)
def test_what_is_no_user_name_is_nobody(name: str) -> None:
    with pytest.raises(DeniedError, match="is not a user name"):
        identity.actor_by("GL_USER", {"GL_USER": name})


def test_the_account_may_name_the_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    assert identity.actor_by("account", {"USER": "mallory"}) == pwd.getpwuid(os.getuid()).pw_name

    def unknown(_uid: int) -> pwd.struct_passwd:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    with pytest.raises(DeniedError, match="has no name"):
        identity.actor_by("account", {})


def test_a_source_is_one_of_those_that_there_are() -> None:
    assert identity.check_source("REMOTE_USER") == "REMOTE_USER"
    with pytest.raises(InvalidError, match="did you mean REMOTE_USER"):
        identity.check_source("REMOTE_USERS")
