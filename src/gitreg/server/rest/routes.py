"""Hold requests to what a route takes: no parameter that it does not know, no key twice; HEAD wherever there is GET."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any, get_origin

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match, Route

from gitreg.errors import InvalidError
from gitreg.names import did_you_mean
from gitreg.server.answers import fresh
from gitreg.server.problems import BadRequestError, MediaTypeError
from gitreg.wire import MAX_DEPTH

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from fastapi._compat import ModelField
    from fastapi.dependencies.models import Dependant
    from starlette.datastructures import QueryParams
    from starlette.requests import Request
    from starlette.responses import Response

_SHOWN = 80


class StrictRoute(APIRoute):
    """A route that refuses query parameters which it does not take: a filter that is mistyped would filter nothing.

    Nor does it take a query or a body that says two things of one name, or a body that is packed. What the client says
    it has is not sent again.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look at the names before anything is done."""
        handle = super().get_route_handler()
        known = {field.alias: field for field in _queried(self.dependant)}
        several = frozenset(name for name, field in known.items() if get_origin(field.field_info.annotation) is list)
        takes_json = self.body_field is not None

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                _check(request.query_params.keys() - known.keys(), known)
                _check_once(request.query_params, several)
            if takes_json:
                _check_plain(request)
                with suppress(ValueError):  # the framework says what is wrong
                    parsed(await request.body())
            return fresh(request, await handle(request))

        return checked


def _queried(dependant: Dependant) -> list[ModelField]:
    """Give the query parameters of a route, and of what it depends on."""
    below = [field for each in dependant.dependencies for field in _queried(each)]
    return [*dependant.query_params, *below]


def _check_once(query: QueryParams, several: frozenset[str]) -> None:
    """Refuse a query that names twice what counts once: which of the two is meant nobody can know."""
    named = Counter(name for name, _ in query.multi_items() if name not in several)
    if twice := next((name for name, often in named.items() if often > 1), None):
        raise InvalidError(f"the query names {twice[:_SHOWN]!r} twice", hint="say it once: which of the two is meant?")


def _check_plain(request: Request) -> None:
    how = request.headers.get("content-encoding", "identity")
    if how.strip().lower() != "identity":
        raise MediaTypeError(f"the body is packed by {how[:_SHOWN]!r}", hint="send the JSON as it is")


def _check(unknown: set[str], known: Mapping[str, object]) -> None:
    if not unknown:
        return
    name = min(unknown)
    near = did_you_mean(name[:_SHOWN], known)
    taken = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
    raise InvalidError(
        f"there is no query parameter {name[:_SHOWN]!r} here", hint=f"did you mean {near}?" if near else taken
    )


def parsed(body: bytes) -> Any:  # noqa: ANN401 - whatever JSON says
    """Read a body as JSON; ValueError where it is none.

    InvalidError where a key stands twice in one object, or it goes deeper than any file of a registry.
    """
    try:
        found = json.loads(body, object_pairs_hook=_once)
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        what = "is not UTF-8" if isinstance(error, UnicodeError) else "has a number of thousands of digits"
        raise BadRequestError(f"the body {what}", hint="send JSON that others can read as well") from error
    if body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _check_depth(found)
    return found


def _check_depth(value: object) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [inner for each in level for inner in _inside(each)]
        if not level:
            return
    raise _too_deep()


def _inside(value: object) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> InvalidError:
    return InvalidError(f"the body goes more than {MAX_DEPTH} lists and objects deep", hint="flatten it")


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InvalidError(
            f"the body names {twice[:_SHOWN]!r} twice in one object", hint="say it once: which of the two is meant?"
        )
    return found


def heads(routers: Iterable[APIRouter]) -> APIRouter:
    """Answer HEAD as GET, for each route that has it; the body stays here (RFC 9110, 9.3.2)."""
    made = APIRouter(route_class=StrictRoute)
    for route in _routes(routers):
        if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
            made.add_api_route(
                route.path,
                route.endpoint,
                methods=["HEAD"],
                dependencies=route.dependencies,
                include_in_schema=False,
            )
    return made


def allowed(routers: Iterable[APIRouter], path: str) -> list[str]:
    """Name the methods that a path takes (RFC 9110, 15.5.6)."""
    scope = {"type": "http", "method": "", "path": path, "root_path": "", "headers": []}
    fitting = (each for each in _routes(routers) if each.matches(scope)[0] is not Match.NONE)
    return sorted({method for each in fitting for method in each.methods or ()})


def _routes(routers: Iterable[APIRouter]) -> list[Route]:
    return [each for router in routers for each in router.routes if isinstance(each, Route)]
