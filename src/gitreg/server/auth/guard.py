"""Stand before the server's routes: who calls, how often, from which site; and what browsers are told."""

from __future__ import annotations

import json
import re
import time
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from gitreg.errors import DeniedError, GitregError
from gitreg.server.auth.errors import (
    CrowdedError,
    MalformedError,
    TooLargeError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from gitreg.server.auth.limits import Buckets, Table
from gitreg.server.auth.peers import address_of, header_values, is_secure, site_of
from gitreg.server.auth.redact import redact
from gitreg.server.auth.refusals import Refused

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping
    from pathlib import Path

    from gitreg.server.auth.authenticator import Authenticator
    from gitreg.server.auth.callers import Caller
    from gitreg.server.auth.peers import Scope
    from gitreg.server.auth.refusals import Refusals

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]

PAGES = "/ui/"
GIT = "/registry.git"
# Answered to whoever asks; the pages, to which / leads a browser, send a stranger to their form.
OPEN = ("/", "/healthz", "/readyz", "/openapi.json", "/docs", "/ui", "/ui/*")
MAX_HEADERS = 100
MAX_HEAD = 48 << 10
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_REFUSED = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_SHOWN = 200
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

SECURITY = (
    (
        b"content-security-policy",
        (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
            b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        ),
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    # Not no-referrer: browsers would then send `Origin: null` with the forms of the pages.
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # What one caller may read another may not; with an ETag nothing is sent twice all the same.
    (b"cache-control", b"private, no-cache"),
)
_TRANSPORT = (b"strict-transport-security", b"max-age=31536000")
_VARY = (b"vary", b"Authorization, Cookie")


class Guard:
    """Wrap an ASGI application. Each request's `state` has its `caller` (None where nobody is known), and `secure`.

    By `failed` in it a form that takes tokens counts a try that failed. The paths of `OPEN`, and those below one that
    ends with `/*`, are answered to strangers as well, for whom `caller` is None; every other one needs a caller.
    Workers that are named one folder count `together` how often somebody asks.
    """

    def __init__(
        self,
        app: App,
        authenticator: Authenticator,
        refusals: Refusals,
        *,
        clock: Callable[[], float] = time.monotonic,
        together: Path | None = None,
    ) -> None:
        settings = authenticator.settings
        self._app = app
        self._authenticator = authenticator
        self._refusals = refusals
        self._clock = clock
        known, strangers, failures = (
            Table(together / f"rate-{each}" if together else None) for each in ("known", "strangers", "failures")
        )
        self._known = Buckets(settings.rate, table=known)
        self._strangers = Buckets(settings.rate_anonymous, table=strangers)
        self._failures = Buckets(settings.rate_failed / 60, burst=settings.rate_failed, table=failures)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        state = scope.setdefault("state", {})
        state["caller"], state["secure"] = None, is_secure(scope, self._authenticator.settings)
        state["failed"] = partial(self._failed, scope)
        try:
            if "crowded" in state:  # `heads` says so
                raise CrowdedError
            _check_head(scope)
            state["caller"] = caller = await self._caller(scope)
            self._limit(scope, caller)
            self._check_site(scope, caller)
            if caller is None and not self._is_open(scope["path"]):
                raise UnauthenticatedError(
                    "this needs to know who you are", hint="send a token: Authorization: Bearer gitreg_…"
                )
        except GitregError as error:
            reason = error.reason if isinstance(error, UnauthenticatedError) else error.message
            await _refuse(scope, self._watched(scope, send, reason), error)
            return
        await self._app(scope, receive, self._watched(scope, send, ""))

    def _is_open(self, path: str) -> bool:
        return any(path == each or (each.endswith("/*") and path.startswith(each[:-1])) for each in OPEN)

    async def _caller(self, scope: Scope) -> Caller | None:
        """Find out who calls. Whoever fails too often is told so, and no log is filled with it."""
        try:
            return await self._authenticator.caller(scope)
        except UnauthenticatedError as error:
            if too_many := self._failed(scope):
                raise too_many from error
            raise

    def _failed(self, scope: Scope) -> TooManyRequestsError | None:
        """Count a try that failed; give the error where its address has had too many."""
        address = address_of(scope, self._authenticator.settings)
        waits = self._failures.take(site_of(address), self._clock())
        return TooManyRequestsError("tries that failed", waits) if waits else None

    def _limit(self, scope: Scope, caller: Caller | None) -> None:
        now = self._clock()
        if caller is not None and caller.user is not None:
            waits = self._known.take(caller.key, now)
        else:
            address = address_of(scope, self._authenticator.settings)
            waits = self._strangers.take(site_of(address), now)
        if waits:
            raise TooManyRequestsError("requests", waits)

    def _check_site(self, scope: Scope, caller: Caller | None) -> None:
        """Refuse what a page of another site makes a browser send."""
        if scope["method"] in _SAFE:
            return
        fetch_site, origin = (header_values(scope, name) for name in ("sec-fetch-site", "origin"))
        if fetch_site:
            fine = fetch_site in (["same-origin"], ["none"])
        elif origin:
            fine = len(origin) == 1 and self._is_own(scope, origin[0])
        else:  # no browser, which would say one of the two
            fine = caller is None or not caller.is_session
        if not fine:
            raise DeniedError("another site's page sent this", hint="use the pages of this server, or a token")
        if caller is not None and caller.is_session and not scope["path"].startswith(PAGES):
            raise DeniedError("a session is for the pages alone", hint="send a token: Authorization: Bearer gitreg_…")

    def _is_own(self, scope: Scope, origin: str) -> bool:
        try:
            parts = urlsplit(origin)
            own = urlsplit(self._authenticator.settings.url or "")
        except ValueError:
            return False
        if scope["state"]["secure"] and parts.scheme != "https":
            return False
        return bool(parts.netloc) and parts.netloc in {own.netloc, *header_values(scope, "host")}

    def _watched(self, scope: Scope, send: Send, reason: str) -> Send:
        """Add headers to the answer, and see to it that a refusal is known of.

        A route whose refusal is in the audit log already, as the gate's are, sets `state["logged"]`.
        """

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = _completed(scope, message)
                if message["status"] in _REFUSED and not scope["state"].get("logged"):
                    self._note(scope, message["status"], reason)
            await send(message)

        return watched

    def _note(self, scope: Scope, status: int, reason: str) -> None:
        caller = scope["state"]["caller"]
        said_nothing = scope["method"] in _SAFE and not header_values(scope, "authorization")
        if caller is None and status == HTTPStatus.UNAUTHORIZED and said_nothing:
            return  # a browser, or git, asks first and is told to say who it is
        self._refusals.add(
            Refused(
                status,
                str(caller.user) if caller is not None and caller.user is not None else None,
                site_of(address_of(scope, self._authenticator.settings)),
                redact(reason or f"{scope['method']} {scope['path'][:_SHOWN]}"),
            )
        )


def _check_head(scope: Scope) -> None:
    size = sum(len(key) + len(value) for key, value in scope["headers"])
    if len(scope["headers"]) > MAX_HEADERS or size > MAX_HEAD:
        raise TooLargeError(f"more than {MAX_HEADERS} headers, or {MAX_HEAD} bytes of them")
    if not scope["path"].isprintable() and _CONTROL.search(scope["path"]):  # routes take a line's end for the path's
        raise MalformedError("a path has no control characters")
    if len(header_values(scope, "host")) > 1:  # RFC 9112, 3.2: of two, a proxy may have looked at the other
        raise MalformedError("a request names one Host")


def _completed(scope: Scope, message: Message) -> list[tuple[bytes, bytes]]:
    """Add the headers that are missing: a route may say otherwise, for a file to download for one."""
    found = [(key.lower(), value) for key, value in message.get("headers", ())]
    said = {key for key, _ in found}
    wanted = [*SECURITY, *([_TRANSPORT] if scope["state"]["secure"] else [])]
    if message["status"] == HTTPStatus.UNAUTHORIZED:
        wanted.append((b"www-authenticate", challenge(scope).encode()))
    return [*found, *(each for each in wanted if each[0] not in said), _VARY]


def challenge(scope: Scope) -> str:
    """Ask for credentials (RFC 6750, RFC 7617); git answers to a question for a password alone."""
    if scope["path"].startswith(GIT):
        return 'Basic realm="gitreg", charset="UTF-8"'
    return 'Bearer realm="gitreg"' + (', error="invalid_token"' if header_values(scope, "authorization") else "")


async def _refuse(scope: Scope, send: Send, error: GitregError) -> None:
    """Answer with a problem (RFC 9457); git shows its user what is plain text."""
    detail = error.message if error.hint is None else f"{error.message}; {error.hint}"
    if scope["path"].startswith(GIT):
        kind, body = "text/plain; charset=utf-8", f"gitreg: {detail}\n".encode()
    else:
        problem = {
            "type": "about:blank",
            "title": HTTPStatus(error.http_status).phrase,
            "status": error.http_status,
            "detail": error.message,
            "hint": error.hint,
            "violations": [],
            "request_id": scope["state"].get("request_id"),
        }
        kind, body = "application/problem+json", json.dumps(problem).encode()
    headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
    if isinstance(error, (TooManyRequestsError, CrowdedError)):
        headers.append((b"retry-after", b"%d" % error.retry_after))
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
