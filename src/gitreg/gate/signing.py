"""Judge who signed, where signatures are the identity, and that rules leave an admin who can sign."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitreg.access import Access, effective_admins, known_users
from gitreg.changes import Event
from gitreg.errors import InvalidError
from gitreg.gate.case import CLOCK_SKEW
from gitreg.gate.violation import Code, Violation, of_problem
from gitreg.keys import NAMESPACE, AllowedSigners, Key, fingerprint
from gitreg.layout import ACCESS, ALLOWED_SIGNERS, SETTINGS
from gitreg.records import dataclass
from gitreg.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.changes import State
    from gitreg.gate.case import Case, Policy
    from gitreg.names import UserName

HOW_TO_SIGN = "sign it: git config gpg.format ssh, user.signingKey and commit.gpgSign true, then commit again"


@dataclass(frozen=True, slots=True)
class SignatureFact:
    """What is known of the signature of a commit or a tag.

    `key` is the public key inside; `fault` says why it is no good signature of these bytes. Neither: not signed.
    """

    key: bytes | None = None
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Moments:
    """When a signed object says that it was made, when what it follows was, and the clock; in seconds since 1970."""

    claimed: int
    before: int | None
    now: int


@dataclass(frozen=True, slots=True)
class Signing:
    """What signatures are judged by: listed keys, the registry's users, and who has to sign, where one is named."""

    signers: AllowedSigners
    known: frozenset[str]
    who: UserName | None = None


@dataclass(frozen=True, slots=True)
class Signer:
    """Who signed, where that is beyond doubt, and what is wrong otherwise."""

    user: UserName | None
    violations: tuple[Violation, ...] = ()


def judge_signature(fact: SignatureFact, when: Moments, rules: Signing, what: str, commit: str | None = None) -> Signer:
    """Judge one signature; the user is the actor, and None wherever there is a violation.

    The key has to count now and at the time that the object claims, and the claim has to fit between what it follows
    and now: a claimed time alone proves nothing, since the holder of an old key may claim any.
    """
    if fact.key is None and fact.fault is None:
        missing = Violation(Code.SIGNATURE_MISSING, f"{what} carries no signature", HOW_TO_SIGN, commit=commit)
        return Signer(None, (missing,))
    key = rules.signers.find(fact.key) if fact.key is not None else None
    wrong = [fact.fault] if fact.fault else []
    if not wrong:
        wrong = list(_key_faults(key, fact.key or b"", when)) + list(_time_faults(when))
    if wrong or key is None:
        remedy = "sign with a key of yours that keys/allowed_signers lists on main; an admin may list another"
        return Signer(
            None, tuple(Violation(Code.SIGNATURE_INVALID, f"{what}: {each}", remedy, commit) for each in wrong)
        )
    return _of_user(key.user, rules, what, commit)


def _of_user(user: UserName, rules: Signing, what: str, commit: str | None) -> Signer:
    if rules.who is not None and user != rules.who:
        message = f"{what} is signed by {user}, where {rules.who} has to sign"
        remedy = f"{rules.who} signs it, or it is pushed as {user}"
        foreign = Violation(Code.SIGNATURE_FOREIGN, message, remedy, commit)
        return Signer(None, (foreign,))
    if user not in rules.known:
        message = f"{what} is signed by {user}, who is not named in access.yaml"
        return Signer(None, (Violation(Code.ACTOR_UNKNOWN, message, "ask an admin for a grant", commit),))
    return Signer(user)


def _key_faults(key: Key | None, blob: bytes, when: Moments) -> Iterator[str]:
    name = fingerprint(blob)
    if key is None:
        yield f"its key {name} is not in {ALLOWED_SIGNERS} as it was before the push: unknown, or revoked"
        return
    whose = f"{key.user}'s key {name}"
    if not key.signs_commits:
        yield f"{whose} is not listed for the namespace {NAMESPACE}"
    for seconds, moment in ((when.now, "now"), (when.claimed, f"at {_iso(when.claimed)}, the time that it claims")):
        if key.is_late(seconds):
            yield f"{whose} has expired {moment}: it counts until {_iso(key.valid_before or 0)}"
        if key.is_early(seconds):
            yield f"{whose} does not count yet {moment}: it counts from {_iso(key.valid_after or 0)}"


def _time_faults(when: Moments) -> Iterator[str]:
    """Give or take a day. What comes before may itself claim a future, which must not lock everybody out."""
    if when.claimed > when.now + CLOCK_SKEW:
        yield f"it claims {_iso(when.claimed)}, which lies in the future; the clock says {_iso(when.now)}"
    if when.before is not None and when.claimed < min(when.before, when.now) - CLOCK_SKEW:
        yield f"it is back-dated: it claims {_iso(when.claimed)}, and what it follows is of {_iso(when.before)}"


def _iso(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return f"@{seconds}"


def rules_of(policy: Policy, who: UserName | None) -> Signing:
    """Bring together what signatures are judged by; without a list of keys no key is known."""
    return Signing(policy.signers or AllowedSigners(), known_users(policy.access), who)


# What a change of the rules leaves


def keys_stay(case: Case) -> Iterator[Violation]:
    """Judge the keys that a change of the rules leaves: valid, and an effective admin's among them where they count."""
    data = case.after.read(ALLOWED_SIGNERS)
    settings, access = _read(case.after)
    signed = settings is not None and settings.by_signature
    tags = settings is not None and settings.signed_tags
    if data is None:
        if signed or tags:
            needed = "identity: signature" if signed else "deploy_tags: signed"
            yield Violation(
                Code.POLICY_MISSING,
                f"{needed} needs {ALLOWED_SIGNERS}, which would not be there",
                "list the keys first; the settings come after",
                path=ALLOWED_SIGNERS,
            )
        return
    changed = any(change.event is Event.KEYS for change in case.changes)
    if not (changed or signed or tags):
        return
    try:
        signers = AllowedSigners.parse(data, ALLOWED_SIGNERS)
    except InvalidError as error:
        yield from map(of_problem, error.problems)
        return
    able = signers.users_at(case.facts.now)
    if signed and access is not None and able.isdisjoint(effective_admins(access)):
        yield Violation(
            Code.LAST_ADMIN,
            f"no effective admin would have a key in {ALLOWED_SIGNERS} that counts now, and nobody could change that",
            "keep or add one",
            path=ALLOWED_SIGNERS,
        )
    if tags and not able:
        message = f"deploy_tags: signed, and {ALLOWED_SIGNERS} lists no key that counts now"
        yield Violation(Code.POLICY_MISSING, message, "list the key that signs deploy tags", path=ALLOWED_SIGNERS)


def _read(state: State) -> tuple[Settings | None, Access | None]:
    """Read settings and access rules; what is missing or not valid is told where it changes."""
    found: list[Settings | Access | None] = []
    for path, kind in ((SETTINGS, Settings), (ACCESS, Access)):
        data = state.read(path)
        try:
            found.append(kind.parse(data, path) if data is not None else None)
        except InvalidError:
            found.append(None)
    settings, access = found
    return (
        settings if isinstance(settings, Settings) else None,
        access if isinstance(access, Access) else None,
    )
