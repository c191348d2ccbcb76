"""Write what many ask for at once: the changes that arrive together become one move of main, each its own commit."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.gate import Limits
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.marks import server_marks
from gitreg.git import Repository, refs
from gitreg.git.importing import DURABLE, remove_remains
from gitreg.layout import MAIN
from gitreg.reader.history import iso
from gitreg.reader.parsed import Parsed
from gitreg.writer.afterwards import Afterwards
from gitreg.writer.courtesy import Courtesy
from gitreg.writer.landing import Landing, Wrote
from gitreg.writer.staging import Change, LaterError, RefusedError, Stage
from gitreg.writer.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitreg.git import Oid
    from gitreg.writer.plan import Written
    from gitreg.writer.staging import Staged

__all__ = ["Change", "GroupWriter"]

PATIENCE = 60.0
"""Seconds for which a change is planned anew where others move main first."""

MOST_QUEUED = 60.0
"""Seconds after which a change is not begun any more: whoever sent it may have sent it again."""

MOST_WAITING = 1024
_MOST_AT_ONCE = 256
_IDLE = 30.0
_DELAY = 0.005  # seconds


class _Waiting:
    """A change that somebody waits for."""

    __slots__ = ("answer", "change", "since", "until")

    def __init__(self, change: Change) -> None:
        self.change = change
        self.answer: Future[Written] = Future()
        self.since = time.monotonic()
        self.until = self.since + PATIENCE


class GroupWriter:
    """The one writer of a process, in a thread of its own.

    Several processes on one repository, and whoever pushes, are kept apart by compare-and-swap on main.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        limits: Limits | None = None,
        landed: Callable[[int], object] = lambda _: None,
        wrote: Callable[[Wrote], object] = lambda _: None,
    ) -> None:
        """Open a bare registry.

        `landed` is told of how many changes each group was that moved main, `wrote` what main is about to become.
        """
        self._repository = Repository.open(path, config=DURABLE)
        if not self._repository.is_bare:
            self._repository.close()
            raise InvalidError(
                f"{os.fspath(path)!r} has a work tree, and a server writes to a bare registry",
                hint="git clone --bare makes one; gitreg init --bare installs the hooks",
            )
        remove_remains(self._repository)
        self._limits = limits or Limits()
        self._landed = landed
        self._parsed = Parsed()
        self._landing = Landing(self._repository, wrote)
        self._afterwards = Afterwards(self._repository.git_dir)
        self._courtesy = Courtesy(self._repository.git_dir)
        self._turn = Turn(self._repository.git_dir / "gitreg")
        self._wake = threading.Condition()
        self._queue: deque[_Waiting] = deque()
        self._company, self._answered = 0, 0.0  # how many came together last, and when they were answered
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="gitreg-writer", daemon=True)
        self._thread.start()
        self._afterwards.start()

    def submit(self, change: Change) -> Future[Written]:
        """Hand a change in. The answer comes once its commit is on the disk and main has moved there.

        It raises what the gate's verdict is classed as and what planning raises, ConflictError where main kept moving,
        and UnavailableError where nothing can be written now.
        """
        waiting = _Waiting(change)
        with self._wake:
            if self._is_closing:
                raise stopping()
            if len(self._queue) >= MOST_WAITING:
                raise full()
            self._queue.append(waiting)
            self._wake.notify()
        return waiting.answer

    def close(self) -> None:
        """Finish the group that is being written, refuse what waits, and end git's processes."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join()
        self._landing.close()
        self._afterwards.close()
        self._repository.close()

    # The thread

    def _run(self) -> None:
        left: list[_Waiting] = []
        while (batch := self._next(left)) is not None:
            try:
                left = self._serve(batch)
            except Exception as error:  # noqa: BLE001 - the thread's boundary: those who wait must hear of a bug
                left = []
                for each in batch:
                    _fail(each, error)
        self._rest()

    def _next(self, left: list[_Waiting]) -> list[_Waiting] | None:
        """Wait for changes, and take all that there are: those that were put off come first; None at the end."""
        with self._wake:
            while not (self._queue or left or self._is_closing):
                if not self._wake.wait(_IDLE):
                    self._rest()
            self._await_company(len(left))
            batch = [*left]
            while self._queue and (self._is_closing or len(batch) < _MOST_AT_ONCE):
                batch.append(self._queue.popleft())
            self._company = len(batch)
            if not self._is_closing:
                return [each for each in batch if each.answer.running() or each.answer.set_running_or_notify_cancel()]
        for each in batch:
            _fail(each, stopping())
        return None

    def _await_company(self, count: int) -> None:
        """Wait a moment for those who were answered together to come again together; nobody waits who comes alone.

        A group costs as much as some changes do. PostgreSQL's commit_delay is this.
        """
        deadline = self._answered + _DELAY
        while count + len(self._queue) < self._company and not self._is_closing:
            if not self._wake.wait(max(0.0, deadline - time.monotonic())):
                break

    def _serve(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Make one group of what waits, and get it onto main; give what has to wait for the next one."""
        if self._afterwards.renewed():
            self._rest()
        self._courtesy.give_way()
        with self._turn.taken():
            stage = self._stage()
            group = _Group(stage, _in_time(batch))
            try:
                oids = self._landing.land(group.stage.tip, [staged for _, staged in group.taken], group.refusals())
            except GitregError as error:
                for each, _ in group.taken:
                    _fail(each, error)
                oids = []
            group.tell_settled()
        if oids is None:
            return self._again([each for each, _ in group.taken] + group.later)
        if oids:
            self._afterwards.landed(pointers=group.stage.touches_pointers)
            self._landed(len(oids))
        group.tell_taken(oids)
        self._answered = time.monotonic()
        return group.later

    def _rest(self) -> None:
        """End git's processes until they are needed again: each holds every pack open that it has met."""
        self._landing.rest()
        self._repository.close()

    def _stage(self) -> Stage:
        tip = refs.resolve(self._repository, MAIN)
        if tip is None:
            raise NotFoundError("the registry is empty: it has no branch main", hint="its owner runs gitreg init")
        marks = server_marks(self._repository)
        return Stage(self._repository, tip, self._parsed, server_marks=marks, limits=self._limits)

    def _again(self, batch: Sequence[_Waiting]) -> list[_Waiting]:
        """Keep those that still have patience, where others were first."""
        now = time.monotonic()
        for each in batch:
            if each.until < now:
                message = f"main kept moving for {PATIENCE:.0f} s"
                _fail(each, ConflictError(message, hint="nothing was changed; try again"))
        return [each for each in batch if each.until >= now]


