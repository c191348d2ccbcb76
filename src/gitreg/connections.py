"""Keep connections to one host open, and use each for one request after the other."""

from __future__ import annotations

import time
import weakref
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Lock
from typing import TYPE_CHECKING

from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPResponse
    from typing import BinaryIO
    from urllib.parse import SplitResult

SILENCE = 60.0
TIME_LIMIT = 300.0
"""Seconds that one answer which is held in memory may take altogether."""
"""Seconds without a byte after which a server is taken for gone."""

LOST = (OSError, HTTPException)
"""What is raised where a line breaks."""

MOST = 64 << 20
"""Bytes of an answer that is held in memory."""

_PIECE = 1 << 18
_MOST_IDLE = 16
_FRESH = 4.0  # seconds; servers keep a connection that is not used for five
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request. `again`: it may be sent twice, and only one of them counts.

    A body may be an open file, of which `size` bytes are sent from `start` on. An answer that is held in memory has at
    most `limit` bytes, and comes within `seconds`.
    """

    method: str
    target: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | BinaryIO | None = None
    size: int = 0
    start: int = 0
    again: bool = True
    limit: int = MOST
    seconds: float = TIME_LIMIT
    moved: Callable[[int], None] | None = None


def is_loopback(host: str) -> bool:
    """Whether a host is this machine."""
    return host in _LOOPBACK


class Wire:
    """One connection. After a failure it is closed, and not used again."""

    def __init__(self, connection: HTTPConnection, prefix: str, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self._prefix = prefix
        self._headers = headers

    @property
    def is_open(self) -> bool:
        """Whether it was used before and stayed open, so that the other side may have closed it by now."""
        return self._connection.sock is not None

    def close(self) -> None:
        """Close it; what comes next opens it again."""
        self._connection.close()

    def send(self, asked: Asked, headers: Mapping[str, str]) -> HTTPResponse:
        """Send a request and read the head of the answer."""
        connection = self._connection
        connection.putrequest(asked.method, f"{self._prefix}{asked.target}", skip_accept_encoding=True)
        for name, value in {**self._headers, **headers}.items():
            connection.putheader(name, value)
        if asked.body is not None:
            connection.putheader("Content-Length", str(asked.size))
        connection.endheaders()
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before it heard all
            self._send_body(asked)
        return connection.getresponse()

    def _send_body(self, asked: Asked) -> None:
        if asked.body is None:
            return
        if isinstance(asked.body, bytes):
            self._connection.send(asked.body)
            return
        asked.body.seek(asked.start)
        left = asked.size
        while left and (piece := asked.body.read(min(_PIECE, left))):
            self._connection.send(piece)
            left -= len(piece)
            if asked.moved is not None:
                asked.moved(len(piece))
        if left:
            self.close()
            raise OSError("the file became shorter as it was sent")

    def pieces(self, response: HTTPResponse) -> Iterator[bytes]:
        """Give the body in pieces; an HTTPException where it ends before its end."""
        said = response.headers.get("Content-Length")
        size = 0
        while piece := response.read1(_PIECE):
            size += len(piece)
            yield piece
        if said is not None and said.isdecimal() and size != int(said):
            self.close()
            raise HTTPException(f"the answer ended after {size} of {said[:20]} bytes")
        response.close()  # all of it was read: the connection is free again


class Wires:
    """The connections to one host, through a proxy where the environment names one."""

    def __init__(self, parts: SplitResult, *, silence: float = SILENCE) -> None:
        self._parts = parts
        self._silence = silence
        self._idle: list[tuple[Wire, float]] = []
        self._lock = Lock()
        weakref.finalize(self, _close_each, self._idle)

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._lock:
            _close_each(self._idle)

    @contextmanager
    def one(self) -> Iterator[Wire]:
        """Take a connection for one request and its answer."""
        wire = self._fresh() or self._new()
        try:
            yield wire
        except BaseException:  # whatever cut it off, the rest of an answer may be in it: nobody uses it again
            wire.close()
            raise
        with self._lock:
            if len(self._idle) < _MOST_IDLE:
                self._idle.append((wire, time.monotonic()))
                return
        wire.close()

    def _fresh(self) -> Wire | None:
        """Take the connection that was used last, unless the server may have closed it by now."""
        with self._lock:
            found, since = self._idle.pop() if self._idle else (None, 0.0)
        if found is not None and time.monotonic() - since > _FRESH:
            found.close()
            self.close()  # the others are older
            return None
        return found

    def _new(self) -> Wire:
        parts = self._parts
        host, secure = parts.hostname or "", parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        proxy = None if is_loopback(host) else _proxy(parts.scheme, host)
        if proxy is None:
            return Wire(self._connection(host, port, secure=secure), "", {})
        via, credentials = proxy
        if secure:
            connection = self._connection(via.hostname or "", via.port or 80, secure=True)
            connection.set_tunnel(host, port, credentials)
            return Wire(connection, "", {})
        connection = self._connection(via.hostname or "", via.port or 80, secure=False)
        return Wire(connection, f"http://{parts.netloc}", credentials)

    def _connection(self, host: str, port: int, *, secure: bool) -> HTTPConnection:
        return (HTTPSConnection if secure else HTTPConnection)(host, port, timeout=self._silence)


def _close_each(idle: list[tuple[Wire, float]]) -> None:
    while idle:
        wire, _ = idle.pop()
        wire.close()


def _proxy(scheme: str, host: str) -> tuple[SplitResult, dict[str, str]] | None:
    """Find the proxy that the environment names for a host, and what it wants to know of us."""
    import os

    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    import base64
    from urllib.parse import unquote, urlsplit
    from urllib.request import getproxies, proxy_bypass

    named = getproxies().get(scheme)
    if not named or proxy_bypass(host):
        return None
    via = urlsplit(named if "://" in named else f"http://{named}")
    if via.username is None:
        return via, {}
    who = f"{unquote(via.username)}:{unquote(via.password or '')}".encode()
    return via, {"Proxy-Authorization": f"Basic {base64.b64encode(who).decode()}"}
