"""List models, and find versions by the search language."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.index.pages import Query
from gitreg.registry.search import Found
from gitreg.registry.search import search as registry_search
from gitreg.server.pages import listing
from gitreg.server.pages.rendering import Fields, shown, url

if TYPE_CHECKING:
    from starlette.responses import Response

    from gitreg.server.pages.site import Page

MAX_QUERY = 2000
# What makes a condition of it; everything else is words to look for.
_CONDITION = re.compile(r"[<>=~()'\"`]|\s(in|like|ilike)\s", re.IGNORECASE)
_EXAMPLES = (
    ("metrics.accuracy > 0.95", "better than a measure"),
    ("deployed('prod')", "what runs in an environment"),
    ("labels.team = vision and lifecycle = active", "by labels and lifecycle"),
    ("created >= 2026-10 and format = onnx", "new, and of a format"),
    ("dataset = ledger", "trained on a data set"),
    ("text('handwritten digit')", "by words of descriptions and cards"),
)


def models(page: Page) -> Response:
    """List the models."""
    wanted = {key: value[:MAX_QUERY] for key, value in page.query.items()}
    found = page.ask(lambda connection: listing.models(connection, page.readable, wanted))
    projects = page.ask(lambda connection: listing.projects(connection, page.readable))
    following = {**wanted, "after": found.next}
    return shown(
        "models.html",
        page,
        found=found,
        wanted=Fields(wanted),
        projects=projects,
        total=sum(count for _, count in projects),
        environments=[rule.name for rule in page.rules],
        next=url("/ui/models", **following) if found.next else None,
        first=url("/ui/models", **{**wanted, "after": None}) if "after" in wanted else None,
    )


class Mistake(NamedTuple):
    """What is wrong with a condition, what to write, and the line with a caret under the place."""

    message: str
    hint: str | None
    pointed: tuple[str, ...]


def search(page: Page) -> Response:
    """Find versions by conditions, or models by words."""
    text = page.query.get("q", "")[:MAX_QUERY]
    order, cursor = page.query.get("order"), page.query.get("cursor")
    if not text:
        return shown("search.html", page, text="", order=None, found=None, mistake=None, examples=_EXAMPLES, next=None)
    if not _CONDITION.search(text):
        return _by_words(page, text)
    mistake, found = None, None
    try:
        found = _found(page, text, order, cursor)
    except InvalidError as error:
        # The line under it, which has the caret, is indented as a terminal shows it.
        lines = tuple(problem.message for problem in error.problems)
        mistake = Mistake(error.message, error.hint, lines)
    following = url("/ui/search", q=text, order=order, cursor=found.next) if found and found.next else None
    values = {"text": text, "order": order, "found": found, "mistake": mistake, "next": following}
    return shown("search.html", page, 422 if mistake else 200, examples=_EXAMPLES, **values)


def _found(page: Page, text: str, order: str | None, cursor: str | None) -> Found:
    """Search; of what the caller may not read neither a row nor a cursor nor a note says anything."""
    query = Query(conditions=(text,), order_by=order, limit=listing.PAGE, cursor=cursor)
    return registry_search(page.at, query, now=True, may_read=None if page.readable.everything else page.readable)


def _by_words(page: Page, text: str) -> Response:
    """Find models by words: what most people type first."""
    found = page.ask(lambda connection: listing.models(connection, page.readable, {"q": text}))
    values = {"text": text, "order": None, "found": None, "mistake": None, "next": None}
    return shown("search.html", page, models=found, examples=_EXAMPLES, **values)
