"""Bound what uvicorn does not: connections, what comes before a body, in size and in time, and who takes no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gitreg.server.auth.peers import site_of
from gitreg.server.crowd import Crowd

if TYPE_CHECKING:
    import asyncio

# The guard draws the finer line, and explains it. Here part of the body before may be counted along.
MOST = 512 << 10
PATIENCE = 30.0
# An answer of which so few bytes a second are taken, for as long as that, is not wanted: each holds a place.
LEAST = 1024
STALLED = 60.0
# One address may have so many connections, or that part of all, on which it asks nothing.
LEAST_OF_ONE, SHARE = 16, 8


class Heads(HttpToolsProtocol):
    """A connection on which the head of a request is whole within some seconds and some kilobytes, or ends.

    Lines that follow a chunked body are no headers: a proxy that takes a header from what its clients send may let them
    pass, and uvicorn would put them among the others. Whoever asks and does not take the answer is cut off. Where all
    places are taken those make way who have not asked, and who asks is refused by the guard, which `state` tells of it.
    """

    patience = PATIENCE
    stalled = STALLED
    crowd: ClassVar[Crowd] = Crowd()
    _taking: asyncio.TimerHandle | None = None
    _most: int | None = None
    _site = ""
    _left = 0
    _timer: asyncio.TimerHandle | None = None
    _is_head = True
    _size = 0

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn narrows asyncio's type
        """Wait for the first request."""
        super().connection_made(transport)
        self._most, self.limit_concurrency = self.limit_concurrency, None
        self._site = site_of(self.client[0]) if self.client else ""
        self._wait()
        if self._is_full:
            self.crowd.shrink(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        self._stop_looking()
        self.crowd.leave(self)
        super().connection_lost(exc)

    def make_way(self) -> None:
        """End without a word: another connection needs the place."""
        self._stop()
        self.transport.close()

    def pause_writing(self) -> None:
        """Look whether the client takes what is sent: it is more than waits in between."""
        super().pause_writing()
        self._stop_looking()
        self._left = self.transport.get_write_buffer_size()
        self._taking = self.loop.call_later(self.stalled, self._look)

    def resume_writing(self) -> None:
        """Go on: the client has taken it."""
        self._stop_looking()
        super().resume_writing()

    def _look(self) -> None:
        before, self._left = self._left, self.transport.get_write_buffer_size()
        if before - self._left < LEAST * self.stalled:
            self.transport.abort()
        else:
            self._taking = self.loop.call_later(self.stalled, self._look)

    def _stop_looking(self) -> None:
        timer, self._taking = self._taking, None
        if timer is not None:
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head grows without end."""
        super().data_received(data)
        if self._is_head:
            self._size += len(data)
            if self._size > MOST and not self.transport.is_closing():
                self._end("too large")

    def on_message_begin(self) -> None:
        """Begin with a head."""
        super().on_message_begin()
        self._is_head, self._size = True, 0
        self._wait()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, and nothing that looks like one behind the body."""
        if self._is_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Go on with the body, which others bound."""
        self._stop()
        self.crowd.leave(self)
        self._is_head = False
        if self._is_full:
            self.scope["state"]["crowded"] = True
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        if not self.transport.is_closing():
            self._enter()

    @property
    def _is_full(self) -> bool:
        return self._most is not None and max(len(self.connections), len(self.tasks)) > self._most

    def _enter(self) -> None:
        if self._most is not None and not self._is_answering:
            self.crowd.enter(self, self._site, max(LEAST_OF_ONE, self._most // SHARE))

    def _wait(self) -> None:
        self._stop()
        self._enter()
        self._timer = self.loop.call_later(self.patience, self._late)

    def _stop(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _late(self) -> None:
        if self._is_answering:
            self._wait()  # the client has begun to ask again, and gets what it asked for first
        else:
            self._end("too slow")

    def _end(self, why: str) -> None:
        self._stop()
        if self._is_answering:
            self.transport.close()
        else:
            self.send_400_response(f"The head of the request is {why}.")

    @property
    def _is_answering(self) -> bool:
        return not getattr(self.cycle, "response_complete", True)
