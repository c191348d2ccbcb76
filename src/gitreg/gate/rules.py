"""The rules that one change must meet, by what it is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from gitreg.access import Action, may
from gitreg.changes import Change, Event
from gitreg.deployment import Approval, Deployment, Status, Verdict
from gitreg.digest import Digest
from gitreg.errors import InvalidError, UnavailableError
from gitreg.gate.violation import Code, Violation
from gitreg.layout import (
    DEPLOYMENTS,
    MODELS,
    SETTINGS,
    STATUS,
    approvals_path,
    deployment_path,
    model_path,
    version_path,
)
from gitreg.manifest import (
    IMMUTABLE_FIELDS,
    Lifecycle,
    Manifest,
    Model,
    Tombstone,
    changed_fields,
    missing_fields,
    parse_version,
    rewritten_measurements,
)
from gitreg.names import EnvironmentName, ModelName, Version, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from gitreg.changes import State
    from gitreg.gate.case import Case
    from gitreg.manifest.parts import Artifact
    from gitreg.settings import EnvironmentRule, Settings

PICKLES = frozenset({"pickle", "torch", "joblib", "torchscript"})
DEPLOYABLE = frozenset({Lifecycle.ACTIVE, Lifecycle.DEPRECATED})
CLOCK_SKEW = 24 * 3600


def violations_of(case: Case, change: Change) -> Iterator[Violation]:
    """Judge one change by the rules for its event."""
    rule = _RULES.get(change.event)
    return rule(case, change) if rule else iter(())


def _at(change: Change, code: Code, message: str, remedy: str | None = None, field: str | None = None) -> Violation:
    return Violation(code, message, remedy, path=change.place.path, field=field)


def _version_in(state: State, model: ModelName, version: Version) -> Manifest | Tombstone | None:
    path = version_path(model, version)
    data = state.read(path)
    if data is None:
        return None
    try:
        return parse_version(data, path)
    except InvalidError:
        # The file's own problems are reported where it is judged.
        return None


def _mismatch(change: Change, **said: object) -> Iterator[Violation]:
    for name, value in said.items():
        expected = getattr(change.place, name)
        if value != expected:
            yield _at(
                change,
                Code.PATH_MISMATCH,
                f"found {str(value)!r}, the path says {str(expected)!r}",
                "move the file or correct the field",
                name,
            )


def _not_in_future(case: Case, change: Change, field: str, text: str) -> Iterator[Violation]:
    moment = datetime.fromisoformat(text)
    if moment.timestamp() > case.facts.now + CLOCK_SKEW:
        now = datetime.fromtimestamp(case.facts.now, UTC).isoformat(timespec="seconds")
        yield _at(change, Code.TIME_IN_FUTURE, f"{text} is in the future; the server's clock says {now}", field=field)


# Versions


def _registered(case: Case, change: Change) -> Iterator[Violation]:
    manifest = cast("Manifest", change.after)
    yield from _mismatch(change, model=manifest.model, version=manifest.version)
    yield from _not_in_future(case, change, "created", manifest.created)
    if case.transition and manifest.lifecycle is not Lifecycle.ACTIVE:
        yield _at(change, Code.VERSION_STATE, f"a new version is active, not {manifest.lifecycle}", field="lifecycle")
    yield from _complete(case, change, manifest)
    yield from _parents(case, change, manifest)
    yield from _artifacts(case, change, manifest)


def _complete(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    for name in missing_fields(manifest, case.policy.settings.required):
        yield _at(change, Code.METADATA_MISSING, f"{name} is required by registry.yaml", "add it", name)
    if case.after.read(model_path(manifest.model)) is None:
        yield _at(
            change,
            Code.MODEL_MISSING,
            f"{manifest.model} has no model.yaml",
            f"add {model_path(manifest.model)}; gitreg register writes it",
        )


def _parents(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    for index, parent in enumerate(manifest.parents):
        found = _version_in(case.after, parent.model, parent.version)
        field = f"parents[{index}]"
        if found is None:
            remedy = f"see `gitreg versions {parent.model}`, or register it first"
            yield _at(change, Code.PARENT_UNKNOWN, f"{parent.model}@{parent.version} does not exist", remedy, field)
        elif isinstance(found, Tombstone):
            remedy = f"restore it first: gitreg delete {parent.model}@{parent.version} --undo"
            yield _at(change, Code.PARENT_UNKNOWN, f"{parent.model}@{parent.version} was deleted", remedy, field)
    if manifest.parents and _descends_from_itself(case, manifest):
        yield _at(
            change, Code.PARENT_UNKNOWN, "it would be its own ancestor", "name what it came from alone", "parents"
        )


def _descends_from_itself(case: Case, manifest: Manifest) -> bool:
    """Whether versions that come in one commit name each other in a circle; older ones cannot."""
    new = case.registered()
    start, seen = (manifest.model, manifest.version), set[tuple[object, ...]]()
    waiting = [(parent.model, parent.version) for parent in manifest.parents]
    while waiting:
        key = waiting.pop()
        if key == start:
            return True
        if key in seen or key not in new:
            continue
        seen.add(key)
        waiting += [(parent.model, parent.version) for parent in new[key].parents]
    return False


def _artifacts(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    for index, artifact in enumerate(manifest.artifacts):
        field = f"artifacts[{index}]"
        complaint = _format_complaint(artifact, case.policy.settings.formats)
        if complaint:
            remedy = "save it in another format, or let an admin allow this one in registry.yaml"
            yield _at(change, Code.FORMAT_REFUSED, f"{artifact.path}: {complaint}", remedy, f"{field}.format")
        yield from _stored(case, change, field, artifact.digest, artifact.size)


def _format_complaint(artifact: Artifact, allowed: tuple[str, ...] | None) -> str | None:
    """Say what is wrong with an artifact's format, or None; what the format is, the pusher says."""
    named = artifact.format
    if allowed is None:
        # A file of no stated format is what its name says.
        runs = named in PICKLES or (named is None and artifact.path.lower().endswith(_PICKLE_ENDINGS))
        return f"{named or 'a pickle, by its name,'} runs code when it is loaded" if runs else None
    if named in allowed or named in _TEXTS:
        return None
    return f"found {named or 'no format'}, allowed: {', '.join(allowed)}"


