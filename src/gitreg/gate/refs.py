"""Judge the ref updates of a push, before any commit is opened."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError
from gitreg.gate.headers import Claim, fault_of
from gitreg.gate.violation import Code, Violation
from gitreg.layout import DEPLOY_TAGS, MAIN, PROPOSALS, DeployTag, proposal_user
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from gitreg.names import UserName

_LINE = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64}) ([0-9a-f]{40}|[0-9a-f]{64}) (refs/[!-~]{1,1019})", re.ASCII)
# What git-check-ref-format(1) rules out in printable ASCII.
_NO_REF = re.compile(r"[~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|[./]\Z")
# What a proposal may be called: nothing that a shell, an option parser or a file system takes for something else.
_PROPOSAL_PART = re.compile(r"(?!-)[A-Za-z0-9._@+=,#%-]{1,200}", re.ASCII)
MAX_UPDATES = 1000


@dataclass(frozen=True, slots=True)
class RefUpdate:
    """One line of a push: the ref, the value it is claimed to have, the value it shall get."""

    old: str
    new: str
    ref: str

    @property
    def deletes(self) -> bool:
        """Whether the ref goes away; the new value alone decides."""
        return not self.new.strip("0")

    @property
    def creates(self) -> bool:
        """Whether the ref is claimed not to exist yet."""
        return not self.old.strip("0")


def parse_updates(data: bytes) -> tuple[list[RefUpdate], list[Violation]]:
    """Read the hook's standard input, strictly and line by line."""
    updates: list[RefUpdate] = []
    violations: list[Violation] = []
    lines = data.split(b"\n")
    if lines.pop():
        return [], [Violation(Code.REF_MALFORMED, "the last ref update is cut off")]
    if len(lines) > MAX_UPDATES:
        return [], [Violation(Code.REF_MALFORMED, f"{len(lines)} ref updates; at most {MAX_UPDATES} are read")]
    for number, line in enumerate(lines, 1):
        match = _LINE.fullmatch(line.decode("ascii", "replace"))
        if not match or len(match[1]) != len(match[2]) or _NO_REF.search(match[3]):
            violations.append(Violation(Code.REF_MALFORMED, f"line {number} is no ref update: {line[:80]!r}"))
        else:
            updates.append(RefUpdate(match[1], match[2], match[3]))
    if not lines:
        violations.append(Violation(Code.REF_MALFORMED, "the push names no ref"))
    return updates, violations


def judge_refs(
    updates: Sequence[RefUpdate],
    current: Mapping[str, str | None],
    who: UserName | None,
    known: frozenset[str],
    *,
    server_marks: bool,
) -> list[Violation]:
    """Judge which refs a push may touch at all.

    `who` is None where the server names nobody and signatures are the identity: whose a proposal is shows by its tip.
    `current` gives the value that each ref has now; `known` are the users that the access rules name;
    `server_marks` says that the server alone writes deploy tags.
    """
    violations = [
        Violation(Code.REF_DUPLICATE, f"{ref} is updated {times} times in one push", "name each ref once")
        for ref, times in Counter(update.ref for update in updates).items()
        if times > 1
    ]
    if who is not None and str(who) not in known:
        violations.append(
            Violation(
                Code.ACTOR_UNKNOWN,
                f"{who} is not named in access.yaml",
                "ask an admin for a grant",
            )
        )
    for update in updates:
        violations += _judge_ref(update, current.get(update.ref), who, server_marks=server_marks)
    return violations


def _judge_ref(update: RefUpdate, now: str | None, who: UserName | None, *, server_marks: bool) -> Iterator[Violation]:
    ref = update.ref
    if ref == MAIN:
        if update.deletes:
            yield Violation(Code.MAIN_DELETED, "main may not be deleted", "leave main out of the push")
        elif now is None:
            yield Violation(Code.MAIN_CREATED, "this registry is empty", "its owner runs `gitreg init` on the server")
        if now is not None and update.old != now:
            yield _stale(update)
    elif ref.startswith(PROPOSALS):
        yield from _judge_proposal(update, who)
    elif ref.startswith(DEPLOY_TAGS):
        yield from _judge_tag_ref(update, now, server_marks=server_marks)
    else:
        yield Violation(
            Code.REF_UNKNOWN,
            f"{ref} is not a ref of a registry",
            f"push to main or to proposals/{who or '<you>'}/<anything>",
        )


def _stale(update: RefUpdate) -> Violation:
    return Violation(Code.REF_STALE, f"{update.ref} has moved on", "fetch, rebuild on the new tip, push again")


