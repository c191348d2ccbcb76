"""Take files in: streamed into the store, hashed on the way, there as a whole or not at all."""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from starlette.requests import ClientDisconnect

from gitreg.errors import InvalidError
from gitreg.objects.faults import NoStoreError
from gitreg.server.arriving import LEAST, PATIENCE, Arriving, Pace
from gitreg.server.problems import BadRequestError, TooLargeError, UnderwayError
from gitreg.server.staged import Part, Rest, Staged
from gitreg.server.turns import Bounds, Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from starlette.requests import Request

    from gitreg.digest import Digest
    from gitreg.objects import Store
    from gitreg.server.places import Places
    from gitreg.server.staged import StagedFile

T = TypeVar("T")

MOST = 1 << 40
STORING = 20.0
"""Seconds after which a client that waits for a large file to be stored is told to ask again."""

SILENT = 5.0
"""Seconds without a byte after which another request may go on with a file."""

TAKEN_OVER = 5.0  # seconds that the request before has to let go of a file
BOUNDS = Bounds(at_once=16, of_one=8, waiting=64, patience=30.0)


class Taken(NamedTuple):
    """What has come of a file: so many bytes of how many; `stored` is whether all of it is in the store."""

    received: int
    size: int
    stored: bool


class LengthError(BadRequestError):
    """A body whose size is not said before."""

    http_status = 411


class Uploads:
    """The files that are on their way in, for one event loop."""

    def __init__(
        self,
        folder: Path | None = None,
        *,
        patience: float = PATIENCE,
        least: float = LEAST,
        places: Places | None = None,
    ) -> None:
        """Take files; large ones are kept in the folder while they are on their way, where one is named."""
        self._pace = Pace(patience, least)
        # Their own: a file may be long on its way, and everything else that needs a thread must not wait for it.
        self._threads = ThreadPoolExecutor(BOUNDS.at_once, "upload")
        self._turns = Turns(BOUNDS, places)
        self._received: dict[Digest, _Whole] = {}
        self._staged = Staged(folder) if folder is not None else None
        self._parts: dict[tuple[str, Digest], Rest] = {}

    def close(self) -> None:
        """Take nothing any more."""
        self._threads.shutdown(wait=False)

    def progress(self, who: str, digest: Digest) -> tuple[int, int] | None:
        """Say how many bytes of how many have come; None where the file is not on its way to this process."""
        found = self._received.get(digest)
        if found is None and self._staged is not None:
            return self._staged.progress(who, digest)
        return (found.received, found.size) if found else None

    def received(self, who: str, digest: Digest, size: int) -> int | None:
        """Say how many bytes of a file need not be sent again; None where only whole ones are taken."""
        return self._staged.received(who, digest, size) if self._staged is not None else None

    async def take(self, request: Request, store: Store, digest: Digest, who: str) -> int:
        """Store the body of a request, which must be the bytes of a digest; give their number.

        Raises InvalidError where they are not, and nothing is stored then.
        """
        size = self._size(request)
        async with self._turns.turn(who):
            if digest in self._received:
                raise UnderwayError(f"{digest} is on its way already", hint="GET this address says how far it is")
            arriving = self._received[digest] = _Whole(request.stream(), digest, size, self._pace)
            try:
                await asyncio.get_running_loop().run_in_executor(self._threads, store.put, arriving)
            except ClientDisconnect as error:
                raise arriving.cut_off() from error
            finally:
                del self._received[digest]
        return size

    async def take_part(self, request: Request, store: Store, digest: Digest, who: str) -> Taken:
        """Keep a part of a file, as far as it comes; store the file once all of it is there.

        UnderwayError where the same user sends it already. A line that has gone silent may have been cut unheard: what
        came over it is taken over.
        """
        part = Part.parse(request.headers["content-range"], self._size(request))
        if part.size > MOST or self._staged is None:
            raise TooLargeError(f"a file of more than {MOST >> 30} GiB is not taken, or no part of any")
        if not part.length and await self._run(_stored, store, digest) == part.size:
            return Taken(part.size, part.size, stored=True)
        async with self._turns.turn(who):
            try:
                file = await self._opened(who, digest, part)
            except UnderwayError:
                if part.length or self.received(who, digest, part.size) != part.size:
                    raise
                return Taken(part.size, part.size, stored=False)  # it is being stored
            rest = self._parts[who, digest] = Rest(request.stream(), part.length, self._pace)
            try:
                there = await self._run(file.append, rest)
            except ClientDisconnect as error:
                file.close()
                raise rest.cut_off() from error
            except BaseException:
                file.close()
                raise
            finally:
                del self._parts[who, digest]
            if there < part.size:
                file.close()
                return Taken(there, part.size, stored=False)
            storing = asyncio.ensure_future(self._run(file.store, store))
            await asyncio.wait({storing}, timeout=STORING)
            if storing.done():
                storing.result()
            else:
                storing.add_done_callback(_heard)
            return Taken(there, part.size, stored=storing.done())

    async def _opened(self, who: str, digest: Digest, part: Part) -> StagedFile:
        assert self._staged is not None  # noqa: S101 - looked at by the caller
        ends = asyncio.get_running_loop().time() + TAKEN_OVER
        while True:
            before = self._parts.get((who, digest))
            is_dead = before is not None and before.silence > SILENT
            if before is not None and is_dead:
                before.stop()
            try:
                return await self._run(self._staged.open, who, digest, part)
            except UnderwayError:
                if not is_dead or asyncio.get_running_loop().time() > ends:
                    raise
            await asyncio.sleep(0.05)

    def _run(self, what: Callable[..., T], *args: object) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._threads, what, *args)

    def _size(self, request: Request) -> int:
        said = request.headers.get("content-length", "")
        if not (said.isascii() and said.isdigit() and len(said) < 20):  # noqa: PLR2004 - as long as 64 bits are
            raise LengthError("an upload says its size beforehand", hint="send Content-Length")
        if int(said) > MOST:
            raise TooLargeError(f"a file of more than {MOST >> 30} GiB is not taken")
        return int(said)


class _Whole(Arriving):
    """A whole file as the store reads it; its end is not given out before its digest is right."""

    def __init__(self, pieces: AsyncIterator[bytes], digest: Digest, size: int, pace: Pace) -> None:
        super().__init__(pieces, size, pace)
        self._digest = digest
        self._hash = hashlib.sha256()

    def piece(self) -> bytes:
        """Wait for the next piece; nothing is the end of all of them, which must be the digest's bytes."""
        found = super().piece()
        self._hash.update(found)
        if not found and self._hash.hexdigest() != self._digest.hex:
            raise InvalidError(
                f"the bytes are those of sha256:{self._hash.hexdigest()}, not of {self._digest}; nothing is kept",
                hint="hash the file as it is sent, and send all of it",
            )
        return found


def _stored(store: Store, digest: Digest) -> int | None:
    with suppress(NoStoreError):  # it begins with the first file
        return store.size_of(digest)
    return None


def _heard(storing: asyncio.Future[None]) -> None:
    """Take note of how it ended, as whoever asks again will: the file is in the store, or not on its way any more."""
    if not storing.cancelled():
        storing.exception()


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
