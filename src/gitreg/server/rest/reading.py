"""Answer questions about models, versions and deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from gitreg.access import Action
from gitreg.errors import InvalidError, NotFoundError
from gitreg.names import Selector
from gitreg.records import replace
from gitreg.registry import reads
from gitreg.server.answers import answer, page, unchanged
from gitreg.server.auth.callers import require
from gitreg.server.rest.asking import (
    MOST,
    SOME,
    Asking,
    At,
    Cursor,
    Environment,
    Limit,
    Model,
    Project,
    Which,
    after,
    number,
    questioning,
)

if TYPE_CHECKING:
    from gitreg.index.pages import Query as Wanted
    from gitreg.recommend.advice import Recommended
    from gitreg.registry import LineageNode
    from gitreg.registry.search import Found

router = APIRouter()
_MOST_COMPARED = 50
_MOST_SCANNED = 20_000
_LONG = [Depends(questioning)]  # what may take its time
_Text = Annotated[str | None, Query(max_length=4000)]


@router.get("/models", tags=["models"], summary="List the models")
def list_models(
    request: Request, project: _Text = None, limit: Limit = SOME, cursor: Cursor = None, at: At = None
) -> Response:
    """List the models that the caller may read, by name."""
    asking = Asking(request, at)
    if found := unchanged(request, asking.at.commit):
        return found
    names = [str(name) for name in asking.at.models(project) if asking.readable(name)]
    start = after(cursor, names)
    chosen = names[start : start + limit]
    items = [reads.summary(asking.at, asking.named(name)) for name in chosen]
    following = chosen[-1] if chosen and start + limit < len(names) else None
    return page(items, following, asking.at.commit)


@router.get("/models/version", tags=["models"], summary="Show a version")
def get_version(
    request: Request,
    model: Annotated[str, Query(max_length=130, examples=["risk/fraud"])],
    version: Annotated[str, Query(max_length=128, examples=["prod"])] = "latest",
    at: At = None,
) -> Response:
    """Show the version that a selector means: `1.4.0`, `latest`, `^1.4`, an alias, an environment."""
    asking = Asking(request, at)
    chosen = asking.parsed(f"{model}@{version}")
    if found := unchanged(request, asking.at.commit):
        return found
    return answer(reads.show(asking.at, chosen), asking.at.commit)


@router.get("/models/{project}/{model}", tags=["models"], summary="Show a model")
def get_model(request: Request, project: Project, model: Model, at: At = None) -> Response:
    """Show a model: its description, owners, task, labels, aliases."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    if found := unchanged(request, asking.at.commit):
        return found
    described, summed = asking.at.model(name), reads.summary(asking.at, name)
    more = {"versions": summed.versions, "latest": summed.latest, "deployed": summed.deployed}
    from gitreg.wire import plain

    return answer({**plain(described), **more}, asking.at.commit)


@router.get("/models/{project}/{model}/card", tags=["models"], summary="Read the model card")
def get_card(request: Request, project: Project, model: Model, at: At = None) -> Response:
    """Give the model card, in Markdown as it was written."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    asking.at.model(name)
    text = asking.at.card(name)
    if text is None:
        raise NotFoundError(f"{name} has no card", hint=f"PATCH /models/{name} with `card`")
    headers = {"Gitreg-Commit": asking.at.commit, "Content-Disposition": "attachment"}
    return Response(text.encode(), headers=headers, media_type="text/markdown; charset=utf-8")


@router.get("/models/{project}/{model}/versions", tags=["models"], summary="List the versions of a model")
def list_versions(
    request: Request, project: Project, model: Model, limit: Limit = SOME, cursor: Cursor = None, at: At = None
) -> Response:
    """List the versions of a model, highest first; deleted ones have the lifecycle `deleted`."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    if found := unchanged(request, asking.at.commit):
        return found
    versions = asking.at.versions(name)[::-1]
    start = 0
    if cursor is not None:
        from gitreg.names import Version

        last = Version(cursor)
        start = next((place for place, each in enumerate(versions) if each < last), len(versions))
    chosen = versions[start : start + limit]
    following = str(chosen[-1]) if chosen and start + limit < len(versions) else None
    return page(reads.some_versions(asking.at, name, chosen), following, asking.at.commit)


