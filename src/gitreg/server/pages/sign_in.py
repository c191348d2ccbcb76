"""Sign in to the pages with a token, and out; choose their colours."""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse, Response

from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.auth.peers import address_of
from gitreg.server.pages import rendering

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from gitreg.errors import GitregError
    from gitreg.server.pages.site import Site

_HOME = "/ui/models"
_YEAR = 365 * 86_400
_MOST = 4000


async def show(_: Site, request: Request, __: Mapping[str, str]) -> Response:
    """Show the form."""
    return _form(request, _own(request.query_params.get("next")), None)


async def start(site: Site, request: Request, form: Mapping[str, str]) -> Response:
    """Begin a session with a token."""
    following = _own(form.get("next"))
    authenticator = site.authenticator
    try:
        address = address_of(request.scope, authenticator.settings)
        caller = await authenticator.by_token(form.get("token", "").strip(), address)
    except UnauthenticatedError as error:
        return _form(request, following, request.scope["state"]["failed"]() or error)
    answer = RedirectResponse(following, HTTPStatus.SEE_OTHER)
    secure = request.scope["state"]["secure"]
    answer.headers.append("set-cookie", authenticator.sessions.start(caller, time.time(), secure=secure))
    return answer


async def end(site: Site, request: Request, form: Mapping[str, str]) -> Response:
    """End a session."""
    caller = request.scope["state"]["caller"]
    if caller is not None and caller.user is not None:
        site.authenticator.sessions.check_form(caller, form.get("binding"))
    answer = RedirectResponse("/ui/sign-in", HTTPStatus.SEE_OTHER)
    secure = request.scope["state"]["secure"]
    answer.headers.append("set-cookie", site.authenticator.sessions.end(secure=secure))
    return answer


def _form(request: Request, following: str, error: GitregError | None) -> Response:
    values = {"next": following, "error": error}
    status = error.http_status if error else HTTPStatus.OK
    return HTMLResponse(rendering.page("sign-in.html", request, None, values), status)


def _own(text: str | None) -> str:
    """Take a way back only where it leads to a page of this server."""
    is_own = text is not None and text.startswith("/ui/") and len(text) <= _MOST and text.isprintable()
    return text if text is not None and is_own and "\\" not in text else _HOME


async def theme(_: Site, __: Request, form: Mapping[str, str]) -> Response:
    """Remember in the browser which colours somebody likes; it says nothing of who they are."""
    answer = RedirectResponse(_own(form.get("next")), HTTPStatus.SEE_OTHER)
    wanted = form.get("theme")
    if wanted in rendering.THEMES:
        answer.set_cookie(rendering.THEME, wanted, max_age=_YEAR, path="/ui", httponly=True, samesite="lax")
    return answer
