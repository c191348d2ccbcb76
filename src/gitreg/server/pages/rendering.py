"""Turn values into HTML: templates that escape everything, and the few words that they share."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from gitreg.access import Action
from gitreg.index.language import quoted
from gitreg.quantities import human_size, signed
from gitreg.reader.history import iso

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from gitreg.server.pages.site import Page

HERE = Path(__file__).parent
STATIC = HERE / "static"
THEMES = ("auto", "light", "dark")
THEME = "gitreg-theme"
_SHORT = 12


class Fields(dict[str, str]):
    """What a form or a query said; what it did not say is empty."""

    def __missing__(self, key: str) -> str:
        """Give nothing."""
        return ""


@cache
def templates() -> Environment:
    """Load the templates once."""
    found = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "size": human_size,
        "number": number,
        "signed": signed,
        "moment": moment,
        "count": lambda value: f"{value:,}",
        "short": short,
        "quoted": quoted,
        "shape": shape,
        "value": value_text,
        "iso": iso,
    }
    found.globals |= {"model_url": model_url, "version_url": version_url, "url": url, "asset": asset, "themes": THEMES}
    return found


def number(value: object) -> str:
    """Write a number shortly, without losing what tells two of them apart."""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def moment(text: str) -> str:
    """Write an RFC 3339 time in UTC for people, to the minute."""
    return text[:16].replace("T", " ")


def short(text: object) -> str:
    """Cut a digest or an oid to what people compare."""
    return str(text).removeprefix("sha256:")[:_SHORT]


def shape(sizes: list[int | str | None]) -> str:
    """Write a tensor's shape; what varies is a question mark."""
    return " \N{MULTIPLICATION SIGN} ".join("?" if each in {None, -1} else str(each) for each in sizes) or "scalar"


def value_text(value: object) -> str:
    """Write any value of a manifest on one line."""
    if value is None:
        return ""
    if isinstance(value, dict):
        return ", ".join(f"{key} {_member(key, each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return "; ".join(map(value_text, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return number(value)


def _member(key: object, value: object) -> str:
    if key == "digest":
        return short(value)
    return human_size(value) if key == "size" and isinstance(value, int) else value_text(value)


def url(path: str, **fields: object) -> str:
    """Write an address with a query; fields that are None or empty are left out."""
    kept = {key: str(value) for key, value in fields.items() if value is not None and value != ""}
    return f"{path}?{urlencode(kept)}" if kept else path


def model_url(name: object, part: str = "") -> str:
    """Name the page of a model, or a part of it."""
    return f"/ui/models/{quote(str(name))}" + (f"/{part}" if part else "")


def version_url(name: object, version: object) -> str:
    """Name the page of a version."""
    return f"/ui/models/{quote(str(name))}/versions/{quote(str(version), safe='')}"


@cache
def asset(name: str) -> str:
    """Name a static file by its path and its content, so that browsers may keep it for ever."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:_SHORT]
    return f"/ui/static/{name}?v={digest}"


@cache
def static_files() -> Mapping[str, bytes]:
    """Read the static files, which are few and small, by their paths."""
    return {str(path.relative_to(STATIC)): path.read_bytes() for path in STATIC.rglob("*") if path.is_file()}


def theme_of(request: Request) -> str:
    """Tell which colours a browser asked for."""
    wanted = request.cookies.get(THEME, "")
    return wanted if wanted in THEMES else THEMES[0]


def page(name: str, request: Request, of: Page | None, values: Mapping[str, Any]) -> str:
    """Fill in a template, with what stands around every page; `of` is None where nothing of the registry is known."""
    caller = of.caller if of else request.scope["state"]["caller"]
    around = {
        "registry": of.at.settings.name if of else "gitreg",
        "commit": of.at.commit if of else None,
        "user": caller.user if caller else None,
        "is_session": caller is not None and caller.is_session,
        "is_admin": of is not None and caller is not None and of.may(Action.ADMIN, None),
        "binding": of.binding if of else "",
        "theme": theme_of(request),
        "path": request.url.path,
        "here": of.here if of else "/ui/models",
        "done": of.done if of else None,
    }
    return templates().get_template(name).render({**around, **values})


def shown(template: str, of: Page, status: int = 200, /, **values: object) -> Response:
    """Answer with a page."""
    return HTMLResponse(page(template, of.request, of, values), status)
