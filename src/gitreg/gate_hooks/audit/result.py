"""Gather what the proof of an audit log finds."""

from __future__ import annotations

from gitreg.records import dataclass

_SHOWN = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong: at which line of the log, where it is at one; what, and what to do about it."""

    line: int | None
    message: str
    remedy: str


class Findings:
    """What was found so far. A log that is damaged everywhere is not told line by line for ever."""

    def __init__(self) -> None:
        self.shown: list[Finding] = []
        self.count = 0
        self.notes: list[str] = []

    def add(self, line: int | None, message: str, remedy: str) -> None:
        """Note damage."""
        self.count += 1
        if len(self.shown) < _SHOWN:
            self.shown.append(Finding(line=line, message=message, remedy=remedy))

    def note(self, text: str) -> None:
        """Note what is worth knowing and no damage."""
        if len(self.notes) < _SHOWN:
            self.notes.append(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """How a log stands: its entries, what they say of main, and what is wrong.

    `landed` counts accepted pushes that moved main, `superseded` those that were accepted and did not: another push
    was first, or the pusher's connection or the server broke. `commits` of main are covered by decisions, `older` ones
    lie before the log. `anchors` are deploy tags that name an entry. `damage` counts all findings, of which the first
    hundred are given.
    """

    entries: int = 0
    accepted: int = 0
    refused: int = 0
    landed: int = 0
    superseded: int = 0
    commits: int = 0
    older: int = 0
    anchors: int = 0
    head: str | None = None
    damage: int = 0
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()
