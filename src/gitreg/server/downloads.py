"""Give files out: from the store itself by a signed URL, or streamed, whole or a range of them."""

from __future__ import annotations

import base64
import logging
import re
from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response, StreamingResponse

from gitreg.errors import GitregError, IntegrityError, NotFoundError, UnavailableError
from gitreg.objects.faults import NoStoreError
from gitreg.objects.ranges import Ranges
from gitreg.server.answers import tags_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from starlette.requests import Request

    from gitreg.digest import Digest
    from gitreg.manifest import Artifact
    from gitreg.objects import Store
    from gitreg.objects.recipes import Layout

SIGNED_FOR = 900  # seconds
_LOG = logging.getLogger(__name__)
_FOUND = 307
_PARTIAL = 206
_NOT_MODIFIED = 304
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class RangeError(GitregError):
    """A range that the file does not have."""

    http_status = 416


def download(request: Request, store: Store, artifact: Artifact, *, signs: bool, told: Mapping[str, str]) -> Response:
    """Answer with the bytes of a file; one range of them, where one is asked for. Nothing is held in memory.

    What the caller has `told` stands in the headers of each answer. A store that has another number of bytes than the
    manifest says is damaged, which can still be said before the first of them.
    """
    digest = artifact.digest
    headers = {**_headers(digest), **told}
    if {"*", str(digest)} & tags_of(request):
        return Response(None, _NOT_MODIFIED, {"ETag": headers["ETag"], **told})
    if signs and (url := _signed(store, digest)):
        return RedirectResponse(url, _FOUND, {**told, "Cache-Control": "no-store"})
    layout, where = _found(store, artifact)
    span = _span(request, digest, layout.size)
    status, (begin, end) = (200, (0, layout.size)) if span is None else (_PARTIAL, span)
    headers["Content-Length"] = str(end - begin)
    if span is not None:
        headers["Content-Range"] = f"bytes {begin}-{end - 1}/{layout.size}"
    if request.method == "HEAD":
        return Response(None, status, headers, media_type="application/octet-stream")
    body = _whole(store, digest) if span is None else _pieces(Ranges(layout, where.bucket), begin, end)
    return StreamingResponse(body, status, headers, media_type="application/octet-stream")


def _headers(digest: Digest) -> dict[str, str]:
    """Say which bytes these are (RFC 9530); a browser must not show them as a page."""
    number = base64.b64encode(bytes.fromhex(digest.hex)).decode()
    return {
        "ETag": f'"{digest}"',
        "Repr-Digest": f"sha-256=:{number}:",
        "Accept-Ranges": "bytes",
        "Content-Disposition": "attachment",
    }


def _each(store: Store) -> tuple[Store, ...]:
    found: tuple[Store, ...] = getattr(store, "all", (store,))
    return found


def _signed(store: Store, digest: Digest) -> str | None:
    from gitreg.objects.signing_urls import signed_url

    return signed_url(_each(store)[0], digest, SIGNED_FOR)


def _found(store: Store, artifact: Artifact) -> tuple[Layout, Store]:
    """Find where the bytes lie, in the store or one of its mirrors."""
    missing: GitregError | None = None
    for each in _each(store):
        try:
            layout = each.layout(artifact.digest)
        except GitregError as error:
            missing = missing or error
            continue
        if layout.size == artifact.size:
            return layout, each
        missing = IntegrityError(f"{each.uri} has {layout.size} bytes of it, and its manifest says {artifact.size}")
    raise untold(missing or NotFoundError("it is nowhere"), f"the file {artifact.digest}")


def untold(error: GitregError, what: str = "the file") -> GitregError:
    """Say of a store's error what its kind is; where on this machine, is for the log and no reader."""
    _LOG.warning("%s: %s", what, error)
    if isinstance(error, IntegrityError):
        return IntegrityError(f"{what} is damaged in the store", hint="whoever keeps the registry runs gitreg fsck")
    if isinstance(error, NotFoundError) and not isinstance(error, NoStoreError):
        return NotFoundError(f"{what} is not in the store", hint="whoever keeps the registry runs gitreg fsck")
    return UnavailableError("the store of the files cannot be reached now", hint="try again in a while")


def _whole(store: Store, digest: Digest) -> Iterator[bytes]:
    """Give all bytes, verified: where they are wrong the answer breaks off before its end."""
    with store.open(digest) as file:
        while piece := file.read(1 << 18):
            yield piece


def _pieces(ranges: Ranges, begin: int, end: int) -> Iterator[bytes]:
    for _, piece in ranges.read(begin, end):
        yield bytes(piece)


def _span(request: Request, digest: Digest, size: int) -> tuple[int, int] | None:
    """Read Range and If-Range (RFC 9110, 14): one range of bytes; what is not understood is as if it were not there."""
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    if match is None or not any(match.groups()):
        return None
    if (wanted := request.headers.get("if-range")) is not None and wanted.strip() != f'"{digest}"':
        return None
    first, last = match.groups()
    if not first:
        begin, end = max(size - int(last), 0), size
    else:
        begin, end = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < int(first):
            return None
    if begin >= size or begin >= end:
        raise RangeError(f"the file has {size} bytes, and the range is none of them", hint="leave out Range")
    return begin, end
