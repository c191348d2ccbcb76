from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import id_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Result

    Gitreg = Callable[..., Result]


def test_a_token_is_made_listed_and_revoked(gitreg: Gitreg, own_registry: Path) -> None:
    made = gitreg("server", "token", "create", "root", "--scope", "deploy", "--scope", "report", "--note", "CI")

    assert made.code == 0
    identifier = id_of(made.out.rstrip("\n"))  # the token alone, for scripts
    assert identifier is not None
    assert f"token {identifier} of root" in made.err
    rows = gitreg("server", "token", "list").lines
    assert rows[1].split("  ")[:1] == [identifier]
    assert "deploy, read, report" in rows[1]
    assert made.out.strip() not in "".join(rows)
    assert gitreg("server", "token", "revoke", identifier).code == 0
    assert gitreg("server", "token", "list").out == "no token\n"
    assert "revoked" in gitreg("server", "token", "list", "--all").out
    assert gitreg("audit", "verify").code == 0
    log = [json.loads(line) for line in (own_registry / "gitreg" / "audit.jsonl").read_text().splitlines()]
    told = [entry["source"]["token"] for entry in log if "token" in entry["source"]]
    assert [each.split(" until")[0] for each in told] == [
        f"created {identifier} of root for deploy, read, report",
        f"revoked {identifier} of root for deploy, read, report",
    ]


def test_json_says_the_same(gitreg: Gitreg, own_registry: Path) -> None:
    made = json.loads(gitreg("server", "token", "create", "carol", "--expires", "12h", "--json").out)

    assert id_of(made["token"]) == made["listed"]["id"]
    assert made["user_known"] is False
    assert [each["id"] for each in json.loads(gitreg("server", "token", "list", "--json").out)] == [
        made["listed"]["id"]
    ]


def test_all_tokens_of_who_leaves_end_together(gitreg: Gitreg, own_registry: Path) -> None:
    for user in ("alice", "alice", "bob"):
        gitreg("server", "token", "create", user)

    assert gitreg("server", "token", "revoke", "--user", "alice").out.count("revoked") == 2
    assert gitreg("server", "token", "list", "--user", "alice").out == "no token\n"
    assert "bob" in gitreg("server", "token", "list").out


def test_who_is_not_known_to_the_rules_is_told(gitreg: Gitreg, own_registry: Path) -> None:
    assert "does not know carol yet" in gitreg("server", "token", "create", "carol").err


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("create", "Root"), 2),
        (("create", "root", "--scope", "everything"), 2),
        (("create", "root", "--expires", "never"), 2),
        (("create", "root", "--note", "x" * 201), 2),
        (("revoke",), 2),
        (("revoke", "nonsense"), 3),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_made(
    gitreg: Gitreg, own_registry: Path, args: tuple[str, ...], code: int
) -> None:
    log = (own_registry / "gitreg" / "audit.jsonl").read_bytes()

    done = gitreg("server", "token", *args)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("gitreg: ")
    assert (own_registry / "gitreg" / "audit.jsonl").read_bytes() == log
    assert TokenFile(own_registry).tokens() == {}


def test_without_an_audit_log_no_token_is_made(gitreg: Gitreg, own_registry: Path) -> None:
    for name in ("audit.jsonl", "audit.head"):
        (own_registry / "gitreg" / name).unlink()

    assert gitreg("server", "token", "create", "root").code == 6
    assert gitreg("server", "token", "list").out == "no token\n"


def test_tokens_of_another_machine_cannot_be_made_here(gitreg: Gitreg, own_registry: Path) -> None:
    done = gitreg("--registry", "ssh://git@127.0.0.1:1/models.git", "--no-fetch", "server", "token", "list")

    assert done.code in {2, 3, 7}
    assert done.out == ""
