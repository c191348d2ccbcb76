"""Bring the files of a published index here: over HTTP with conditional requests, or out of a folder or a bucket."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from gitreg.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from http.client import HTTPResponse
    from typing import IO

    from gitreg.objects.bucket import Bucket

TIME_LIMIT = 60.0
"""Seconds that one answer may take altogether."""

_SILENCE = 15.0  # seconds without a byte
_PIECE = 1 << 16
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_NOT_MODIFIED, _NOT_FOUND, _GONE = 304, 404, 410


class Answer(NamedTuple):
    """What a source said: the bytes, None where they are what the tag already names, and the tag for next time."""

    data: bytes | None
    tag: str | None


class Source(Protocol):
    """Where a published index lies."""

    uri: str

    def get(self, key: str, *, limit: int, tag: str | None = None) -> Answer:
        """Read a file of at most `limit` bytes; with the tag of an earlier answer, only if it is another by now.

        NotFoundError where there is none, IntegrityError where it is bigger, UnavailableError where nobody answers.
        """


class BucketSource:
    """An index in a folder, or in an object store that this machine may read."""

    def __init__(self, bucket: Bucket, prefix: str = "") -> None:
        self._bucket = bucket
        self._prefix = prefix
        self.uri = f"{bucket.uri}/{prefix}".rstrip("/")

    def get(self, key: str, *, limit: int, tag: str | None = None) -> Answer:  # noqa: ARG002 - it has no tags
        """Read a file."""
        data = self._bucket.get(self._prefix + key, limit=limit)
        if data is None:
            hint = "check the address; gitreg index publish --to … makes an index, and --anew a complete one"
            raise NotFoundError(f"there is no {key} in the index {self.uri}", hint=hint)
        return Answer(data, None)


class WebSource:
    """An index that a web server or a CDN hands out."""

    def __init__(self, url: str) -> None:
        """Take the URL of the folder that holds head.json; InvalidError for what is no such URL."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise InvalidError(f"{url[:200]!r} is not the URL of an index", hint="write https://host/path")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InvalidError(
                "the URL of an index carries credentials, a query or a fragment",
                hint="write https://host/path; who may read is the web server's to say",
            )
        self.uri = url.rstrip("/")
        self.is_loopback = parts.hostname in _LOOPBACK
        self.is_safe = parts.scheme == "https" or self.is_loopback

    def get(self, key: str, *, limit: int, tag: str | None = None) -> Answer:
        """Read a file by one GET, conditional where there is a tag."""
        from http.client import HTTPException
        from urllib.error import HTTPError, URLError
        from urllib.request import Request

        url = f"{self.uri}/{key}"
        headers = {"User-Agent": "gitreg", "Accept-Encoding": "identity"}
        request = Request(url, headers={**headers, "If-None-Match": tag} if tag else headers)  # noqa: S310 - http(s), above
        try:
            with self._opener().open(request, timeout=_SILENCE) as response:
                return Answer(_body(response, url, limit), _tag(response))
        except HTTPError as error:
            with error:
                if error.code == _NOT_MODIFIED and tag:
                    return Answer(None, tag)
                if error.code in {_NOT_FOUND, _GONE}:
                    raise NotFoundError(f"there is no {url}") from error
                raise UnavailableError(f"{url} answers {error.code} {str(error.reason)[:100]}") from error
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise UnavailableError(f"{url} cannot be read: {str(reason)[:200]}", hint="try again later") from error

    def _opener(self) -> Any:  # noqa: ANN401 - urllib's OpenerDirector, which is imported late
        from urllib import request

        opener = request.OpenerDirector()
        handlers = [request.HTTPHandler, request.HTTPSHandler, request.HTTPErrorProcessor]
        for handler in (*handlers, request.HTTPDefaultErrorHandler):
            opener.add_handler(handler())
        opener.add_handler(_staying(self.uri))
        opener.add_handler(request.ProxyHandler({} if self.is_loopback else None))
        return opener


def _staying(uri: str) -> Any:  # noqa: ANN401 - a handler of urllib's
    """Make a handler that follows redirects on the same server alone."""
    from urllib.request import HTTPRedirectHandler, Request

    home = _origin(uri)

    class Staying(HTTPRedirectHandler):
        def redirect_request(  # noqa: PLR0913, PLR0917 - urllib's signature
            self,
            req: Request,
            fp: IO[bytes],
            code: int,
            msg: str,
            headers: Any,  # noqa: ANN401 - urllib types it so
            newurl: str,
        ) -> Request | None:
            if _origin(newurl) != home:
                raise UnavailableError(
                    f"{uri} sends its readers on to another server, {urlsplit(newurl).netloc[:100]!r}",
                    hint="name that one with --registry if you trust it",
                )
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    return Staying()


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _tag(response: HTTPResponse) -> str | None:
    found = response.headers.get("ETag")
    return found if found and len(found) <= 256 and found.isascii() and found.isprintable() else None  # noqa: PLR2004


def _body(response: HTTPResponse, url: str, limit: int) -> bytes:
    """Read an answer, bounded in size and in time; UnavailableError where it ends early."""
    said = response.headers.get("Content-Length")
    if said is not None and said.isdecimal() and len(said) < 20 and int(said) > limit:  # noqa: PLR2004
        raise IntegrityError(f"{url} has {said} bytes; at most {limit} are read")
    ends = time.monotonic() + TIME_LIMIT
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(_PIECE):
        size += len(piece)
        if size > limit:
            raise IntegrityError(f"{url} has more than the {limit} bytes that it may have")
        if time.monotonic() > ends:
            raise UnavailableError(f"{url} did not end within {TIME_LIMIT:g} s", hint="try again later")
        pieces.append(piece)
    if said is not None and said.isdecimal() and size != int(said):
        raise UnavailableError(f"{url} ended after {size} of {said} bytes", hint="try again")
    return b"".join(pieces)
