"""Say what went wrong as problem details (RFC 9457), with the gate's violations."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from gitreg.errors import ConflictError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.names import ModelName
from gitreg.reader.snapshot import no_model
from gitreg.wire import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping

    from fastapi.exceptions import RequestValidationError
    from starlette.requests import Request

    from gitreg.server.auth.callers import Caller

    Scope = MutableMapping[str, Any]

KIND = "application/problem+json"
RETRY_AFTER = 2
NO_METHOD = 405
_LOG = logging.getLogger(__name__)
_SHOWN = 20
_HINTS = {
    404: "/openapi.json lists every path",
    NO_METHOD: "/openapi.json lists the methods of every path",
}


class TooLargeError(InvalidError):
    """A body is larger than any that is taken."""

    http_status = 413


class BadRequestError(InvalidError):
    """A request that is not even HTTP's or JSON's."""

    http_status = 400


class MediaTypeError(InvalidError):
    """A body that is not said to be JSON."""

    http_status = 415


class UnderwayError(ConflictError):
    """The very same is being done already: ask again in a moment."""


def withhold(scope: Scope, error: GitregError) -> None:
    """Take out of an error where things lie on this machine, which is for the log, and models not to be heard of."""
    serving = getattr(getattr(scope.get("app"), "state", None), "serving", None)
    if serving is None:
        return
    if isinstance(error, NotFoundError) and error.sought and error.resembles:
        error.hint = _near(error.sought, error.resembles, scope, serving)
    said = str(error)
    if serving.whereabouts.withheld(error):
        _LOG.warning("%s", said)


def _near(sought: str, nearest: str, scope: Scope, serving: Any) -> str | None:  # noqa: ANN401 - a Serving, which needs this module
    """Say which model may be meant, of those that the caller may read."""
    caller: Caller | None = scope["state"].get("caller")
    if caller is None:
        return None
    at = serving.registry.snapshot()
    readable = serving.readers.readable(at.access, caller)
    known = [nearest] if readable(ModelName.parse(nearest)) else map(str, filter(readable, at.models()))
    return no_model(sought, known).hint


def problem(request: Request, error: GitregError) -> Response:
    """Answer with an error."""
    withhold(request.scope, error)
    if error.violations:  # the gate has logged its refusal
        request.scope.setdefault("state", {})["logged"] = True
    headers = {}
    if isinstance(error, (UnavailableError, UnderwayError)):
        headers["retry-after"] = str(getattr(error, "retry_after", RETRY_AFTER))
    said = {"detail": error.message, "hint": error.hint, "violations": plain(list(error.violations) or _found(error))}
    return _response(request, error.http_status, said, headers)


def of_status(request: Request, status: int, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with a status that routing chose: no such path, or no such method."""
    said: dict[str, Any] = {"detail": HTTPStatus(status).phrase, "hint": _HINTS.get(status), "violations": []}
    return _response(request, status, said, dict(headers or {}))


def invalid(request: Request, error: RequestValidationError) -> Response:
    """Answer with what is wrong in a request's fields, at most so many of them; or in the form of the whole body."""
    found = error.errors()
    if formless := _formless(request, found[0]):
        return problem(request, formless)
    rows = [_row(each) for each in found[:_SHOWN]]
    said = {
        "detail": rows[0]["message"] if len(rows) == 1 else "the request has fields that are not right",
        "hint": "/openapi.json says what each request takes",
        "violations": rows,
    }
    return _response(request, HTTPStatus.UNPROCESSABLE_ENTITY, said, {})


def _formless(request: Request, error: Mapping[str, Any]) -> InvalidError | None:
    """Tell a body that is not JSON, or is not said to be, from one whose fields are wrong."""
    if error["type"] == "json_invalid":
        what, place = error["ctx"]["error"], error["loc"][-1]
        return BadRequestError(f"the body is no JSON: {what} at character {place}", hint="send one object: {…}")
    is_json = "json" in request.headers.get("content-type", "").lower()
    if tuple(error["loc"]) == ("body",) and isinstance(error.get("input"), bytes) and not is_json:
        return MediaTypeError("the body is not said to be JSON", hint="send Content-Type: application/json")
    return None


def _row(error: Mapping[str, Any]) -> dict[str, str]:
    """Say what is wrong with one field, or with a rule about the whole body."""
    place, *names = (str(part) for part in error["loc"])
    field = ".".join(names)
    message = error["msg"].removeprefix("Value error, ")
    return {"code": "request-invalid", "path": place, "field": field, "message": f"{field or place}: {message}"}


def bug(request: Request, _: Exception) -> Response:
    """Answer where gitreg itself is wrong: the log has the traceback, the caller does not."""
    said = {
        "detail": "something went wrong inside the server; nothing that was not answered can be relied on",
        "hint": "tell the server's owner the request_id: its log says more",
        "violations": [],
    }
    return _response(request, HTTPStatus.INTERNAL_SERVER_ERROR, said, {})


def _found(error: GitregError) -> list[Mapping[str, object]]:
    """Give the problems of an error that the gate did not raise."""
    return [{"code": "invalid", "message": str(each), **plain(each)} for each in error.problems]


def _response(request: Request, status: int, said: Mapping[str, Any], headers: dict[str, str]) -> Response:
    state = request.scope.get("state", {})
    phrase = HTTPStatus(status).phrase
    body = {"type": "about:blank", "title": phrase, "status": status, **said, "request_id": state.get("request_id")}
    data = json.dumps(body).encode()
    return Response(data, status, headers, KIND)
