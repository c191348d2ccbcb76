"""A registry that is served over HTTP, with its guard and real tokens, and people who use plain git."""

from __future__ import annotations

import base64
import contextlib
import http.client
import shutil
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gitreg.access import Access, Action, Grant
from gitreg.git import Repository
from gitreg.names import EnvironmentName, UserName
from gitreg.objects import LocalStore
from gitreg.registry.setup import InitRequest, init
from gitreg.server.auth.authenticator import Authenticator
from gitreg.server.auth.guard import Guard
from gitreg.server.auth.refusals import Refusals
from gitreg.server.auth.settings import AuthSettings
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import Token
from gitreg.server.githttp import GitHttp
from tests.gate.support import start
from tests.gate_hooks.support import Server
from tests.server.serving import HOST, PATIENCE, serving
from tests.servers.clients import Clone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from gitreg.server.auth.guard import App
    from gitreg.server.githttp import Ending

ALICE, BOB, CAROL, ROOT, STRANGER, MOLE = map(UserName, ("alice", "bob", "carol", "root", "stranger", "mole"))
RISK = ("risk/*",)
# alice registers, bob deploys, and both read everything; carol deploys to prod alone; mole reads risk alone; nobody
# knows stranger.
ACCESS = Access(
    grants=(
        Grant(to=(ALICE,), actions=(Action.REGISTER, Action.UPDATE), models=RISK),
        Grant(to=(BOB,), actions=(Action.DEPLOY,), models=RISK),
        Grant(to=(CAROL,), actions=(Action.DEPLOY,), models=RISK, environments=(EnvironmentName("prod"),)),
        Grant(to=(ALICE, BOB), actions=(Action.READ,), models=("*/*",)),
        Grant(to=(MOLE,), actions=(Action.READ, Action.REGISTER), models=RISK),
        Grant(to=(ROOT,), actions=(Action.ADMIN,)),
    )
)


def make_registry(path: Path) -> None:
    """Make a registry with its store, whose pushers gitreg's own server names."""
    files = path.parent / "source"
    for name, data in {**start(), "access.yaml": ACCESS.to_bytes()}.items():
        file = files / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    init(InitRequest(path=path, bare=True, identity="GITREG_USER", source=files))
    weights = files / "weights"
    weights.write_bytes(b"weights")
    LocalStore(path.parent / "store").put_file(weights)
    shutil.rmtree(files)


@dataclass
class Site:
    """A running server."""

    registry: Server
    port: int = 0
    endings: list[Ending] = field(default_factory=list)
    tokens: dict[str, str] = field(default_factory=dict)

    def token(self, user: UserName, *scopes: Action) -> str:
        """Make a token of a user, or give the one that was made."""
        name = " ".join([str(user), *scopes])
        if name not in self.tokens:
            now = int(time.time())

            def build(identifier: str, digest: str) -> Token:
                bounds = frozenset(scopes) if scopes else None
                return Token(id=identifier, user=user, created=now, expires=now + 3600, digest=digest, scopes=bounds)

            with contextlib.closing(TokenFile(self.registry.path)) as file:
                self.tokens[name] = file.create(build, now, lambda _: None)[1]
        return self.tokens[name]

    def url(self, user: UserName | None, *scopes: Action) -> str:
        """Name the repository, with a user's token in it."""
        who = f"{user}:{self.token(user, *scopes)}@" if user else ""
        return f"http://{who}{HOST}:{self.port}/registry.git"

    def clone(self, user: UserName, folder: Path, *scopes: Action) -> Clone:
        """Clone the registry as a user."""
        return Clone.of(self.url(user, *scopes), folder / f"of-{user}", {"no_proxy": "*"})

    def basic(self, user: UserName) -> tuple[str, str]:
        """Give the header that git would send."""
        return ("Authorization", "Basic " + base64.b64encode(f"{user}:{self.token(user)}".encode()).decode())

    def ask(
        self, method: str, path: str, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request as it stands; give the status, the headers and the body."""
        with contextlib.closing(http.client.HTTPConnection(HOST, self.port, timeout=2 * PATIENCE)) as connection:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            if body is not None and not any(name.lower() == "content-length" for name, _ in headers):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            answer = connection.getresponse()
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read()

    def connect(self) -> socket.socket:
        """Open a connection, to say anything at all."""
        return socket.create_connection((HOST, self.port), timeout=2 * PATIENCE)


@contextlib.contextmanager
def running(
    path: Path,
    settings: AuthSettings | None = None,
    wrap: Callable[[App], App] = lambda app: app,
    **options: Any,  # noqa: ANN401 - uvicorn's
) -> Iterator[Site]:
    """Serve the registry at a path."""
    with Repository.open(path) as repository, contextlib.ExitStack() as stack:
        site = Site(Server(path, repository))
        known = Authenticator(path, settings or AuthSettings(rate=0, rate_anonymous=0, rate_failed=0))
        refusals = Refusals(path)
        stack.callback(known.close)
        stack.callback(refusals.close)
        app = GitHttp(path, lambda: _rules(path), heard=site.endings.append)
        site.port = stack.enter_context(serving(wrap(Guard(app, known, refusals)), **options))
        yield site


def _rules(path: Path) -> Access:
    """Read access.yaml of main's tip."""
    with Repository.open(path) as repository:
        return Access.parse(repository.run(["cat-file", "blob", "main:access.yaml"]))
