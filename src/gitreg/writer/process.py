"""Keep the group writer in a process of its own: who answers questions and who judges changes share no interpreter."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from gitreg.errors import UnavailableError
from gitreg.writer.channel import Outbox, packed, receive
from gitreg.writer.group import MOST_WAITING, full, stopping
from gitreg.writer.landing import Wrote

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from gitreg.writer.plan import Written
    from gitreg.writer.staging import Change

_log = logging.getLogger("gitreg.writer")


class ProcessWriter:
    """What `GroupWriter` is, in a process that is started with this and ends with it, however this one ends.

    One that ended before is replaced at the next change. Changes, planners and all, go there by pickle.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        landed: Callable[[int], object] = lambda _: None,
        wrote: Callable[[Wrote], object] = lambda _: None,
    ) -> None:
        """Begin to open a bare registry; `landed` and `wrote` are told as by a `GroupWriter`."""
        self._start = partial(_Child, os.fspath(path), landed, wrote)
        self._lock = threading.Lock()
        self._is_closing = False
        self._child = self._start()

    def submit(self, change: Change) -> Future[Written]:
        """Hand a change in, as to a `GroupWriter`. It cannot be cancelled: it is begun elsewhere.

        Where the process ends before it has answered, the future raises UnavailableError, and the change may have
        landed.
        """
        data = packed(change)
        with self._lock:
            if self._is_closing:
                raise stopping()
            if self._child.is_gone:
                self._child = self._start()
            return self._child.ask(data)

    def close(self) -> None:
        """Let it finish the group that is being written and refuse what waits, and end it."""
        with self._lock:
            self._is_closing = True
        self._child.close()


class _Child:
    """The process, with those who wait for its answers."""

    def __init__(self, path: str, landed: Callable[[int], object], wrote: Callable[[Wrote], object]) -> None:
        command = [sys.executable, "-P", "-m", "gitreg.writer.child", path]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._landed = landed
        self._wrote = wrote
        self._lock = threading.Lock()
        self._waiting: dict[int, Future[Written]] = {}
        self._numbers = itertools.count()
        self.is_gone = False
        self._told: BinaryIO = self._process.stdout  # type: ignore[assignment] # it has pipes
        self._outbox = Outbox(self._process.stdin, "gitreg-asking")  # type: ignore[arg-type] # it has pipes
        self._thread = threading.Thread(target=self._run, name="gitreg-answers", daemon=True)
        self._thread.start()

    def ask(self, change: bytes) -> Future[Written]:
        answer: Future[Written] = Future()
        answer.set_running_or_notify_cancel()
        with self._lock:
            if len(self._waiting) >= MOST_WAITING:
                raise full()
            if self.is_gone:
                raise _ended()
            number = next(self._numbers)
            self._waiting[number] = answer
        self._outbox.put(packed((number, change)))
        return answer

    def close(self) -> None:
        self._outbox.close()
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._told as told:
                while True:
                    self._take(*receive(told))
        except EOFError:
            pass
        except Exception:  # noqa: BLE001 - a bug on either side: those who wait must hear of it
            _log.exception("what the writer says makes no sense; it is ended")
            self._process.kill()
        self._end()

    def _take(self, kind: str, *said: object) -> None:
        match kind, said:
            case "done", (int() as number, written):
                self._waiting.pop(number).set_result(written)  # type: ignore[arg-type] # what a group writer answers
            case "failed", (int() as number, Exception() as error):
                self._waiting.pop(number).set_exception(error)
            case "landed", (int() as size,):
                self._landed(size)
            case "wrote", (Wrote() as what,):
                self._wrote(what)
            case "logged", (dict() as record,):
                found = logging.makeLogRecord(record)
                logging.getLogger(found.name).handle(found)
            case _:
                raise ValueError(f"{kind!r} is nothing that a writer says")

    def _end(self) -> None:
        """Tell those who wait that they will hear no more."""
        code = self._process.wait()
        if code:
            _log.error("the process that writes ended with %s", code)
        with self._lock:
            self.is_gone = True
            left = list(self._waiting.values())
            self._waiting.clear()
        for answer in left:
            answer.set_exception(_ended())
        self._outbox.close()


def _ended() -> UnavailableError:
    return UnavailableError(
        "the process that writes has ended; the change may have landed",
        hint="look whether it is there before you try again",
    )
