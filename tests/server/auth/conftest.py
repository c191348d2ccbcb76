"""A registry's folder with tokens, an OpenID provider on this machine, and an application behind the guard."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from gitreg.gate import RefUpdate
from gitreg.gate_hooks import audit
from gitreg.names import UserName
from gitreg.server.auth import jwks
from gitreg.server.auth.authenticator import Authenticator
from gitreg.server.auth.guard import Guard
from gitreg.server.auth.refusals import Refusals
from gitreg.server.auth.settings import AuthSettings, settings_of
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from starlette.requests import Request

    from gitreg.access import Action
    from gitreg.server.auth.callers import Caller

NOW = 1_800_000_000
DAY = 86_400


def log_entries(git_dir: Path) -> list[dict[str, Any]]:
    """Read the whole lines of the audit log beside a repository."""
    whole, _, _ = audit.audit_path(git_dir).read_text().rpartition("\n")
    return [json.loads(line) for line in whole.splitlines()]


def begin_log(git_dir: Path) -> None:
    """Begin the audit log that `gitreg init` begins."""
    update = RefUpdate("0" * 40, "1" * 40, "refs/heads/main")
    audit.begin(git_dir, audit.Entry("2026-01-01T00:00:00Z", "root", (update,), (), source={"identity": audit.INIT}))


def make(
    file: TokenFile, user: str = "alice", scopes: frozenset[Action] | None = None, now: float = NOW, days: int = 90
) -> tuple[Token, str]:
    """Make a token without writing it into any log."""

    def made(identifier: str, digest: str) -> Token:
        return Token(
            id=identifier,
            user=UserName(user),
            created=int(now),
            expires=int(now) + days * DAY,
            digest=digest,
            scopes=scopes,
        )

    return file.create(made, now, lambda _: None)


@pytest.fixture
def git_dir(tmp_path: Path) -> Path:
    """Give a folder that stands for a bare repository."""
    folder = tmp_path / "registry.git"
    folder.mkdir()
    return folder


@pytest.fixture
def file(git_dir: Path) -> Iterator[TokenFile]:
    """Open the tokens of the folder."""
    opened = TokenFile(git_dir)
    yield opened
    opened.close()


# An OpenID provider


class Issuer:
    """A small OpenID provider on loopback: discovery, a set of keys that can change, and tokens of any shape."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
        self.published = ["rsa", "ec", "ed"]
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, bytes]] = {}
        handler = type("Handler", (_Handler,), {"issuer": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()

    def answer(self, path: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.url, "jwks_uri": f"{self.url}/keys"}).encode()
        if path == "/keys":
            return 200, json.dumps({"keys": [self.jwk(name) for name in self.published]}).encode()
        return 404, b"{}"

    def jwk(self, name: str) -> dict[str, Any]:
        algorithms: dict[str, Any] = {"ec": jwt.algorithms.ECAlgorithm, "ed": jwt.algorithms.OKPAlgorithm}
        algorithm = algorithms.get(name, jwt.algorithms.RSAAlgorithm)
        public: dict[str, Any] = algorithm.to_jwk(self.keys[name].public_key(), as_dict=True)
        return {**public, "kid": name, "use": "sig"}

    def claims(self, **changed: object) -> dict[str, Any]:
        now = time.time()
        found = {"iss": self.url, "aud": "gitreg", "sub": "alice", "iat": now, "exp": now + 600, **changed}
        return {key: value for key, value in found.items() if value is not None}

    def token(
        self, key: str = "rsa", algorithm: str = "RS256", headers: dict[str, Any] | None = None, **changed: object
    ) -> str:
        return jwt.encode(self.claims(**changed), self.keys[key], algorithm, headers={"kid": key, **(headers or {})})


class _Handler(BaseHTTPRequestHandler):
    issuer: Issuer

    def do_GET(self) -> None:
        status, body = self.issuer.answer(self.path)
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 302:
            self.send_header("Location", f"{self.issuer.url}/keys")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def _issuer() -> Iterator[Issuer]:
    issuer = Issuer()
    yield issuer
    issuer.close()


@pytest.fixture
def issuer(_issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> Issuer:
    """Give the provider as it was at first."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(jwks, "TIMEOUT", 60.0)  # a busy machine is no provider that is down
    _issuer.published = ["rsa", "ec", "ed"]
    _issuer.asked.clear()
    _issuer.answers.clear()
    return _issuer


# An application behind the guard


class Server:
    """A guarded application in this process, the clocks of which a test sets."""

    def __init__(self, git_dir: Path, settings: AuthSettings) -> None:
        self.now, self.ticks = float(NOW), 0.0
        self.git_dir = git_dir
        self.refusals = Refusals(git_dir, pause=0.01)
        self.authenticator = Authenticator(git_dir, settings, clock=lambda: self.now)
        routes = [
            Route("/whoami", whoami, methods=["GET", "POST"]),
            Route("/ui/whoami", whoami, methods=["GET", "POST"]),
            Route("/registry.git/info/refs", whoami),
            Route("/healthz", whoami),
            Route("/forbidden", forbidden),
            Route("/ui/login", sign_in_form, methods=["GET", "POST"]),
            Route("/file", download),
        ]
        self.guard = Guard(Starlette(routes=routes), self.authenticator, self.refusals, clock=lambda: self.ticks)
        self.tokens = self.authenticator.tokens

    def ask(
        self,
        path: str = "/whoami",
        *,
        method: str = "GET",
        token: str | None = None,
        peer: str = "192.0.2.7",
        headers: Mapping[str, str] | Sequence[tuple[str, str | bytes]] = (),
    ) -> httpx.Response:
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        given = [(key.encode(), value.encode() if isinstance(value, str) else value) for key, value in pairs]
        if token is not None:
            given.append((b"authorization", f"Bearer {token}".encode()))

        async def asked() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.guard, client=(peer, 40_000))
            async with httpx.AsyncClient(
                transport=transport, base_url="http://registry.test", trust_env=False
            ) as client:
                return await client.request(method, path, headers=given)

        return asyncio.run(asked())

    def close(self) -> None:
        self.refusals.close()
        self.authenticator.close()


async def whoami(request: Request) -> JSONResponse:
    caller: Caller | None = request.state.caller
    if caller is None:
        return JSONResponse(None)
    scopes = None if caller.scopes is None else sorted(caller.scopes)
    told = {"user": caller.user, "how": caller.how, "reader": caller.reader, "scopes": scopes}
    return JSONResponse({**told, "name": caller.name, "email": caller.email, "address": caller.address})


async def forbidden(request: Request) -> PlainTextResponse:
    return PlainTextResponse("no", 403)


async def sign_in_form(request: Request) -> PlainTextResponse:
    return PlainTextResponse("who are you?", 401)


async def download(request: Request) -> PlainTextResponse:
    return PlainTextResponse("weights", headers={"Content-Security-Policy": "sandbox", "Cache-Control": "no-store"})


@pytest.fixture
def serve(git_dir: Path) -> Iterator[Callable[..., Server]]:
    """Start guarded applications with git's keys as settings, such as `serve(anonymous="anybody")`."""
    servers: list[Server] = []

    def call(keys: dict[str, list[str]] | None = None, **serve: str) -> Server:
        given = {f"gitreg.serve.{key}": [value] for key, value in serve.items()}
        servers.append(Server(git_dir, settings_of({**given, **(keys or {})})))
        return servers[-1]

    begin_log(git_dir)
    yield call
    for server in servers:
        server.close()
