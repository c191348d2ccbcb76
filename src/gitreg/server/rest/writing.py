"""Take the writes: each is the façade's own plan, handed to the group writer."""

from __future__ import annotations

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query
from starlette.requests import Request
from starlette.responses import Response

from gitreg.access import Action
from gitreg.manifest import Lifecycle
from gitreg.names import EnvironmentName, ModelName
from gitreg.records import replace
from gitreg.registry import planners, plans, reads
from gitreg.server.idempotency import LONGEST
from gitreg.server.rest import inputs
from gitreg.server.rest.asking import Alias, Asking, Environment, Model, Project, Which
from gitreg.server.rest.performing import Write, perform
from gitreg.server.rest.registering import models_of, parents_of, registration, taken_over
from gitreg.server.rest.routes import StrictRoute

_Why = Annotated[str | None, Query(max_length=4000, description="Why: it stands in the history.")]
_TAG = r'^([*]|"([0-9a-f]{40}|[0-9a-f]{64})")$'
_KEY = "^[!-~]([ -~]*[!-~])?$"
# Read by `performing`; named here so that the description of the interface has them.
DryRun = Annotated[bool, Query(description="Show what the change would be, and what the gate says of it.")]
IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", description="The ETag of what was read, or `*`.", json_schema_extra={"pattern": _TAG}),
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="The same key again gets the same answer, for a day; a UUID will do.",
        json_schema_extra={"pattern": _KEY, "maxLength": LONGEST},
    ),
]


async def conditions(dry_run: DryRun = False, if_match: IfMatch = None, key: Key = None) -> None:  # noqa: FBT002
    """Say what any write may carry."""


router = APIRouter(tags=["writes"], dependencies=[Depends(conditions)], route_class=StrictRoute)


def _selector(model: str, version: str) -> str:
    return f"{ModelName.parse(model)}@{version}"


# Versions


@router.post("/models/register", summary="Register a version", status_code=201)
async def register(request: Request, body: inputs.Register) -> Response:
    """Register a version whose files are in the store; its model is made where it is new."""
    return await perform(request, _registration(request, body))


@router.post("/models/version", summary="Register a further version", status_code=201)
async def register_further(request: Request, body: inputs.Register) -> Response:
    """Register a version of a model that exists; 404 where there is no such model."""
    return await perform(request, _registration(request, body, of_existing=True))


def _registration(request: Request, body: inputs.Register, *, of_existing: bool = False) -> Write:
    name, planner = registration(body, request.scope["state"]["caller"], of_existing=of_existing)
    actions = (Action.REGISTER,)
    return Write(model=name, planner=planner, actions=actions, creates=True, refers=parents_of(body))


@router.post("/models/import", summary="Take a version over from another registry")
async def import_version(request: Request, body: inputs.Import) -> Response:
    """Register versions of another registry with the very bytes of their manifests; what is here is left alone."""
    Asking(request).may_register()
    found = await asyncio.to_thread(taken_over, body)  # up to 4 MiB of YAML
    write = Write(model=found.wanted.model, planner=found.plan, actions=(Action.REGISTER,), creates=True)
    return await perform(request, replace(write, refers=models_of(found)))


@router.patch("/models/{project}/{model}", summary="Change a model")
async def update_model(request: Request, project: Project, model: Model, body: inputs.UpdateModel) -> Response:
    """Change a model's description, task, owners, labels or card."""
    name = ModelName(project, model)
    planner = planners.update_model(str(name), **body.model_dump(exclude_unset=True))
    return await perform(request, Write(model=name, planner=planner, actions=(Action.UPDATE,)))


@router.patch("/models/{project}/{model}/versions/{version}", summary="Change a version")
async def update_version(
    request: Request, project: Project, model: Model, version: Which, body: inputs.UpdateVersion
) -> Response:
    """Change what may change of a version: description, labels, license; metrics and evaluations are added to."""
    name = ModelName(project, model)
    planner = planners.update(f"{name}@{version}", **body.model_dump(exclude_unset=True))
    return await perform(request, Write(model=name, planner=planner, actions=(Action.UPDATE,)))


