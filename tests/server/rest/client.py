"""A running server and a client of its REST interface, which sends what it is told."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx

from gitreg.git import Repository
from gitreg.names import UserName
from gitreg.server.app import create_app
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import Token
from gitreg.server.heads import Heads
from gitreg.server.serving import open_serving
from tests.server.serving import HOST, PATIENCE, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.access import Action
    from gitreg.server.serving import Serving

_numbers = count(1)


@dataclass
class Rest:
    """A server, and who asks it."""

    path: Path
    serving: Serving
    port: int
    closing: contextlib.ExitStack
    tokens: dict[str, str] = field(default_factory=dict)
    clients: dict[str | None, httpx.Client] = field(default_factory=dict)

    def token(self, user: str, *scopes: Action) -> str:
        """Make a token of a user, or give the one that was made."""
        name = " ".join([user, *scopes])
        if name not in self.tokens:
            self.tokens[name] = make_token(self.path, user, *scopes)
        return self.tokens[name]

    @contextlib.contextmanager
    def client(self, user: str | None = "root", *scopes: Action) -> Iterator[httpx.Client]:
        """Give a client that sends a user's token."""
        headers = {"Authorization": f"Bearer {self.token(user, *scopes)}"} if user else {}
        base = f"http://{HOST}:{self.port}"
        with httpx.Client(base_url=base, headers=headers, timeout=2 * PATIENCE, trust_env=False) as client:
            yield client

    def ask(self, method: str, path: str, user: str | None = "root", **more: Any) -> httpx.Response:  # noqa: ANN401 - httpx's
        """Send one request as a user, over the connection of the one before."""
        if user not in self.clients:
            self.clients[user] = self.closing.enter_context(self.client(user))
        return self.clients[user].request(method, path, **more)

    def model(self, *versions: str, **more: object) -> str:
        """Register a model that no other test has, with these versions."""
        name = f"risk/m{next(_numbers)}"
        for version in versions or ("1.0.0",):
            answer = self.ask("POST", "/models/register", json=registering(name, version, **more))
            assert answer.status_code == 201, answer.text
        return name

    def put(self, name: str, data: bytes) -> None:
        """Commit a file at the top of the repository, past the server."""
        with Repository.open(self.path) as repository:
            blob = repository.run(["hash-object", "-w", "--stdin"], input=data).decode().strip()
            lines = repository.run(["ls-tree", "main"]).decode().splitlines()
            kept = [line for line in lines if not line.endswith(f"\t{name}")]
            entries = "\n".join([*kept, f"100644 blob {blob}\t{name}"]) + "\n"
            tree = repository.run(["mktree"], input=entries.encode()).decode().strip()
            commit = repository.run(["commit-tree", tree, "-p", "main", "-m", "By hand"]).decode().strip()
            repository.run(["update-ref", "refs/heads/main", commit])

    def store(self, data: bytes, user: str = "root") -> dict[str, Any]:
        """Upload a file; give its digest and size."""
        hexes = hashlib.sha256(data).hexdigest()
        answer = self.ask("PUT", f"/uploads/sha256/{hexes}", user, content=data)
        assert answer.status_code == 201, answer.text
        return {"digest": f"sha256:{hexes}", "size": len(data)}


def make_token(path: Path, user: str, *scopes: Action) -> str:
    """Make a token of a user, for these actions alone where any are named."""
    now = int(time.time())

    def build(identifier: str, digest: str) -> Token:
        bounds = frozenset(scopes) if scopes else None
        return Token(id=identifier, user=UserName(user), created=now, expires=now + 3600, digest=digest, scopes=bounds)

    with contextlib.closing(TokenFile(path)) as file:
        return file.create(build, now, lambda _: None)[1]


def registering(model: str, version: str, **more: object) -> dict[str, Any]:
    """Say what registers a version behind somebody's API."""
    body: dict[str, Any] = {
        "model": model,
        "version": version,
        "external": {"provider": "example", "id": "m"},
        "license": "MIT",
        "description": "A version.",
    }
    if "artifacts" in more:
        del body["external"]
    return body | more


def problem(answer: httpx.Response, status: int) -> dict[str, Any]:
    """Check that an answer is a problem of this status, and give it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = json.loads(answer.content)
    assert found["status"] == status
    assert found["detail"]
    return found


@contextlib.contextmanager
def serve(path: Path) -> Iterator[Rest]:
    """Serve a registry, with real tokens, until the end of the block."""
    opened = open_serving(path)
    with serving(create_app(opened), lifespan="on", http=Heads) as port, contextlib.ExitStack() as closing:
        yield Rest(path, opened, port, closing)
