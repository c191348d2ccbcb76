"""Plan the commit of each use case on a given state; pure but for reading that state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.deployment import Approval, Deployment, State, Status, Verdict
from gitreg.digest import Digest
from gitreg.errors import ConflictError, InvalidError, NotFoundError
from gitreg.layout import (
    approval_path,
    card_path,
    deployment_path,
    model_path,
    status_path,
    version_path,
)
from gitreg.manifest import Lifecycle, Manifest, Tombstone, parse_version
from gitreg.manifest.licensing import License, read_license
from gitreg.names import AliasName, EnvironmentName, ModelName, Selector, UserName, Version, did_you_mean
from gitreg.parsing import without_empty
from gitreg.records import replace
from gitreg.registry.reads import known_environment
from gitreg.registry.register import now
from gitreg.wire import dump
from gitreg.writer import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from gitreg.reader import DeploymentRecord, Snapshot


def _trailers(reason: str | None, action: str | None = None) -> dict[str, str]:
    return {key: value for key, value in (("Reason", reason), ("Action", action)) if value}


def _edit_version(snapshot: Snapshot, name: ModelName, version: Version, changed: Manifest) -> dict[str, bytes | None]:
    if snapshot.version(name, version).manifest == changed:
        return {}
    return {version_path(name, version): changed.to_bytes()}


def update(  # noqa: PLR0913 - one keyword for each editable field
    snapshot: Snapshot,
    selector: Selector,
    *,
    description: str | None = None,
    metrics: Mapping[str, float] | None = None,
    labels: Mapping[str, str] | None = None,
    remove_labels: Sequence[str] = (),
    license: str | None = None,  # noqa: A002 - the manifest's own word
    lifecycle: str | None = None,
    evaluations: Sequence[Mapping[str, object]] = (),
) -> Plan:
    """Change the editable parts of a version."""
    version = snapshot.resolve(selector)
    old = snapshot.version(selector.model, version).manifest
    if lifecycle is not None and lifecycle not in {Lifecycle.ACTIVE, Lifecycle.DEPRECATED}:
        raise InvalidError(
            f"--lifecycle: found {lifecycle!r}, allowed: active, deprecated",
            hint="gitreg yank and gitreg archive are commands of their own",
        )
    said = read_license(license) if license else License("")
    changed = {
        **old.to_data(),
        "description": old.description if description is None else description,
        "metrics": {**old.metrics, **(metrics or {})},
        "labels": {key: value for key, value in {**old.labels, **(labels or {})}.items() if key not in remove_labels},
        "license": old.license if license is None else said.text,
        "lifecycle": old.lifecycle if lifecycle is None else lifecycle,
        "evaluations": [*(each.to_data() for each in old.evaluations), *map(dict, evaluations)],
    }
    # By way of a file, so that everything that is wrong is said as it is for a file.
    new = Manifest.parse(dump(without_empty(changed)), version_path(selector.model, version))
    return Plan(
        edits=_edit_version(snapshot, selector.model, version, new),
        subject=f"Update {selector.model} {version}",
        notes=said.notes,
        about=new,
    )


def update_model(  # noqa: PLR0913 - one keyword for each editable field
    snapshot: Snapshot,
    name: ModelName,
    *,
    description: str | None = None,
    task: str | None = None,
    owners: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    remove_labels: Sequence[str] = (),
    card: str | None = None,
) -> Plan:
    """Change a model's description and its card."""
    old = snapshot.model(name)
    kept = {key: value for key, value in {**old.labels, **(labels or {})}.items() if key not in remove_labels}
    new = replace(
        old,
        description=old.description if description is None else description,
        task=old.task if task is None else task,
        owners=old.owners if owners is None else tuple(owners),
        labels=kept,
    )
    edits: dict[str, bytes | None] = {} if new == old else {model_path(name): new.to_bytes()}
    if card is not None:
        edits[card_path(name)] = _text(card)
    return Plan(edits=edits, subject=f"Update {name}", about=new)


def _text(card: str) -> bytes:
    try:
        return card.encode()
    except UnicodeEncodeError as error:
        raise InvalidError("the model card is not UTF-8", hint="write it as UTF-8 Markdown") from error