@router.get("/models/{project}/{model}/versions/{version}", tags=["models"], summary="Show a version")
def show_version(request: Request, project: Project, model: Model, version: Which, at: At = None) -> Response:
    """Show a version with its manifest, aliases, deployments and approvals."""
    asking = Asking(request, at)
    chosen = asking.selector(project, model, version)
    if found := unchanged(request, asking.at.commit):
        return found
    return answer(reads.show(asking.at, chosen), asking.at.commit)


@router.get(
    "/models/{project}/{model}/versions/{version}/lineage",
    dependencies=_LONG,
    tags=["models"],
    summary="Follow the lineage",
)
def get_lineage(
    request: Request,
    project: Project,
    model: Model,
    version: Which,
    depth: Annotated[int, Query(ge=1, le=100)] = 20,
    direction: Literal["up", "down"] = "up",
    at: At = None,
) -> Response:
    """Tell what a version came from, or (`down`) what came from it, as a tree.

    Of a parent that the caller may not read there is the name alone, which the manifest says as well.
    """
    asking = Asking(request, at)
    chosen = asking.selector(project, model, version)
    if direction == "down":
        from gitreg.registry.descendants import descendants

        found = descendants(asking.at, chosen, depth, now=at is None)
    else:
        found = reads.lineage(asking.at, chosen, depth)
    return answer(_readable_part(found, asking), asking.at.commit)


def _readable_part(node: LineageNode, asking: Asking) -> LineageNode:
    """Cut off what lies behind models that the caller may not read."""
    parents = [
        _readable_part(each, asking)
        if _is_readable(each, asking)
        else replace(each, state="you may not read it", parents=())
        for each in node.parents
    ]
    children = [_readable_part(each, asking) for each in node.children if _is_readable(each, asking)]
    return replace(node, parents=tuple(parents), children=tuple(children))


def _is_readable(node: LineageNode, asking: Asking) -> bool:
    try:
        model = Selector.parse(node.name).model
    except InvalidError:
        return True  # something outside of the registry; what its relation is called proves nothing
    return asking.readable(model)


@router.get(
    "/models/{project}/{model}/versions/{version}/diff", tags=["models"], summary="Compare with another version"
)
def get_diff(
    request: Request,
    project: Project,
    model: Model,
    version: Which,
    to: Annotated[str, Query(max_length=260, description="A version of this model, or `project/name@version`.")],
) -> Response:
    """Compare a version with another one."""
    from gitreg.manifest import diff

    asking = Asking(request)
    left = asking.selector(project, model, version)
    right = asking.parsed(to if "@" in to else f"{project}/{model}@{to}")
    one, other = (reads.found(asking.at, side).manifest for side in (left, right))
    return answer(diff(one, other), asking.at.commit)


@router.get("/compare", dependencies=_LONG, tags=["search"], summary="Set versions side by side")
def compare(
    request: Request,
    version: Annotated[
        list[str], Query(max_length=_MOST_COMPARED, description="`project/name@version`, several times.")
    ],
    maximize: Annotated[list[str], Query(max_length=_MOST_COMPARED)] = [],  # noqa: B006 - FastAPI copies it
    minimize: Annotated[list[str], Query(max_length=_MOST_COMPARED)] = [],  # noqa: B006 - FastAPI copies it
) -> Response:
    """Set versions side by side: what differs, and which has the best of each metric."""
    from gitreg.registry import comparing

    asking = Asking(request)
    chosen = [str(asking.parsed(each)) for each in version]
    return answer(comparing.compare(asking.at, chosen, maximize, minimize), asking.at.commit)