# Text beside the weights (configuration, tokenizer tables, cards) is no model format.
_TEXTS = frozenset({"json", "yaml", "text"})
_PICKLE_ENDINGS = (".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt")


def _stored(case: Case, change: Change, field: str, digest: Digest, size: int) -> Iterator[Violation]:
    try:
        found = case.facts.blob_size(digest)
    except UnavailableError as error:
        yield _at(
            change, Code.STORE_UNAVAILABLE, f"the object store cannot be asked: {error}", "try again later", field
        )
        return
    if found is None:
        yield _at(
            change,
            Code.BLOB_MISSING,
            f"{digest} is not in the object store",
            "upload first: gitreg register does both",
            f"{field}.digest",
        )
    elif found != size:
        yield _at(
            change,
            Code.BLOB_SIZE,
            f"found {size}, the stored blob has {found} bytes",
            "write the size of the blob with this digest",
            f"{field}.size",
        )


def _updated(case: Case, change: Change) -> Iterator[Violation]:
    before, after = cast("Manifest", change.before), cast("Manifest", change.after)
    for name in changed_fields(before, after):
        if name in IMMUTABLE_FIELDS:
            yield _at(
                change,
                Code.VERSION_IMMUTABLE,
                f"{name} of a registered version never changes",
                "register a new version",
                name,
            )
    for name in rewritten_measurements(before, after):
        yield _at(
            change,
            Code.MEASUREMENT_REWRITTEN,
            f"{name} was measured already; measurements may be added, not rewritten",
            "add a new name, or register a new version",
            name,
        )
    yield from (
        _at(change, Code.METADATA_MISSING, f"{name} is required by registry.yaml", "keep it", name)
        for name in missing_fields(after, case.policy.settings.required)
        if name not in missing_fields(before, case.policy.settings.required)
    )


def _removed(_case: Case, change: Change) -> Iterator[Violation]:
    name = f"{change.place.model}@{change.place.version}"
    yield _at(
        change,
        Code.VERSION_REMOVED,
        f"{name} may not be removed: a registered version keeps its number",
        f"hide it with `gitreg yank {name}`, or leave a tombstone with `gitreg delete {name}`",
    )


def _deleted(case: Case, change: Change) -> Iterator[Violation]:
    tombstone = cast("Tombstone", change.after)
    yield from _mismatch(change, model=tombstone.model, version=tombstone.version)
    data = case.commit.before.read(change.place.path)
    if data is None and case.transition:
        yield _at(change, Code.TOMBSTONE, "there is no version here to delete", "leave the tombstone out")
    if data is not None and Digest.of(data) != tombstone.manifest_digest:
        yield _at(
            change,
            Code.TOMBSTONE,
            f"found {tombstone.manifest_digest}, the manifest's bytes have {Digest.of(data)}",
            "gitreg delete writes the right one",
            "manifest_digest",
        )
    for user in _users_of(case.after, tombstone.model, tombstone.version):
        yield _at(
            change,
            Code.VERSION_IN_USE,
            f"{tombstone.model}@{tombstone.version} is in use: {user}",
            "move the environment or the alias to another version first",
        )


