"""Write refused requests into the audit log, in so few entries that a flood of them fills no disk."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import GitregError

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.gate_hooks.audit import Entry

PAUSE = 60.0  # seconds between two entries, doubled while there is always something to write …
LONGEST = 3600.0  # … up to this
MOST = 20  # kinds of refusals that an entry tells apart
_log = logging.getLogger(__name__)


class Refused(NamedTuple):
    """A request that was turned away: with 401 or 403, whose it was as far as that is known, from where, and why."""

    status: int
    user: str | None
    address: str
    reason: str


class Refusals:
    """Count refused requests, and log them: the first at once, those of the next minute in one entry, and so on."""

    def __init__(self, git_dir: Path, *, pause: float = PAUSE, longest: float = LONGEST) -> None:
        self._git_dir = git_dir
        self._pause = pause
        self._longest = longest
        self._changed = threading.Condition()
        self._counts: dict[Refused, int] = {}
        self._others = 0
        self._closing = False
        self._thread: threading.Thread | None = None

    def add(self, refused: Refused) -> None:
        """Count a refusal; it is in the log a moment or, in a flood, an hour later."""
        with self._changed:
            if self._closing:
                return
            self._count(refused, 1)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="gitreg-refusals", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Log what was counted, and stop."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _count(self, refused: Refused, times: int) -> None:
        if refused in self._counts or len(self._counts) < MOST:
            self._counts[refused] = self._counts.get(refused, 0) + times
        else:
            self._others += times

    def _run(self) -> None:
        pause = self._pause
        while batch := self._next():
            self._write(*batch)
            with self._changed:
                self._changed.wait_for(lambda: self._closing, timeout=pause)
                pause = min(2 * pause, self._longest) if self._counts else self._pause

    def _next(self) -> tuple[dict[Refused, int], int] | None:
        """Wait for something to log; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._counts or self._closing)
            batch, self._counts, self._others = (self._counts, self._others), {}, 0
            return batch if batch[0] else None

    def _write(self, counts: dict[Refused, int], others: int) -> None:
        from gitreg.gate_hooks import audit

        try:
            audit.append(self._git_dir, entry_of(counts, others, int(time.time())))
        except GitregError as error:
            # Requests go on: nothing was decided but to refuse. The counts wait for the next try.
            _log.warning("refused requests cannot be logged: %s", error)
            with self._changed:
                if not self._closing:
                    self._others += others
                    for refused, times in counts.items():
                        self._count(refused, times)


def entry_of(counts: dict[Refused, int], others: int, now: int) -> Entry:
    """Make one entry of refusals; it asks for no update."""
    from gitreg.gate import Code, Violation
    from gitreg.gate_hooks.audit import Entry
    from gitreg.reader.history import iso

    codes = {401: Code.ACTOR_UNKNOWN, 403: Code.ACCESS_DENIED}
    violations = [
        Violation(codes[each.status], f"{_times(times)} {_from(each)}: {each.reason}") for each, times in counts.items()
    ]
    if others:
        violations.append(Violation(Code.ACTOR_UNKNOWN, f"{_times(others)} from elsewhere, or for other reasons"))
    users, addresses = {each.user for each in counts}, {each.address for each in counts}
    return Entry(
        iso(now),
        users.pop() if len(users) == 1 else None,
        (),
        tuple(violations),
        source={"identity": "http", "address": addresses.pop() if len(addresses) == 1 else ""},
    )


def _from(refused: Refused) -> str:
    who = f" by {refused.user}" if refused.user else ""
    return f"from {refused.address or 'this machine'}{who}"


def _times(count: int) -> str:
    return "1 request" if count == 1 else f"{count} requests"
