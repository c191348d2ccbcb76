"""Who signed, by the listed keys and the times: the pure judgement."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Access, Action, Grant
from gitreg.errors import DeniedError
from gitreg.gate import Code, Policy, refusal
from gitreg.gate.case import CLOCK_SKEW
from gitreg.gate.signing import Moments, SignatureFact, Signing, judge_signature, rules_of
from gitreg.keys import AllowedSigners, Key
from gitreg.records import replace
from tests.gate.support import ACCESS, ALICE, BOB, NOW, ROOT, SETTINGS, Files, Judge, start

if TYPE_CHECKING:
    from gitreg.gate import Violation
    from gitreg.names import UserName
    from gitreg.settings import Settings

KEY = b"a key"
GOOD = SignatureFact(KEY)
HOUR = 3600
DAY = CLOCK_SKEW
LISTED = Key(user=ALICE, type="ssh-ed25519", blob=KEY, line=1)


def rules(key: Key = LISTED, who: UserName | None = None) -> Signing:
    return Signing(AllowedSigners({key.blob: key}), frozenset({"alice", "bob"}), who)


def judged(
    fact: SignatureFact = GOOD, *, claimed: int = NOW, before: int | None = NOW, by: Signing | None = None
) -> tuple[UserName | None, list[Violation]]:
    found = judge_signature(fact, Moments(claimed, before, NOW), by or rules(), "the commit", "c" * 40)
    return found.user, list(found.violations)


def test_a_signature_that_holds_names_the_actor() -> None:
    assert judged() == (ALICE, [])


@pytest.mark.parametrize(
    ("fact", "code"),
    [
        (SignatureFact(), Code.SIGNATURE_MISSING),
        (SignatureFact(fault="no SSHSIG"), Code.SIGNATURE_INVALID),
        (SignatureFact(KEY, "incorrect signature"), Code.SIGNATURE_INVALID),
        (SignatureFact(b"another key"), Code.SIGNATURE_INVALID),
        (SignatureFact(b""), Code.SIGNATURE_INVALID),
    ],
)
def test_without_one_there_is_no_actor(fact: SignatureFact, code: Code) -> None:
    user, [violation] = judged(fact)

    assert (user, violation.code, violation.commit) == (None, code, "c" * 40)
    assert violation.remedy
    assert isinstance(refusal([violation]), DeniedError)


@pytest.mark.parametrize(
    ("claimed", "before", "fine"),
    [
        (NOW + DAY, NOW, True),
        (NOW + DAY + 1, NOW, False),
        (NOW - DAY, NOW, True),
        (NOW - DAY - 1, NOW, False),
        (NOW - 30 * DAY, NOW - 30 * DAY, True),
        (NOW - 32 * DAY, NOW - 30 * DAY, False),
        (NOW - 32 * DAY, None, True),
        (NOW, NOW + 900 * DAY, True),
        (NOW - DAY - 1, NOW + 900 * DAY, False),
        (10**18, NOW, False),
        (-(10**17), NOW, False),
    ],
)
def test_a_claimed_time_fits_between_what_it_follows_and_now(claimed: int, before: int | None, fine: bool) -> None:
    user, violations = judged(claimed=claimed, before=before)

    assert (user == ALICE) is fine
    assert {each.code for each in violations} == (set() if fine else {Code.SIGNATURE_INVALID})


@pytest.mark.parametrize(
    ("after", "until", "claimed", "fine"),
    [
        (NOW, None, NOW, True),
        (NOW + 1, None, NOW, False),
        (NOW + 1, None, NOW + HOUR, False),
        (NOW - HOUR, None, NOW - HOUR, True),
        (NOW - HOUR, None, NOW - HOUR - 1, False),
        (None, NOW, NOW, True),
        (None, NOW - 1, NOW, False),
        (None, NOW - 1, NOW - HOUR, False),
        (None, NOW + HOUR, NOW + HOUR, True),
        (None, NOW + HOUR, NOW + HOUR + 1, False),
    ],
)
def test_a_key_counts_now_and_at_the_claimed_time(
    after: int | None, until: int | None, claimed: int, fine: bool
) -> None:
    key = replace(LISTED, valid_after=after, valid_before=until)

    assert (judged(claimed=claimed, by=rules(key))[0] == ALICE) is fine


def test_a_key_for_something_else_signs_no_commit() -> None:
    assert judged(by=rules(replace(LISTED, namespaces=("file", "github"))))[0] is None
    assert judged(by=rules(replace(LISTED, namespaces=("file", "git"))))[0] == ALICE


def test_who_has_to_sign_and_does_not() -> None:
    assert judged(by=rules(who=ALICE))[0] == ALICE
    user, [violation] = judged(by=rules(who=BOB))
    assert (user, violation.code) == (None, Code.SIGNATURE_FOREIGN)
    assert isinstance(refusal([violation]), DeniedError)


def test_a_signer_whom_access_yaml_does_not_name_is_no_actor() -> None:
    user, [violation] = judged(by=replace(rules(), known=frozenset({"bob"})))
    assert (user, violation.code) == (None, Code.ACTOR_UNKNOWN)


def test_without_a_list_no_key_is_known() -> None:
    assert judged(by=rules_of(Policy(ACCESS, SETTINGS), None))[0] is None
    assert "alice" in rules_of(Policy(ACCESS, SETTINGS), None).known


# What a change of the rules leaves

SIGNED = replace(SETTINGS, identity="signature")
TAGGED = replace(SETTINGS, deploy_tags="signed")
ED25519 = "AAAAC3NzaC1lZDI1NTE5AAAAI"
PATH = "keys/allowed_signers"


def line(user: str, options: str = "") -> str:
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + user.encode().ljust(32, b"x")
    return " ".join([user, *([options] if options else []), "ssh-ed25519", base64.b64encode(blob).decode()]) + "\n"


def keys(*lines: str) -> Files:
    return {PATH: "".join(lines).encode()}


def registry(settings: Settings, *parts: Files) -> Files:
    return {**start(*parts), "registry.yaml": settings.to_bytes()}


@pytest.mark.parametrize(
    ("before", "edits", "codes"),
    [
        (start(), keys(line("alice")), []),
        (start(), keys(line("alice"), "nonsense\n"), [Code.FILE_INVALID]),
        (start(), {PATH: b"x" * (1 << 20) + b"y"}, [Code.FILE_TOO_LARGE]),
        (start(keys(line("root"))), {PATH: None}, []),
        (start(), {"registry.yaml": SIGNED.to_bytes()}, [Code.POLICY_MISSING]),
        (start(keys(line("alice"))), {"registry.yaml": SIGNED.to_bytes()}, [Code.LAST_ADMIN]),
        (start(keys(line("root"))), {"registry.yaml": SIGNED.to_bytes()}, []),
        (start(), {"registry.yaml": SIGNED.to_bytes(), **keys(line("root"))}, []),
        (start(), {"registry.yaml": TAGGED.to_bytes()}, [Code.POLICY_MISSING]),
        (start(), {"registry.yaml": TAGGED.to_bytes(), **keys("# none\n")}, [Code.POLICY_MISSING]),
        (start(), {"registry.yaml": TAGGED.to_bytes(), **keys(line("ci-bot"))}, []),
        (registry(SIGNED, keys(line("root"))), {"registry.yaml": SETTINGS.to_bytes()}, []),
        (registry(SIGNED, keys(line("root"))), {"registry.yaml": SETTINGS.to_bytes(), PATH: None}, []),
        (registry(SIGNED, keys(line("root"))), {PATH: None}, [Code.POLICY_MISSING]),
        (registry(SIGNED, keys(line("root"))), keys(line("alice")), [Code.LAST_ADMIN]),
        (registry(SIGNED, keys(line("root"))), keys(line("root", 'namespaces="file"')), [Code.LAST_ADMIN]),
        (registry(SIGNED, keys(line("root"))), keys(line("root", 'valid-before="20251231Z"')), [Code.LAST_ADMIN]),
        (registry(SIGNED, keys(line("root"))), keys(line("root", 'valid-after="20260102Z"')), [Code.LAST_ADMIN]),
        (registry(SIGNED, keys(line("root"))), keys(line("root", 'valid-after="20260101Z"')), []),
        (
            registry(SIGNED, keys(line("root"))),
            {"access.yaml": Access(grants=(Grant(to=("alice",), actions=(Action.ADMIN,)),)).to_bytes()},
            [Code.LAST_ADMIN],
        ),
        (
            registry(SIGNED, keys(line("root"), line("alice"))),
            {"access.yaml": Access(grants=(Grant(to=("alice",), actions=(Action.ADMIN,)),)).to_bytes()},
            [],
        ),
        (
            registry(SIGNED, keys(line("root"), line("alice"))),
            {
                "access.yaml": Access(
                    grants=(Grant(to=("alice", "bob"), actions=(Action.ADMIN,)),),
                    deny=(Grant(to=("alice",), actions=(Action.ADMIN,)),),
                ).to_bytes()
            },
            [Code.LAST_ADMIN],
        ),
    ],
)
def test_what_a_change_of_the_rules_leaves(before: Files, edits: dict[str, bytes | None], codes: list[Code]) -> None:
    judge = Judge(who=ROOT)

    assert sorted(set(judge.codes(before, edits))) == sorted(map(str, codes))
    assert judge.who == ROOT


def test_a_whole_state_is_judged_so_as_well() -> None:
    judge = Judge(who=None, settings=SIGNED, transition=False)

    assert judge.codes({}, registry(SIGNED, keys(line("root")))) == []
    assert judge.codes({}, registry(SIGNED, keys(line("alice")))) == [Code.LAST_ADMIN]
    assert judge.codes({}, registry(SIGNED)) == [Code.POLICY_MISSING]
