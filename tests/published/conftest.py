"""A registry, its published index, and a web server on the loopback that hands it out and counts."""

from __future__ import annotations

import gzip
import hashlib
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from tests.registries import bare, forge, opened, template

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.registry import Registry

__all__ = ["bare", "forge", "opened", "template"]


@dataclass
class Web:
    """A folder that is served: `asked` holds the path and the answer's code of each request, in their order."""

    folder: Path
    url: str = ""
    asked: list[tuple[str, int]] = field(default_factory=list)
    redirect: str | None = None
    cut: bool = False
    connections: int = 0
    packs: str | None = None  # the Content-Encoding of what may come packed
    body: bytes | None = None  # in place of what it would be then
    hangs_up: bool = False  # after each answer, without a word

    def answers(self) -> list[tuple[str, int]]:
        """Give what was asked since the last call: the kind of file, and the code."""
        found = [(path.strip("/").partition("/")[0], code) for path, code in self.asked]
        self.asked.clear()
        return found

    def file(self, path: str) -> bytes | None:
        """Read a file below the folder."""
        found = self.folder / path.lstrip("/")
        return found.read_bytes() if found.is_file() else None


def _handler(web: Web) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            web.connections += 1
            super().setup()

        def do_GET(self) -> None:
            if web.redirect is not None:
                self._answer(302, b"", Location=web.redirect + self.path)
                return
            data = web.file(self.path)
            if data is None:
                self._answer(404, b"")
                return
            tag = f'"{hashlib.sha256(data).hexdigest()[:16]}"'
            if self.headers.get("If-None-Match") == tag:
                self._answer(304, b"", ETag=tag)
            elif web.packs and self.headers.get("Accept-Encoding") == "gzip":
                packed = gzip.compress(data) if web.body is None else web.body
                self._answer(200, packed, **{"Content-Encoding": web.packs})
            else:
                self._answer(200, data, ETag=tag)

        def _answer(self, code: int, data: bytes, **headers: str) -> None:
            web.asked.append((self.path, code))
            self.send_response(code)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[:-1] if web.cut else data)
            self.close_connection = web.cut or web.hangs_up

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    return Handler


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Web]:
    """Serve the folder `index` of the test."""
    found = Web(tmp_path / "index")
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(found))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}"
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def published(bare: Registry, web: Web) -> Registry:
    """Publish the registry into the served folder."""
    bare.publish_index(str(web.folder))
    return bare
