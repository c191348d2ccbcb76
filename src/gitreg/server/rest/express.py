"""Answer what machines ask all day in front of the framework, which takes longer to find a route than the answer does.

Whatever is unusual about such a request goes the framework's way, and so has its answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from gitreg.errors import GitregError
from gitreg.git.waiting import NotAtHandError, at_hand
from gitreg.layout import deployment_path, model_path, version_path
from gitreg.names import EnvironmentName
from gitreg.server import problems
from gitreg.server.rest import inputs, reading, writing
from gitreg.server.rest.asking import Asking
from gitreg.server.rest.routes import parsed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from starlette.responses import Response

    from gitreg.names import Selector
    from gitreg.reader import Snapshot
    from gitreg.server.serving import Serving

    Message = MutableMapping[str, Any]
    Scope = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Scope, Receive, Send], Awaitable[None]]
    Answer = Callable[[Request], Awaitable[Response | None]]

_JSON = "application/json"
_LONGEST = {"model": 130, "version": 128}


class Express:
    """Wrap the framework's application."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        answer = _ANSWERS.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if answer is None:
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await answer(request)
        except GitregError as error:
            response = problems.problem(request, error)
        if response is None:
            await self._app(scope, _again(request, receive), send)
        else:
            scope["state"]["route"] = scope["path"]
            await response(scope, receive, send)


def _again(request: Request, receive: Receive) -> Receive:
    """Give a body that was read once more."""
    body = getattr(request, "_body", None)
    if body is None:
        return receive
    given: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return given.pop() if given else await receive()

    return again


# Reading


async def _version(request: Request) -> Response | None:
    """Answer out of what is in memory; what is not there is read first, once for all who ask for it meanwhile."""
    asked = _asked(request.scope["query_string"])
    if asked is None:
        return None
    model, version = asked["model"], asked.get("version", "latest")
    serving: Serving = request.app.state.serving
    for _ in range(2):
        try:
            with at_hand():
                found = _at_once(request, model, version)
        except NotAtHandError as error:
            await serving.lacking.read(serving.registry, error.wanted)
        else:
            if found is not None:
                return found
            break
    return await run_in_threadpool(reading.get_version, request, model, version)


def _at_once(request: Request, model: str, version: str) -> Response | None:
    """Answer what a few files tell; None where there is more to go through, to find a version or what is like it.

    Whether one may read the model is asked first: who may not is not told even by the time it takes.
    """
    asking = Asking(request)
    is_known = _is_known(asking.at, asking.parsed(f"{model}@{version}"))
    return reading.get_version(request, model, version) if is_known else None


def _is_known(at: Snapshot, selector: Selector) -> bool:
    """Whether one file says which version is meant."""
    if selector.version is not None:
        return at.plain(version_path(selector.model, selector.version)) is not None
    described, name = at.plain(model_path(selector.model)), selector.what or "latest"
    if described is None or selector.version_range is not None or not EnvironmentName.is_one(name):
        return False
    is_alias = name in (described.data.get("aliases") or {})
    return is_alias or at.plain(deployment_path(EnvironmentName(name), selector.model)) is not None


def _asked(query: bytes) -> dict[str, str] | None:
    """Read the two parameters; None where there are others, or something is wrong with them."""
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=len(_LONGEST))
    except ValueError:
        return None
    found = dict(pairs)
    is_usual = len(found) == len(pairs) and "@" not in found.get("model", "@")
    return found if is_usual and all(0 < len(text) <= _LONGEST.get(name, 0) for name, text in pairs) else None


# Writing


async def _register(request: Request) -> Response | None:
    body = await _body(request)
    return await writing.register(request, body) if body else None


async def _register_further(request: Request) -> Response | None:
    body = await _body(request)
    return await writing.register_further(request, body) if body else None


async def _body(request: Request) -> inputs.Register | None:
    """Read what is to be registered; None where it is not that, and the framework says what is wrong."""
    is_packed = "content-encoding" in request.headers
    if is_packed or request.scope["query_string"] or request.headers.get("content-type") != _JSON:
        return None
    try:
        return inputs.Register.model_validate(parsed(await request.body()))
    except (ValidationError, ValueError, RecursionError):
        return None


_ANSWERS: dict[tuple[str, str], Answer] = {
    ("GET", "/models/version"): _version,
    ("POST", "/models/version"): _register_further,
    ("POST", "/models/register"): _register,
}
