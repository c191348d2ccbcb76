"""Judge what is meant to run where, what was approved for it, and what was reported to run."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gitreg.access import Action, may
from gitreg.deployment import Approval, Deployment, Verdict
from gitreg.digest import Digest
from gitreg.gate.case import at, mismatch, not_in_future, version_in
from gitreg.gate.violation import Code, Violation
from gitreg.layout import approvals_path, deployment_path, version_path
from gitreg.manifest import Lifecycle, Manifest
from gitreg.names import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.changes import Change, State
    from gitreg.deployment import Status
    from gitreg.gate.case import Case
    from gitreg.names import EnvironmentName, ModelName, Version
    from gitreg.settings import EnvironmentRule

DEPLOYABLE = frozenset({Lifecycle.ACTIVE, Lifecycle.DEPRECATED})


def _environment(case: Case, change: Change) -> EnvironmentRule | Violation:
    name = str(change.place.environment)
    settings = case.policy.settings
    rule = settings.environment(name)
    if rule is not None:
        return rule
    known = [str(each.name) for each in settings.environments]
    near = did_you_mean(name, known)
    return at(
        change,
        Code.ENVIRONMENT_UNKNOWN,
        f"found {name}, registry.yaml has {', '.join(known) or 'no environment'}",
        f"did you mean {near}?" if near else "let an admin add it to registry.yaml",
        "environment",
    )


def pointer(case: Case, change: Change) -> Iterator[Violation]:
    """Judge a pointer: its versions are there, may be deployed, and meet order and approvals."""
    before, after = change.pointer
    if after is None:
        return
    running = {before.version, before.canary_version} if before else set()
    yield from mismatch(change, environment=after.environment, model=after.model)
    rule = _environment(case, change)
    if isinstance(rule, Violation):
        yield rule
        return
    restores = case.transition and case.restores(change)
    for field, version in (("version", after.version), ("canary_version", after.canary_version)):
        if version is None:
            continue
        fits = list(_runnable(case, change, field, version))
        yield from fits
        stays = version == getattr(before, field, None) and not (field == "canary_version" and _widens(before, after))
        if case.transition and not fits and not stays:
            yield from _gates(case, change, rule, field, version, met=restores or version in running)


def _widens(before: Deployment | None, after: Deployment) -> bool:
    """Whether the canary gets more of the traffic than it has."""
    return (after.canary_percent or 0) > ((before.canary_percent if before else None) or 0)


def _runnable(case: Case, change: Change, field: str, version: Version) -> Iterator[Violation]:
    model = cast("ModelName", change.place.model)
    found = version_in(case.after, model, version)
    if not isinstance(found, Manifest):
        what = "was deleted" if found else "does not exist"
        yield at(change, Code.VERSION_UNKNOWN, f"{model}@{version} {what}", f"see `gitreg versions {model}`", field)
    elif case.transition and found.lifecycle not in DEPLOYABLE:
        yield at(
            change,
            Code.VERSION_STATE,
            f"{model}@{version} is {found.lifecycle} and cannot be deployed",
            f"deploy another version, or lift it: gitreg {_LIFTED[found.lifecycle]} {model}@{version} --undo",
            field,
        )


_LIFTED = {Lifecycle.YANKED: "yank", Lifecycle.ARCHIVED: "archive"}


def _gates(  # noqa: PLR0913 - one place in one commit, by one rule
    case: Case,
    change: Change,
    rule: EnvironmentRule,
    field: str,
    version: Version,
    *,
    met: bool,
) -> Iterator[Violation]:
    """Judge order and approvals.

    Both were met already by a pointer that goes back to an earlier state, and by a version that runs here as the other
    half of a canary; only a rejection that stands now holds those up (docs/adr/0007).
    """
    model = cast("ModelName", change.place.model)
    verdicts = list(_verdicts(case, change, rule, version))
    rejected = sorted(approval.user for approval in verdicts if approval.verdict is Verdict.REJECT)
    if rejected:
        yield at(
            change,
            Code.APPROVALS,
            f"{model}@{version} is rejected for {rule.name} by {', '.join(rejected)}",
            "deploy another version, or settle it with them",
            field,
        )
    if met:
        return
    if rule.after is not None and not _runs(case.after, rule.after, model, version):
        yield at(
            change,
            Code.ORDER,
            f"{model}@{version} must run in {rule.after} before {rule.name}",
            f"gitreg deploy {model}@{version} {rule.after}",
            field,
        )
    given = len({approval.user for approval in verdicts if approval.verdict is Verdict.APPROVE})
    if given < rule.approvals:
        yield at(
            change,
            Code.APPROVALS,
            f"{model}@{version} has {given} of {rule.approvals} approvals for {rule.name}",
            f"gitreg approve {model}@{version} {rule.name}, by somebody who may",
            field,
        )


def _runs(state: State, environment: EnvironmentName, model: ModelName, version: Version) -> bool:
    path = deployment_path(environment, model)
    data = state.read(path)
    if data is None:
        return False
    pointer = Deployment.parse(data, path)
    return version in {pointer.version, pointer.canary_version}


def _verdicts(case: Case, change: Change, rule: EnvironmentRule, version: Version) -> Iterator[Approval]:
    """Give the approvals that count: of these very manifest bytes, by users who may approve here."""
    model = cast("ModelName", change.place.model)
    folder = approvals_path(model, version, rule.name)
    manifest = case.after.read(version_path(model, version))
    if manifest is None:
        return
    digest = Digest.of(manifest)
    for name in case.after.names(folder):
        data = case.after.read(f"{folder}/{name}")
        if data is None:
            continue
        approval = Approval.parse(data, f"{folder}/{name}")
        allowed = may(case.policy.access, approval.user, Action.APPROVE, model, rule.name).allowed
        if allowed and approval.manifest_digest == digest:
            yield approval


def approval(case: Case, change: Change) -> Iterator[Violation]:
    """Judge an approval: of the manifest's bytes as they are, for an environment that there is."""
    approval = cast("Approval | None", change.after)
    if approval is None:
        return
    yield from mismatch(
        change,
        model=approval.model,
        version=approval.version,
        environment=approval.environment,
        user=approval.user,
    )
    rule = _environment(case, change)
    if isinstance(rule, Violation):
        yield rule
    data = case.after.read(version_path(approval.model, approval.version))
    found = version_in(case.after, approval.model, approval.version)
    if data is None or not isinstance(found, Manifest):
        what = f"{approval.model}@{approval.version} {'was deleted' if found else 'does not exist'}"
        yield at(change, Code.VERSION_UNKNOWN, what, f"see `gitreg versions {approval.model}`", "version")
    elif case.transition and Digest.of(data) != approval.manifest_digest:
        yield at(
            change,
            Code.APPROVAL_STALE,
            f"found {approval.manifest_digest}, the manifest's bytes have {Digest.of(data)}",
            "look at the manifest as it is now, then approve again",
            "manifest_digest",
        )


def status(case: Case, change: Change) -> Iterator[Violation]:
    """Judge a report: of a version and an environment that there are."""
    status = cast("Status | None", change.after)
    if status is None:
        return
    yield from mismatch(change, environment=status.environment, model=status.model)
    rule = _environment(case, change)
    if isinstance(rule, Violation):
        yield rule
    if version_in(case.after, status.model, status.version) is None:
        what = f"{status.model}@{status.version} does not exist"
        yield at(change, Code.VERSION_UNKNOWN, what, f"see `gitreg versions {status.model}`", "version")
    yield from not_in_future(case, change, "reported", status.reported)