def alias(snapshot: Snapshot, selector: Selector, name: str, *, remove: bool = False) -> Plan:
    """Set, move or remove an alias."""
    label = AliasName(name)
    model = snapshot.model(selector.model)
    aliases = dict(model.aliases)
    if remove:
        if label not in aliases:
            near = did_you_mean(label, aliases)
            raise NotFoundError(
                f"{selector.model} has no alias {label}", hint=f"did you mean {near}?" if near else None
            )
        subject = f"Remove alias {label} of {selector.model}"
        del aliases[label]
    else:
        version = snapshot.resolve(selector)
        snapshot.version(selector.model, version)
        subject = f"Point alias {label} of {selector.model} at {version}"
        aliases[label] = version
    new = replace(model, aliases=aliases)
    edits: dict[str, bytes | None] = {} if new == model else {model_path(selector.model): new.to_bytes()}
    return Plan(edits=edits, subject=subject, about=new)


# Deployments


def deploy(  # noqa: PLR0913 - a pointer's fields and a reason
    snapshot: Snapshot,
    selector: Selector,
    environment: str,
    *,
    reason: str | None = None,
    canary: str | None = None,
    percent: int | None = None,
) -> Plan:
    """Point an environment at a version, or give a second version a share of the traffic."""
    where = known_environment(snapshot, environment)
    version = snapshot.resolve(selector)
    snapshot.version(selector.model, version)
    if (canary is None) != (percent is None):
        raise InvalidError("a canary has a version and a percentage", hint="name both; the percentage is 1 to 99")
    canary_version = snapshot.resolve(Selector(selector.model, canary)) if canary else None
    pointer = Deployment(
        environment=where,
        model=selector.model,
        version=version,
        canary_version=canary_version,
        canary_percent=percent,
    )
    extra = f" with {percent} % {canary_version}" if canary_version else ""
    subject = f"Deploy {selector.model}@{version}{extra} to {where}"
    return _point(snapshot, pointer, subject, _trailers(reason))


def _point(snapshot: Snapshot, pointer: Deployment, subject: str, trailers: dict[str, str], body: str = "") -> Plan:
    path = deployment_path(pointer.environment, pointer.model)
    if snapshot.pointer(pointer.environment, pointer.model) == pointer:
        note = f"{pointer.model}@{pointer.version} is what {pointer.environment} points at already"
        return Plan(edits={}, subject=subject, notes=(note,), about=pointer)
    return Plan(edits={path: pointer.to_bytes()}, subject=subject, body=body, trailers=trailers, about=pointer)


def promote(snapshot: Snapshot, name: ModelName, source: str, target: str | None, *, reason: str | None = None) -> Plan:
    """Point the next environment at what runs in one."""
    where = known_environment(snapshot, source)
    running = snapshot.pointer(where, name)
    if running is None:
        raise NotFoundError(f"nothing of {name} is deployed in {where}", hint=f"gitreg deploy {name}@VERSION {where}")
    goal = known_environment(snapshot, target) if target else next_environment(snapshot, where)
    if goal == where:
        raise InvalidError(f"{name} cannot be promoted from {where} to itself")
    pointer = Deployment(environment=goal, model=name, version=running.version)
    subject = f"Promote {name}@{running.version} from {where} to {goal}"
    return _point(snapshot, pointer, subject, _trailers(reason, "promote"))


def next_environment(snapshot: Snapshot, where: EnvironmentName) -> EnvironmentName:
    """Name the environment that comes after one; InvalidError where there are none or several."""
    following = [rule.name for rule in snapshot.settings.environments if rule.after == where]
    if len(following) == 1:
        return following[0]
    names = ", ".join(following) or "no environment"
    raise InvalidError(f"{names} comes after {where} in registry.yaml", hint="name the target environment")


