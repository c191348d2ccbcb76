"""Serve the pages below /ui: addresses, forms, errors that say what to do, static files."""

from __future__ import annotations

import asyncio
import logging
import mimetypes
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from gitreg.errors import GitregError, InvalidError, NotFoundError
from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.pages import (
    acting,
    audit_page,
    browsing,
    deployment_pages,
    model_pages,
    rendering,
    sign_in,
    version_pages,
)
from gitreg.server.pages.site import MayError, NearError, Page, Site
from gitreg.server.problems import withhold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from concurrent.futures import Executor

    View = Callable[[Page], Response]
    Endpoint = Callable[[Request], Awaitable[Response]]

MAX_FORM = 64 << 10
MAX_FIELDS = 30
PATIENCE = 30.0
THREADS = 8
_log = logging.getLogger(__name__)
_FOREVER = {"cache-control": "public, max-age=31536000, immutable"}
_FORM = "application/x-www-form-urlencoded"

_MODEL = "/ui/models/{project}/{model}"
_LISTS: tuple[tuple[str, View], ...] = (
    ("/ui/models", browsing.models),
    ("/ui/search", browsing.search),
    ("/ui/environments", deployment_pages.environments),
    ("/ui/deployments", deployment_pages.timeline),
    ("/ui/approvals", deployment_pages.approvals),
)
_VIEWS: tuple[tuple[str, View], ...] = (
    (_MODEL, model_pages.overview),
    (f"{_MODEL}/versions", model_pages.versions),
    (f"{_MODEL}/metrics", model_pages.metrics),
    (f"{_MODEL}/deployments", model_pages.history),
    (f"{_MODEL}/diff", version_pages.diff),
    (f"{_MODEL}/versions/{{version}}", version_pages.version),
    ("/ui/audit", audit_page.audit),
)
_DEED = "/ui/actions/{deed}"


