"""Turn what a client sends about a new version into the plan that registers it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.git import Signature
from gitreg.manifest import Model
from gitreg.names import ModelName, Version
from gitreg.objects import StoredFile
from gitreg.registry.importing import Described, Import, Origin, Taken
from gitreg.registry.register import Prepared, RegisterRequest, now
from gitreg.writer import Planned

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

    return name, Planned(_further, prepared) if of_existing else prepared.plan


def _further(at: Snapshot, prepared: Prepared) -> Plan:
    at.model(prepared.name)
    return prepared.plan(at)


def parents_of(body: inputs.Register) -> tuple[ModelName, ...]:
    """Name the models that a version is said to come from."""
    return tuple(ModelName.parse(each.partition("@")[0]) for each in body.parents)


def models_of(found: Import) -> tuple[ModelName, ...]:
    """Name the models that are taken over, and those that these came from."""
    manifests = [each.file.manifest for each in found.versions]
    return (*(each.model for each in manifests), *(parent.model for each in manifests for parent in each.parents))


def taken_over(body: inputs.Import) -> Import:
    """Read what is taken over from another registry; InvalidError where its files are not right."""
    versions = tuple(Taken.of(text.encode(), f"versions[{place}]") for place, text in enumerate(body.versions))
    models = {
        ModelName.parse(name): Described(
            Model.parse(each.model.encode(), f"models[{name}]"), each.card.encode() if each.card is not None else None
        )
        for name, each in body.models.items()
    }
    return Import(Origin(**body.origin.model_dump()), versions, models)


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
