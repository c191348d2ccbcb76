"""Read a body in a thread while it arrives, for as long as it keeps arriving."""

from __future__ import annotations

import asyncio
from concurrent.futures import CancelledError, Future
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import GitregError
from gitreg.server.problems import BadRequestError, UnderwayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _typeshed import WriteableBuffer

PATIENCE = 60.0
LEAST = 1024.0  # bytes a second, once one has waited as long as for one piece


class SlowError(GitregError):
    """A body that stopped coming."""

    http_status = 408


class Pace(NamedTuple):
    """How long one waits for a piece (seconds), and for how many bytes a second on the whole."""

    patience: float = PATIENCE
    least: float = LEAST


class Arriving:
    """A body of `size` bytes; `kept` tells the sender what becomes of one that breaks off."""

    kept = "nothing of it is kept"
    again = "send it again"

    def __init__(self, pieces: AsyncIterator[bytes], size: int, pace: Pace) -> None:
        self.received = 0
        self.size = size
        self._pieces = pieces
        self._pace = pace
        self._waited = 0.0
        self._loop = asyncio.get_running_loop()
        self._heard = self._loop.time()
        self._left = memoryview(b"")
        self._waiting: Future[bytes] | None = None
        self._is_stopped = False

    @property
    def silence(self) -> float:
        """For how many seconds nothing has come."""
        return self._loop.time() - self._heard

    def stop(self) -> None:
        """Wait for it no longer: whoever sends it has begun again."""
        self._is_stopped = True
        if self._waiting is not None:
            self._waiting.cancel()

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer and say with how many bytes; 0 is the end."""
        into = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(into):
            if not self._left:
                self._left = memoryview(self.piece())
                if not self._left:
                    break
            count = min(len(into) - filled, len(self._left))
            into[filled : filled + count] = self._left[:count]
            self._left = self._left[count:]
            filled += count
        return filled

    def piece(self) -> bytes:
        """Wait for the next piece; nothing is the end, and all of it has come then."""
        self._waiting = asyncio.run_coroutine_threadsafe(self._next(), self._loop)
        try:
            if self._is_stopped:
                self._waiting.cancel()
            piece: bytes = self._waiting.result()
        except CancelledError as error:
            raise UnderwayError("another request sends it now", hint=self.again) from error
        self._heard = self._loop.time()
        self.received += len(piece)
        if self.received > self.size or (not piece and self.received != self.size):
            raise self.cut_off()
        return piece

    def cut_off(self) -> BadRequestError:
        """Make the error of a body that ended before its end."""
        return BadRequestError(f"the body was cut off; {self.kept}", hint=self.again)

    async def _next(self) -> bytes:
        begun = self._loop.time()
        try:
            async with asyncio.timeout(self._pace.patience):
                piece = await self._piece()
        except TimeoutError as error:
            raise SlowError(f"nothing came for {self._pace.patience:g} s; {self.kept}", hint=self.again) from error
        self._waited += self._loop.time() - begun
        if self._waited > self._pace.patience and self.received < self._waited * self._pace.least:
            raise SlowError(f"fewer than {self._pace.least:g} bytes a second came; {self.kept}", hint=self.again)
        return piece

    async def _piece(self) -> bytes:
        async for piece in self._pieces:
            if piece:
                return piece
        return b""