def pages(site: Site) -> Starlette:
    """Make the application of the pages; its routes begin with /ui, and the guard before it names the caller."""
    # Threads of their own: whoever waits for the writer holds up neither those who read nor the rest of the server.
    readers, deeds = (ThreadPoolExecutor(THREADS, f"gitreg-pages-{kind}") for kind in ("read", "write"))
    routes = [
        Route("/ui", _home),
        Route("/ui/", _home),
        Route("/ui/static/{name:path}", _static),
        Route("/ui/theme", _bound(site, sign_in.theme), methods=["POST"]),
        Route("/ui/sign-in", _bound(site, sign_in.show)),
        Route("/ui/sign-in", _bound(site, sign_in.start), methods=["POST"]),
        Route("/ui/sign-out", _bound(site, sign_in.end), methods=["POST"]),
        *(Route(path, _page(site, partial(_listed, view), readers)) for path, view in _LISTS),
        *(Route(path, _page(site, view, readers)) for path, view in _VIEWS),
        Route(_DEED, _page(site, acting.preview, deeds)),
        Route(_DEED, _page(site, acting.confirm, deeds), methods=["POST"]),
        Route("/ui/{rest:path}", _page(site, _nowhere, readers), methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes)


async def _home(_: Request) -> Response:
    return RedirectResponse("/ui/models", HTTPStatus.SEE_OTHER)


def _listed(view: View, page: Page) -> Response:
    """Say so to who may read no model, in place of lists that would look as if there were none."""
    if page.readable.nothing:
        return rendering.shown("closed.html", page)
    return view(page)


def _nowhere(page: Page) -> Response:
    raise NotFoundError(f"there is no page {page.request.url.path[:80]!r}", hint="the menu names those that there are")


def _bound(site: Site, view: Callable[[Site, Request, Mapping[str, str]], Awaitable[Response]]) -> Endpoint:
    """Read the form, then answer; what goes wrong is a page as well."""

    async def answer(request: Request) -> Response:
        try:
            return await view(site, request, await _form_of(request))
        except GitregError as error:
            return _refused(request, error, None)
        except Exception:  # noqa: BLE001 - the log has it whole, and people get a page
            _log.exception("a page could not be made")
            return _refused(request, _BugError(request.scope["state"].get("request_id")), None)

    return answer


def _page(site: Site, view: View, threads: Executor) -> Endpoint:
    """Answer in a thread: what a page asks is answered by files."""

    def answer(site: Site, request: Request, form: Mapping[str, str]) -> Awaitable[Response]:
        run = partial(copy_context().run, _answered, site, view, request, form)
        return asyncio.get_running_loop().run_in_executor(threads, run)

    return _bound(site, answer)


def _answered(site: Site, view: View, request: Request, form: Mapping[str, str]) -> Response:
    page: Page | None = None
    try:
        page = Page(site, request, form)
        if page.caller is None:
            return _to_sign_in(page)
        if request.method == "POST":
            site.authenticator.sessions.check_form(page.who, form.get("binding"))
        return view(page)
    except GitregError as error:
        return _refused(request, error, page)


def _to_sign_in(page: Page) -> Response:
    back = page.here if page.request.method == "GET" else "/ui/models"
    return RedirectResponse(f"/ui/sign-in?{urlencode({'next': back})}", HTTPStatus.SEE_OTHER)


async def _form_of(request: Request) -> dict[str, str]:
    """Read a form, which is small; InvalidError where it is none."""
    if request.method != "POST":
        return {}
    if request.headers.get("content-type", "").partition(";")[0].strip() != _FORM:
        raise InvalidError("this takes a form", hint="the pages send one; programs use the REST interface")
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.stream():
                data += piece
                if len(data) > MAX_FORM:
                    raise InvalidError(f"the form is larger than {MAX_FORM >> 10} KiB", hint="send less at once")
    except (TimeoutError, ClientDisconnect) as error:
        raise InvalidError("the form did not come in time", hint="send it again") from error
    try:
        pairs = parse_qsl(data.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise InvalidError("the form cannot be read", hint="load the page again") from error
    if len(found := dict(pairs)) < len(pairs):
        raise InvalidError("the form names a field twice", hint="load the page again")
    return found


async def _static(request: Request) -> Response:
    """Give a file of the pages; they are few and small, and read anew only where one is asked for by a new name."""
    name = request.path_params["name"]
    if name not in _files():
        raise HTTPException(HTTPStatus.NOT_FOUND)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Response(_files()[name], media_type=kind, headers=_FOREVER)


def _files() -> Mapping[str, bytes]:
    return rendering.static_files()


# What went wrong


class _BugError(GitregError):
    """gitreg itself is wrong: the log has the traceback, the page does not."""

    http_status = 500

    def __init__(self, request_id: str | None) -> None:
        named = f" the request's id, {request_id}" if request_id else " when it was"
        super().__init__(
            "something went wrong inside the server; look whether what you wanted is done",
            hint=f"tell the server's owner{named}: its log says more",
        )


def _refused(request: Request, error: GitregError, page: Page | None) -> Response:
    """Show an error as a page; a stranger who may yet say who they are is asked to."""
    if isinstance(error, UnauthenticatedError) and page is not None and (page.caller is None or not page.caller.user):
        return _to_sign_in(page)
    withhold(request.scope, error)
    status = HTTPStatus(error.http_status)
    values: dict[str, Any] = {
        "status": status.value,
        "title": _TITLES.get(status, status.phrase),
        "error": error,
        "near": error.near if isinstance(error, NearError) else [],
        "users": error.users if isinstance(error, MayError) else [],
        "more": error.more if isinstance(error, MayError) else 0,
    }
    return HTMLResponse(rendering.page("error.html", request, page, values), status)


_TITLES = {
    HTTPStatus.FORBIDDEN: "You may not do this",
    HTTPStatus.NOT_FOUND: "There is nothing here",
    HTTPStatus.UNPROCESSABLE_ENTITY: "This cannot be read",
    HTTPStatus.CONFLICT: "The registry says otherwise",
    HTTPStatus.PRECONDITION_FAILED: "It has changed since you looked",
    HTTPStatus.INTERNAL_SERVER_ERROR: "This went wrong",
    HTTPStatus.SERVICE_UNAVAILABLE: "Not now",
}
