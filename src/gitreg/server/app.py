"""Put the rooms of the server together as one ASGI application.

From outside: `operations.requests.Observed` (request id, log, metrics) → `operations.replica.Replica`, where another
server takes the writes → `auth.guard.Guard` (who calls; it leaves `caller` in the request's `state`) →
`bounded.Bounded` (bodies) → the routes. A room offers what it serves as Starlette routes or as an ASGI application:
`rest` its routers, `pages.app.pages(site)` below /ui, `githttp.GitHttp` below /registry.git, `operations.routes`. What
they share is `serving.Serving`, which REST's routes find as `request.app.state.serving`.
"""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from gitreg import __version__
from gitreg.errors import GitregError
from gitreg.server import problems
from gitreg.server.auth.guard import GIT, Guard
from gitreg.server.bounded import Bounded
from gitreg.server.githttp import GitHttp
from gitreg.server.operations.readiness import Readiness, probes
from gitreg.server.operations.replica import Replica
from gitreg.server.operations.requests import Observed
from gitreg.server.operations.routes import routes as operations
from gitreg.server.operations.tracing import Tracing
from gitreg.server.pages.app import pages
from gitreg.server.pages.site import Site
from gitreg.server.places import shared
from gitreg.server.rest import openapi, routers
from gitreg.server.rest.express import Express
from gitreg.server.rest.routes import allowed
from gitreg.server.turns import Bounds, Turns

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from fastapi import APIRouter
    from starlette.requests import Request
    from starlette.responses import Response

    from gitreg.server.serving import Serving

    Scope = MutableMapping[str, Any]
    Message = MutableMapping[str, Any]
    App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]


def create_app(serving: Serving) -> App:
    """Make the application of one registry's server. It closes what it serves when it is stopped."""
    git = GitHttp(
        serving.git_dir,
        lambda: serving.registry.snapshot().access,
        heard=serving.meters.git_ended,
        turns=Turns(Bounds(), shared(serving.together, "git")),
    )

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await git.close()
        serving.close()

    inside = FastAPI(
        title="gitreg", version=__version__, lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None
    )
    inside.state.serving = serving
    inside.router.redirect_slashes = False
    inside.add_middleware(Express)
    served = routers()
    _speak_in_problems(inside, served)
    for router in served:
        inside.include_router(router)
    inside.openapi = lambda: openapi.document(inside)  # type: ignore[method-assign] # FastAPI's own way
    ready = Readiness(
        probes(
            serving.git_dir,
            lambda: serving.registry.store,
            remembers=serving.remembered.check,
            is_replica=serving.primary is not None,
        )
    )
    inside.router.routes += [
        *operations(ready, serving.meters),
        Mount(GIT, git),
        *pages(_site(serving)).routes,
    ]
    guarded: App = Guard(Bounded(inside), serving.authenticator, serving.refusals, together=serving.together)
    if serving.primary is not None:
        guarded = Replica(guarded, serving.primary)
    return Observed(guarded, serving.meters, Tracing())


def from_environment() -> App:
    """Make the application of a worker process, which its environment tells what to serve."""
    import os

    from gitreg.server.operations.logs import configure
    from gitreg.server.operations.worker import end_with_parent
    from gitreg.server.serving import open_serving

    end_with_parent()
    configure(os.environ.get("GITREG_SERVE_LOG_FORMAT", "json"), os.environ.get("GITREG_SERVE_LOG_LEVEL", "info"))
    together = os.environ.get("GITREG_SERVE_TOGETHER")
    return create_app(
        open_serving(os.environ["GITREG_SERVE_PATH"], is_apart=True, together=Path(together) if together else None)
    )


def _site(serving: Serving) -> Site:
    return Site(
        registry=serving.registry,
        git_dir=serving.git_dir,
        authenticator=serving.authenticator,
        writer=serving.writer,
        readers=serving.readers,
        heard=serving.meters.wrote,
    )


def _speak_in_problems(app: FastAPI, served: tuple[APIRouter, ...]) -> None:
    """Answer every error as problem details."""

    @app.exception_handler(GitregError)
    async def known(request: Request, error: Exception) -> Response:
        assert isinstance(error, GitregError)  # noqa: S101 - for the type checker: it is registered so
        return problems.problem(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return problems.invalid(request, error)

    @app.exception_handler(HTTPException)
    async def routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        headers = dict(error.headers or {})
        if methods := error.status_code == problems.NO_METHOD and allowed(served, request.url.path):
            headers["Allow"] = ", ".join(methods)
        return problems.of_status(request, error.status_code, headers)

    app.add_exception_handler(Exception, problems.bug)
