"""Judge versions, models and model cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gitreg.changes import Event
from gitreg.deployment import Deployment
from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from gitreg.gate.case import at, mismatch, not_in_future, version_in
from gitreg.gate.violation import Code
from gitreg.layout import DEPLOYMENTS, MODEL_SIGNATURE, MODELS, deployment_path, model_path
from gitreg.manifest import (
    IMMUTABLE_FIELDS,
    Lifecycle,
    Manifest,
    Model,
    Tombstone,
    changed_fields,
    missing_fields,
    rewritten_measurements,
)
from gitreg.names import EnvironmentName

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.changes import Change, State
    from gitreg.gate.case import Case, VersionKey
    from gitreg.gate.violation import Violation
    from gitreg.manifest.parts import Artifact
    from gitreg.names import ModelName, Version

PICKLES = frozenset({"pickle", "torch", "joblib", "torchscript"})


def registered(case: Case, change: Change) -> Iterator[Violation]:
    """Judge a new version: its identity, its parents, its artifacts, what the registry demands of it."""
    manifest = cast("Manifest", change.after)
    yield from mismatch(change, model=manifest.model, version=manifest.version)
    yield from not_in_future(case, change, "created", manifest.created)
    if case.transition and manifest.lifecycle is not Lifecycle.ACTIVE:
        yield at(change, Code.VERSION_STATE, f"a new version is active, not {manifest.lifecycle}", field="lifecycle")
    yield from _complete(case, change, manifest)
    yield from _parents(case, change, manifest)
    yield from _artifacts(case, change, manifest)
    yield from _signed(case, change, manifest)


def _signed(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    """Ask for the signature of the files where the registry does; what it is worth, who has the keys finds out."""
    if not case.policy.settings.signed_models or not manifest.artifacts:
        return
    if not any(artifact.path == MODEL_SIGNATURE and artifact.size for artifact in manifest.artifacts):
        yield at(
            change,
            Code.MODEL_UNSIGNED,
            f"registry.yaml asks for a signature of the files, and there is no {MODEL_SIGNATURE} among them",
            "make one beside the files, `gitreg sign FOLDER --key KEY`, and register the folder",
            "artifacts",
        )


def _complete(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    for name in missing_fields(manifest, case.policy.settings.required):
        yield at(change, Code.METADATA_MISSING, f"{name} is required by registry.yaml", "add it", name)
    if case.after.read(model_path(manifest.model)) is None:
        yield at(
            change,
            Code.MODEL_MISSING,
            f"{manifest.model} has no model.yaml",
            f"add {model_path(manifest.model)}; gitreg register writes it",
        )


def _parents(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    for index, parent in enumerate(manifest.parents):
        found = version_in(case.after, parent.model, parent.version)
        field = f"parents[{index}]"
        if found is None:
            remedy = f"see `gitreg versions {parent.model}`, or register it first"
            yield at(change, Code.PARENT_UNKNOWN, f"{parent.model}@{parent.version} does not exist", remedy, field)
        elif isinstance(found, Tombstone):
            remedy = f"restore it first: gitreg delete {parent.model}@{parent.version} --undo"
            yield at(change, Code.PARENT_UNKNOWN, f"{parent.model}@{parent.version} was deleted", remedy, field)
    if manifest.parents and _descends_from_itself(case, manifest):
        yield at(change, Code.PARENT_UNKNOWN, "it would be its own ancestor", "name what it came from alone", "parents")


def _descends_from_itself(case: Case, manifest: Manifest) -> bool:
    """Whether versions that come in one commit name each other in a circle; older ones cannot."""
    start: VersionKey = (manifest.model, manifest.version)
    seen: set[VersionKey] = set()
    waiting: list[VersionKey] = [(parent.model, parent.version) for parent in manifest.parents]
    while waiting:
        key = waiting.pop()
        if key == start:
            return True
        if key not in seen:
            seen.add(key)
            waiting += case.coming.get(key, ())
    return False


def _artifacts(case: Case, change: Change, manifest: Manifest) -> Iterator[Violation]:
    for index, artifact in enumerate(manifest.artifacts):
        field = f"artifacts[{index}]"
        complaint = _format_complaint(artifact, case.policy.settings.formats)
        if complaint:
            remedy = "save it in another format, or let an admin allow this one in registry.yaml"
            yield at(change, Code.FORMAT_REFUSED, f"{artifact.path}: {complaint}", remedy, f"{field}.format")
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
        yield at(change, Code.STORE_UNAVAILABLE, f"the object store cannot be asked: {error}", "try again later", field)
        return
    if found is None:
        yield at(
            change,
            Code.BLOB_MISSING,
            f"{digest} is not in the object store",
            "upload first: gitreg register does both",
            f"{field}.digest",
        )
    elif found != size:
        yield at(
            change,
            Code.BLOB_SIZE,
            f"found {size}, the stored blob has {found} bytes",
            "write the size of the blob with this digest",
            f"{field}.size",
        )


def updated(case: Case, change: Change) -> Iterator[Violation]:
    """Judge an edit of a manifest: what never changes has not, and no measurement is rewritten."""
    before, after = cast("Manifest", change.before), cast("Manifest", change.after)
    for name in changed_fields(before, after):
        if name in IMMUTABLE_FIELDS:
            yield at(
                change,
                Code.VERSION_IMMUTABLE,
                f"{name} of a registered version never changes",
                "register a new version",
                name,
            )
    for name in rewritten_measurements(before, after):
        yield at(
            change,
            Code.MEASUREMENT_REWRITTEN,
            f"{name} was measured already; measurements may be added, not rewritten",
            "add a new name, or register a new version",
            name,
        )
    yield from (
        at(change, Code.METADATA_MISSING, f"{name} is required by registry.yaml", "keep it", name)
        for name in missing_fields(after, case.policy.settings.required)
        if name not in missing_fields(before, case.policy.settings.required)
    )


def removed(_case: Case, change: Change) -> Iterator[Violation]:
    """Refuse that a version goes, and name the way out."""
    name = f"{change.place.model}@{change.place.version}"
    yield at(
        change,
        Code.VERSION_REMOVED,
        f"{name} may not be removed: a registered version keeps its number",
        f"hide it with `gitreg yank {name}`, or leave a tombstone with `gitreg delete {name}`",
    )


def deleted(case: Case, change: Change) -> Iterator[Violation]:
    """Judge a tombstone that takes the place of a version."""
    tombstone = cast("Tombstone", change.after)
    yield from mismatch(change, model=tombstone.model, version=tombstone.version)
    data = case.commit.before.read(change.place.path)
    if data is None and case.transition:
        yield at(change, Code.TOMBSTONE, "there is no version here to delete", "leave the tombstone out")
    if data is not None and Digest.of(data) != tombstone.manifest_digest:
        yield at(
            change,
            Code.TOMBSTONE,
            f"found {tombstone.manifest_digest}, the manifest's bytes have {Digest.of(data)}",
            "gitreg delete writes the right one",
            "manifest_digest",
        )
    for user in _users_of(case.after, tombstone.model, tombstone.version):
        yield at(
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


def restored(case: Case, change: Change) -> Iterator[Violation]:
    """Judge a version that takes the place of its tombstone: the very same bytes."""
    tombstone, manifest = cast("Tombstone", change.before), cast("Manifest", change.after)
    data = case.after.read(change.place.path)
    if data is not None and Digest.of(data) != tombstone.manifest_digest:
        yield at(
            change,
            Code.TOMBSTONE,
            "a deleted version comes back only with the very same bytes",
            "revert the commit that deleted it",
        )
        return
    yield from mismatch(change, model=manifest.model, version=manifest.version)
    yield from _complete(case, change, manifest)
    yield from _parents(case, change, manifest)
    yield from _artifacts(case, change, manifest)
    yield from _signed(case, change, manifest)


def tombstone_edited(_case: Case, change: Change) -> Iterator[Violation]:
    """Refuse an edit of a tombstone."""
    yield at(change, Code.TOMBSTONE, "a tombstone is never edited", "revert the deletion to restore the version")


# Models


def described(_case: Case, change: Change) -> Iterator[Violation]:
    """Judge a model's file."""
    model = cast("Model", change.after)
    yield from mismatch(change, model=model.model)


