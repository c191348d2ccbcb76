"""Ask a gitreg server over HTTP: bounded in size and time, again where that is safe, with the token to it alone."""

from __future__ import annotations

import json
import random
import time
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, urlencode, urlsplit

from gitreg.client.problems import error_of
from gitreg.client.tokens import Token
from gitreg.connections import LOST, MOST, TIME_LIMIT, Asked, Wire, Wires, is_loopback
from gitreg.errors import DeniedError, GitregError, IntegrityError, InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from http.client import HTTPResponse

JSON = "application/json"
MOST_DEPTH = 64
PATIENCE = 30.0
"""Seconds for which a server that fails is asked again."""

UNDERWAY = 180.0
"""Seconds for which the answer to a repeated write is waited for: its first try may still be at work, or have died."""

_PAUSES = (0.1, 0.3, 1.0, 2.0)
_OK = range(200, 300)
_CONFLICT, _REDIRECTS = 409, frozenset({301, 302, 303, 307, 308})
_UNMODIFIED, _NO_RANGE = 304, 416
_AGAIN = frozenset({429, 502, 503, 504})


class Answer(NamedTuple):
    """What the server said: the status, its headers by lower-case name, the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def tag(self) -> str | None:
        """The ETag, without quotes; None where there is none that can be sent back."""
        found = self.headers.get("etag", "")
        return found[1:-1] if found[:1] == found[-1:] == '"' and 2 < len(found) < 256 and _is_plain(found) else None  # noqa: PLR2004

    @property
    def data(self) -> dict[str, Any]:
        """The body as a JSON object; IntegrityError where it is none, or goes too deep."""
        if self.headers.get("content-type", "").partition(";")[0].strip() not in {JSON, "application/problem+json"}:
            raise IntegrityError("the server's answer is no JSON", hint="is there a gitreg server at that address?")
        try:
            found = json.loads(self.body)
            _check_depth(found)
        except (ValueError, RecursionError) as error:
            raise IntegrityError("the server's answer is no JSON that could be read") from error
        if not isinstance(found, dict):
            raise IntegrityError("the server's answer is JSON, and no object")
        return found


class Http:
    """A gitreg server; threads may share it. `token` goes to this server and nowhere else."""

    def __init__(self, url: str, token: Callable[[], Token] = Token, *, plain: bool = False) -> None:
        """Take the server's URL; InvalidError for one with credentials, or for plain http to another machine."""
        parts = urlsplit(url)
        try:
            _ = parts.port
        except ValueError as error:
            raise InvalidError(f"{url[:200]!r} has no port that there is") from error
        if parts.scheme not in {"http", "https"} or not parts.hostname or "@" in parts.netloc:
            raise InvalidError(
                "that is not the URL of a gitreg server",
                hint="write https://host, with no password in it: the token comes from GITREG_TOKEN or a file",
            )
        self.uri = url.rstrip("/")
        self._base = quote(parts.path.rstrip("/"), safe="/%")
        self._is_safe = plain or parts.scheme == "https" or is_loopback(parts.hostname)
        self._wires = Wires(parts)
        self._token = token
        self._answered = False
        self._lock = Lock()

    @property
    def advice(self) -> str:
        """Say what to do where the server does not know who one is."""
        return self._token().advice

    def close(self) -> None:
        """Close the connections; the next request opens one again."""
        self._wires.close()

    def get(
        self,
        path: str,
        query: Mapping[str, object] | None = None,
        *,
        tag: str | None = None,
        limit: int = MOST,
        seconds: float = TIME_LIMIT,
    ) -> Answer:
        """Ask for something; with the tag of an earlier answer, only for what is another by now (status 304)."""
        headers = {"If-None-Match": f'"{tag}"'} if tag else {}
        return self.ask(
            Asked(method="GET", target=self.target(path, query), headers=headers, limit=limit, seconds=seconds)
        )

    def write(self, method: str, path: str, body: Mapping[str, object], *, dry_run: bool = False) -> Answer:
        """Have something done, once, however often it has to be sent."""
        import secrets

        key = {"Idempotency-Key": secrets.token_hex(16), "Content-Type": JSON}
        data = json.dumps(body, allow_nan=False).encode()
        query = {"dry_run": "true"} if dry_run else None
        return self.ask(Asked(method=method, target=self.target(path, query), headers=key, body=data, size=len(data)))

    def target(self, path: str, query: Mapping[str, object] | None = None) -> str:
        """Write an address of this server; what is None in the query is left out."""
        wanted = {key: value for key, value in (query or {}).items() if value is not None}
        return f"{self._base}{quote(path)}" + (f"?{urlencode(wanted, doseq=True)}" if wanted else "")

    def ask(self, asked: Asked) -> Answer:
        """Send a request until it is answered, or nothing can be hoped for; raises what the server says is wrong."""
        answer = self._patiently(asked)
        if answer.status in _OK or (answer.status == _UNMODIFIED and "If-None-Match" in asked.headers):
            return answer
        raise self.error(answer)

    def error(self, answer: Answer) -> GitregError:
        """Make the error that an answer tells of."""
        if answer.status in _REDIRECTS:
            place = answer.headers.get("location", "")
            return InvalidError(
                f"{self.uri} sends this on to {_origin(place)}, and nothing is sent there without being asked to",
                hint="a replica takes no writes: name its primary with --registry, if you trust that one",
            )
        try:
            said = answer.data
        except IntegrityError:
            said = {}
        error = error_of(answer.status, said, self.uri)
        if answer.status == 401:  # noqa: PLR2004
            error.hint = self.advice
        return error

    @staticmethod
    def _body(wire: Wire, response: HTTPResponse, asked: Asked) -> bytes:
        ends = time.monotonic() + asked.seconds
        pieces, size = [], 0
        for piece in wire.pieces(response):
            size += len(piece)
            if size > asked.limit:
                wire.close()
                raise IntegrityError(f"the answer to {asked.target[:200]} has more than {asked.limit} bytes")
            if time.monotonic() > ends:
                wire.close()
                raise UnavailableError(f"the answer did not end within {asked.seconds:g} s", hint="try again later")
            pieces.append(piece)
        return b"".join(pieces)

    def _patiently(self, asked: Asked) -> Answer:
        began = time.monotonic()
        for attempt in range(1000):
            spent = time.monotonic() - began
            try:
                answer = self._once(asked)
            except LOST as error:
                wait = _PAUSES[min(attempt, len(_PAUSES) - 1)]
                if not asked.again or not self._answered or spent + wait > PATIENCE or _is_final(error):
                    raise self._lost(error, asked) from error
            else:
                asked_for = _seconds(answer.headers.get("retry-after"))
                underway = attempt > 0 and answer.status == _CONFLICT and asked_for is not None
                if not (underway or (asked.again and answer.status in _AGAIN)):
                    return answer
                wait = _PAUSES[min(attempt, len(_PAUSES) - 1)] if asked_for is None else max(asked_for, 0.1)
                if spent + wait > (UNDERWAY if underway else PATIENCE):
                    return answer
            time.sleep(wait * random.uniform(1.0, 1.2))  # noqa: S311 - jitter, not a secret
        raise UnavailableError(f"{self.uri} does not come to an answer", hint="try again later")

    def _once(self, asked: Asked) -> Answer:
        with self._wires.one() as wire:
            response = wire.send(asked, {**self.headers(), **asked.headers})
            body = self._body(wire, response, asked)
        self._answered = True
        return Answer(response.status, _lower(response), body)

    def headers(self) -> dict[str, str]:
        """Say who asks; InvalidError before a token goes out for anybody to read."""
        found = {"User-Agent": "gitreg", "Accept": JSON, "Accept-Encoding": "identity"}
        token = self.token()
        return {**found, "Authorization": f"Bearer {token}"} if token is not None else found

    def token(self) -> str | None:
        """Give the token for this server; InvalidError before it goes out for anybody to read."""
        token = self._token().text
        if token is not None and not self._is_safe:
            raise InvalidError(
                f"the token for {self.uri} would go over plain http, where anybody on the way may read it",
                hint="use https; where the way is safe otherwise, say so: GITREG_PLAIN_HTTP=1",
            )
        return token

    def stream(self, path: str, start: int, size: int | None) -> Iterator[bytes]:
        """Give a range of a file; where the server sends on to its store, from there, and without the token.

        What it gives is verified by whoever reads. UnavailableError where it breaks off, or nothing comes in the end.
        """
        for pause in (*_PAUSES, None):
            began = False
            try:
                for piece in self._stream(path, start, size):
                    began = True
                    yield piece
            except UnavailableError:
                if began or pause is None or not self._answered:
                    raise
                time.sleep(pause)
            else:
                return

    def _stream(self, path: str, start: int, size: int | None) -> Iterator[bytes]:
        wanted = {"Range": f"bytes={start}-{'' if size is None else start + size - 1}", "Accept": "*/*"}
        asked = Asked(method="GET", target=self.target(path), headers=wanted, limit=1 << 20)
        try:
            with self._wires.one() as wire:
                response = wire.send(asked, {**self.headers(), **wanted})
                if response.status not in _REDIRECTS:
                    yield from self._ranged(wire, response, start)
                    return
                self._body(wire, response, asked)
            yield from self._elsewhere(_lower(response).get("location", ""), wanted, start)
        except LOST as error:
            raise self._lost(error, asked) from error

    def _ranged(self, wire: Wire, response: HTTPResponse, start: int) -> Iterator[bytes]:
        if response.status not in _OK:
            answer = Answer(response.status, _lower(response), self._body(wire, response, _SMALL))
            raise self.error(answer)
        if response.status != 206 and start:  # noqa: PLR2004
            wire.close()
            raise UnavailableError("the server gave the whole file where a part was asked for")
        try:
            yield from wire.pieces(response)
        finally:
            if not response.isclosed():
                wire.close()

    def _elsewhere(self, url: str, wanted: Mapping[str, str], start: int) -> Iterator[bytes]:
        """Read a file from where the store gives it out: a signed URL, which is a permission of its own."""
        parts = urlsplit(url)
        if not parts.hostname or parts.scheme not in {"https", "http"} or "@" in parts.netloc:
            raise IntegrityError(f"{self.uri} names no place of the store that could be read")
        if parts.scheme == "http" and not self._is_safe:
            raise DeniedError(f"{self.uri} sends on to plain http at {_origin(url)}", hint="the store needs https")
        store = Wires(parts)
        asked = Asked(method="GET", target=f"{parts.path or '/'}" + (f"?{parts.query}" if parts.query else ""))
        try:
            with store.one() as wire:
                response = wire.send(asked, {"User-Agent": "gitreg", "Accept-Encoding": "identity", **wanted})
                if response.status not in _OK:
                    wire.close()
                    kind = IntegrityError if response.status == _NO_RANGE else UnavailableError
                    raise kind(f"the store at {_origin(url)} answers {response.status}")
                yield from self._ranged(wire, response, start)
        finally:
            store.close()

    def _lost(self, error: Exception, asked: Asked) -> GitregError:
        reason = str(getattr(error, "reason", None) or str(error) or type(error).__name__)[:200]
        hint = "is it running, and the address right? try again later"
        if asked.method not in {"GET", "HEAD"} and self._answered:
            hint = "whether the change was made is not known: look with `gitreg log` before you try again"
        return UnavailableError(f"{self.uri} cannot be reached: {reason}", hint=hint)


_SMALL = Asked(method="GET", target="", limit=1 << 20)


def _lower(response: HTTPResponse) -> dict[str, str]:
    return {key.lower(): value for key, value in response.getheaders()}


def _seconds(text: str | None) -> float | None:
    return float(text) if text and text.isascii() and text.isdigit() and len(text) < 6 else None  # noqa: PLR2004


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _is_final(error: Exception) -> bool:
    """Whether trying again cannot help: who is there is not whom one wanted, or nobody knows the name."""
    import socket
    import ssl

    return isinstance(error, ssl.SSLCertVerificationError | socket.gaierror)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"[:200] if parts.hostname else "another address"


def _check_depth(value: object, depth: int = 0) -> None:
    if depth > MOST_DEPTH:
        raise ValueError("too deep")
    if isinstance(value, dict):
        for each in value.values():
            _check_depth(each, depth + 1)
    elif isinstance(value, list):
        for each in value:
            _check_depth(each, depth + 1)
