"""Take in a request's body as it comes: unpacked, counted, and never held."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

from gitreg.errors import GitregError, InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]

_GZIP = 31
_PIECE = 1 << 17


class GoneError(Exception):
    """The client went away."""


class TooLongError(GitregError):
    """A body is larger than it may be."""

    http_status = 413

    def __init__(self, most: int) -> None:
        super().__init__(f"the request is larger than {most >> 20} MiB", hint="send less at once")


class Gunzip:
    """Unpack a gzip stream piece by piece, however much a piece becomes."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Give what a piece becomes, in pieces of bounded size; InvalidError where it is no gzip stream."""
        try:
            while data:
                if self._stream.eof:
                    raise InvalidError("something follows the end of the gzip stream")
                yield self._stream.decompress(data, _PIECE)
                data = self._stream.unconsumed_tail or self._stream.unused_data
            while not self._stream.eof and (more := self._stream.decompress(b"", _PIECE)):
                yield more
        except zlib.error as error:
            raise InvalidError("the body is said to be gzip, and is not") from error

    def end(self) -> None:
        """Check that the stream is whole."""
        if not self._stream.eof:
            raise InvalidError("the gzip stream is cut off")


class Body:
    """The body of one request, at most so many bytes of it, as they come and unpacked."""

    def __init__(self, receive: Receive, *, most: int, is_gzip: bool) -> None:
        self._receive = receive
        self._most = most
        self._gunzip = Gunzip() if is_gzip else None
        self._size = self._unpacked = 0

    async def pieces(self) -> AsyncIterator[bytes]:
        """Give it piece by piece; TooLongError, InvalidError, and GoneError where the client does not end it.

        Of what is packed the last piece is held back until the whole is known to be in order: nobody acts on a request
        that is refused in the end.
        """
        held, more = b"", True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise GoneError
            data, more = message.get("body", b""), message.get("more_body", False)
            self._size += len(data)
            for piece in self._gunzip.feed(data) if self._gunzip else (data,):
                self._unpacked += len(piece)
                if max(self._size, self._unpacked) > self._most:
                    raise TooLongError(self._most)
                if self._gunzip and piece:
                    held, piece = piece, held  # noqa: PLW2901 - the one before goes out
                if piece:
                    yield piece
        if self._gunzip:
            self._gunzip.end()
        if held:
            yield held

    async def gone(self) -> None:
        """Wait, once the body is whole, until the client goes away."""
        while (await self._receive())["type"] != "http.disconnect":
            continue
        raise GoneError
