"""Hold the decisions of an audit log against main, and against the deploy tags that name them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from gitreg.gate_hooks.audit.entry import ACCEPTED, ADOPT, INIT
from gitreg.layout import MAIN
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.gate_hooks.audit.anchors import Anchors
    from gitreg.gate_hooks.audit.result import Findings

_PAST = "find out who can write to the repository's files; see docs/audit.md: what to do about damage"
_CUT = "put back the lines from a copy; see docs/audit.md: what to do about damage"
_COPY = "copy the log again, or fetch"
_FEW = 5


class Order:
    """The commits of main by their place in its order, from 0 for the oldest: some hundred bytes for each."""

    def __init__(self, oids: Sequence[bytes]) -> None:
        self._places = {oid: place for place, oid in enumerate(oids)}

    def __len__(self) -> int:
        """Count the commits."""
        return len(self._places)

    def place(self, oid: str) -> int | None:
        """Tell where a commit stands; None where it is not on main, or what a log says is no commit."""
        try:
            return self._places.get(bytes.fromhex(oid))
        except ValueError:
            return None

    def place_of(self, oid: bytes) -> int | None:
        """Tell the same of a commit that is given as bytes."""
        return self._places.get(oid)

    def few(self, start: int, end: int) -> list[str]:
        """Name the first commits between two places, the last one left out."""
        return [oid.hex() for oid in islice(self._places, start, min(end, start + _FEW))]


@dataclass(frozen=True, slots=True)
class Against:
    """What a log is held against: a main and the tags around it, and whether they are the registry's own.

    `tip` is main as it was before the log was read, `later` as it was after. In a registry that is written in place,
    by commits in its work tree, main moves without any hook: there `in_place`. `acknowledged` is the hash of a first
    entry that the owner says an earlier log went before.
    """

    tip: str
    later: str
    tags: Anchors
    own: bool
    in_place: bool = False
    acknowledged: str | None = None


class Walk:
    """How far along main the decisions read so far reach.

    An accepted push says from where to where it moves main, and the gate had made sure that main was there. So where
    it begins, everything before was decided earlier; and it is on main to this day. Where it leads need not be on
    main: another push may have been first. Of a group of requests, which land together or not at all, it is the `base`
    that main was at, and each begins where the one before it leads.
    """

    def __init__(self, findings: Findings, order: Order, against: Against) -> None:
        self._findings = findings
        self._against = against
        self.order = order
        self._reached = -1
        self._beyond: set[str] = set()
        self._group: tuple[str, str] | None = None
        self._first: dict[str, Any] | None = None
        self.began: str | None = None
        self.older = self.accepted = self.refused = self.landed = self.superseded = self.anchored = 0

    @property
    def commits(self) -> int:
        """How many commits of main the decisions cover."""
        return max(0, self._reached + 1 - self.older)

    def take(self, line: int, members: dict[str, Any]) -> None:
        """Take in the next entry."""
        moves = [update for update in members["updates"] if update["ref"] == MAIN]
        is_accepted = members["verdict"] == ACCEPTED
        if self._first is None:
            self._begin(line, members, moves)
        elif is_accepted:
            self.accepted += 1
            for move in moves:
                self._move(line, members["seq"], self._start(members.get("base"), move), move["new"])
        else:
            self.refused += 1
        for tag in self._against.tags.take(members["hash"]):
            self._anchor(line, tag)

    def _begin(self, line: int, members: dict[str, Any], moves: Sequence[dict[str, str]]) -> None:
        self._first = members
        self.began = members["time"]
        sound = members["source"].get("identity") in {INIT, ADOPT} and members["verdict"] == ACCEPTED
        if not sound or len(moves) != 1 or moves[0]["old"].strip("0"):
            self._findings.add(
                line, "the log does not begin with the entry that `gitreg init` writes: it was cut", _CUT
            )
            # What comes before its first decision is nobody's; the rest is still worth a look.
            tips = [self.order.place(move["old"]) for move in moves]
            self._reached = max((place for place in tips if place is not None), default=-1)
            self.older = self._reached + 1
            return
        self.accepted += 1
        place = self.order.place(moves[0]["new"])
        if place is None:
            self._rewritten(line, members["seq"], moves[0]["new"])
            return
        self._reached = place
        # A new registry's first commit was made with the log.
        self.older = place + (members["source"]["identity"] == ADOPT)
        if place:
            self._findings.note(
                f"the log began {self.began} with main at {moves[0]['new'][:12]}: the {place + 1} commits up to there "
                "are older than it"
            )

    def _start(self, base: str | None, move: dict[str, str]) -> str:
        """Tell where main was: where the move begins, but for one that goes on from another of its group."""
        goes_on = base is not None and (base, move["old"]) == self._group
        start = base if goes_on and base is not None else move["old"]
        self._group = (start, move["new"])
        return start

    def _move(self, line: int, entry: int, old: str, new: str) -> None:
        if not old.strip("0"):
            message = f"entry {entry} begins a second time, and only the first entry does"
            self._findings.add(line, message, "lines of another log were put in; see docs/audit.md")
            return
        start, end = self.order.place(old), self.order.place(new)
        if start is None:
            self._unknown(line, entry, old, new)
            return
        if start > self._reached:
            self._gap(line, start, f"before entry {entry} was decided")
        if end is not None and end > self._reached:
            self._reached = end
            self.landed += 1
            return
        self.superseded += 1
        if start == len(self.order) - 1 and not self._against.own:
            self._beyond.add(new)

    def _unknown(self, line: int, entry: int, old: str, new: str) -> None:
        """Tell of an entry before which main was at a commit that is not on it."""
        self.superseded += 1
        if old in self._beyond:
            self._beyond.add(new)
        elif not self._against.in_place:
            self._rewritten(line, entry, old)

    def _rewritten(self, line: int, entry: int, oid: str) -> None:
        message = f"main was at {oid[:12]} by entry {entry}, and that commit is not on main any more"
        self._findings.add(line, message, f"main was put back past the gate: {_PAST}" if self._against.own else _COPY)

    def _gap(self, line: int | None, to: int, when: str) -> None:
        """Tell of commits on main that no decision let in."""
        count = to - self._reached
        missing = _listed(self.order.few(self._reached + 1, to + 1), count)
        self._reached = to
        if self._against.in_place:
            self._findings.note(f"{missing} came onto main in place, {when}: no hook was asked, none is logged")
            self.older += count
            return
        message = f"no decision let {missing} onto main, {when}: a push is missing in the log, or went past it"
        self._findings.add(line, message, _PAST if self._against.own else f"{_COPY}; otherwise {_PAST}")

    def _anchor(self, line: int, tag: int) -> None:
        target = self._against.tags.target(tag)
        place = self.order.place_of(target)
        self.anchored += 1
        if place is not None and place > self._reached and not self._against.in_place:
            ref = self._against.tags.ref(tag)
            message = f"{ref} names this entry, which is older than the push of its commit {target.hex()[:12]}"
            self._findings.add(line, message, "lines or tags were rewritten; see docs/audit.md")

    def end(self) -> None:
        """Check what is left over: commits after the last decision, tags that name no entry."""
        tip = self.order.place(self._against.tip)
        if tip is None:
            self._findings.add(None, f"main was at {self._against.tip[:12]} a moment ago and is not any more", _PAST)
        elif self._first is not None and tip > self._reached:
            self._gap(None, tip, "after the last entry")
        if self._beyond:
            self._findings.note(f"the log is ahead of this clone's main by {len(self._beyond)} pushes; git fetch")
        self._lost_anchors()
        self._stray_tags()

    def _lost_anchors(self) -> None:
        older: list[str] = []
        lost: list[str] = []
        tags = self._against.tags
        for tag in tags.left():
            place = self.order.place_of(tags.target(tag))
            (older if place is not None and place < self.older else lost).append(tags.ref(tag))
        if lost:
            message = f"{_listed(sorted(lost))} name{'s' if len(lost) == 1 else ''} a decision that is not in the log"
            remedy = f"it was cut or rewritten: {_CUT}" if self._against.own else f"{_COPY}; otherwise it was rewritten"
            self._findings.add(None, message, remedy)
        if older:
            self._begun_anew(sorted(older))

    def _begun_anew(self, tags: Sequence[str]) -> None:
        """Tell that there was an earlier log; no damage once the owner has said that it is so."""
        first = str(self._first["hash"]) if self._first else ""
        message = f"{_listed(tags)} name{'s' if len(tags) == 1 else ''} a decision of an earlier log"
        if self._against.acknowledged == first:
            self._findings.note(f"{message}, after which this one was begun anew, as gitreg.auditbegin says")
        else:
            remedy = f"if its owner began a new one, and keeps the old: git config gitreg.auditbegin {first}"
            self._findings.add(1, message, remedy)

    def _stray_tags(self) -> None:
        tags = self._against.tags
        found = (tag for tag in range(len(tags)) if self.order.place_of(tags.target(tag)) is None)
        stray = sorted(map(tags.ref, found))
        if stray and not self._against.in_place:
            message = f"{_listed(stray)} mark{'s' if len(stray) == 1 else ''} a commit that is not on main"
            remedy = f"main or a tag was put elsewhere past the gate: {_PAST}" if self._against.own else "git fetch"
            self._findings.add(None, message, remedy)


def _listed(things: Sequence[str], count: int | None = None) -> str:
    """Name a few things, and how many more there are."""
    shown = ", ".join(each[:12] if not each.startswith("refs/") else each for each in things[:_FEW])
    more = (len(things) if count is None else count) - _FEW
    return shown if more <= 0 else f"{shown} and {more} more"