async def _retire(request: Request, body: inputs.Retire, goal: Lifecycle, action: Action) -> Response:
    name = ModelName.parse(body.model)
    planner = planners.retire(_selector(body.model, body.version), goal, undo=body.undo, reason=body.reason)
    return await perform(request, Write(model=name, planner=planner, actions=(action,)))


@router.post("/models/yank", summary="Yank a version")
async def yank(request: Request, body: inputs.Retire) -> Response:
    """Hide a version from resolution; it stays fetchable by its exact version."""
    return await _retire(request, body, Lifecycle.YANKED, Action.YANK)


@router.post("/models/archive", summary="Archive a version")
async def archive(request: Request, body: inputs.Retire) -> Response:
    """Keep a version for the record; it cannot be deployed any more."""
    return await _retire(request, body, Lifecycle.ARCHIVED, Action.ARCHIVE)


async def _delete(request: Request, selector: str, *, undo: bool, reason: str | None) -> Response:
    planner = planners.delete(selector, undo=undo, reason=reason)
    actions = (Action.REGISTER,) if undo else (Action.DELETE,)
    return await perform(
        request, Write(model=ModelName.parse(selector.partition("@")[0]), planner=planner, actions=actions)
    )


@router.post("/models/delete", summary="Delete a version")
async def delete(request: Request, body: inputs.Retire) -> Response:
    """Replace a version by a tombstone, or bring the very same bytes back."""
    return await _delete(request, _selector(body.model, body.version), undo=body.undo, reason=body.reason)


@router.delete("/models/{project}/{model}/versions/{version}", summary="Delete a version")
async def delete_version(
    request: Request, project: Project, model: Model, version: Which, reason: _Why = None
) -> Response:
    """Replace a version by a tombstone."""
    return await _delete(request, f"{ModelName(project, model)}@{version}", undo=False, reason=reason)


# Aliases


@router.post("/models/alias", summary="Set or remove an alias")
async def alias(request: Request, body: inputs.Alias) -> Response:
    """Set, move or remove an alias."""
    name = ModelName.parse(body.model)
    selector = f"{name}@{body.version}" if body.version else str(name)
    planner = planners.alias(selector, body.alias, remove=body.remove)
    return await perform(request, Write(model=name, planner=planner, actions=(Action.ALIAS,)))


@router.put("/models/{project}/{model}/aliases/{alias}", summary="Set an alias")
async def put_alias(request: Request, project: Project, model: Model, alias: Alias, body: inputs.Target) -> Response:
    """Let an alias name a version."""
    name = ModelName(project, model)
    planner = planners.alias(f"{name}@{body.version}", alias)
    return await perform(request, Write(model=name, planner=planner, actions=(Action.ALIAS,)))


@router.delete("/models/{project}/{model}/aliases/{alias}", summary="Remove an alias")
async def delete_alias(request: Request, project: Project, model: Model, alias: Alias) -> Response:
    """Remove an alias."""
    name = ModelName(project, model)
    planner = planners.alias(str(name), alias, remove=True)
    return await perform(request, Write(model=name, planner=planner, actions=(Action.ALIAS,)))


# Deployments

_BACK = (Action.ROLLBACK, Action.DEPLOY)


def _deploying(name: ModelName, environment: str, body: inputs.Pointer) -> Write:
    planner = planners.deploy(
        f"{name}@{body.version}",
        environment,
        reason=body.reason,
        canary=body.canary_version,
        percent=body.canary_percent,
    )
    where = EnvironmentName(environment)
    return Write(model=name, planner=planner, actions=(Action.DEPLOY, Action.ROLLBACK), environment=where)


@router.post("/models/deploy", summary="Deploy a version")
async def deploy(request: Request, body: inputs.Deploy) -> Response:
    """Point an environment at a version."""
    return await perform(request, _deploying(ModelName.parse(body.model), body.environment, body))


@router.put("/deployments/{environment}/{project}/{model}", summary="Deploy a version")
async def put_deployment(
    request: Request, environment: Environment, project: Project, model: Model, body: inputs.Pointer
) -> Response:
    """Point an environment at a version."""
    return await perform(request, _deploying(ModelName(project, model), environment, body))


