"""Local servers that stand for clouds: moto for S3, azurite for Azure, a recording one for Google, a faulty proxy."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
ACCOUNT = "devstoreaccount1"
# The account that azurite has, by its documentation.
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port() -> int:
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        port: int = opened.getsockname()[1]
    return port


@contextmanager
def running(command: list[str], port: int) -> Iterator[str]:
    """Run a server until the end of the block, and give its URL when it answers."""
    null = subprocess.DEVNULL
    with subprocess.Popen(command, stdin=null, stdout=null, stderr=null) as process:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=1).close()
                    break
                except OSError:
                    assert process.poll() is None, f"{command[0]} ended"
                    assert time.monotonic() < deadline, f"{command[0]} does not answer"
                    time.sleep(0.05)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def moto() -> Iterator[str]:
    port = free_port()
    with running([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], port) as url:
        _send(url, "/bucket", {})
        yield url


def azurite_program() -> str | None:
    """Find azurite: on PATH, or where `make azurite` puts it."""
    return shutil.which("azurite-blob") or shutil.which(
        "azurite-blob", path=ROOT / "build" / "azurite" / "node_modules" / ".bin"
    )


@contextmanager
def azurite(program: str) -> Iterator[str]:
    port = free_port()
    options = ["--blobHost", "127.0.0.1", "--blobPort", str(port), "--disableTelemetry", "--silent"]
    with running([program, *options, "--skipApiVersionCheck", "--inMemoryPersistence"], port) as url:
        _make_container(url, "container")
        yield f"{url}/{ACCOUNT}"


def _make_container(url: str, name: str) -> None:
    date, version = formatdate(usegmt=True), "2021-08-06"
    signed = (
        f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:{version}\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    )
    key = base64.b64encode(hmac.new(base64.b64decode(KEY), signed.encode(), hashlib.sha256).digest()).decode()
    headers = {"x-ms-date": date, "x-ms-version": version, "Authorization": f"SharedKey {ACCOUNT}:{key}"}
    _send(url, f"/{ACCOUNT}/{name}?restype=container", headers)


def _send(url: str, path: str, headers: dict[str, str]) -> None:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.request("PUT", path, b"", headers)
    assert connection.getresponse().status in {200, 201}
    connection.close()


class Asked(NamedTuple):
    """A request as it came."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    size: int


class Recorder(ThreadingHTTPServer):
    """The part of Google's XML API that is used, with every request written down."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Google)
        self.asked: list[Asked] = []
        self.objects: dict[str, bytes] = {}
        self.parts: dict[int, bytes] = {}
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


class _Google(_Handler):
    server: Recorder  # type: ignore[mutable-override] # who makes it sees to that

    def handle_any(self) -> None:
        split = urlsplit(self.path)
        path, query = unquote(split.path).removeprefix("/bucket/"), parse_qs(split.query, keep_blank_values=True)
        body = self.body()
        self.server.asked.append(Asked(self.command, path, split.query, dict(self.headers.items()), len(body)))
        getattr(self, f"on_{self.command.lower()}")(path, query, body)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def on_put(self, path: str, query: dict[str, list[str]], body: bytes) -> None:
        if source := self.headers.get("x-goog-copy-source"):
            found = self.server.objects.get(unquote(source).removeprefix("bucket/"))
            if found is None:
                self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
                return
            body = found
        if "partNumber" in query:
            self.server.parts[int(query["partNumber"][0])] = body
        elif self.headers.get("x-goog-if-generation-match") == "0" and path in self.server.objects:
            self.reply(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            return
        else:
            self.server.objects[path] = body
        self.reply(200, headers={"ETag": '"tag"', "x-goog-generation": "1"})

    def on_post(self, path: str, query: dict[str, list[str]], _body: bytes) -> None:
        if "uploads" in query:
            self.server.parts.clear()
            self.reply(200, b"<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>")
            return
        self.server.objects[path] = b"".join(self.server.parts[each] for each in sorted(self.server.parts))
        answer = b"<CompleteMultipartUploadResult><ETag>tag</ETag></CompleteMultipartUploadResult>"
        self.reply(200, answer, {"x-goog-generation": "1"})

    def on_get(self, path: str, query: dict[str, list[str]], _body: bytes) -> None:
        if "list-type" in query:
            self.list(query.get("prefix", [""])[0])
            return
        data = self.server.objects.get(path)
        headers = {"Last-Modified": formatdate(0, usegmt=True), "ETag": '"tag"', "x-goog-generation": "1"}
        if data is None:
            self.reply(404, b"<Error><Code>NoSuchKey</Code></Error>")
        elif wanted := self.headers.get("Range"):
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            piece = data[int(first) : int(last) + 1 if last else None]
            covered = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
            self.reply(206, piece, {**headers, "Content-Range": covered})
        else:
            self.reply(200, data, headers)

    on_head = on_get

    def on_delete(self, path: str, query: dict[str, list[str]], _body: bytes) -> None:
        if "uploadId" in query:
            self.reply(204)
            return
        self.reply(204 if self.server.objects.pop(path, None) is not None else 404)

    def list(self, prefix: str) -> None:
        found = "".join(
            f"<Contents><Key>{key}</Key><Size>{len(data)}</Size><ETag>tag</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, data in sorted(self.server.objects.items())
            if key.startswith(prefix)
        )
        self.reply(200, f"<ListBucketResult>{found}<IsTruncated>false</IsTruncated></ListBucketResult>".encode())


class Proxy(ThreadingHTTPServer):
    """Hands requests on to a server, and does to each answer what `faults` says next; `always` when they are used up.

    503, 500 and 403 are answered in the server's place; `cut` breaks off in the middle of the body, `stall` says
    nothing for a while, `lie` announces half of the bytes and gives no more, `refuse` hangs up.
    """

    daemon_threads = True

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), _Faulty)
        self.behind = urlsplit(behind)
        self.faults: list[str] = []
        self.always: str | None = None
        self.only: str | None = None
        self.count = 0
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def next_fault(self, method: str) -> str | None:
        if self.only is not None and method != self.only:
            return None
        self.count += 1
        return self.faults.pop(0) if self.faults else self.always


class _Faulty(_Handler):
    server: Proxy  # type: ignore[mutable-override] # who makes it sees to that

    def handle_any(self) -> None:
        body = self.body()
        fault = self.server.next_fault(self.command)
        if fault == "stall":
            time.sleep(3)
        if fault in {"stall", "refuse"}:
            self.close_connection = True
            return
        if fault is not None and fault.isdigit():
            self.reply(int(fault), b"<Error><Code>SlowDown</Code></Error>")
            return
        connection = http.client.HTTPConnection(str(self.server.behind.hostname), self.server.behind.port, timeout=30)
        connection.request(self.command, self.path, body, dict(self.headers.items()))
        answer = connection.getresponse()
        data = answer.read()
        headers = {k: v for k, v in answer.headers.items() if k.lower() not in {"transfer-encoding", "connection"}}
        connection.close()
        if self.command == "HEAD":
            self.send_response(answer.status)
            for name, value in headers.items():
                self.send_header(name, "7" if fault == "lie" and name.lower() == "content-length" else value)
            self.end_headers()
            return
        if fault == "cut":
            self.reply_cut(answer.status, data, headers)
        else:
            given = data[: len(data) // 2] if fault == "lie" else data
            self.reply(answer.status, given, headers | {"Content-Length": str(len(given))})

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_any  # noqa: N815 - http.server's names

    def reply_cut(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(data))}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[None]:
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
