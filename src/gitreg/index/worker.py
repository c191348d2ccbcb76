"""Read files that come through standard input into rows, in a process of its own."""

from __future__ import annotations

import gc
import marshal
import os
import signal
import sys
from typing import TYPE_CHECKING, BinaryIO

from gitreg.errors import InvalidError
from gitreg.index.rows import Rows, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

Task = tuple[str, bytes]
Answer = Rows | str
"""The rows of a file, or what is wrong with it."""

_LENGTH = 8


def answer(tasks: list[Task]) -> list[Answer]:
    """Read each file; what cannot be read is told and keeps nobody waiting."""
    found: list[Answer] = []
    for kind, data in tasks:
        try:
            found.append(rows_of(kind, data))
        except InvalidError as error:
            found.append(error.message)
    return found


def send(stream: BinaryIO, value: Sequence[Task] | Sequence[Answer]) -> None:
    """Write one value with its length before it."""
    data = marshal.dumps(list(value))
    stream.write(len(data).to_bytes(_LENGTH, "little") + data)
    stream.flush()


def receive(stream: BinaryIO) -> list[object] | None:
    """Read one value; None at the end."""
    head = stream.read(_LENGTH)
    if len(head) < _LENGTH:
        return None
    data = stream.read(int.from_bytes(head, "little"))
    found: list[object] = marshal.loads(data)  # noqa: S302 - from the process that we started, or that started us
    return found


def main() -> None:
    """Answer until there is nothing more to read, or nobody who listens."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it reaches all in a terminal; who started us ends us
    gc.disable()  # values without circles
    try:
        while (tasks := receive(sys.stdin.buffer)) is not None:
            send(sys.stdout.buffer, answer(tasks))  # type: ignore[arg-type] # our own parent's
    except BrokenPipeError:
        os._exit(1)  # without another try to write what is left


if __name__ == "__main__":
    main()
