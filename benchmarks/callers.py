"""Call a server from several connections at once, for so many seconds: `python -m benchmarks.callers`.

It reads JSON: `{"port", "clients", "seconds", "headers", "calls": [[method, path, body, kind], …]}`. Each client makes
the calls in turn, with `{n}` made a number that comes once and `{c}` the client's own. It writes the milliseconds by
kind, and what failed.

One thread looks after all connections and takes an answer apart no further than it must: what callers in threads with
a library each would take of two cores, and wait for one another, is counted as the server's.
"""

from __future__ import annotations

import itertools
import json
import selectors
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60
_GOOD = range(200, 300)
_END = b"\r\n\r\n"
_LENGTH = b"\r\ncontent-length:"


class Caller:
    """One connection that makes one call after the other."""

    def __init__(self, asked: dict[str, Any], number: int, numbers: Iterator[int]) -> None:
        self._calls, self._number, self._numbers = itertools.cycle(asked["calls"]), number, numbers
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in asked["headers"].items())
        self.socket = socket.create_connection(("127.0.0.1", asked["port"]), timeout=_PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kind, self._began, self._said, self._whole = "", 0.0, bytearray(), 0

    def ask(self) -> None:
        """Make the next call."""
        method, path, body, self._kind = next(self._calls)
        marks = {"{n}": str(next(self._numbers)), "{c}": str(self._number)}
        sent = filled(body, marks).encode() if body else b""
        head = f"{method} {filled(path, marks)} HTTP/1.1\r\nHost: 127.0.0.1\r\n{self._headers}"
        if body:
            head += f"Content-Type: application/json\r\nContent-Length: {len(sent)}\r\n"
        self._said, self._whole = bytearray(), 0
        self._began = time.perf_counter()
        self.socket.sendall(head.encode() + b"\r\n" + sent)

    def take(self) -> tuple[str, float, bytes] | None:
        """Take what came; the call's kind, its milliseconds and its answer once that is whole."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ConnectionError(f"the server hung up on a {self._kind!r}: {bytes(self._said[:300])!r}")
        self._said += data
        if not self._whole and (end := self._said.find(_END)) >= 0:
            head = bytes(self._said[:end]).lower()
            _, found, rest = head.partition(_LENGTH)
            if not found:
                raise ValueError(f"an answer without its length: {head[:300]!r}")
            self._whole = end + len(_END) + int(rest.partition(b"\r\n")[0])
        if not self._whole or len(self._said) < self._whole:
            return None
        return self._kind, (time.perf_counter() - self._began) * 1000, bytes(self._said)


def filled(text: str, marks: dict[str, str]) -> str:
    """Put the numbers in."""
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


def call(asked: dict[str, Any]) -> dict[str, Any]:
    """Call until the time is over and the last answer has come."""
    numbers = itertools.count(time.time_ns() // 1_000_000)
    taken: dict[str, list[float]] = {}
    failed: list[str] = []
    began = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for number in range(asked["clients"]):
            caller = Caller(asked, number, numbers)
            selector.register(caller.socket, selectors.EVENT_READ, caller)
            caller.ask()
        while selector.get_map():
            for key, _ in selector.select(_PATIENCE) or _late(asked):
                caller = key.data
                if (answer := caller.take()) is None:
                    continue
                kind, milliseconds, said = answer
                taken.setdefault(kind, []).append(milliseconds)
                if int(said.split(None, 2)[1]) not in _GOOD:
                    failed.append(said[:400].decode("utf-8", "replace"))
                if time.monotonic() < began + asked["seconds"]:
                    caller.ask()
                else:
                    selector.unregister(caller.socket)
                    caller.socket.close()
    return {"seconds": time.monotonic() - began, "taken": taken, "failed": failed}


def _late(asked: dict[str, Any]) -> NoReturn:
    raise TimeoutError(f"port {asked['port']}: no answer within {_PATIENCE} s")


if __name__ == "__main__":
    print(json.dumps(call(json.load(sys.stdin))))
