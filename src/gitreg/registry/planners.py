"""Make the planner of each write: what it does to whatever state it will meet. What is asked for is checked at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.names import ModelName, Selector
from gitreg.registry import plans, reads

if TYPE_CHECKING:
    from gitreg.manifest import Lifecycle
    from gitreg.names import UserName
    from gitreg.reader import Snapshot
    from gitreg.writer import Plan, Planner


def update(selector: str, **fields: object) -> Planner:
    """Change the editable parts of a version; see `plans.update` for the fields."""
    chosen = Selector.parse(selector)
    return lambda at: plans.update(at, chosen, **fields)  # type: ignore[arg-type]


def update_model(model: str, **fields: object) -> Planner:
    """Change a model's description, task, owners, labels or card; see `plans.update_model`."""
    name = ModelName.parse(model)
    return lambda at: plans.update_model(at, name, **fields)  # type: ignore[arg-type]


def alias(selector: str, name: str, *, remove: bool = False) -> Planner:
    """Set, move or remove an alias."""
    chosen = Selector.parse(selector)
    return lambda at: plans.alias(at, chosen, name, remove=remove)


def retire(selector: str, goal: Lifecycle, *, undo: bool = False, reason: str | None = None) -> Planner:
    """Yank or archive a version, or take that back."""
    chosen = Selector.parse(selector)

    def planner(at: Snapshot) -> Plan:
        if undo:
            return plans.reinstate(at, chosen, goal, reads.earlier_contents(at, chosen), reason=reason)
        return plans.lifecycle(at, chosen, goal, reason=reason)

    return planner


def delete(selector: str, *, undo: bool = False, reason: str | None = None) -> Planner:
    """Replace a version by a tombstone, or bring the very same bytes back."""
    chosen = Selector.parse(selector)

    def planner(at: Snapshot) -> Plan:
        if undo:
            return plans.undelete(at, chosen, list(reads.earlier_contents(at, chosen)), reason=reason)
        return plans.delete(at, chosen, reason=reason)

    return planner


def deploy(
    selector: str,
    environment: str,
    *,
    reason: str | None = None,
    canary: str | None = None,
    percent: int | None = None,
) -> Planner:
    """Point an environment at a version."""
    chosen = Selector.parse(selector)
    return lambda at: plans.deploy(at, chosen, environment, reason=reason, canary=canary, percent=percent)


def promote(model: str, source: str, target: str | None = None, *, reason: str | None = None) -> Planner:
    """Point the next environment, or the one named, at what runs in another."""
    name = ModelName.parse(model)
    return lambda at: plans.promote(at, name, source, target, reason=reason)


def rollback(model: str, environment: str, *, to: str | None = None, reason: str | None = None) -> Planner:
    """Point an environment back at its last state, at a version, or at a deployment's number."""
    name = ModelName.parse(model)

    def planner(at: Snapshot) -> Plan:
        records = reads.records(at, reads.known_environment(at, environment), name)
        return plans.rollback(at, name, environment, records, to=to, reason=reason)

    return planner


def undeploy(model: str, environment: str, *, reason: str | None = None) -> Planner:
    """Take a model out of an environment."""
    name = ModelName.parse(model)
    return lambda at: plans.undeploy(at, name, environment, reason=reason)


def approve(
    selector: str, environment: str, user: UserName, *, reject: bool = False, comment: str | None = None
) -> Planner:
    """Record a user's own verdict on a version for an environment."""
    chosen = Selector.parse(selector)
    return lambda at: plans.approve(at, chosen, environment, user, reject=reject, comment=comment)


def report(
    selector: str, environment: str, *, state: str = "live", endpoint: str | None = None, detail: str | None = None
) -> Planner:
    """Record what really runs somewhere."""
    chosen = Selector.parse(selector)
    return lambda at: plans.report(at, chosen, environment, state=state, endpoint=endpoint, detail=detail)
