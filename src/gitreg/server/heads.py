"""Bound what uvicorn does not: what comes before a request's body, in size and in time, and who takes no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio

# The guard draws the finer line, and explains it. Here part of the body before may be counted along.
MOST = 512 << 10
PATIENCE = 30.0
# An answer of which so few bytes a second are taken, for as long as that, is not wanted: each holds a place.
LEAST = 1024
STALLED = 60.0


class Heads(HttpToolsProtocol):
    """A connection on which the head of a request is whole within some seconds and some kilobytes, or ends.

    Lines that follow a chunked body are no headers: a proxy that takes a header from what its clients send may let them
    pass, and uvicorn would put them among the others. Whoever asks and does not take the answer is cut off.
    """

    patience = PATIENCE
    stalled = STALLED
    _taking: asyncio.TimerHandle | None = None
    _left = 0
    _timer: asyncio.TimerHandle | None = None
    _is_head = True
    _size = 0

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - uvicorn narrows asyncio's type
        """Wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self._stop()
        self._stop_looking()
        super().connection_lost(exc)

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
        self._is_head = False
        super().on_headers_complete()

    def _wait(self) -> None:
        self._stop()
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
