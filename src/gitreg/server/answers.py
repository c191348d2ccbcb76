"""Answer a request with JSON: which commit it is of, and nothing where the client has it already."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from gitreg.wire import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

COMMIT = "Gitreg-Commit"
_OK, _NOT_MODIFIED = 200, 304
_MOST_TAGS = 64


def encoded(value: object) -> bytes:
    """Write JSON; what is no number in JSON does not get in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def answer(value: object, commit: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a value of the registry at a commit, which is the answer's ETag as well."""
    return untagged(value, commit, status=status, headers={"ETag": f'"{commit}"', **(headers or {})})


def untagged(value: object, commit: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with what may be another at the same commit."""
    return Response(encoded(plain(value)), status, {COMMIT: commit, **(headers or {})}, media_type="application/json")


def page(items: list[Any], following: str | None, commit: str, *, tag: str | None = None) -> Response:
    """Answer with a part of a list, and the cursor of the next one; its ETag is the commit where nothing else is."""
    return answer({"items": items, "next": following}, commit, headers={"ETag": f'"{tag or commit}"'})


def fresh(request: Request, response: Response) -> Response:
    """Give 304 in place of an answer that the client has; whoever can tell before it is made has done so."""
    tag = response.headers.get("etag")
    if tag is None or request.method not in {"GET", "HEAD"} or response.status_code != _OK:
        return response
    return unchanged(request, tag.strip('"'), response.headers.get(COMMIT)) or response


def unchanged(request: Request, tag: str, commit: str | None = None) -> Response | None:
    """Answer 304 where the client has what the tag names (RFC 9110, 13.1.2); it is so at a commit, else at the tag."""
    tags = tags_of(request)
    if "*" not in tags and tag not in tags:
        return None
    return Response(None, _NOT_MODIFIED, {"ETag": f'"{tag}"', COMMIT: commit or tag})


def tags_of(request: Request) -> set[str]:
    """Read what If-None-Match names, without quotes."""
    asked = request.headers.get("if-none-match")
    if asked is None:
        return set()
    return {each.strip().removeprefix("W/").strip('"') for each in asked.split(",", _MOST_TAGS)}