def _users_of(state: State, model: ModelName, version: Version) -> Iterator[str]:
    """Name the environments and aliases that point at a version."""
    for name in state.names(DEPLOYMENTS):
        environment = EnvironmentName(name)
        data = state.read(deployment_path(environment, model))
        if data is None:
            continue
        pointer = Deployment.parse(data, deployment_path(environment, model))
        if version in {pointer.version, pointer.canary_version}:
            yield f"environment {environment}"
    data = state.read(model_path(model))
    if data is not None:
        for alias, target in Model.parse(data, model_path(model)).aliases.items():
            if target == version:
                yield f"alias {alias}"


def _restored(case: Case, change: Change) -> Iterator[Violation]:
    tombstone, manifest = cast("Tombstone", change.before), cast("Manifest", change.after)
    data = case.after.read(change.place.path)
    if data is not None and Digest.of(data) != tombstone.manifest_digest:
        yield _at(
            change,
            Code.TOMBSTONE,
            "a deleted version comes back only with the very same bytes",
            "revert the commit that deleted it",
        )
        return
    yield from _mismatch(change, model=manifest.model, version=manifest.version)
    yield from _complete(case, change, manifest)
    yield from _parents(case, change, manifest)
    yield from _artifacts(case, change, manifest)


def _tombstone_edited(_case: Case, change: Change) -> Iterator[Violation]:
    yield _at(change, Code.TOMBSTONE, "a tombstone is never edited", "revert the deletion to restore the version")


# Models


def _model(_case: Case, change: Change) -> Iterator[Violation]:
    model = cast("Model", change.after)
    yield from _mismatch(change, model=model.model)


def _aliases(case: Case, change: Change) -> Iterator[Violation]:
    model = cast("Model", change.after)
    if change.event is Event.ALIASES_MOVED and change.before is not None:
        yield from _mismatch(change, model=model.model)
    for name in change.fields:
        target = next((version for alias, version in model.aliases.items() if alias == name), None)
        if target is None:
            continue
        if case.policy.settings.environment(name) is not None:
            yield _at(
                change,
                Code.ALIAS_RESERVED,
                f"{name} is an environment",
                "deploy to it, or choose another alias",
                f"aliases.{name}",
            )
        found = _version_in(case.after, change.place.model or model.model, target)
        if not isinstance(found, Manifest):
            what = "was deleted" if found else "does not exist"
            remedy = f"see `gitreg versions {model.model}`"
            yield _at(change, Code.VERSION_UNKNOWN, f"{model.model}@{target} {what}", remedy, f"aliases.{name}")


def _model_removed(case: Case, change: Change) -> Iterator[Violation]:
    model = change.place.model
    left = [name for name in case.after.names(f"{MODELS}/{model}") if name != "model.yaml"]
    if left:
        yield _at(
            change,
            Code.MODEL_MISSING,
            f"{model} has {left[0]} and keeps its model.yaml",
            "yank its versions; a model without any goes as a whole, its card included",
        )


def _card(case: Case, change: Change) -> Iterator[Violation]:
    model = cast("ModelName", change.place.model)
    if case.after.read(change.place.path) is not None and case.after.read(model_path(model)) is None:
        yield _at(change, Code.MODEL_MISSING, f"{model} has no model.yaml", f"add {model_path(model)} beside the card")


# Deployments, approvals, status


def _environment(case: Case, change: Change) -> EnvironmentRule | Violation:
    name = str(change.place.environment)
    settings = case.policy.settings
    rule = settings.environment(name)
    if rule is not None:
        return rule
    known = [str(each.name) for each in settings.environments]
    near = did_you_mean(name, known)
    return _at(
        change,
        Code.ENVIRONMENT_UNKNOWN,
        f"found {name}, registry.yaml has {', '.join(known) or 'no environment'}",
        f"did you mean {near}?" if near else "let an admin add it to registry.yaml",
        "environment",
    )


def _pointer(case: Case, change: Change) -> Iterator[Violation]:
    before, after = change.pointer
    if after is None:
        return
    running = {before.version, before.canary_version} if before else set()
    yield from _mismatch(change, environment=after.environment, model=after.model)
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
        if case.transition and not fits and version != getattr(before, field, None):
            yield from _gates(case, change, rule, field, version, met=restores or version in running)