def rollback(  # noqa: PLR0913 - where, how far, why, and the history to go back in
    snapshot: Snapshot,
    name: ModelName,
    environment: str,
    records: Sequence[DeploymentRecord],
    *,
    to: str | None = None,
    reason: str | None = None,
) -> Plan:
    """Point an environment back at what ran there before: the last state, a version, or a deployment's number."""
    where = known_environment(snapshot, environment)
    if not records:
        raise NotFoundError(f"{name} was never deployed in {where}", hint=f"gitreg history {name}")
    goal = _earlier(records, to) if to else _last_but_one(records, name, where)
    pointer = goal.pointer
    if pointer is None:
        raise InvalidError(
            f"deployment {goal.number} left nothing running in {where}", hint=f"gitreg undeploy {name} {where}"
        )
    latest = records[-1]
    # In git's own words where it is git's own revert: the last change of this pointer undone.
    body = f"This reverts commit {latest.commit}." if goal is _before(records, latest) else ""
    subject = f"Roll back {name} to {pointer.version} in {where}"
    return _point(snapshot, pointer, subject, _trailers(reason), body)


def _before(records: Sequence[DeploymentRecord], record: DeploymentRecord) -> DeploymentRecord | None:
    return records[record.number - 2] if record.number > 1 else None


def _last_but_one(records: Sequence[DeploymentRecord], name: ModelName, where: EnvironmentName) -> DeploymentRecord:
    latest = records[-1]
    before = _before(records, latest)
    if before is None:
        raise ConflictError(
            f"{name} has only ever had one deployment in {where}", hint=f"gitreg undeploy {name} {where} takes it away"
        )
    if latest.action == "rollback":
        raise ConflictError(
            f"the last change of {name} in {where} was itself a rollback, from {latest.previous} to {latest.version}",
            hint=f"say `to` which version or number: `gitreg history {name} {where}` has them",
        )
    return before


def _earlier(records: Sequence[DeploymentRecord], to: str) -> DeploymentRecord:
    if to.isdigit():
        number = int(to)
        if not 1 <= number <= len(records):
            raise NotFoundError(f"there is no deployment {number}", hint=f"there are 1 to {len(records)}")
        return records[number - 1]
    version = Version(to)
    states = [record for record in reversed(records) if record.version == version]
    # Where it ran with a canary beside it and without, it is meant without.
    alone = [record for record in states if record.canary_version is None]
    if states:
        return (alone or states)[0]
    ran = ", ".join(dict.fromkeys(str(record.version) for record in records if record.version))
    raise NotFoundError(f"{version} never ran there", hint=f"what ran: {ran}")


def undeploy(snapshot: Snapshot, name: ModelName, environment: str, *, reason: str | None = None) -> Plan:
    """Take a model out of an environment."""
    where = known_environment(snapshot, environment)
    pointer = snapshot.pointer(where, name)
    if pointer is None:
        raise NotFoundError(f"nothing of {name} is deployed in {where}")
    return Plan(
        edits={deployment_path(where, name): None},
        subject=f"Undeploy {name}@{pointer.version} from {where}",
        trailers=_trailers(reason),
        about=pointer,
    )


def approve(  # noqa: PLR0913 - an approval's fields
    snapshot: Snapshot,
    selector: Selector,
    environment: str,
    user: UserName,
    *,
    reject: bool = False,
    comment: str | None = None,
) -> Plan:
    """Record a user's verdict on the very bytes of a manifest."""
    where = known_environment(snapshot, environment)
    version = snapshot.resolve(selector)
    found = snapshot.version(selector.model, version)
    approval = Approval(
        model=selector.model,
        version=version,
        environment=where,
        user=user,
        verdict=Verdict.REJECT if reject else Verdict.APPROVE,
        manifest_digest=found.digest,
        comment=comment,
    )
    verb = "Reject" if reject else "Approve"
    return Plan(
        edits={approval_path(selector.model, version, where, user): approval.to_bytes()},
        subject=f"{verb} {selector.model}@{version} for {where}",
        trailers=_trailers(comment),
        about=approval,
    )


def report(  # noqa: PLR0913 - a status's fields
    snapshot: Snapshot,
    selector: Selector,
    environment: str,
    *,
    state: str = "live",
    endpoint: str | None = None,
    detail: str | None = None,
) -> Plan:
    """Record what really runs somewhere."""
    where = known_environment(snapshot, environment)
    version = snapshot.resolve(selector)
    snapshot.version(selector.model, version)
    if state not in set(State):
        raise InvalidError(f"--state: found {state!r}, allowed: {', '.join(State)}")
    status = Status(
        environment=where,
        model=selector.model,
        version=version,
        state=State(state),
        reported=now(),
        endpoint=endpoint,
        detail=detail,
    )
    return Plan(
        edits={status_path(where, selector.model): status.to_bytes()},
        subject=f"Report {selector.model}@{version} {state} in {where}",
        about=status,
    )


