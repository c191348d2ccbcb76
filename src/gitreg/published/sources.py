"""Bring the files of a published index here: over HTTP with conditional requests, or out of a folder or a bucket."""

from __future__ import annotations

import time
import zlib
from typing import TYPE_CHECKING, NamedTuple, Protocol
from urllib.parse import quote, urljoin, urlsplit

from gitreg.connections import LOST, Asked, Wires, is_loopback
from gitreg.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.published.shape import HEAD

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from http.client import HTTPResponse
    from urllib.parse import SplitResult

    from gitreg.connections import Wire
    from gitreg.objects.bucket import Bucket

TIME_LIMIT = 60.0
"""Seconds that one answer may take altogether."""

_SILENCE = 15.0  # seconds without a byte
_PIECE = 1 << 16
_REDIRECTS = 5
_GZIP = 16 + zlib.MAX_WBITS
_OK, _NOT_MODIFIED, _NOT_FOUND, _GONE = 200, 304, 404, 410
_MOVED = frozenset({301, 302, 303, 307, 308})


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
        if parts.scheme not in {"http", "https"} or not parts.hostname or not _has_port(parts):
            raise InvalidError(f"{url[:200]!r} is not the URL of an index", hint="write https://host/path")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise InvalidError(
                "the URL of an index carries credentials, a query or a fragment",
                hint="write https://host/path; who may read is the web server's to say",
            )
        self.uri = url.rstrip("/")
        self.is_safe = parts.scheme == "https" or is_loopback(parts.hostname)
        self._wires = Wires(parts, silence=_SILENCE)

    def get(self, key: str, *, limit: int, tag: str | None = None) -> Answer:
        """Read a file by one GET, conditional where there is a tag."""
        url = f"{self.uri}/{key}"
        # Some servers do not know the tag again that they give to what they packed.
        headers = {"User-Agent": "gitreg", "Accept-Encoding": "identity" if key == HEAD else "gzip"}
        if tag:
            headers["If-None-Match"] = tag
        try:
            for _ in range(_REDIRECTS):
                found = self._ask(url, headers, limit)
                if isinstance(found, Answer):
                    return found
                url = found
        except LOST as error:
            raise UnavailableError(f"{url} cannot be read: {str(error)[:200]}", hint="try again later") from error
        raise UnavailableError(f"{self.uri} sends its readers on and on")

    def _ask(self, url: str, headers: Mapping[str, str], limit: int) -> Answer | str:
        """Ask once more where the server had closed a connection that was kept open."""
        with self._wires.one() as wire:
            if not wire.is_open:
                return self._once(wire, url, headers, limit)
            try:
                return self._once(wire, url, headers, limit)
            except LOST:
                wire.close()
                return self._once(wire, url, headers, limit)

    def _once(self, wire: Wire, url: str, headers: Mapping[str, str], limit: int) -> Answer | str:
        """Give the answer, or where it is to be had."""
        response = wire.send(Asked(method="GET", target=_target(url)), headers)
        if response.status == _OK:
            return Answer(_body(wire, response, url, limit), _tag(response))
        if response.status == _NOT_MODIFIED and "If-None-Match" in headers:
            response.close()  # it has no body
            return Answer(None, headers["If-None-Match"])
        wire.close()
        if response.status in _MOVED:
            return self._moved(urljoin(url, response.headers.get("Location", "")))
        if response.status in {_NOT_FOUND, _GONE}:
            raise NotFoundError(f"there is no {url}")
        raise UnavailableError(f"{url} answers {response.status} {response.reason[:100]}")

    def _moved(self, url: str) -> str:
        """Follow the server where it stays on the same one."""
        if _origin(url) != _origin(self.uri):
            raise UnavailableError(
                f"{self.uri} sends its readers on to another server, {urlsplit(url).netloc[:100]!r}",
                hint="name that one with --registry if you trust it",
            )
        return url


def _has_port(parts: SplitResult) -> bool:
    try:
        _ = parts.port
    except ValueError:
        return False
    return True


def _target(url: str) -> str:
    parts = urlsplit(url)
    return quote(parts.path, safe="/%:@!$&'()*+,;=~") + (f"?{parts.query}" if parts.query else "")


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port


def _tag(response: HTTPResponse) -> str | None:
    found = response.headers.get("ETag")
    return found if found and len(found) <= 256 and found.isascii() and found.isprintable() else None  # noqa: PLR2004


def _body(wire: Wire, response: HTTPResponse, url: str, limit: int) -> bytes:
    """Read an answer, bounded in size and in time."""
    said = response.headers.get("Content-Length")
    if said is not None and said.isdecimal() and len(said) < 20 and int(said) > limit:  # noqa: PLR2004
        raise IntegrityError(f"{url} has {said} bytes; at most {limit} are read")
    ends = time.monotonic() + TIME_LIMIT
    pieces: list[bytes] = []
    size = 0
    for piece in _unpacked(wire.pieces(response), response.headers.get("Content-Encoding", "identity"), url):
        size += len(piece)
        if size > limit:
            raise IntegrityError(f"{url} has more than the {limit} bytes that it may have")
        if time.monotonic() > ends:
            raise UnavailableError(f"{url} did not end within {TIME_LIMIT:g} s", hint="try again later")
        pieces.append(piece)
    return b"".join(pieces)


def _unpacked(pieces: Iterator[bytes], how: str, url: str) -> Iterator[bytes]:
    """Give a body as it was before the server packed it for the way, never much at once."""
    if how.lower() == "identity":
        yield from pieces
        return
    if how.lower() not in {"gzip", "x-gzip"}:
        raise UnavailableError(f"{url} comes packed in a way that nobody asked for: {how[:40]!r}")
    unpacker = zlib.decompressobj(_GZIP)
    try:
        for piece in pieces:
            left = piece
            while left and not unpacker.eof:
                yield unpacker.decompress(left, _PIECE)
                left = unpacker.unconsumed_tail
    except zlib.error as error:
        raise UnavailableError(f"{url} is packed wrongly: {error}", hint="try again") from error
    if not unpacker.eof:
        raise UnavailableError(f"{url} ended before its end", hint="try again")
