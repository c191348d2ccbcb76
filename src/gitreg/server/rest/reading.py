"""Answer questions about one model or one environment, and list them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from gitreg.errors import InvalidError, NotFoundError
from gitreg.names import AliasName, Selector
from gitreg.reader.history import NOT_TOLD, is_told
from gitreg.records import replace
from gitreg.registry import reads
from gitreg.server.answers import COMMIT, answer, page
from gitreg.server.rest.asking import (
    LONG,
    MODEL_NAME,
    NAMED,
    PLAIN_NAME,
    SELECTING,
    SOME,
    Alias,
    Asking,
    At,
    Counted,
    Cursor,
    Environment,
    Limit,
    Model,
    Project,
    Text,
    Which,
    after,
    number,
)
from gitreg.server.rest.routes import StrictRoute

if TYPE_CHECKING:
    from gitreg.reader import DeploymentRecord
    from gitreg.registry import LineageNode

router = APIRouter(route_class=StrictRoute)


@router.get("/models", tags=["models"], summary="List the models")
def list_models(
    request: Request,
    project: Text = None,
    limit: Limit = SOME,
    cursor: Annotated[Cursor, Query(json_schema_extra=MODEL_NAME)] = None,
    at: At = None,
) -> Response:
    """List the models that the caller may read, by name."""
    asking = Asking(request, at)
    if found := asking.unchanged():
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
    model: Annotated[
        str,
        Query(
            max_length=260,
            description="`project/name`, or `project/name@version`.",
            json_schema_extra={"pattern": rf"^{NAMED}(@[^\s@,]+)?$", "examples": ["risk/fraud"]},
        ),
    ],
    version: Annotated[
        str | None, Query(max_length=128, description="`latest`, where left out.", json_schema_extra=SELECTING)
    ] = None,
    at: At = None,
) -> Response:
    """Show the version that a selector means: `1.4.0`, `latest`, `^1.4`, an alias, an environment."""
    asking = Asking(request, at)
    if version is not None and "@" in model:
        raise InvalidError(f"both {model[:200]!r} and `version` name a version", hint="leave out one of them")
    chosen = asking.parsed(model if "@" in model else f"{model}@{version or 'latest'}")
    if found := asking.unchanged(chosen):
        return found
    return answer(reads.show(asking.at, chosen), asking.at.commit)


@router.get("/models/{project}/{model}", tags=["models"], summary="Show a model")
def get_model(request: Request, project: Project, model: Model, at: At = None) -> Response:
    """Show a model: its description, owners, task, labels, aliases."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    if found := asking.unchanged(name):
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
    if found := asking.unchanged(name):
        return found
    headers = {COMMIT: asking.at.commit, "ETag": f'"{asking.at.commit}"', "Content-Disposition": "attachment"}
    return Response(text.encode(), headers=headers, media_type="text/markdown; charset=utf-8")


@router.get("/models/{project}/{model}/versions", tags=["models"], summary="List the versions of a model")
def list_versions(
    request: Request, project: Project, model: Model, limit: Limit = SOME, cursor: Cursor = None, at: At = None
) -> Response:
    """List the versions of a model, highest first; deleted ones have the lifecycle `deleted`."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    if found := asking.unchanged(name):
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
    if found := asking.unchanged(chosen):
        return found
    return answer(reads.show(asking.at, chosen), asking.at.commit)


@router.get("/models/{project}/{model}/versions/{version}/approvals", tags=["models"], summary="List the approvals")
def list_approvals(request: Request, project: Project, model: Model, version: Which, at: At = None) -> Response:
    """List the verdicts on a version, for every environment; one counts for the manifest whose digest it names."""
    asking = Asking(request, at)
    chosen = asking.selector(project, model, version)
    if found := asking.unchanged(chosen):
        return found
    manifest = reads.found(asking.at, chosen).manifest
    return page(list(asking.at.approvals(manifest.model, manifest.version)), None, asking.at.commit)


@router.get("/models/{project}/{model}/aliases/{alias}", tags=["models"], summary="Show what an alias names")
def get_alias(request: Request, project: Project, model: Model, alias: Alias, at: At = None) -> Response:
    """Show the version that an alias names."""
    asking = Asking(request, at)
    name = asking.model(project, model)
    named = asking.at.model(name).aliases.get(AliasName(alias))
    if named is None:
        raise NotFoundError(f"{name} has no alias {alias}", hint="PUT a version here, to set it")
    chosen = asking.selector(project, model, str(named))
    if found := asking.unchanged(chosen):
        return found
    return answer(reads.show(asking.at, chosen), asking.at.commit)


@router.get(
    "/models/{project}/{model}/versions/{version}/lineage",
    dependencies=LONG,
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

        found = descendants(asking.at, chosen, depth, now=asking.is_now)
    else:
        found = reads.lineage(asking.at, chosen, depth)
    return asking.told(_readable_part(found, asking))


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
    to: Annotated[
        str,
        Query(
            max_length=260,
            description="A version of this model, or `project/name@version`.",
            json_schema_extra={"pattern": rf"^({NAMED}@)?[^\s@,]+$", "examples": ["1.3.0"]},
        ),
    ],
    at: At = None,
) -> Response:
    """Compare a version with another one."""
    from gitreg.manifest import diff

    asking = Asking(request, at)
    left = asking.selector(project, model, version)
    right = asking.parsed(to if "@" in to else f"{project}/{model}@{to}")
    one, other = (reads.found(asking.at, side).manifest for side in (left, right))
    return asking.told(diff(one, other))


# Deployments


@router.get("/environments", tags=["deployments"], summary="List the environments")
def list_environments(request: Request, at: At = None) -> Response:
    """List the environments of registry.yaml in their order, with what comes before each and the approvals it takes."""
    asking = Asking(request, at)
    asking.caller  # noqa: B018 - somebody has to be known
    if found := asking.unchanged():
        return found
    return page(list(asking.at.settings.environments), None, asking.at.commit)


@router.get("/deployments", tags=["deployments"], summary="What runs where")
def list_deployments(
    request: Request,
    environment: Annotated[
        str | None, Query(min_length=1, max_length=63, json_schema_extra={"pattern": PLAIN_NAME})
    ] = None,
    model: Annotated[str | None, Query(min_length=1, max_length=130, json_schema_extra=MODEL_NAME)] = None,
    limit: Limit = SOME,
    cursor: Counted = None,
    at: At = None,
) -> Response:
    """Tell what is meant to run where, what was reported to, and where the two differ."""
    asking = Asking(request, at)
    name = asking.named(model) if model else None
    chosen = reads.known_environment(asking.at, environment) if environment else None
    if found := asking.unchanged(name):
        return found
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
    if found := asking.unchanged(name):
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
    cursor: Counted = None,
    at: At = None,
) -> Response:
    """List the deployments of a model in an environment, newest first."""
    asking = Asking(request, at)
    records = reads.history(asking.at, asking.model(project, model), environment)
    start = number(cursor)
    following = str(start + limit) if start + limit < len(records) else None
    return page([_told(asking, each) for each in records[start : start + limit]], following, asking.at.commit)


def _told(asking: Asking, record: DeploymentRecord) -> DeploymentRecord:
    """Keep the reason back where the commit, which may tell it of all that it did, changed more than one may read."""
    if asking.readable.everything or is_told(asking.at.repository, record.commit, asking.readable.of_path):
        return record
    return replace(record, reason=NOT_TOLD)
