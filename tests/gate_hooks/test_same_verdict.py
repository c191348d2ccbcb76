"""A required check on a forge decides as the hook does: `gitreg check` and a real push, over one table of changes."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Access, Action, Grant
from gitreg.errors import ConflictError, DeniedError, InvalidError
from gitreg.layout import MAIN
from tests.gate.support import (
    ACCESS,
    ALICE,
    ROOT,
    approval_file,
    manifest,
    model_file,
    pointer_file,
    status_file,
    tombstone_file,
    version_file,
)
from tests.gate_hooks.support import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.gate.support import Edits
    from tests.gate_hooks.support import Server

VERSION, NEXT = "models/risk/fraud/1.0.0.yaml", "models/risk/fraud/2.0.0.yaml"
PROD = "deployments/prod/risk/fraud.yaml"
STAGING = "deployments/staging/risk/fraud.yaml"
TO_PROD = {PROD: pointer_file("1.0.0")[STAGING].replace(b"staging", b"prod")}
NOBODYS = Access(grants=(Grant(to=(ALICE,), actions=(Action.UPDATE,), models=("risk/*",)),))
WITH_BOB = Access(grants=(*ACCESS.grants, Grant(to=(ALICE, ROOT), actions=(Action.ADMIN,))))

# Who pushes, one set of edits a commit, and the exit code of the check; None where it is accepted.
CHANGES: dict[str, tuple[str, list[Edits], int | None]] = {
    "register": ("alice", [version_file("2.0.0")], None),
    "register without a right": ("bob", [version_file("2.0.0")], DeniedError.exit_code),
    "register as nobody known": ("mallory", [version_file("2.0.0")], DeniedError.exit_code),
    "deploy": ("bob", [pointer_file("1.0.0")], None),
    "deploy, then promote": ("bob", [pointer_file("1.0.0"), TO_PROD], None),
    "promote what runs nowhere": ("bob", [TO_PROD], InvalidError.exit_code),
    "deploy to two places at once": ("bob", [{**pointer_file("1.0.0"), **TO_PROD}], InvalidError.exit_code),
    "deploy what is not there": ("bob", [pointer_file("9.9.9")], InvalidError.exit_code),
    "rewrite a version": (
        "alice",
        [{VERSION: manifest("1.0.0", license="MIT", base={"uri": "hf://x/y@z"}).to_bytes()}],
        ConflictError.exit_code,
    ),
    "change and restore": ("alice", [{VERSION: b"broken\n"}, version_file()], InvalidError.exit_code),
    "unreadable YAML": ("alice", [{NEXT: b"a: &x [1]\nb: *x\n"}], InvalidError.exit_code),
    "another version than the path": ("alice", [{NEXT: manifest("3.0.0").to_bytes()}], InvalidError.exit_code),
    "a version without its model": (
        "root",
        [{"models/risk/other/1.0.0.yaml": manifest().to_bytes().replace(b"risk/fraud", b"risk/other")}],
        InvalidError.exit_code,
    ),
    "a blob that is not there": (
        "alice",
        [{NEXT: manifest("2.0.0").to_bytes().replace(b"size: 7", b"size: 8")}],
        InvalidError.exit_code,
    ),
    "an alias": ("alice", [model_file(aliases={"champion": "1.0.0"})], None),
    "an alias with an environment's name": (
        "alice",
        [model_file(aliases={"prod": "1.0.0"})],
        InvalidError.exit_code,
    ),
    "delete": ("erin", [tombstone_file()], None),
    "delete without a right": ("alice", [tombstone_file()], DeniedError.exit_code),
    "delete and deploy": ("root", [pointer_file("1.0.0"), tombstone_file()], ConflictError.exit_code),
    "approve": ("dana", [approval_file()], None),
    "approve for somebody else": ("root", [approval_file()], DeniedError.exit_code),
    "report": ("dana", [status_file()], None),
    "rights taken by the push that needs them": (
        "bob",
        [{"access.yaml": WITH_BOB.to_bytes()}, version_file("2.0.0")],
        InvalidError.exit_code,
    ),
    "the last admin": ("root", [{"access.yaml": NOBODYS.to_bytes()}], InvalidError.exit_code),
    "free text": ("alice", [{"README.md": b"mine\n"}], DeniedError.exit_code),
    "free text by an admin": ("root", [{"README.md": b"ours\n"}], None),
    "nothing": ("alice", [{}], DeniedError.exit_code),
}


def _checked(server: Server, who: str, base: str, head: str, *more: str) -> tuple[int, str]:
    words = [sys.executable, "-m", "gitreg", "check", "--base", base, "--head", head, "--as", who, *more]
    done = run(words, server.client.git_dir, check=False)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def _told(codes_and_messages: Sequence[dict[str, str | None]]) -> list[tuple[str | None, ...]]:
    return [tuple(each.get(key) for key in ("code", "path", "line", "message")) for each in codes_and_messages]


@pytest.mark.parametrize("name", CHANGES)
def test_the_check_says_what_the_hook_says(server: Server, name: str) -> None:
    who, edits, code = CHANGES[name]
    server.client.run(["config", "gitreg.store", f"file:{server.path.parent / 'store'}"])
    base, head = server.tip(), server.commits(*edits)
    exit_code, answer = _checked(server, who, base, head, "--format", "json")
    violations = json.loads(answer)["violations"]
    pushed = server.send(who, f"{head}:{MAIN}")
    assert [each["code"] for each in violations] == pushed.codes
    assert exit_code == (code or 0)
    assert pushed.accepted is (exit_code == 0) is json.loads(answer)["accepted"]
    logged = server.log()[-1]["violations"]
    assert _told(violations) == _told(logged)


def test_the_table_has_both_ends() -> None:
    codes = {code for _, _, code in CHANGES.values()}
    assert codes == {None, DeniedError.exit_code, ConflictError.exit_code, InvalidError.exit_code}


def test_each_format_ends_with_the_same_code(server: Server) -> None:
    server.client.run(["config", "gitreg.store", f"file:{server.path.parent / 'store'}"])
    base = server.tip()
    good, bad = server.commit(version_file("2.0.0")), server.commit({"README.md": b"mine\n"})
    for form in ("text", "json", "github", "sarif", "gitlab"):
        assert _checked(server, "alice", base, good, "--format", form)[0] == 0
        assert _checked(server, "alice", base, bad, "--format", form)[0] == DeniedError.exit_code