def _runnable(case: Case, change: Change, field: str, version: Version) -> Iterator[Violation]:
    model = cast("ModelName", change.place.model)
    found = _version_in(case.after, model, version)
    if not isinstance(found, Manifest):
        what = "was deleted" if found else "does not exist"
        yield _at(change, Code.VERSION_UNKNOWN, f"{model}@{version} {what}", f"see `gitreg versions {model}`", field)
    elif case.transition and found.lifecycle not in DEPLOYABLE:
        yield _at(
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
        yield _at(
            change,
            Code.APPROVALS,
            f"{model}@{version} is rejected for {rule.name} by {', '.join(rejected)}",
            "deploy another version, or settle it with them",
            field,
        )
    if met:
        return
    if rule.after is not None and not _runs(case.after, rule.after, model, version):
        yield _at(
            change,
            Code.ORDER,
            f"{model}@{version} must run in {rule.after} before {rule.name}",
            f"gitreg deploy {model}@{version} {rule.after}",
            field,
        )
    given = len({approval.user for approval in verdicts if approval.verdict is Verdict.APPROVE})
    if given < rule.approvals:
        yield _at(
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


def _approval(case: Case, change: Change) -> Iterator[Violation]:
    approval = cast("Approval | None", change.after)
    if approval is None:
        return
    yield from _mismatch(
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
    found = _version_in(case.after, approval.model, approval.version)
    if data is None or not isinstance(found, Manifest):
        what = f"{approval.model}@{approval.version} {'was deleted' if found else 'does not exist'}"
        yield _at(change, Code.VERSION_UNKNOWN, what, f"see `gitreg versions {approval.model}`", "version")
    elif case.transition and Digest.of(data) != approval.manifest_digest:
        yield _at(
            change,
            Code.APPROVAL_STALE,
            f"found {approval.manifest_digest}, the manifest's bytes have {Digest.of(data)}",
            "look at the manifest as it is now, then approve again",
            "manifest_digest",
        )


def _status(case: Case, change: Change) -> Iterator[Violation]:
    status = cast("Status | None", change.after)
    if status is None:
        return
    yield from _mismatch(change, environment=status.environment, model=status.model)
    rule = _environment(case, change)
    if isinstance(rule, Violation):
        yield rule
    if _version_in(case.after, status.model, status.version) is None:
        what = f"{status.model}@{status.version} does not exist"
        yield _at(change, Code.VERSION_UNKNOWN, what, f"see `gitreg versions {status.model}`", "version")
    yield from _not_in_future(case, change, "reported", status.reported)


# Settings


def settings_fit(case: Case, settings: Settings) -> Iterator[Violation]:
    """Judge new settings against the state: no environment in use goes away, no alias gets its name."""
    names = {str(rule.name) for rule in settings.environments}
    for folder in (DEPLOYMENTS, STATUS):
        for used in case.after.names(folder):
            if used not in names:
                yield Violation(
                    Code.ENVIRONMENT_IN_USE,
                    f"environment {used} is in use: {folder}/{used}/ is there",
                    "undeploy what is there first, and remove its status files",
                    path=SETTINGS,
                    field="environments",
                )
    if settings.identity is not None:
        yield Violation(
            Code.FILE_INVALID,
            f"identity: {settings.identity} is not enforced by this release, which would lock everybody out",
            "leave it out; gitreg.identity in the server's configuration says who pushes",
            path=SETTINGS,
            field="identity",
        )
    added = names - {str(rule.name) for rule in case.policy.settings.environments}
    yield from _aliases_of_that_name(case.after, added) if case.transition else ()


def _aliases_of_that_name(state: State, names: Iterable[str]) -> Iterator[Violation]:
    wanted = set(names)
    if not wanted:
        return
    for project in state.names(MODELS):
        for name in state.names(f"{MODELS}/{project}"):
            model = ModelName(project, name)
            data = state.read(model_path(model))
            for alias in wanted & set(Model.parse(data, model_path(model)).aliases if data else ()):
                yield Violation(
                    Code.ALIAS_RESERVED,
                    f"{model} has an alias of the name {alias}",
                    "rename the alias or the environment",
                    path=SETTINGS,
                    field="environments",
                )


_RULES: dict[Event, Callable[[Case, Change], Iterator[Violation]]] = {
    Event.REGISTERED: _registered,
    Event.UPDATED: _updated,
    Event.REMOVED: _removed,
    Event.DELETED: _deleted,
    Event.RESTORED: _restored,
    Event.TOMBSTONE_EDITED: _tombstone_edited,
    Event.MODEL_CREATED: _model,
    Event.MODEL_UPDATED: _model,
    Event.ALIASES_MOVED: _aliases,
    Event.MODEL_REMOVED: _model_removed,
    Event.CARD_CHANGED: _card,
    Event.POINTER: _pointer,
    Event.APPROVAL: _approval,
    Event.STATUS: _status,
}
