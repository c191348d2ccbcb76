"""Hold requests to what a route takes: no parameter that it does not know, no key twice; HEAD wherever there is GET."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.routing import Match, Route

from gitreg.errors import InvalidError
from gitreg.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from fastapi.dependencies.models import Dependant
    from starlette.requests import Request
    from starlette.responses import Response

_SHOWN = 80


class StrictRoute(APIRoute):
    """A route that refuses query parameters which it does not take: a filter that is mistyped would filter nothing.

    Nor does it take a body that says two things of one key.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Look at the names before anything is done."""
        handle = super().get_route_handler()
        known = frozenset(_queried(self.dependant))
        takes_json = self.body_field is not None

        async def checked(request: Request) -> Response:
            if request.scope["query_string"]:
                _check(request.query_params.keys() - known, known)
            if takes_json:
                with suppress(ValueError, RecursionError):  # the framework says what is wrong
                    parsed(await request.body())
            return await handle(request)

        return checked


def _queried(dependant: Dependant) -> list[str]:
    """Name the query parameters of a route, and of what it depends on."""
    below = [name for each in dependant.dependencies for name in _queried(each)]
    return [field.alias for field in dependant.query_params] + below


def _check(unknown: set[str], known: frozenset[str]) -> None:
    if not unknown:
        return
    name = min(unknown)
    near = did_you_mean(name[:_SHOWN], known)
    taken = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
    raise InvalidError(
        f"there is no query parameter {name[:_SHOWN]!r} here", hint=f"did you mean {near}?" if near else taken
    )


def parsed(body: bytes) -> Any:  # noqa: ANN401 - whatever JSON says
    """Read a body as JSON; InvalidError where a key stands twice in one object, ValueError where it is none."""
    return json.loads(body, object_pairs_hook=_once)


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
