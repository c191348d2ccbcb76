"""Read a request's body whole, but only so much of it, and not for ever."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, nullcontext
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from gitreg.errors import GitregError
from gitreg.server import problems
from gitreg.server.problems import BadRequestError, TooLargeError
from gitreg.server.turns import Bounds, Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from contextlib import AbstractAsyncContextManager

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST = 4 << 20
PATIENCE = 30.0
# Each connection may keep as much waiting anyway. What is larger, or does not say how large it is, takes its turn.
SMALL = 64 << 10
LARGE = Bounds(at_once=16, of_one=4, waiting=64, patience=30.0)
# These read their bodies themselves, under bounds of their own.
_OWN = ("/registry.git/", "/uploads/", "/ui/")
_BODILESS = frozenset({"GET", "HEAD", "OPTIONS"})


class SlowError(GitregError):
    """A body did not come in time."""

    http_status = 408


class Bounded:
    """Wrap an ASGI application: what it receives as a body is there already, and not larger than any it takes.

    Few large ones are in memory at once, and fewer of one caller, from their first byte until they are answered.
    """

    def __init__(self, app: App, *, most: int = MOST, patience: float = PATIENCE, large: Bounds = LARGE) -> None:
        self._app = app
        self._most = most
        self._patience = patience
        self._turns = Turns(large)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or scope["method"] in _BODILESS or scope["path"].startswith(_OWN):
            await self._app(scope, receive, send)
            return
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._turn(scope))
                body = await self._body(receive)
            except GitregError as error:
                await problems.problem(Request(scope), error)(scope, receive, send)
                return
            if body is None:
                return  # the client is gone
            given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

            async def again() -> Message:
                return given.pop() if given else await receive()

            await self._app(scope, again, send)

    def _turn(self, scope: Scope) -> AbstractAsyncContextManager[None]:
        """Have whoever sends much wait for their turn, before anything is read."""
        headers = dict(scope["headers"])
        said = headers.get(b"content-length", b"0")
        if not said.isdigit():
            raise BadRequestError("Content-Length is no number")
        size = int(said[:20])
        if size > self._most:
            raise self._too_large()
        if size <= SMALL and b"transfer-encoding" not in headers:
            return nullcontext()
        caller = scope.get("state", {}).get("caller")
        return self._turns.turn(caller.key if caller else "")

    async def _body(self, receive: Receive) -> bytes | None:
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
