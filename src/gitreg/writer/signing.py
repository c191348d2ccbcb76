"""Sign what is written where signatures are the identity, and see beforehand that the signature will count."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.gate import Code, Violation
from gitreg.gate.signing import Moments, SignatureFact, judge_signature, rules_of
from gitreg.gate_hooks.push import policy_of
from gitreg.gate_hooks.signers import Signers, judge_chain
from gitreg.git.signatures import check_can_sign, signing_key

if TYPE_CHECKING:
    from gitreg.names import UserName
    from gitreg.reader import Snapshot
    from gitreg.writer.target import Target


def signer(target: Target, snapshot: Snapshot) -> UserName | None:
    """Name the user whose key git signs with here; None where that cannot be told before it signs."""
    signers = policy_of(snapshot)[0].signers
    blob = signing_key(target.repository)
    key = signers.find(blob) if signers is not None and blob is not None else None
    return key.user if key else None


def foresee(target: Target, snapshot: Snapshot, named: UserName | None) -> list[Violation]:
    """Say why a commit that git signs here would not count, as far as that is known before it signs."""
    try:
        check_can_sign(target.repository)
    except InvalidError as error:
        return [Violation(Code.SIGNATURE_MISSING, error.message, error.hint)]
    policy, found = policy_of(snapshot)
    blob = signing_key(target.repository)
    if found or blob is None:
        return found
    now = int(time.time())
    what = "what git signs here"
    return list(judge_signature(SignatureFact(blob), Moments(now, None, now), rules_of(policy, named), what).violations)


def judge_written(target: Target, snapshot: Snapshot, oid: str, named: UserName | None) -> Signers:
    """Judge the signature of a commit that was just written."""
    policy, found = policy_of(snapshot)
    if found:
        return Signers(violations=tuple(found))
    rules = rules_of(policy, named)
    return judge_chain(target.commit_repository, [snapshot.commit, oid], rules, int(time.time()))