def _judge_proposal(update: RefUpdate, who: UserName | None) -> Iterator[Violation]:
    try:
        owner = proposal_user(update.ref)
    except InvalidError as error:
        yield Violation(Code.REF_UNKNOWN, str(error))
        return
    parts = update.ref.removeprefix(PROPOSALS).split("/")
    # One that is there may always be deleted by its owner, whatever let it in.
    if not update.deletes and not all(map(_PROPOSAL_PART.fullmatch, parts)):
        yield Violation(
            Code.REF_UNKNOWN,
            f"{update.ref[:200]!r} is no name for a proposal",
            "use letters, digits and . _ @ + = , # % -, at most 200 between slashes, and no - at the beginning",
        )
    if who is None:
        if update.deletes:
            message = f"{update.ref}: nobody signs a deletion, so nobody can tell whether {owner} wants it"
            yield Violation(Code.PROPOSAL_FOREIGN, message, "leave it, or ask the server's owner to delete it")
    elif owner != who:
        yield Violation(
            Code.PROPOSAL_FOREIGN,
            f"{update.ref} is {owner}'s, and {who} pushes",
            f"push to proposals/{who}/<anything>",
        )


def _judge_tag_ref(update: RefUpdate, now: str | None, *, server_marks: bool) -> Iterator[Violation]:
    if server_marks:
        yield Violation(Code.TAG_BY_SERVER, f"{update.ref}: the server writes deploy tags itself", "push main alone")
        return
    try:
        DeployTag.parse(update.ref)
    except InvalidError as error:
        yield Violation(Code.REF_UNKNOWN, str(error))
        return
    if update.deletes:
        yield Violation(Code.TAG_MOVED, f"{update.ref} may not be deleted", "leave it out of the push")
    elif now is not None or not update.creates:
        yield Violation(Code.TAG_MOVED, f"{update.ref} may not be moved", "leave it out of the push")


@dataclass(frozen=True, slots=True)
class DeployMark:
    """What the history implies about one deploy tag: its target commit and the trailers of its message.

    `Actor` is among them where the server knows who pushed the commit, `Audit` where it keeps a log: a pushed tag may
    leave these two out, and may not say otherwise.
    """

    tag: DeployTag
    target: str
    trailers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PushedTag:
    """An annotated tag as it was pushed.

    What it calls itself, the commit it marks (None: no commit), what it says, and who it says wrote it.
    """

    name: str
    target: str | None
    message: str
    tagger: Claim | None = None


_VERIFIED = ("Model", "Version", "Environment", "Action", "Previous", "Reason")
_CLAIMED = ("Actor", "Audit")
_SIGNED = "\n-----BEGIN "


def judge_mark(ref: str, pushed: PushedTag | None, implied: DeployMark | None) -> list[Violation]:
    """Judge a pushed deploy tag: it must be exactly the tag that the history implies."""

    def wrong(what: str) -> Violation:
        return Violation(Code.TAG_WRONG, f"{ref}: {what}", "let `gitreg mark --push` write deploy tags")

    if pushed is None:
        return [wrong("a deploy tag is annotated; this is a plain ref")]
    if implied is None:
        return [wrong("the history of main has no such deployment")]
    violations = []
    if pushed.name != implied.tag.name:
        violations.append(wrong(f"the tag object calls itself {pushed.name[:200]!r}"))
    if pushed.target != implied.target:
        violations.append(wrong(f"it marks {str(pushed.target)[:10]}, the history says {implied.target[:10]}"))
    if pushed.tagger is not None and (fault := fault_of(pushed.tagger)):
        violations.append(wrong(f"its tagger {fault}"))
    trailers = _trailers(pushed.message)
    if trailers is None:
        return [*violations, wrong("its message is not a subject, a blank line and one line for each trailer")]
    claims = [key for key in _CLAIMED if key in implied.trailers and key in trailers]
    violations += [
        wrong(f"{key} is {trailers.get(key)!r}, the server says {implied.trailers.get(key)!r}")
        for key in (*_VERIFIED, *claims)
        if trailers.get(key) != implied.trailers.get(key)
    ]
    return violations


def _trailers(message: str) -> dict[str, str] | None:
    """Read a deploy tag's trailers; None where there is anything else below its subject, or a trailer twice."""
    subject, blank, rest = message.partition(_SIGNED)[0].rstrip("\n").partition("\n\n")
    pairs = [line.partition(": ")[::2] for line in rest.split("\n")]
    trailers = dict(pairs)
    fine = blank and subject.isprintable() and len(trailers) == len(pairs)
    if not fine or not trailers.keys() <= {*_VERIFIED, *_CLAIMED} or not all(map(str.isprintable, trailers.values())):
        return None
    return trailers