@router.post("/models/promote", summary="Promote what runs")
async def promote(request: Request, body: inputs.Promote) -> Response:
    """Point the next environment, or the one named, at what runs in another."""
    name = ModelName.parse(body.model)
    planner = planners.promote(body.model, body.source, body.target, reason=body.reason)
    where = EnvironmentName(body.target) if body.target else _following(request, body.source)
    return await perform(request, Write(model=name, planner=planner, actions=(Action.DEPLOY,), environment=where))


def _following(request: Request, source: str) -> EnvironmentName:
    """Find the environment that the rules are asked about, where the caller leaves it to registry.yaml."""
    asking = Asking(request)
    asking.caller.require_user()
    return plans.next_environment(asking.now, reads.known_environment(asking.now, source))


@router.post("/models/rollback", summary="Roll back")
async def rollback(request: Request, body: inputs.Rollback) -> Response:
    """Point an environment back at its last state, at a version, or at a deployment's number."""
    name = ModelName.parse(body.model)
    planner = planners.rollback(body.model, body.environment, to=body.to, reason=body.reason)
    where = EnvironmentName(body.environment)
    return await perform(request, Write(model=name, planner=planner, actions=_BACK, environment=where))


def _undeploying(name: ModelName, environment: str, reason: str | None) -> Write:
    planner = planners.undeploy(str(name), environment, reason=reason)
    return Write(model=name, planner=planner, actions=_BACK, environment=EnvironmentName(environment))


@router.post("/models/undeploy", summary="Take out of an environment")
async def undeploy(request: Request, body: inputs.Undeploy) -> Response:
    """Take a model out of an environment."""
    return await perform(request, _undeploying(ModelName.parse(body.model), body.environment, body.reason))


@router.delete("/deployments/{environment}/{project}/{model}", summary="Take out of an environment")
async def delete_deployment(
    request: Request, environment: Environment, project: Project, model: Model, reason: _Why = None
) -> Response:
    """Take a model out of an environment."""
    return await perform(request, _undeploying(ModelName(project, model), environment, reason))


# Approvals and status


def _approving(request: Request, selector: str, environment: str, body: inputs.Verdict) -> Write:
    caller = request.scope["state"]["caller"]
    planner = planners.approve(selector, environment, caller.require_user, reject=body.reject, comment=body.comment)
    name, where = ModelName.parse(selector.partition("@")[0]), EnvironmentName(environment)
    return Write(model=name, planner=planner, actions=(Action.APPROVE,), environment=where)


@router.post("/models/approve", summary="Approve or reject a version")
async def approve(request: Request, body: inputs.Approve) -> Response:
    """Record the caller's own verdict on a version for an environment."""
    return await perform(request, _approving(request, _selector(body.model, body.version), body.environment, body))


@router.put(
    "/models/{project}/{model}/versions/{version}/approvals/{environment}", summary="Approve or reject a version"
)
async def put_approval(
    request: Request, project: Project, model: Model, version: Which, environment: Environment, body: inputs.Verdict
) -> Response:
    """Record the caller's own verdict on a version for an environment."""
    selector = f"{ModelName(project, model)}@{version}"
    return await perform(request, _approving(request, selector, environment, body))


def _reporting(name: ModelName, environment: str, body: inputs.Live) -> Write:
    planner = planners.report(
        f"{name}@{body.version}", environment, state=body.state, endpoint=body.endpoint, detail=body.detail
    )
    where = EnvironmentName(environment)
    return Write(model=name, planner=planner, actions=(Action.REPORT,), environment=where)


@router.post("/models/report", summary="Report what really runs")
async def report(request: Request, body: inputs.Report) -> Response:
    """Record what really runs in an environment."""
    return await perform(request, _reporting(ModelName.parse(body.model), body.environment, body))


@router.put("/status/{environment}/{project}/{model}", summary="Report what really runs")
async def put_status(
    request: Request, environment: Environment, project: Project, model: Model, body: inputs.Live
) -> Response:
    """Record what really runs in an environment."""
    return await perform(request, _reporting(ModelName(project, model), environment, body))
