"""Make each write: what it does to whatever state it will meet, and how a server is asked for it.

What is asked for is checked at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.names import ModelName, Selector
from gitreg.records import dataclass
from gitreg.registry import plans, reads
from gitreg.writer import Planned

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitreg.manifest import Lifecycle
    from gitreg.names import UserName
    from gitreg.reader import Snapshot
    from gitreg.writer import Plan, Planner

# The actions that have one address each for yank and archive.
_RETIRES = {"yanked": "yank", "archived": "archive"}


@dataclass(frozen=True, slots=True)
class Asked:
    """A write that is asked for: called with a state it is a plan; to a server it is a request to `path`.

    What is None in the body is not sent.
    """

    planner: Planner
    path: str
    body: Mapping[str, object]
    method: str = "POST"

    def __call__(self, at: Snapshot) -> Plan:
        """Plan it on a state."""
        return self.planner(at)


def update(selector: str, **fields: object) -> Asked:
    """Change the editable parts of a version; see `plans.update` for the fields."""
    chosen = Selector.parse(selector)
    path = f"/models/{chosen.model}/versions/{chosen.what or 'latest'}"
    return Asked(Planned(plans.update, chosen, **fields), path, fields, "PATCH")  # type: ignore[arg-type]


def update_model(model: str, **fields: object) -> Asked:
    """Change a model's description, task, owners, labels or card; see `plans.update_model`."""
    name = ModelName.parse(model)
    return Asked(Planned(plans.update_model, name, **fields), f"/models/{name}", fields, "PATCH")  # type: ignore[arg-type]


def alias(selector: str, name: str, *, remove: bool = False) -> Asked:
    """Set, move or remove an alias."""
    chosen = Selector.parse(selector)
    which = {"model": str(chosen.model)} if remove else _which(chosen)
    return Asked(
        Planned(plans.alias, chosen, name, remove=remove),
        "/models/alias",
        {**which, "alias": name, "remove": remove},
    )


def retire(selector: str, goal: Lifecycle, *, undo: bool = False, reason: str | None = None) -> Asked:
    """Yank or archive a version, or take that back."""
    chosen = Selector.parse(selector)
    planner = Planned(_reinstate if undo else plans.lifecycle, chosen, goal, reason=reason)
    return Asked(planner, f"/models/{_RETIRES[goal]}", {**_which(chosen), "undo": undo, "reason": reason})


def _reinstate(at: Snapshot, chosen: Selector, goal: Lifecycle, *, reason: str | None) -> Plan:
    return plans.reinstate(at, chosen, goal, reads.earlier_contents(at, chosen), reason=reason)


def delete(selector: str, *, undo: bool = False, reason: str | None = None) -> Asked:
    """Replace a version by a tombstone, or bring the very same bytes back."""
    chosen = Selector.parse(selector)
    planner = Planned(_undelete if undo else plans.delete, chosen, reason=reason)
    return Asked(planner, "/models/delete", {**_which(chosen), "undo": undo, "reason": reason})


def _undelete(at: Snapshot, chosen: Selector, *, reason: str | None) -> Plan:
    return plans.undelete(at, chosen, list(reads.earlier_contents(at, chosen)), reason=reason)


def deploy(
    selector: str,
    environment: str,
    *,
    reason: str | None = None,
    canary: str | None = None,
    percent: int | None = None,
) -> Asked:
    """Point an environment at a version."""
    chosen = Selector.parse(selector)
    pointer = {"environment": environment, "canary_version": canary, "canary_percent": percent}
    return Asked(
        Planned(plans.deploy, chosen, environment, reason=reason, canary=canary, percent=percent),
        "/models/deploy",
        {**_which(chosen), **pointer, "reason": reason},
    )


def promote(model: str, source: str, target: str | None = None, *, reason: str | None = None) -> Asked:
    """Point the next environment, or the one named, at what runs in another."""
    name = ModelName.parse(model)
    return Asked(
        Planned(plans.promote, name, source, target, reason=reason),
        "/models/promote",
        {"model": str(name), "source": source, "target": target, "reason": reason},
    )


def rollback(model: str, environment: str, *, to: str | None = None, reason: str | None = None) -> Asked:
    """Point an environment back at its last state, at a version, or at a deployment's number."""
    name = ModelName.parse(model)
    planner = Planned(_rollback, name, environment, to=to, reason=reason)
    body = {"model": str(name), "environment": environment, "to": to, "reason": reason}
    return Asked(planner, "/models/rollback", body)


def _rollback(at: Snapshot, name: ModelName, environment: str, *, to: str | None, reason: str | None) -> Plan:
    records = reads.records(at, reads.known_environment(at, environment), name)
    return plans.rollback(at, name, environment, records, to=to, reason=reason)


def undeploy(model: str, environment: str, *, reason: str | None = None) -> Asked:
    """Take a model out of an environment."""
    name = ModelName.parse(model)
    return Asked(
        Planned(plans.undeploy, name, environment, reason=reason),
        "/models/undeploy",
        {"model": str(name), "environment": environment, "reason": reason},
    )


def approve(
    selector: str,
    environment: str,
    who: Callable[[], UserName],
    *,
    reject: bool = False,
    comment: str | None = None,
) -> Asked:
    """Record a user's own verdict on a version for an environment; a server knows by itself who that is."""
    chosen = Selector.parse(selector)
    return Asked(
        Planned(_approve, chosen, environment, who, reject=reject, comment=comment),
        "/models/approve",
        {**_which(chosen), "environment": environment, "reject": reject, "comment": comment},
    )


def _approve(  # noqa: PLR0913 - an approval's fields
    at: Snapshot, chosen: Selector, environment: str, who: Callable[[], UserName], *, reject: bool, comment: str | None
) -> Plan:
    return plans.approve(at, chosen, environment, who(), reject=reject, comment=comment)


def report(
    selector: str, environment: str, *, state: str = "live", endpoint: str | None = None, detail: str | None = None
) -> Asked:
    """Record what really runs somewhere."""
    chosen = Selector.parse(selector)
    status = {"environment": environment, "state": state, "endpoint": endpoint, "detail": detail}
    return Asked(
        Planned(plans.report, chosen, environment, state=state, endpoint=endpoint, detail=detail),
        "/models/report",
        {**_which(chosen), **status},
    )


def _which(chosen: Selector) -> dict[str, str]:
    return {"model": str(chosen.model), "version": chosen.what or "latest"}
