"""Turn what a client sends about a new version into the plan that registers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.git import Signature
from gitreg.names import ModelName, Version
from gitreg.objects import StoredFile
from gitreg.registry.register import Prepared, RegisterRequest, now

if TYPE_CHECKING:
    from gitreg.reader import Snapshot
    from gitreg.server.auth.callers import Caller
    from gitreg.server.rest import inputs
    from gitreg.writer.plan import Plan, Planner


def registration(body: inputs.Register, caller: Caller, *, of_existing: bool = False) -> tuple[ModelName, Planner]:
    """Make the plan of a registration. Where the files lie, and how large they are, the gate asks the store."""
    name = ModelName.parse(body.model)
    if body.version:
        Version(body.version)
    user = caller.require_user()
    prepared = Prepared(
        _request(body),
        name,
        tuple(
            StoredFile(each.path, Digest.parse(each.digest), each.size, each.format or "") for each in body.artifacts
        ),
        Signature.now(caller.name or str(user), caller.email),
        body.code,
        body.created or now(),
        told={each.path: each.inspection for each in body.artifacts if each.inspection},
    )

    def planner(at: Snapshot) -> Plan:
        if of_existing:
            at.model(name)
        return prepared.plan(at)

    return name, planner


def _request(body: inputs.Register) -> RegisterRequest:
    return RegisterRequest(
        model=body.model,
        version=body.version,
        bump=body.bump,
        description=body.description,
        metrics=body.metrics,
        hyperparameters=body.hyperparameters,
        datasets=tuple(body.datasets),
        framework=body.framework,
        labels=body.labels,
        license=body.license,
        parents=tuple(body.parents),
        base=body.base,
        external=body.external,
        evaluations=tuple(body.evaluations),
        signature=body.signature,
        model_description=body.model_description,
        task=body.task,
        owners=tuple(body.owners),
    )
