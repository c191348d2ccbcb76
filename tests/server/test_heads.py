from __future__ import annotations

import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from gitreg.server import heads
from gitreg.server.crowd import Crowd
from gitreg.server.heads import Heads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

LARGE = 32 << 20  # more than the buffers of both sides hold


async def echo(request: Request) -> JSONResponse:
    body = await request.body()
    names = sorted(key.decode() for key, _ in request.scope["headers"])
    return JSONResponse({"headers": names, "size": len(body), "crowded": "crowded" in request.scope["state"]})


async def large(_: Request) -> Response:
    return Response(b"x" * LARGE)


@contextmanager
def serving(protocol: type[Heads], most: int | None = None) -> Iterator[socket.socket]:
    """Connect to a server of this protocol, on which so many connections may be open."""
    app = Starlette(routes=[Route("/", echo, methods=["GET", "POST"]), Route("/large", large)])
    config = uvicorn.Config(
        app, port=0, http=protocol, log_config=None, lifespan="off", proxy_headers=False, limit_concurrency=most
    )
    config.timeout_keep_alive = 3600
    listener = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    deadline = time.monotonic() + 30
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    try:
        with socket.create_connection(listener.getsockname(), timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


def answer(client: socket.socket) -> bytes:
    """Read until the server closes the connection."""
    found = b""
    while piece := client.recv(1 << 16):
        found += piece
    return found


def sent_until_cut(client: socket.socket, piece: bytes) -> int:
    """Send a piece again and again until the server has enough, and tell how many bytes that were."""
    sent = 0
    try:
        while sent < 64 << 20:
            sent += client.send(piece)
    except ConnectionError:
        return sent
    pytest.fail("all of it was taken")


@pytest.mark.parametrize("piece", [b"x" * 65_536, b"x\r\nX-Short: " * 5000], ids=["one header", "many"])
def test_a_head_without_end_is_cut(piece: bytes) -> None:
    with serving(Heads) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-First: ")

        assert sent_until_cut(client, piece) < 32 << 20  # what lies in the buffers of both sides is sent as well


def test_a_connection_on_which_nothing_is_asked_ends() -> None:
    class Hasty(Heads):
        patience = 0.05

    with serving(Hasty) as client:
        assert answer(client).startswith(b"HTTP/1.1 400 ")


def test_a_head_that_never_ends_is_not_waited_for() -> None:
    class Hasty(Heads):
        patience = 3600.0

        def on_message_begin(self) -> None:
            self.patience = 0.05
            super().on_message_begin()

    with serving(Hasty) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")

        assert b"too slow" in answer(client)


def test_nobody_waits_for_a_head_while_a_body_comes_or_an_answer_goes() -> None:
    waits: list[object] = []

    class Watched(Heads):
        def on_headers_complete(self) -> None:
            super().on_headers_complete()
            waits.append(self._timer)

    with serving(Watched) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 4\r\n\r\nabcd")

        assert b'"size":4' in answer(client)
    assert waits == [None]


def test_an_answer_is_not_cut_short_by_the_next_request() -> None:
    class Answering(Heads):
        patience = 0.01
        asked = 0

        @property
        def _is_answering(self) -> bool:
            type(self).asked += 1
            return self.asked < 3  # two times an answer is still going out

    with serving(Answering) as client:
        assert b"too slow" in answer(client)
    assert Answering.asked >= 3


def test_a_large_body_and_the_next_request_on_the_connection_are_fine() -> None:
    with serving(Heads) as client:
        body = b"x" * (3 << 20)
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        found = answer(client)

    assert found.count(b"HTTP/1.1 200 OK") == 2
    assert b'"size":%d' % len(body) in found


def test_lines_behind_a_chunked_body_are_no_headers() -> None:
    with serving(Heads) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"1\r\nx\r\n0\r\nX-Forwarded-User: root\r\nAuthorization: Bearer x\r\n\r\n"
        )

        found = answer(client)

    assert b'"headers":["connection","host","transfer-encoding"]' in found


def test_who_asks_and_does_not_take_the_answer_is_cut_off() -> None:
    gone = threading.Event()

    class Hasty(Heads):
        stalled = 0.05

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            gone.set()

    with serving(Hasty) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")

        assert gone.wait(30)


def test_who_takes_enough_of_an_answer_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Semaphore(0)
    monkeypatch.setattr(heads, "LEAST", 0)  # whatever is taken is enough

    class Watched(Heads):
        stalled = 0.01

        def _look(self) -> None:
            super()._look()
            looked.release()

    with serving(Watched) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        for _ in range(3):
            assert looked.acquire(timeout=30)

        size = 0
        while piece := client.recv(1 << 20):
            size += len(piece)
    assert size > LARGE


ASKED = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Crowded(Heads):
    """Connections of a server of their own."""

    crowd: ClassVar[Crowd] = Crowd()
    patience = 3600.0


def beside(client: socket.socket) -> socket.socket:
    """Connect once more to the server of a client."""
    return socket.create_connection(client.getpeername(), timeout=30)


def asked(client: socket.socket, sent: bytes = ASKED) -> bytes:
    """Send bytes, and read what is answered."""
    client.sendall(sent)
    found = b""
    while not found.endswith(b"}"):
        piece = client.recv(1 << 16)
        assert piece, "the connection is closed"
        found += piece
    return found


@pytest.mark.parametrize("has_asked", [False, True], ids=["nothing yet", "before"])
def test_who_asks_gets_in_however_many_are_connected_and_ask_nothing(*, has_asked: bool) -> None:
    with serving(Crowded, most=2) as oldest, beside(oldest) as second:
        for each in (oldest, second) if has_asked else ():
            asked(each)
        with beside(oldest) as third:
            assert b'"crowded":false' in asked(third)
            assert answer(oldest) == b""
            assert b'"crowded":false' in asked(second)


def test_one_address_has_a_part_of_the_places_for_asking_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "LEAST_OF_ONE", 2)
    with serving(Crowded, most=16) as oldest, beside(oldest) as second, beside(oldest):
        assert answer(oldest) == b""
        assert b'"crowded":false' in asked(second)


def test_where_all_who_are_connected_have_asked_the_next_one_is_told_so() -> None:
    slow = b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n"
    with serving(Crowded, most=1) as first:
        first.sendall(slow)
        assert first.recv(65536).startswith(b"HTTP/1.1 100 ")
        with beside(first) as second:
            assert b'"crowded":true' in asked(second)
        assert b'"crowded":false' in asked(first, b"x")
