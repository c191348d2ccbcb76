"""Read a request's body whole, but only so much of it, and not for ever."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from gitreg.errors import GitregError
from gitreg.server import problems
from gitreg.server.problems import BadRequestError, TooLargeError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST = 4 << 20
PATIENCE = 30.0
# These read their bodies themselves, under bounds of their own.
_OWN = ("/registry.git/", "/uploads/", "/ui/")
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class SlowError(GitregError):
    """A body did not come in time."""

    http_status = 408


class Bounded:
    """Wrap an ASGI application: what it receives as a body is there already, and not larger than any it takes."""

    def __init__(self, app: App, *, most: int = MOST, patience: float = PATIENCE) -> None:
        self._app = app
        self._most = most
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] in _BODILESS or scope["path"].startswith(_OWN):
            await self._app(scope, receive, send)
            return
        try:
            body = await self._body(scope, receive)
        except GitregError as error:
            await problems.problem(Request(scope), error)(scope, receive, send)
            return
        if body is None:
            return  # the client is gone
        given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, again, send)

    async def _body(self, scope: Scope, receive: Receive) -> bytes | None:
        said = next((value for key, value in scope["headers"] if key == b"content-length"), b"0")
        if not said.isdigit():
            raise BadRequestError("Content-Length is no number")
        if int(said[:20]) > self._most:
            raise self._too_large()
        data = bytearray()
        try:
            async with asyncio.timeout(self._patience):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    data += message.get("body", b"")
                    if len(data) > self._most:
                        raise self._too_large()
                    if not message.get("more_body", False):
                        return bytes(data)
        except TimeoutError as error:
            raise SlowError(f"the body did not come within {self._patience:g} s", hint="send it in one go") from error

    def _too_large(self) -> TooLargeError:
        return TooLargeError(
            f"the body is larger than {self._most >> 20} MiB", hint="weights go to /uploads, one file at a time"
        )
