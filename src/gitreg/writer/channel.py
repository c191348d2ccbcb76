"""Pass values between a server and the process that writes for it, over pipes that nobody else has."""

from __future__ import annotations

import os
import pickle  # what comes through these pipes was written by the other process of the same program
import selectors
import struct
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import BinaryIO

_LENGTH = struct.Struct(">I")
_MOST = 1 << 20  # bytes to copy for one call, of which a pipe takes some


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
    """What is said is sent at once, or by a thread where the other side has not yet taken what came before."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        os.set_blocking(file.fileno(), False)
        self._said = threading.Condition()
        self._left = bytearray()
        self._is_closing = self._is_gone = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, data: bytes) -> None:
        """Send a value that was packed."""
        with self._said:
            if self._is_gone:
                return  # which whoever reads from the other side sees as well
            was_idle = not self._left
            self._left += _LENGTH.pack(len(data)) + data
            if was_idle:
                self._send()
            if self._left:
                self._said.notify()

    def close(self) -> None:
        """Send what is left, and close: the other side is told the end."""
        with self._said:
            self._is_closing = True
            self._said.notify()
        self._thread.join()

    def _send(self) -> None:
        """Send what the pipe has room for."""
        try:
            while self._left:
                del self._left[: os.write(self._file.fileno(), self._left[:_MOST])]
        except BlockingIOError:
            return
        except OSError:
            self._is_gone = True
            self._left.clear()

    def _run(self) -> None:
        with self._file, selectors.DefaultSelector() as selector:
            selector.register(self._file, selectors.EVENT_WRITE)
            while self._has_more():
                selector.select()
                with self._said:
                    self._send()

    def _has_more(self) -> bool:
        """Wait until something is left; False once it is the end, or nobody is there."""
        with self._said:
            while not (self._left or self._is_closing or self._is_gone):
                self._said.wait()
            self._is_gone |= not self._left
            return not self._is_gone
