"""Say what this server is, and where its interface is described."""

from __future__ import annotations

from html import escape

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from gitreg import __version__
from gitreg.server.answers import answer, encoded
from gitreg.server.rest.routes import StrictRoute

router = APIRouter(route_class=StrictRoute)
_SEE_OTHER = 303


@router.get("/", tags=["about"], summary="What this is")
def about(request: Request) -> Response:
    """Say which registry this is, and at which commit; a browser is sent to the pages."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/ui/", _SEE_OTHER)
    said = {"service": "gitreg", "version": __version__, "git": "/registry.git"}
    if request.scope.get("state", {}).get("caller") is None:
        return Response(encoded(said), media_type="application/json")
    at = request.app.state.serving.registry.snapshot()
    return answer({**said, "registry": at.settings.name, "commit": at.commit}, at.commit)


@router.get("/openapi.json", tags=["about"], summary="This description")
def described(request: Request) -> Response:
    """Describe the interface, as OpenAPI 3.1."""
    return Response(encoded(request.app.openapi()), media_type="application/json")


@router.get("/docs", tags=["about"], summary="This description, to read")
def shown(request: Request) -> Response:
    """List the requests that there are, as a page; tools read /openapi.json."""
    document = request.app.openapi()
    rows = [
        f"<tr><td><code>{method.upper()} {escape(path)}</code></td><td>{escape(each['summary'])}</td></tr>"
        for path, found in document["paths"].items()
        for method, each in found.items()
    ]
    title = f"gitreg {escape(__version__)}: REST"
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1>'
        f'<p>Each is described in <a href="/openapi.json">openapi.json</a>.</p><table>{"".join(rows)}</table></html>'
    )
