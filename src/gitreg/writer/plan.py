"""Say what a write shall do, how it is to be done, and what became of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Concatenate, ParamSpec

from gitreg.reader import Snapshot
from gitreg.records import dataclass, field, replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.gate import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How a write is to be done: shown only, proposed on a branch, or pushed; and as which user."""

    dry_run: bool = False
    propose: bool = False
    user: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one commit shall contain: new bytes (None removes) by path, and its message."""

    edits: Mapping[str, bytes | None]
    subject: str
    body: str = ""
    trailers: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    about: object = None

    @property
    def message(self) -> str:
        """The commit message: subject, body, trailers."""
        trailers = "\n".join(f"{key}: {' '.join(value.split())}" for key, value in self.trailers.items() if value)
        return "\n\n".join(part for part in (self.subject, self.body, trailers) if part) + "\n"

    def effective(self, snapshot: Snapshot) -> Plan:
        """Leave out edits that change nothing."""
        kept = {path: data for path, data in self.edits.items() if snapshot.read(path) != data}
        return replace(self, edits=kept)

    def written(self, commit: str | None, ref: str) -> Written:
        """Say what became of it."""
        paths = tuple(sorted(self.edits))
        return Written(commit=commit, ref=ref, subject=self.subject, paths=paths, notes=self.notes, about=self.about)


Planner = Callable[[Snapshot], Plan]
P = ParamSpec("P")


class Planned:
    """A planner that can go to another process: a function that has a name, and what it is given beside the state."""

    __slots__ = ("_given", "_named", "_plan")

    def __init__(self, plan: Callable[Concatenate[Snapshot, P], Plan], *given: P.args, **named: P.kwargs) -> None:
        self._plan = plan
        self._given = given
        self._named = named

    def __call__(self, at: Snapshot) -> Plan:
        """Plan on a state."""
        return self._plan(at, *self._given, **self._named)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of a write: its commit and ref; on a dry run the diff and the gate's verdict.

    `commit` is None where nothing had to change.
    """

    commit: str | None
    ref: str
    subject: str
    paths: tuple[str, ...]
    dry_run: bool = False
    diff: str | None = None
    violations: tuple[Violation, ...] = ()
    notes: tuple[str, ...] = ()
    about: object = None
