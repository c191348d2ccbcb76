"""Send writes to the server that takes them, where this one only follows it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gitreg.gate_hooks.marks import PRIMARY

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from gitreg.git import Repository

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_GIT_READ = "/registry.git/git-upload-pack"
_GIT_REFS, _GIT_WRITE = "/registry.git/info/refs", b"service=git-receive-pack"
_REDIRECT = 307


def primary_of(repository: Repository) -> str | None:
    """Name the server that this one follows; None where it is the one that takes writes."""
    from gitreg.errors import InvalidError
    from gitreg.server.auth.settings import web_url

    text = repository.config(PRIMARY)
    try:
        return web_url(text) if text else None
    except ValueError as error:
        raise InvalidError(f"{PRIMARY} in git's configuration: {error}") from error


class Replica:
    """Wrap an ASGI application, outside of the guard: whose credentials count is for the primary to say.

    Git asks for the refs first, follows what it is told there, and then pushes to the primary by itself.
    """

    def __init__(self, app: App, primary: str) -> None:
        self._app = app
        self._primary = primary.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a read, and say where to write."""
        if scope["type"] != "http" or not is_write(scope):
            await self._app(scope, receive, send)
            return
        query = scope.get("query_string", b"")
        path = scope.get("raw_path") or scope["path"].encode("ascii", "ignore")
        place = self._primary + path + (b"?" + query if query else b"")
        problem = {
            "type": "about:blank",
            "title": "Temporary Redirect",
            "status": _REDIRECT,
            "detail": "this server is a replica, and takes no writes",
            "hint": f"write to {self._primary.decode()}",
            "violations": [],
            "request_id": scope.get("state", {}).get("request_id"),
        }
        body = json.dumps(problem).encode()
        headers = [
            (b"location", place),
            (b"content-type", b"application/problem+json"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": _REDIRECT, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def is_write(scope: Scope) -> bool:
    """Whether a request may change something."""
    path = scope["path"]
    if path.endswith(_GIT_REFS):
        return _GIT_WRITE in scope.get("query_string", b"")
    return scope["method"] not in _READS and not path.endswith(_GIT_READ)