@router.get("/search", dependencies=_LONG, tags=["search"], summary="Find versions")
def search(
    request: Request,
    q: Annotated[str, Query(max_length=4000, examples=["metrics.auc > 0.95 and deployed('prod')"])],
    order_by: _Text = None,
    limit: Limit = SOME,
    cursor: Cursor = None,
) -> Response:
    """Find versions by their fields, in gitreg's search language or MLflow's filter strings."""
    from gitreg.index.pages import Query as Wanted

    asking = Asking(request)
    wanted = Wanted(conditions=(q,), order_by=order_by, limit=limit, cursor=cursor)
    found = (_search if asking.readable.everything else _search_readable)(asking, wanted)
    return page(list(found.versions), found.next, asking.at.commit)


def _search(asking: Asking, wanted: Wanted) -> Found:
    from gitreg.registry.search import search as ask

    return ask(asking.at, wanted, now=True)


def _search_readable(asking: Asking, wanted: Wanted) -> Found:
    """Search, and tell of what the caller may not read nothing: neither a row, nor a cursor, which has its values."""
    limit = wanted.limit or SOME
    for _ in range(_MOST_SCANNED // MOST):
        found = _search(asking, replace(wanted, limit=MOST))
        places = [place for place, row in enumerate(found.versions) if asking.readable(row.model)][:limit]
        if places:
            # Asked for as far as the last row that is given out, the index ends with a cursor of that row.
            upto = _search(asking, replace(wanted, limit=places[-1] + 1))
            return replace(upto, versions=tuple(upto.versions[place] for place in places))
        if found.next is None:
            return replace(found, versions=())
        wanted = replace(wanted, cursor=found.next)
    raise InvalidError(
        f"none of {_MOST_SCANNED:,} versions that match may be read by you",
        hint="narrow the search, with `model ~ '…'` for one",
    )


@router.get("/recommend", dependencies=_LONG, tags=["search"], summary="Find the models that suit a need")
def recommend(
    request: Request,
    need: Annotated[str, Query(max_length=4000, examples=["classify toxic comments in Finnish"])],
    where: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    maximize: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    minimize: Annotated[list[str], Query(max_length=20)] = [],  # noqa: B006 - FastAPI copies it
    limit: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """Find the models that suit a need told in words, with the reasons for each place."""
    from gitreg.registry.recommending import Asked, recommend_from

    asking = Asking(request)
    if not asking.readable.everything:
        # Places and reasons compare with models that the caller may not know of.
        require(asking.now.access, asking.caller, Action.ADMIN, None)
    asked = Asked(need=need, where=where, maximize=maximize, minimize=minimize, limit=limit)
    found = recommend_from(asking.at, asked, now=True)
    places: tuple[Recommended, ...] = found.places
    return answer(replace(found, places=places), asking.at.commit)


# Deployments


@router.get("/deployments", tags=["deployments"], summary="What runs where")
def list_deployments(
    request: Request,
    environment: Annotated[str | None, Query(max_length=63)] = None,
    model: Annotated[str | None, Query(max_length=130)] = None,
    limit: Limit = SOME,
    cursor: Cursor = None,
    at: At = None,
) -> Response:
    """Tell what is meant to run where, what was reported to, and where the two differ."""
    asking = Asking(request, at)
    name = asking.named(model) if model else None
    if found := unchanged(request, asking.at.commit):
        return found
    chosen = reads.known_environment(asking.at, environment) if environment else None
    rows = [row for row in reads.status(asking.at, chosen, name) if asking.readable(row.model)]
    start = number(cursor)
    following = str(start + limit) if start + limit < len(rows) else None
    return page(rows[start : start + limit], following, asking.at.commit)


@router.get("/deployments/{environment}/{project}/{model}", tags=["deployments"], summary="What of a model runs where")
def get_deployment(
    request: Request, environment: Environment, project: Project, model: Model, at: At = None
) -> Response:
    """Tell what of a model is meant to run in an environment; 404 where nothing is."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    where = reads.known_environment(asking.at, environment)
    pointer = asking.at.pointer(where, name)
    if pointer is None:
        asking.at.model(name)
        raise NotFoundError(f"nothing of {name} is deployed in {where}", hint="PUT a version here, to deploy it")
    if found := unchanged(request, asking.at.commit):
        return found
    (row,) = reads.status(asking.at, where, name)
    return answer(row, asking.at.commit)


@router.get("/deployments/{environment}/{project}/{model}/history", tags=["deployments"], summary="What ran before")
def get_history(
    request: Request,
    environment: Environment,
    project: Project,
    model: Model,
    limit: Limit = SOME,
    cursor: Cursor = None,
) -> Response:
    """List the deployments of a model in an environment, newest first."""
    asking = Asking(request)
    records = reads.history(asking.at, asking.model(project, model), environment)
    start = number(cursor)
    following = str(start + limit) if start + limit < len(records) else None
    return page(records[start : start + limit], following, asking.at.commit)


# What happened


@router.get("/events", dependencies=_LONG, tags=["events"], summary="What happened on main")
def list_events(
    request: Request,
    after: Annotated[str | None, Query(max_length=64, description="The commit that was read up to.")] = None,
    limit: Limit = SOME,
) -> Response:
    """List the commits of main after one, oldest first, each with what it changed; `next` is the commit to go on from.

    Without `after` it begins with the first commit. Who may not read every model is refused.
    """
    from gitreg.git.values import is_oid
    from gitreg.reader.history import log_of

    asking = Asking(request)
    if not asking.readable.everything:
        require(asking.now.access, asking.caller, Action.ADMIN, None)
    repository, tip = asking.at.repository, asking.at.commit
    is_known = after is None or is_oid(after)
    chosen = asking.serving.chain.after(repository, tip, after, limit) if is_known else None
    if chosen is None:
        raise InvalidError(f"{str(after)[:64]!r} is no commit of main", hint="begin anew, without `after`")
    return page(list(log_of(repository, chosen)), chosen[-1] if chosen else after, tip)


@router.get("/log", dependencies=_LONG, tags=["events"], summary="What changed lately")
def list_log(
    request: Request,
    model: Annotated[str | None, Query(max_length=130)] = None,
    limit: Limit = SOME,
    at: At = None,
) -> Response:
    """List the newest commits of main, or those about one model, newest first, each with what it changed."""
    asking = Asking(request, at)
    name = asking.named(model) if model else None
    if name is None and not asking.readable.everything:
        require(asking.now.access, asking.caller, Action.ADMIN, None)
    return page(reads.log(asking.at, name, limit), None, asking.at.commit)


@router.get("/audit", dependencies=_LONG, tags=["events"], summary="The gate's decisions")
def list_audit(
    request: Request,
    since: Annotated[str | None, Query(max_length=40)] = None,
    until: Annotated[str | None, Query(max_length=40)] = None,
    actor: Annotated[str | None, Query(max_length=128)] = None,
    model: Annotated[str | None, Query(max_length=130)] = None,
    verdict: Annotated[str | None, Query(pattern="^(accepted|refused)$")] = None,
    limit: Limit = SOME,
    cursor: Cursor = None,
) -> Response:
    """List the gate's decisions, refused ones included, oldest first; for admins."""
    from itertools import islice

    from gitreg.gate_hooks.audit import export
    from gitreg.reader.history import parse_time

    asking = Asking(request)
    require(asking.now.access, asking.caller, Action.ADMIN, None)
    wanted = export.Wanted(
        since=export.since(since) if since else None,
        until=parse_time(until) if until else None,
        actor=actor,
        model=export.pattern(model) if model else None,
        verdict=verdict,
    )
    last = number(cursor)
    entries = (members for _, members in export.entries(asking.serving.git_dir, wanted) if members["seq"] > last)
    found = list(islice(entries, limit))
    return page(found, str(found[-1]["seq"]) if len(found) == limit else None, asking.at.commit)
