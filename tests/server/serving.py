"""Run an ASGI application on uvicorn, on a port that is free, in a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import uvicorn

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
PATIENCE = 30.0


@contextlib.contextmanager
def serving(app: Any, **options: Any) -> Iterator[int]:  # noqa: ANN401 - uvicorn's own types and options
    """Serve until the end of the block; give the port."""
    listener = socket.create_server((HOST, 0))
    # Which proxies count is for the guard to say: uvicorn would believe anybody on this machine.
    fixed = {"lifespan": "off", "proxy_headers": False, "log_config": None, "access_log": False}
    config = uvicorn.Config(app, **{**fixed, **options})
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        wait_for(lambda: server.started or not thread.is_alive())
        assert thread.is_alive(), "the server did not start"
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
        assert not thread.is_alive(), "the server did not stop"


def wait_for(is_so: Any) -> None:  # noqa: ANN401 - anything that is called and has a truth
    """Wait until something is so; fails after a long while."""
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)
