"""Write for a server: `python -m gitreg.writer.child PATH`, started by `gitreg.writer.process` with pipes to it."""

from __future__ import annotations

import logging
import os
import signal
import sys
import traceback
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

from gitreg.errors import GitregError
from gitreg.writer.channel import Outbox, packed, receive, unpacked
from gitreg.writer.group import GroupWriter

if TYPE_CHECKING:
    from concurrent.futures import Future

    from gitreg.writer.plan import Written


class _Told(logging.Handler):
    """Hand the log on: the server knows how it is to be written."""

    def __init__(self, outbox: Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._outbox.put(packed(("logged", self._said(record))))
        except Exception:  # noqa: BLE001 - as every handler does
            self.handleError(record)

    @staticmethod
    def _said(record: logging.LogRecord) -> dict[str, Any]:
        exception = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        return record.__dict__ | {"msg": record.getMessage(), "args": (), "exc_info": None, "exc_text": exception}


def main() -> None:
    """Write what is asked for until nobody can ask any more; then finish, and end."""
    asked, told = _private_pipes()
    # Whoever ends the server by a signal to all of its processes ends this one by way of the server. No SIG_IGN: git,
    # which this starts, would inherit it.
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, lambda *_: None)
    outbox = Outbox(told, "gitreg-telling")
    logging.basicConfig(handlers=[_Told(outbox)], level=logging.INFO)
    writer = GroupWriter(
        sys.argv[1],
        landed=lambda size: outbox.put(packed(("landed", size))),
        wrote=lambda what: outbox.put(packed(("wrote", what))),
    )
    try:
        while True:
            _take(writer, outbox, *receive(asked))
    except EOFError:
        pass
    writer.close()
    outbox.close()


def _private_pipes() -> tuple[BinaryIO, BinaryIO]:
    """Take the pipes to the server, so that neither what is printed here nor git gets at them."""
    asked, told = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return os.fdopen(asked, "rb"), os.fdopen(told, "wb")


def _take(writer: GroupWriter, outbox: Outbox, number: int, change: bytes) -> None:
    try:
        future = writer.submit(unpacked(change))
    except Exception as error:  # noqa: BLE001 - the process's boundary: it fails its own request alone
        outbox.put(packed(("failed", number, _kept(error))))
    else:
        future.add_done_callback(partial(_tell, outbox, number))


def _tell(outbox: Outbox, number: int, future: Future[Written]) -> None:
    error = future.exception()
    said: tuple[Any, ...] = ("done", number, future.result()) if error is None else ("failed", number, _kept(error))
    try:
        data = packed(said)
    except Exception as fault:  # noqa: BLE001 - what became of a change is told, if not in its own words
        data = packed(("failed", number, RuntimeError(f"{type(fault).__name__}: {fault}")))
    outbox.put(data)


def _kept(error: BaseException) -> BaseException:
    """Keep of a bug where it was: a traceback stays behind in its process."""
    if not isinstance(error, GitregError):
        error.add_note("".join(traceback.format_exception(error)))
    return error


if __name__ == "__main__":
    main()
