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
_NOT_MODIFIED = 304
_MOST_TAGS = 64


def encoded(value: object) -> bytes:
    """Write JSON; what is no number in JSON does not get in."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode("utf-8", "replace")


def answer(value: object, commit: str, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a value of the registry at a commit, which is the answer's ETag as well."""
    found = {COMMIT: commit, "ETag": f'"{commit}"', **(headers or {})}
    return Response(encoded(plain(value)), status, found, media_type="application/json")


def page(items: list[Any], following: str | None, commit: str) -> Response:
    """Answer with a part of a list, and the cursor of the next one."""
    return answer({"items": items, "next": following}, commit)


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