# The end of a version


def reinstate(
    snapshot: Snapshot, selector: Selector, goal: Lifecycle, earlier: Iterable[bytes], *, reason: str | None = None
) -> Plan:
    """Give a yanked or archived version back the lifecycle that it had before, by the earlier contents of its file."""
    version = _exact(selector, "reinstated")
    old = snapshot.version(selector.model, version).manifest
    if old.lifecycle is not goal:
        raise ConflictError(f"{selector.model}@{version} is {old.lifecycle}, not {goal}")
    before = (parse_version(data) for data in earlier)
    lifecycles = (each.lifecycle for each in before if isinstance(each, Manifest) and each.lifecycle is not goal)
    new = replace(old, lifecycle=next(lifecycles, Lifecycle.ACTIVE))
    return Plan(
        edits=_edit_version(snapshot, selector.model, version, new),
        subject=f"Reinstate {selector.model} {version}",
        trailers=_trailers(reason),
        about=new,
    )


def lifecycle(snapshot: Snapshot, selector: Selector, goal: Lifecycle, *, reason: str | None = None) -> Plan:
    """Yank or archive a version."""
    version = _exact(selector, goal)
    old = snapshot.version(selector.model, version).manifest
    verb = {Lifecycle.YANKED: "Yank", Lifecycle.ARCHIVED: "Archive"}[goal]
    new = replace(old, lifecycle=goal)
    subject = f"{verb} {selector.model} {version}"
    notes = tuple(f"it still runs in {where}" for where in _running(snapshot, selector.model, version))
    if old == new:
        notes = (f"{selector.model}@{version} is {goal} already", *notes)
    return Plan(
        edits=_edit_version(snapshot, selector.model, version, new),
        subject=subject,
        trailers=_trailers(reason),
        notes=notes,
        about=new,
    )


def _exact(selector: Selector, what: object) -> Version:
    if selector.version is None:
        raise InvalidError(
            f"name the exact version to make {what}: {selector} may mean another one tomorrow",
            hint=f"{selector.model}@1.4.0",
        )
    return selector.version


def _running(snapshot: Snapshot, name: ModelName, version: Version) -> list[EnvironmentName]:
    found = []
    for environment in snapshot.environments():
        pointer = snapshot.pointer(environment, name)
        if pointer and version in {pointer.version, pointer.canary_version}:
            found.append(environment)
    return found


def delete(snapshot: Snapshot, selector: Selector, *, reason: str | None = None) -> Plan:
    """Replace a version by a tombstone; its number stays taken."""
    version = _exact(selector, "deleted")
    found = snapshot.version(selector.model, version)
    users = [f"environment {name}" for name in _running(snapshot, selector.model, version)]
    users += [f"alias {name}" for name, target in snapshot.model(selector.model).aliases.items() if target == version]
    if users:
        raise ConflictError(
            f"{selector.model}@{version} is in use: {', '.join(users)}", hint="move what points at it first"
        )
    tombstone = Tombstone(
        model=selector.model,
        version=version,
        manifest_digest=found.digest,
        reason=reason or "deleted",
    )
    return Plan(
        edits={version_path(selector.model, version): tombstone.to_bytes()},
        subject=f"Delete {selector.model} {version}",
        trailers=_trailers(reason),
        about=tombstone,
    )


def undelete(snapshot: Snapshot, selector: Selector, earlier: Sequence[bytes], *, reason: str | None = None) -> Plan:
    """Bring the very bytes of a deleted version back, out of the earlier contents of its file."""
    version = _exact(selector, "restored")
    tombstone = snapshot.find(selector.model, version)
    if not isinstance(tombstone, Tombstone):
        raise ConflictError(f"{selector.model}@{version} is not deleted")
    for data in earlier:
        if Digest.of(data) == tombstone.manifest_digest:
            return Plan(
                edits={version_path(selector.model, version): data},
                subject=f"Restore {selector.model} {version}",
                trailers=_trailers(reason),
            )
    raise NotFoundError(
        f"the history here does not hold the manifest of {selector.model}@{version}",
        hint="git fetch --unshallow, where the clone is shallow",
    )
