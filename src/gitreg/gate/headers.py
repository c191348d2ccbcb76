"""Judge what a commit says of itself: whose it is, and from when."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gitreg.gate.case import CLOCK_SKEW
from gitreg.gate.violation import Code, Violation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_IDENTITY = 255
_DAY = 24 * 60
# Control characters, and the marks that turn the direction of what follows around on a screen.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


class Claim(NamedTuple):
    """What a commit's header claims: its role, name and address, seconds since 1970, minutes east of UTC."""

    role: str
    name: str
    email: str
    time: int
    offset: int


def judge_headers(commit: str, claims: Iterable[Claim], message: str, now: int) -> Iterator[Violation]:
    """Judge author, committer and message: claims, but such as people, terminals and calendars can read."""
    remedy = "write the commit again, as somebody and now"
    for claim in claims:
        if fault := fault_of(claim):
            yield Violation(Code.COMMIT_MALFORMED, f"its {claim.role} {fault}", remedy, commit=commit)
        if claim.time > now + CLOCK_SKEW:
            what = f"its {claim.role}'s date {claim.time} is ahead of the server's clock, {now}"
            yield Violation(Code.TIME_IN_FUTURE, what, "set the clock, write the commit again", commit=commit)
    if "\0" in message:
        # Git shows a message up to here, and a trailer behind it would count all the same.
        yield Violation(Code.COMMIT_MALFORMED, "its message holds a zero byte", remedy, commit=commit)


def fault_of(claim: Claim) -> str | None:
    """Say what is wrong with a claim, whatever the clock says; None where nothing is."""
    if not claim.name.strip():
        return "has no name"
    if max(len(claim.name), len(claim.email)) > MAX_IDENTITY:
        return f"has a name or an address of more than {MAX_IDENTITY} characters"
    if _UNSEEN.search(claim.name + claim.email):
        return "has a control character in name or address"
    if claim.time < 0:
        return "is from before 1970"
    return "is in no time zone" if abs(claim.offset) >= _DAY else None
