"""Pass values between a server and the process that writes for it, over pipes that nobody else has."""

from __future__ import annotations

import pickle  # what comes through these pipes was written by the other process of the same program
import struct
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

_LENGTH = struct.Struct(">I")


def packed(value: object) -> bytes:
    """Write a value down; raises what pickle does where it cannot go to another process."""
    return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def unpacked(data: bytes) -> Any:  # noqa: ANN401 - what was packed
    """Read a value that `packed` wrote."""
    return pickle.loads(data)  # noqa: S301 - see above


def receive(file: BinaryIO) -> Any:  # noqa: ANN401 - what the other side sent
    """Wait for the next value; EOFError once the other side has closed, or is gone."""
    head = file.read(_LENGTH.size)
    if len(head) == _LENGTH.size:
        (length,) = _LENGTH.unpack(head)
        data = file.read(length)
        if len(data) == length:
            return unpacked(data)
    raise EOFError


class Outbox:
    """A thread that sends, so that nobody who has something to say waits for the other side to listen."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._queue: SimpleQueue[bytes | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Send a value that was packed."""
        self._queue.put(data)

    def close(self) -> None:
        """Send what is left, and close: the other side is told the end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            with self._file:
                while (data := self._queue.get()) is not None:
                    self._file.write(_LENGTH.pack(len(data)) + data)
                    if self._queue.empty():
                        self._file.flush()
        except OSError:
            return  # the other side is gone, which whoever reads from it sees as well
