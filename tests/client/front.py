"""What stands between a client and a server: it hands on what it is told to, and breaks what it is told to break."""

from __future__ import annotations

import contextlib
import http.client
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from tests.server.serving import HOST, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CUT, CUT_AFTER, CUT_WITHIN, BUSY, BUSY_AFTER = "cut", "cut after", "cut within", "busy", "busy after"
Answer = tuple[int, dict[str, str], bytes]


@dataclass
class Front:
    """A place on this machine. `faults` are those of the next requests, in order; `seen` is every request."""

    to: int | None = None
    port: int = 0
    faults: list[str] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    says: Callable[[str], Answer] | None = None
    before: Callable[[], None] = lambda: None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://{HOST}:{self.port}"

    def ways(self, method: str) -> list[dict[str, str]]:
        """Give the headers of every request of a method."""
        return [headers for each, _, headers in self.seen if each == method]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    front: Front

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def answer(self) -> None:
        front = self.front
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {key.lower(): value for key, value in self.headers.items()}
        front.seen.append((self.command, self.path, headers))
        front.before()
        fault = front.faults.pop(0) if front.faults else None
        if fault == CUT or (front.to is None and front.says is None):
            self.close_connection = True
            return
        if fault == CUT_WITHIN:
            self.forward_half(body)
            self.close_connection = True
            return
        if fault == BUSY:
            self.give(503, {"retry-after": "0", "content-type": "application/problem+json"}, b"{}")
            return
        found = front.says(self.path) if front.says else self.forward(body, headers)
        if fault == CUT_AFTER:
            self.close_connection = True
        elif fault == BUSY_AFTER:
            self.give(503, {"retry-after": "0", "content-type": "application/problem+json"}, b"{}")
        else:
            self.give(*found)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

    def forward(self, body: bytes, headers: dict[str, str]) -> Answer:
        with contextlib.closing(http.client.HTTPConnection(HOST, self.front.to, timeout=PATIENCE)) as connection:
            connection.request(self.command, self.path, body, headers)
            response = connection.getresponse()
            return response.status, {key.lower(): value for key, value in response.getheaders()}, response.read()

    def forward_half(self, body: bytes) -> None:
        """Send half of what was to be sent, and hang up."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.front.to, timeout=PATIENCE)) as connection:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for key, value in self.headers.items():
                connection.putheader(key, value)
            connection.endheaders(body[: len(body) // 2])

    def give(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response_only(status)
        for key, value in {**headers, "content-length": headers.get("content-length", str(len(body)))}.items():
            if key != "transfer-encoding":
                self.send_header(key, value)
        self.end_headers()
        with contextlib.suppress(OSError):  # the client may have had enough
            self.wfile.write(body)
            self.wfile.flush()


@contextlib.contextmanager
def standing(**fields: object) -> Iterator[Front]:
    """Stand somewhere until the end of the block."""
    front = Front(**fields)  # type: ignore[arg-type]
    handler = type("Handler", (_Handler,), {"front": front})
    with ThreadingHTTPServer((HOST, 0), handler) as server:
        server.daemon_threads = True
        front.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield front
        finally:
            server.shutdown()
            thread.join(PATIENCE)
