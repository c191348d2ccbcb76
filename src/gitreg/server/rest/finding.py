"""Answer questions over every model: search, comparison, recommendation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response

from gitreg.names import whole_selectors
from gitreg.recommend.pareto import MOST_AIMS
from gitreg.server.rest.asking import LONG, NAMED, SOME, Asking, At, Cursor, Limit, Text
from gitreg.server.rest.routes import StrictRoute

if TYPE_CHECKING:
    from gitreg.index.pages import Query as Wanted
    from gitreg.registry.search import Found
    from gitreg.server.auth.callers import Readable

router = APIRouter(tags=["search"], dependencies=LONG, route_class=StrictRoute)
_MOST_COMPARED = 50
_Chosen = Annotated[
    str,
    Field(
        max_length=260,
        json_schema_extra={"pattern": rf"^({NAMED})?@[^\s@,]+$", "examples": ["risk/fraud@1.4.0"]},
    ),
]


@router.get("/compare", summary="Set versions side by side")
def compare(
    request: Request,
    version: Annotated[
        list[_Chosen],
        Query(
            max_length=_MOST_COMPARED,
            description="`project/name@version`, several times; `@version` is of the same model.",
        ),
    ],
    maximize: Annotated[list[str], Query(max_length=_MOST_COMPARED)] = [],  # noqa: B006 - FastAPI copies it
    minimize: Annotated[list[str], Query(max_length=_MOST_COMPARED)] = [],  # noqa: B006 - FastAPI copies it
    at: At = None,
) -> Response:
    """Set versions side by side: what differs, and which has the best of each metric."""
    from gitreg.registry import comparing

    asking = Asking(request, at)
    chosen = [str(asking.parsed(each)) for each in whole_selectors(version)]
    return asking.told(comparing.compare(asking.at, chosen, maximize, minimize))


@router.get("/search", summary="Find versions")
def search(
    request: Request,
    q: Annotated[
        str,
        Query(
            max_length=4000,
            description="What a version has to meet; all are found without it.",
            examples=["metrics.auc > 0.95 and deployed('prod')"],
        ),
    ] = "",
    order_by: Text = None,
    limit: Limit = SOME,
    cursor: Cursor = None,
    at: At = None,
) -> Response:
    """Find versions by their fields, in gitreg's search language or MLflow's filter strings."""
    from gitreg.index.pages import Query as Wanted

    asking = Asking(request, at)
    wanted = Wanted(conditions=(q,), order_by=order_by, limit=limit, cursor=cursor)
    found = _search(asking, wanted)
    return asking.told({"items": list(found.versions), "next": found.next, "notes": found.notes})


def _search(asking: Asking, wanted: Wanted) -> Found:
    from gitreg.registry.search import search as ask

    return ask(asking.at, wanted, now=asking.is_now, may_read=_may_read(asking))


def _may_read(asking: Asking) -> Readable | None:
    """Say which models the caller may read; None for all."""
    return None if asking.readable.everything else asking.readable


@router.get("/recommend", summary="Find the models that suit a need")
def recommend(
    request: Request,
    need: Annotated[str, Query(min_length=1, max_length=4000, examples=["classify toxic comments in Finnish"])],
    where: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    maximize: Annotated[list[str], Query(max_length=MOST_AIMS)] = [],  # noqa: B006 - FastAPI copies it
    minimize: Annotated[list[str], Query(max_length=MOST_AIMS)] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
    at: At = None,
) -> Response:
    """Find the models that suit a need told in words, with the reasons for each place; of those the caller may read."""
    from gitreg.registry.recommending import Asked, recommend_from

    asking = Asking(request, at)
    asked = Asked(need=need, where=where, maximize=maximize, minimize=minimize, limit=limit)
    return asking.told(recommend_from(asking.at, asked, now=asking.is_now, may_read=_may_read(asking)))
