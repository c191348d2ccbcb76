"""Serve git over HTTP: clone, fetch and push of the registry, by git itself.

The protocol is gitprotocol-http(5); the "dumb" one, which hands out files, is not served.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from gitreg.errors import DeniedError, GitregError, IntegrityError, UnavailableError
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.configuration import SERVER_CONFIG
from gitreg.gate_hooks.receiving import SESSION, fetch_limits, limits, log_refused, require_gate
from gitreg.git import Repository
from gitreg.git.http import RECEIVE, UPLOAD, Asked, Rpc
from gitreg.git.process import useful_line
from gitreg.git.protocol import MAX_COMMANDS, MalformedError
from gitreg.records import dataclass
from gitreg.server.auth.callers import Readers
from gitreg.server.bodies import Body, GoneError, TooLongError
from gitreg.server.problems import withhold
from gitreg.server.turns import Bounds, BusyError, Turns

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping
    from pathlib import Path

    from gitreg.access import Access
    from gitreg.git.serve import Limits, Served
    from gitreg.server.auth.callers import Caller

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

# A little above what git takes, so that it is git that explains a refusal.
MAX_PUSH = int(SERVER_CONFIG["receive.maxInputSize"]) + MAX_COMMANDS + (8 << 20)
MAX_FETCH = 32 << 20
_WAY = "http"
_GONE = "the client went away"
_PATIENCE = 10.0
_SERVICES = {f"git-{service}": service for service in (RECEIVE, UPLOAD)}
_MAX_QUERY = 1000
_DIGITS = 18
_PROTOCOL = re.compile(rb"version=[0-2]")
_ENCODINGS = {b"": False, b"identity": False, b"gzip": True, b"x-gzip": True}
_PLAIN = b"text/plain; charset=utf-8"
# Of git's own variables, what says where its configuration lies; none that says who somebody is.
_KEPT = frozenset({"GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM", "GIT_CONFIG_SYSTEM", "GIT_EXEC_PATH"})
_DROPPED = frozenset({"GITREG_CALLER", "GITREG_SCOPES", "GITREG_USER", "REMOTE_ADDR", "SSH_CLIENT", "SSH_CONNECTION"})
# What git says where it is not the request that is wrong.
_DAMAGE = re.compile(
    r"not a git repository|corrupt|unable to|[Cc]ould not|loose object|bad object|missing|No space|denied|memory|alloc"
)
_log = logging.getLogger(__name__)


class StoppedError(UnavailableError):
    """Git was ended, because it or the client took too long."""


class AskedError(GitregError):
    """What is asked for is no part of git's protocol."""

    def __init__(self, status: HTTPStatus, message: str, *, allow: str = "") -> None:
        super().__init__(message, hint="git clone, fetch and push are all that is served here")
        self.status = status
        self.allow = allow


@dataclass(frozen=True, slots=True)
class Ending:
    """How one request ended: what was asked, how git and the push did, why it was stopped."""

    asked: Asked
    served: Served

    @property
    def outcome(self) -> str:
        """Say in a word how it did: `served`, or of a push `accepted` or `refused`; `stopped` or `failed` of both."""
        served = self.served
        if served.stopped:
            return "stopped"
        if self.asked.is_push and served.updates:
            is_taken = served.unpacked in {None, "ok"} and not served.rejected and served.code == 0
            return "accepted" if is_taken else "refused"
        return "failed" if served.code else "served"


