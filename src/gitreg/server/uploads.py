"""Take files in: streamed into the store, hashed on the way, there as a whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.requests import ClientDisconnect

from gitreg.errors import GitregError, InvalidError
from gitreg.server.problems import BadRequestError, TooLargeError, UnderwayError
from gitreg.server.turns import Bounds, Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from _typeshed import WriteableBuffer
    from starlette.requests import Request

    from gitreg.digest import Digest
    from gitreg.objects import Store

MOST = 1 << 40
PATIENCE = 60.0
LEAST = 1024.0  # bytes a second, once one has waited as long as for one piece
BOUNDS = Bounds(at_once=16, of_one=8, waiting=64, patience=30.0)


class LengthError(BadRequestError):
    """A body whose size is not said before."""

    http_status = 411


class SlowError(GitregError):
    """A body that stopped coming."""

    http_status = 408


class Uploads:
    """The files that are on their way in, for one event loop."""

    def __init__(
        self, *, most: int = MOST, patience: float = PATIENCE, least: float = LEAST, bounds: Bounds = BOUNDS
    ) -> None:
        self._most = most
        self._pace = Pace(patience, least)
        # Their own: a file may be long on its way, and everything else that needs a thread must not wait for it.
        self._threads = ThreadPoolExecutor(bounds.at_once, "upload")
        self._turns = Turns(bounds)
        self._received: dict[Digest, _Arriving] = {}

    def close(self) -> None:
        """Take nothing any more."""
        self._threads.shutdown(wait=False)

    def progress(self, digest: Digest) -> tuple[int, int] | None:
        """Say how many bytes of how many have come; None where the file is not on its way to this process."""
        found = self._received.get(digest)
        return (found.received, found.size) if found else None

    async def take(self, request: Request, store: Store, digest: Digest, who: str) -> int:
        """Store the body of a request, which must be the bytes of a digest; give their number.

        Raises InvalidError where they are not, and nothing is stored then.
        """
        size = self._size(request)
        async with self._turns.turn(who):
            if digest in self._received:
                raise UnderwayError(f"{digest} is on its way already", hint="GET this address says how far it is")
            arriving = self._received[digest] = _Arriving(request.stream(), digest, size, self._pace)
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, store.put, arriving)
            except ClientDisconnect as error:
                raise BadRequestError("the body was cut off; nothing of it is kept", hint="send it again") from error
            finally:
                del self._received[digest]
        return size

    def _size(self, request: Request) -> int:
        said = request.headers.get("content-length", "")
        if not (said.isascii() and said.isdigit() and len(said) < 20):  # noqa: PLR2004 - as long as 64 bits are
            raise LengthError("an upload says its size beforehand", hint="send Content-Length")
        if int(said) > self._most:
            raise TooLargeError(f"a file of more than {self._most >> 30} GiB is not taken")
        return int(said)


class Pace(NamedTuple):
    """How long one waits for a piece (seconds), and for how many bytes a second on the whole."""

    patience: float
    least: float


class _Arriving:
    """A body as the store reads it, in a thread; its end is not given out before its digest is right."""

    def __init__(self, pieces: AsyncIterator[bytes], digest: Digest, size: int, pace: Pace) -> None:
        self.received = 0
        self.size = size
        self._pieces = pieces
        self._digest = digest
        self._pace = pace
        self._waited = 0.0
        self._hash = hashlib.sha256()
        self._loop = asyncio.get_running_loop()
        self._left = memoryview(b"")

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer and say with how many bytes; 0 is the end."""
        into = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(into):
            if not self._left and not self._more():
                break
            count = min(len(into) - filled, len(self._left))
            into[filled : filled + count] = self._left[:count]
            self._left = self._left[count:]
            filled += count
        return filled

    def _more(self) -> bool:
        """Wait for the next piece; False at the end of all of them, which must be the digest's bytes."""
        piece: bytes = asyncio.run_coroutine_threadsafe(self._next(), self._loop).result()
        if not piece:
            self._check()
            return False
        self._hash.update(piece)
        self.received += len(piece)
        self._left = memoryview(piece)
        return True

    async def _next(self) -> bytes:
        begun = self._loop.time()
        try:
            async with asyncio.timeout(self._pace.patience):
                piece = await self._piece()
        except TimeoutError as error:
            raise SlowError(
                f"nothing came for {self._pace.patience:g} s; nothing of it is kept", hint="send it again"
            ) from error
        self._waited += self._loop.time() - begun
        if self._waited > self._pace.patience and self.received < self._waited * self._pace.least:
            raise SlowError(
                f"fewer than {self._pace.least:g} bytes a second came; nothing of it is kept", hint="send it again"
            )
        return piece

    async def _piece(self) -> bytes:
        async for piece in self._pieces:
            if piece:
                return piece
        return b""

    def _check(self) -> None:
        if self.received != self.size:
            raise BadRequestError("the body was cut off; nothing of it is kept", hint="send it again")
        if self._hash.hexdigest() != self._digest.hex:
            raise InvalidError(
                f"the bytes are those of sha256:{self._hash.hexdigest()}, not of {self._digest}; nothing is kept",
                hint="hash the file as it is sent, and send all of it",
            )


def upload_path(digest: Digest) -> str:
    """Name the address that takes the bytes of a digest."""
    return f"/uploads/sha256/{digest.hex}"


def offer(digest: Digest, base: str | None) -> dict[str, Any]:
    """Say how to send a file."""
    return {
        "url": f"{base or ''}{upload_path(digest)}",
        "method": "PUT",
        "headers": {"Content-Type": "application/octet-stream"},
    }
