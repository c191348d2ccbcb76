"""Let only so many things be done at once, and few of them for one caller; the rest wait, and not for ever."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from gitreg.errors import UnavailableError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from gitreg.server.places import Places


class BusyError(UnavailableError):
    """Too much is being done already."""

    retry_after = 10

    def __init__(self) -> None:
        super().__init__("too much of this is being done right now", hint=f"try again in {self.retry_after} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many at once, how many of one caller, and for how long one waits (seconds).

    `waiting_of_one` may wait for a place among their caller's, and `waiting` of all callers for one of the places.
    """

    at_once: int = 8
    of_one: int = 4
    waiting: int = 64
    waiting_of_one: int = 16
    patience: float = 120.0


class Turns:
    """Give turns, for one event loop; with `shared` places all workers of a server give as many as one would."""

    def __init__(self, bounds: Bounds, shared: Places | None = None) -> None:
        self._bounds = bounds
        self._shared = shared
        self._places = asyncio.Semaphore(bounds.at_once)
        self._own: dict[str, asyncio.Semaphore] = {}
        self._users: dict[str, int] = {}
        self._waiting = 0

    @contextlib.asynccontextmanager
    async def turn(self, who: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it; BusyError where that takes too long, or too many wait."""
        if self._users.get(who, 0) >= self._bounds.of_one + self._bounds.waiting_of_one:
            raise BusyError
        own = self._own.setdefault(who, asyncio.Semaphore(self._bounds.of_one))
        self._users[who] = self._users.get(who, 0) + 1
        try:
            async with contextlib.AsyncExitStack() as stack:
                await self._wait(stack, own, who)
                yield
        finally:
            self._users[who] -= 1
            if not self._users[who]:
                del self._users[who], self._own[who]

    async def _wait(self, stack: contextlib.AsyncExitStack, own: asyncio.Semaphore, who: str) -> None:
        try:
            async with asyncio.timeout(self._bounds.patience):
                await stack.enter_async_context(own)
                if self._shared is not None:
                    await stack.enter_async_context(self._shared.place(f"of {who}", self._bounds.of_one))
                await self._wait_with_others(stack)
        except TimeoutError as error:
            raise BusyError from error

    async def _wait_with_others(self, stack: contextlib.AsyncExitStack) -> None:
        if self._waiting >= self._bounds.waiting:
            raise BusyError
        self._waiting += 1
        try:
            await stack.enter_async_context(self._places)
            if self._shared is not None:
                await stack.enter_async_context(self._shared.place("of all", self._bounds.at_once))
        finally:
            self._waiting -= 1