class GitHttp:
    """The ASGI application below /registry.git; the guard before it has put the caller into the request's state.

    `rules` reads access.yaml of main's tip. `heard` is told how each request ended.
    """

    def __init__(
        self,
        git_dir: Path,
        rules: Callable[[], Access],
        *,
        turns: Turns | None = None,
        heard: Callable[[Ending], object] = lambda _: None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._git_dir = git_dir
        self._rules = rules
        self._readers = Readers()
        self._heard = heard
        self._environ = dict(os.environ if environ is None else environ)
        self._turns = turns or Turns(Bounds())
        self._endings: set[asyncio.Task[Ending]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        answer = _Answer(send)
        try:
            asked = asked_of(scope)
            scope["state"]["route"] = f"/registry.git{asked.path}"
            caller: Caller = scope["state"]["caller"]
            environment = self._environment(scope, caller, asked)
            body = _body(scope, receive, asked)
            async with self._turns.turn(caller.key):
                allowed = await asyncio.to_thread(self._allow, asked, caller, environment)
                await self._serve(_Case(asked, environment, allowed), body, answer)
        except GoneError:
            return
        except GitregError as error:
            withhold(scope, error)
            await answer.refuse(error)

    async def close(self) -> None:
        """Wait until what is being ended has ended, and is logged."""
        if self._endings:
            await asyncio.wait(self._endings, timeout=_PATIENCE)

    # Who may

    def _environment(self, scope: Scope, caller: Caller, asked: Asked) -> dict[str, str]:
        """Make git's environment: this process's, and who the caller is; of the client's but the protocol's version."""
        kept = {
            key: value
            for key, value in self._environ.items()
            if key in _KEPT or not (key.startswith("GIT_") or key in _DROPPED)
        }
        protocol = _header(scope, b"git-protocol")
        if _PROTOCOL.fullmatch(protocol) and asked.service == UPLOAD:
            kept["GIT_PROTOCOL"] = protocol.decode()
        if asked.service == RECEIVE:
            kept |= caller.environment()
        return {**kept, "LC_ALL": "C", SESSION: os.urandom(16).hex()}

    def _allow(self, asked: Asked, caller: Caller, environment: Mapping[str, str]) -> Limits:
        """Refuse who may not, and give what a request may take; asks git, and so runs in a thread."""
        with Repository.open(self._git_dir, environment=environment) as repository:
            if asked.service == RECEIVE:
                require_gate(repository, _WAY)
                return limits(repository)
            self._require_reading(caller)
            return fetch_limits(repository)

    def _require_reading(self, caller: Caller) -> None:
        if self._readers.readable(self._rules(), caller).everything:
            return
        if caller.user is None:
            caller.require_user()
        raise DeniedError(
            f"{caller.reader} may not read every model, and a clone holds them all: git cannot hide one",
            hint="ask an admin for `read` on */* with no deny, or read what you may by REST and the pages",
        )

    # Git, between the request's body and the answer's

    async def _serve(self, case: _Case, body: Body, answer: _Answer) -> None:
        """Let git answer; whatever happens, it has ended when this returns, and everything that it started."""
        since = await asyncio.to_thread(audit.position, self._git_dir) if case.asked.is_push else 0
        rpc = Rpc(self._git_dir, case.asked, case.environment, case.limits)
        stopped: str | None = _GONE
        try:
            stopped = await _talk(rpc, body, answer, case)
        except GitregError as error:
            stopped = error.message
            raise
        finally:
            task = asyncio.create_task(self._end(case, rpc, stopped, since))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)
            ending = await asyncio.shield(task)
        await _finish(ending, answer, case)

    async def _end(self, case: _Case, rpc: Rpc, stopped: str | None, since: int) -> Ending:
        """End git, log what it refused without asking the gate, and tell who counts."""
        await rpc.end(by_force=stopped is not None)
        ending = Ending(case.asked, rpc.told(stopped))
        if case.asked.is_push:
            await asyncio.to_thread(log_refused, self._git_dir, case.environment, ending.served, since)
        self._heard(ending)
        return ending


@dataclass(frozen=True, slots=True)
class _Case:
    """One request: what is asked, git's environment and its limits."""

    asked: Asked
    environment: Mapping[str, str]
    limits: Limits

    @property
    def kind(self) -> bytes:
        """The answer's Content-Type."""
        word = "advertisement" if self.asked.is_advertisement else "result"
        return f"application/x-git-{self.asked.service}-{word}".encode()

    @property
    def preface(self) -> bytes:
        """What stands before the list of refs, but in version 2 of the protocol."""
        if not self.asked.is_advertisement or self.environment.get("GIT_PROTOCOL") == "version=2":
            return b""
        line = f"# service=git-{self.asked.service}\n".encode()
        return b"%04x%s0000" % (len(line) + 4, line)


class _Answer:
    """What is sent to the client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_begun = False

    async def begin(self, kind: bytes) -> None:
        """Send the head."""
        self.is_begun = True
        headers = [(b"content-type", kind), (b"cache-control", b"no-cache")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def piece(self, data: bytes) -> None:
        """Send a piece, as fast as the client takes it."""
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end(self) -> None:
        """Send the end. Where it is missing the client sees that the answer was cut off."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def refuse(self, error: GitregError) -> None:
        """Say why not, in plain text, which git shows to its user; nothing can be said in the middle of an answer."""
        if self.is_begun:
            return
        text = error.message if error.hint is None else f"{error.message}; {error.hint}"
        body = f"gitreg: {text}\n".encode()
        headers = [(b"content-type", _PLAIN), (b"content-length", b"%d" % len(body)), (b"cache-control", b"no-cache")]
        if isinstance(error, BusyError):
            headers.append((b"retry-after", b"%d" % error.retry_after))
        if isinstance(error, AskedError) and error.allow:
            headers.append((b"allow", error.allow.encode()))
        status = error.status if isinstance(error, AskedError) else error.http_status
        await self._send({"type": "http.response.start", "status": int(status), "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})


async def _talk(rpc: Rpc, body: Body, answer: _Answer, case: _Case) -> str | None:
    """Pass on both ways until git has answered; give the reason where it has to be stopped.

    What git does not want of the body any more is taken in all the same: clients read the answer after they have sent
    everything.
    """
    bringing = asyncio.create_task(_bring(rpc, body, case))
    answering = asyncio.create_task(_pass_on(rpc, answer, case))
    watching = asyncio.create_task(rpc.watch())
    leaving: asyncio.Task[None] | None = None
    tasks: set[asyncio.Task[Any]] = {bringing, answering, watching}
    try:
        while not (bringing.done() and answering.done()):
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if answering.done():
                # What is wrong with the rest of the body changes nothing any more.
                done -= {each for each in done if each is bringing and isinstance(each.exception(), GitregError)}
            for each in done:
                each.result()
            if watching in done:
                return watching.result()
            if bringing in done:
                leaving = asyncio.create_task(body.gone())
                tasks.add(leaving)
            tasks -= done
    finally:
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return None


async def _bring(rpc: Rpc, body: Body, case: _Case) -> None:
    if not case.asked.is_advertisement:
        try:
            async for piece in body.pieces():
                await rpc.write(piece)
        except MalformedError as error:
            raise AskedError(HTTPStatus.BAD_REQUEST, str(error)) from error
    rpc.no_more()


async def _pass_on(rpc: Rpc, answer: _Answer, case: _Case) -> None:
    while data := await rpc.read():
        if not answer.is_begun:
            await answer.begin(case.kind)
            data = case.preface + data
        await answer.piece(data)


async def _finish(ending: Ending, answer: _Answer, case: _Case) -> None:
    """End the answer, or say what went wrong where there is none."""
    served = ending.served
    if served.stopped:
        raise StoppedError(f"the request was ended: {served.stopped}")
    if not answer.is_begun:
        if served.code:
            raise _failure(ending)
        await answer.begin(case.kind)
    await answer.end()


def _failure(ending: Ending) -> GitregError:
    """Make the error for a git that ended without an answer; its words may name places of this machine."""
    served = ending.served
    said = useful_line(served.said)
    if ending.asked.is_advertisement or served.code < 0 or _DAMAGE.search(said):
        _log.error("git ended with %s and no answer: %s", served.code, said)
        return IntegrityError("git could not answer", hint="tell the server's owner: its log says more")
    _log.info("git did not understand a request: %s", said)
    return AskedError(HTTPStatus.BAD_REQUEST, "git did not understand the request")


def asked_of(scope: Scope) -> Asked:
    """Read what is asked for; AskedError where it is none of the three things that git's clients ask."""
    path, method = scope["path"].rpartition("/registry.git")[2], scope["method"]
    if path == "/info/refs":
        _require_method(method, "GET")
        words = bytes(scope.get("query_string", b""))[:_MAX_QUERY].decode("latin-1").split("&")
        service = next((word.removeprefix("service=") for word in words if word.startswith("service=")), "")
        if service not in _SERVICES:
            raise AskedError(HTTPStatus.FORBIDDEN, "git's older protocol, without a service, is not spoken here")
        return Asked(_SERVICES[service], is_advertisement=True)
    service = path.removeprefix("/")
    if service not in _SERVICES:
        raise AskedError(HTTPStatus.NOT_FOUND, "there is nothing here")
    _require_method(method, "POST")
    if _header(scope, b"content-type") != f"application/x-{service}-request".encode():
        raise AskedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"the Content-Type is not application/x-{service}-request")
    return Asked(_SERVICES[service], is_advertisement=False)


def _require_method(method: str, wanted: str) -> None:
    if method != wanted:
        raise AskedError(HTTPStatus.METHOD_NOT_ALLOWED, f"{method[:20]} is not what git's clients send", allow=wanted)


def _body(scope: Scope, receive: Receive, asked: Asked) -> Body:
    """Prepare to take in the body; what says beforehand that it is too long is not begun."""
    most = MAX_PUSH if asked.service == RECEIVE else MAX_FETCH
    length = _header(scope, b"content-length")
    if length.isdigit() and int(length[:_DIGITS]) > most:
        raise TooLongError(most)
    encoding = _header(scope, b"content-encoding").lower()
    if encoding not in _ENCODINGS:
        raise AskedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a body may be gzip, or as it is")
    return Body(receive, most=most, is_gzip=_ENCODINGS[encoding])


def _header(scope: Scope, name: bytes) -> bytes:
    """Give a header's value; nothing where there is none, or more than one."""
    found = [value for key, value in scope["headers"] if key == name]
    return bytes(found[0]) if len(found) == 1 else b""
