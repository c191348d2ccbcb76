"""See every request come and go: give it an id, log it, count it, trace it."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from gitreg.server.operations.logs import FIELDS, request_id

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from gitreg.server.operations.metrics import Meters
    from gitreg.server.operations.tracing import Tracing

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADER = b"x-request-id"
UNMATCHED = "unmatched"
_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TRACE = frozenset({b"traceparent", b"tracestate", b"baggage"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_SHOWN = 500
_CUT = 499
_FAULT = 500
_log = logging.getLogger("gitreg.access")


class Observed:
    """Wrap an ASGI application, outside of everything else.

    The request's `state` has its `request_id`, and the answer says it in X-Request-Id. A client's own is taken where it
    is short and plain.
    """

    def __init__(self, app: App, meters: Meters, tracing: Tracing) -> None:
        self._app = app
        self._meters = meters
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        current = id_of(scope)
        scope.setdefault("state", {})["request_id"] = current
        reset = request_id.set(current)
        seen = _Seen(scope, receive, send, current)
        headers = {key.decode(): value.decode("latin-1") for key, value in scope["headers"] if key in _TRACE}
        self._meters.begun()
        try:
            with self._tracing.request(scope["method"], headers, current) as traced:
                try:
                    await self._app(scope, seen.receive, seen)
                finally:
                    traced.answered(seen.route, seen.status)
        finally:
            self._meters.answered(scope["method"], seen.route, seen.status, seen.seconds)
            seen.log()
            request_id.reset(reset)


class _Seen:
    """What becomes of one request."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, current: str) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._id = current
        self._begun = time.perf_counter()
        self._sent = 0
        self._status: int | None = None
        self._is_whole = False
        self._is_client_gone = False

    async def __call__(self, message: Message) -> None:
        """Look at what is sent, and send it."""
        if message["type"] == "http.response.start":
            self._status = message["status"]
            message["headers"] = [*message.get("headers", ()), (HEADER, self._id.encode())]
        elif message["type"] == "http.response.body":
            self._sent += len(message.get("body", b""))
            self._is_whole = not message.get("more_body", False)
        await self._send(message)

    async def receive(self) -> Message:
        """Hand on what the client sends, and see whether it went away."""
        message = await self._receive()
        self._is_client_gone |= message["type"] == "http.disconnect"
        return message

    @property
    def status(self) -> int:
        """The status; 500 where nothing was answered, 499 where the answer was cut off or the client did not wait."""
        if self._status is None:
            return _CUT if self._is_client_gone else _FAULT
        return self._status if self._is_whole else _CUT

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.perf_counter() - self._begun

    @property
    def route(self) -> str:
        """The template of the path, of which there are few."""
        return route_of(self._scope)

    def log(self) -> None:
        """Write the line of this request: no query, which may hold secrets, and no header."""
        scope, caller = self._scope, self._scope["state"].get("caller")
        path = str(scope["path"])[:_SHOWN]
        level = logging.DEBUG if path in _QUIET else logging.ERROR if self.status == _FAULT else logging.INFO
        fields = {
            "method": scope["method"][:20],
            "path": path,
            "route": self.route,
            "status": self.status,
            "seconds": round(self.seconds, 6),
            "bytes": self._sent,
            "user": str(caller.user) if caller is not None and caller.user is not None else None,
            "caller": caller.how if caller is not None else None,
            "address": (caller.address if caller is not None else None) or (scope.get("client") or (None,))[0],
        }
        _log.log(level, "%s %s %s", fields["method"], path, self.status, extra={FIELDS: fields})


def id_of(scope: Scope) -> str:
    """Take the client's id for a request where it is short and plain, and make one otherwise."""
    found = [value for key, value in scope["headers"] if key == HEADER]
    if len(found) == 1 and _ID.fullmatch(found[0]):
        return str(found[0].decode())
    return secrets.token_hex(16)


def route_of(scope: Scope) -> str:
    """Give the template of a path that was routed: never anything that a client made up."""
    known = scope.get("state", {}).get("route") or getattr(scope.get("route"), "path_format", None)
    if known:
        return str(known)
    endpoint = scope.get("endpoint")
    if endpoint is None:
        return UNMATCHED
    if not hasattr(endpoint, "__name__"):  # an application that is mounted: all below it is one
        return str(scope.get("root_path") or UNMATCHED)
    text = str(scope["path"])
    for name, value in scope.get("path_params", {}).items():
        if f"/{value}" not in text:
            return str(endpoint.__name__)
        text = text.replace(f"/{value}", f"/{{{name}}}", 1)
    return text