class _Group:
    """What became of each change of a batch, on one tip."""

    def __init__(self, stage: Stage, batch: Sequence[_Waiting]) -> None:
        self.stage = stage
        self.taken: list[tuple[_Waiting, Staged]] = []
        self.later: list[_Waiting] = []
        self._settled: list[tuple[_Waiting, Written | Exception]] = []
        stage.read_ahead(model for each in batch for model in each.change.models)
        for each in batch:
            self._take(each)

    def _take(self, waiting: _Waiting) -> None:
        try:
            answer = self.stage.take(waiting.change)
        except LaterError:
            self.later.append(waiting)
        except Exception as error:  # noqa: BLE001 - a planner that crashes fails its own request alone
            self._settled.append((waiting, error))
        else:
            if answer is None:
                self.taken.append((waiting, self.stage.staged[-1]))
            else:
                self._settled.append((waiting, answer))

    def refusals(self) -> list[audit.Entry]:
        """Give the entries of what the gate refuses."""
        now = iso(int(time.time()))
        refused = ((each.change, error) for each, error in self._settled if isinstance(error, RefusedError))
        return [
            audit.Entry(now, str(change.actor), (), error.violations, change.source, error.models)
            for change, error in refused
        ]

    def tell_settled(self) -> None:
        """Answer those who need no commit, or get none."""
        for each, answer in self._settled:
            if isinstance(answer, RefusedError):
                _fail(each, answer.verdict)
            elif isinstance(answer, Exception):
                _fail(each, answer)
            else:
                each.answer.set_result(answer)

    def tell_taken(self, oids: Sequence[Oid]) -> None:
        """Answer those whose commits are on main now."""
        for (each, staged), oid in zip(self.taken, oids, strict=False):
            if not each.answer.done():
                each.answer.set_result(staged.plan.written(oid, MAIN))


def _in_time(batch: Sequence[_Waiting]) -> list[_Waiting]:
    """Refuse what has waited too long to be begun."""
    oldest = time.monotonic() - MOST_QUEUED
    for each in batch:
        if each.since < oldest:
            message = f"the writer did not come to it within {MOST_QUEUED:.0f} s"
            _fail(each, UnavailableError(message, hint="nothing was changed; try again"))
    return [each for each in batch if each.since >= oldest]


def _fail(waiting: _Waiting, error: Exception) -> None:
    if not waiting.answer.done():
        waiting.answer.set_exception(error)


def full() -> UnavailableError:
    """Say that too many wait already."""
    return UnavailableError(f"{MOST_WAITING} writes are waiting already", hint="try again in a moment")


def stopping() -> UnavailableError:
    """Say that nothing is taken any more."""
    return UnavailableError("the server is stopping; nothing was changed", hint="try again in a moment")