def aliases(case: Case, change: Change) -> Iterator[Violation]:
    """Judge the aliases that moved: each names a version, and none is an environment."""
    model = cast("Model", change.after)
    if change.event is Event.ALIASES_MOVED and change.before is not None:
        yield from mismatch(change, model=model.model)
    for name in change.fields:
        target = next((version for alias, version in model.aliases.items() if alias == name), None)
        if target is None:
            continue
        if case.policy.settings.environment(name) is not None:
            yield at(
                change,
                Code.ALIAS_RESERVED,
                f"{name} is an environment",
                "deploy to it, or choose another alias",
                f"aliases.{name}",
            )
        found = version_in(case.after, change.place.model or model.model, target)
        if not isinstance(found, Manifest):
            what = "was deleted" if found else "does not exist"
            remedy = f"see `gitreg versions {model.model}`"
            yield at(change, Code.VERSION_UNKNOWN, f"{model.model}@{target} {what}", remedy, f"aliases.{name}")


def model_removed(case: Case, change: Change) -> Iterator[Violation]:
    """Judge that a model's file goes: with everything else of the model."""
    model = change.place.model
    left = [name for name in case.after.names(f"{MODELS}/{model}") if name != "model.yaml"]
    if left:
        yield at(
            change,
            Code.MODEL_MISSING,
            f"{model} has {left[0]} and keeps its model.yaml",
            "yank its versions; a model without any goes as a whole, its card included",
        )


def card(case: Case, change: Change) -> Iterator[Violation]:
    """Judge a model card: it belongs to a model."""
    model = cast("ModelName", change.place.model)
    if case.after.read(change.place.path) is not None and case.after.read(model_path(model)) is None:
        yield at(change, Code.MODEL_MISSING, f"{model} has no model.yaml", f"add {model_path(model)} beside the card")
