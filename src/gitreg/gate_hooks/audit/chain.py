"""Follow the chain of an audit log, line by line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitreg.gate_hooks.audit.entry import GENESIS, read, unsealed
from gitreg.gate_hooks.audit.log import HEAD, Place

if TYPE_CHECKING:
    from gitreg.gate_hooks.audit.result import Findings

_ALTERED = "compare it with a copy from before; see docs/audit.md: what to do about damage"
_CUT = "put back the lines from a copy; see docs/audit.md: what to do about damage"


class Chain:
    """Where the chain stands after the lines that were read; `head` is what the head file knows of it."""

    def __init__(self, findings: Findings, head: Place | None) -> None:
        self._findings = findings
        self._head = head
        self._seen_head = head is None or head.number == 0
        self._linked = True
        self.last = Place(0, GENESIS)
        self.entries = 0

    def read(self, number: int, line: bytes) -> dict[str, Any] | None:
        """Check a line against those before; give its members unless it is none, or stands there once more."""
        self.entries += 1
        try:
            members = unsealed(line)
        except ValueError as error:
            self._findings.add(number, f"the line {error}", _ALTERED)
            return self._lenient(line)
        return self._follow(number, members)

    def _lenient(self, line: bytes) -> dict[str, Any] | None:
        """Go on behind a damaged line, as far as it says where it belongs."""
        try:
            members = read(line)
        except ValueError:
            self.last = Place(self.last.number + 1, "")
            self._linked = False
            return None
        # Where it says it belongs may be what was altered.
        self._remember(self.last.number + 1, members["hash"])
        return members

    def _follow(self, number: int, members: dict[str, Any]) -> dict[str, Any] | None:
        wanted, found = self.last.number + 1, members["seq"]
        if found < wanted:
            self._findings.add(number, f"entry {found} stands after entry {self.last.number}: moved or doubled", _CUT)
            return None
        if found > wanted:
            missing = f"entry {wanted} is" if found == wanted + 1 else f"entries {wanted} to {found - 1} are"
            self._findings.add(number, f"{missing} missing before entry {found}", _CUT)
        elif self._linked and members["previous"] != self.last.hash:
            self._findings.add(
                number, f"entry {found} does not follow from the line before, which is not the one it names", _ALTERED
            )
        self._remember(found, members["hash"])
        return members

    def _remember(self, number: int, seal: str) -> None:
        self._linked = True
        self.last = Place(number, seal)
        if self._head and number == self._head.number:
            self._seen_head = True
            if seal != self._head.hash:
                message = f"entry {number} is not the one that {HEAD} knows: it was rewritten"
                self._findings.add(self.entries, message, _ALTERED)

    def end(self) -> None:
        """Check what the head file knows beyond the end."""
        if not self.entries:
            self._findings.add(None, "the log is empty; its first entry is written by `gitreg init`", _CUT)
        if self._head and self._head.number > self.last.number:
            lost = self._head.number - self.last.number
            what = f"the log ends at entry {self.last.number}, and {HEAD} knows of {self._head.number}: "
            self._findings.add(None, f"{what}{lost} {'was' if lost == 1 else 'were'} cut off", _CUT)
        elif not self._seen_head:
            self._findings.add(None, f"{HEAD} names an entry that is not in the log", _ALTERED)
        elif self._head and self.last.number > self._head.number + 1:
            behind = self.last.number - self._head.number
            self._findings.note(f"{HEAD} is {behind} entries behind, as after a power cut or a restore")
