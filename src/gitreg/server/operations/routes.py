"""Answer what machines ask a server about itself: /healthz, /readyz, /metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

    from gitreg.server.operations.metrics import Meters
    from gitreg.server.operations.readiness import Readiness

_NOT_READY, _UNKNOWN = 503, 400


def routes(readiness: Readiness, meters: Meters) -> list[Route]:
    """Give the routes; the first two tell strangers nothing but yes and no."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        excluded = request.query_params.getlist("exclude")
        if not set(excluded) <= set(readiness.names):
            return JSONResponse({"checks": list(readiness.names)}, _UNKNOWN)
        found = {each.name: each.fine for each in await readiness.checks() if each.name not in excluded}
        is_ready = all(found.values())
        return JSONResponse({"ready": is_ready, "checks": found}, 200 if is_ready else _NOT_READY)

    async def metrics(_: Request) -> Response:
        text, kind = meters.text()
        return Response(text, media_type=kind)

    return [Route(f"/{each.__name__}", each, methods=["GET"]) for each in (healthz, readyz, metrics)]
