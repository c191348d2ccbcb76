"""Turn files and facts about a training run into the commit that registers a version."""

from __future__ import annotations

import json
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import ConflictError, DeniedError, InvalidError, UnavailableError
from gitreg.layout import MODELS, model_path, version_path
from gitreg.manifest import HEADER, Lifecycle, Manifest, Model, Tombstone
from gitreg.manifest.licensing import License, read_license
from gitreg.names import ModelName, Version
from gitreg.records import dataclass, field, replace
from gitreg.writer import Plan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from gitreg.git import Signature
    from gitreg.objects import Progress, Source, Store, StoredFile
    from gitreg.objects.digests import Digests
    from gitreg.reader import RegistryFiles, Snapshot
    from gitreg.registry.inspected import Inspected
    from gitreg.scan import Inspector

FIRST_VERSION = "0.1.0"
DEFAULT_RELATION = "derived-from"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisterRequest:
    """Everything a user says about a new version; what is left out stays out of the manifest."""

    model: str
    paths: tuple[Path, ...] = ()
    version: str | None = None
    bump: str | None = None
    description: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    hyperparameters: Mapping[str, object] = field(default_factory=dict)
    datasets: tuple[Mapping[str, object], ...] = ()
    framework: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    license: str | None = None
    parents: tuple[str, ...] = ()
    base: str | None = None
    external: Mapping[str, object] | None = None
    evaluations: tuple[Mapping[str, object], ...] = ()
    signature: Mapping[str, object] | None = None
    model_description: str | None = None
    task: str | None = None
    owners: tuple[str, ...] = ()
    code: bool = True
    created: str | None = None
    follow_symlinks: bool = False
    progress: Progress | None = None


def check_request(request: RegisterRequest) -> ModelName:
    """Refuse what can be refused before a byte of the weights is read; give the model's name."""
    name = ModelName.parse(request.model)
    if request.version and request.bump:
        raise InvalidError("--version and --bump exclude each other", hint="name the version, or let it be counted up")
    if not request.version and not request.bump:
        raise InvalidError("no version is named", hint="--version 1.0.0, or --bump major|minor|patch")
    if request.version:
        Version(request.version)
    if request.bump and request.bump not in {"major", "minor", "patch"}:
        raise InvalidError(f"--bump: found {request.bump!r}, allowed: major, minor, patch")
    if bool(request.paths) == bool(request.external):
        raise InvalidError(
            "a version has either files or an external provider",
            hint="name a file or folder, or --external provider:id",
        )
    return name


def next_version(snapshot: Snapshot, name: ModelName, request: RegisterRequest) -> Version:
    """Name the version to register: the one asked for, or the highest raised; ConflictError where it is taken."""
    if request.version:
        version = Version(request.version)
        if snapshot.read(version_path(name, version)) is not None:
            raise _taken(snapshot, name, version)
        return version
    taken = snapshot.versions(name) if snapshot.names(f"{MODELS}/{name}") else []
    if not taken:
        return Version(FIRST_VERSION if request.bump != "major" else "1.0.0")
    return taken[-1].bump(request.bump or "patch")


def _taken(snapshot: Snapshot, name: ModelName, version: Version) -> ConflictError:
    found = snapshot.find(name, version)
    if isinstance(found, Tombstone):
        what = f"{name}@{version} was deleted and keeps its number"
    else:
        what = f"{name}@{version} exists"
        if found is not None:
            what += f", registered {found.manifest.created} by {found.manifest.author.name}"
    return ConflictError(what, hint=f"the next one is {snapshot.versions(name)[-1].bump('patch')} (bump patch)")


def check_parents(snapshot: RegistryFiles, request: RegisterRequest) -> None:
    """Refuse parents that do not exist, before anything is uploaded."""
    for parent in request.parents:
        model, version, _ = _parent_parts(parent)
        snapshot.version(ModelName.parse(model), Version(version))


def _parent_parts(text: str) -> tuple[str, str, str]:
    name, colon, relation = text.partition(":")
    model, at, version = name.partition("@")
    if not at:
        raise InvalidError(f"--parent {text!r} names no version", hint="write project/model@1.0.0[:relation]")
    return model, version, relation if colon else DEFAULT_RELATION


def claimed(request: RegisterRequest, inspected: Inspected | None) -> tuple[StoredFile, ...]:
    """Describe the files of a request without hashing them: their digests are placeholders.

    What is wrong with a manifest so shows before 90 MB are uploaded for it.
    """
    from gitreg.objects import StoredFile

    return tuple(
        StoredFile(source.path, Digest.of(source.path.encode()), source.file.stat().st_size, str(source.format))
        for source in _sources(request, inspected)
    )


def inspector(request: RegisterRequest) -> AbstractContextManager[Inspector | None]:
    """Start the process that looks into the files of a request, where it has any."""
    if not request.paths:
        return nullcontext()
    from gitreg.scan import Inspector

    return Inspector()


def looked_into(
    request: RegisterRequest, allowed: tuple[str, ...] | None, inspector: Inspector | None = None
) -> Inspected | None:
    """Inspect the files of a request; InvalidError where one is damaged, or would run code that nobody allowed."""
    from gitreg.registry.inspected import inspect

    files = [(each.path, each.file) for each in _sources(request)]
    return inspect(files, allowed, inspector) if files else None


def upload(store: Store, request: RegisterRequest, inspected: Inspected | None) -> tuple[StoredFile, ...]:
    """Put the files of a request into the object store."""
    from gitreg.objects import store_sources

    if not request.paths:
        return ()
    try:
        return store_sources(store, _sources(request, inspected), request.progress, _digests())
    except (UnavailableError, DeniedError) as error:
        raise error.within(f"{request.model}@{request.version or f'({request.bump})'}")  # noqa: B904 - the same error


def hashed(request: RegisterRequest, inspected: Inspected | None) -> tuple[StoredFile, ...]:
    """Describe the files of a request without storing them, for a dry run."""
    from gitreg.objects import Blob, StoredFile, hash_file

    rows = []
    digests = _digests()
    for source in _sources(request, inspected):
        found = source.file.stat()
        known = digests.find(found) if digests else None
        blob = Blob(known, found.st_size) if known else hash_file(source.file)
        rows.append(StoredFile(source.path, blob.digest, blob.size, str(source.format)))
    return tuple(rows)


def _sources(request: RegisterRequest, inspected: Inspected | None = None) -> list[Source]:
    """List the files of a request, with their formats where they were inspected: here nothing is parsed."""
    from gitreg.objects import collect

    found = collect(request.paths, follow_symlinks=request.follow_symlinks) if request.paths else []
    return [replace(each, format=inspected.format(each.path)) for each in found] if inspected else found


def _digests() -> Digests | None:
    """Open what this machine remembers of its files; None where it has no place for that."""
    import os

    from gitreg.objects import Cache
    from gitreg.objects.digests import Digests

    try:
        return Digests(Cache.of_user(os.environ).folder / "digests")
    except InvalidError:
        return None


def sizes_of(files: Iterable[StoredFile]) -> dict[str, int]:
    """Give the sizes of files by their digests, for a verdict that is not to look into the store."""
    return {str(file.digest): file.size for file in files}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What of a manifest does not depend on the tip that it is committed to."""

    request: RegisterRequest
    name: ModelName
    files: tuple[StoredFile, ...]
    author: Signature
    code: Mapping[str, object] | None
    created: str
    inspected: Inspected | None = None
    told: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    """What a client says that it found in each file, where nobody here has looked into them."""

    def _manifest(self, version: Version) -> tuple[Manifest, bytes]:
        """Build the manifest and its file; InvalidError names every field that is wrong."""
        data = self._data(version)
        written = _bytes(data, header=HEADER)
        manifest = Manifest.parse(written, version_path(self.name, version))
        # Mostly it was written in canonical form right away: so it is written, and parsed by whoever comes next, once.
        is_canonical = _spelled(manifest.to_data()) == _spelled(data)
        return manifest, written if is_canonical else manifest.to_bytes()

    def _data(self, version: Version) -> dict[str, object]:
        request = self.request
        training = {
            "datasets": [dict(dataset) for dataset in request.datasets],
            "framework": _framework(request.framework),
            "code": dict(self.code) if self.code else None,
            "hyperparameters": _ordered(request.hyperparameters),
        }
        data: dict[str, object] = {
            "api_version": "gitreg/v1",
            "kind": "ModelVersion",
            "model": str(self.name),
            "version": str(version),
            "created": self.created,
            "author": {"name": self.author.name, "email": self.author.email},
            "description": request.description,
            "artifacts": [_artifact(file, self._report(file.path)) for file in self.files],
            "external": dict(request.external) if request.external else None,
            "training": {key: value for key, value in training.items() if value},
            "metrics": _ordered(request.metrics),
            "evaluations": [dict(evaluation) for evaluation in request.evaluations],
            "signature": self._signature(),
            "parents": [_parent(parent) for parent in request.parents],
            "base": {"uri": request.base} if request.base else None,
            "license": self._license().text or None,
            "labels": _ordered(request.labels),
            "lifecycle": str(Lifecycle.ACTIVE),
        }
        return {key: value for key, value in data.items() if value not in (None, [], {})}

    def _report(self, path: str) -> Mapping[str, object]:
        return self.inspected.report(path) if self.inspected else self.told.get(path, {})

    def _license(self) -> License:
        return License("") if self.request.license is None else read_license(self.request.license)

    def _signature(self) -> dict[str, object] | None:
        """Give the user's signature, or what the files say."""
        if self.request.signature:
            return dict(self.request.signature)
        return self.inspected.signature() if self.inspected else None

    def plan(self, snapshot: Snapshot) -> Plan:
        """Plan the commit on a tip; ConflictError where the version exists, NotFoundError where a parent does not."""
        version = next_version(snapshot, self.name, self.request)
        check_parents(snapshot, self.request)
        manifest, written = self._manifest(version)
        edits: dict[str, bytes | None] = {version_path(self.name, version): written}
        notes = [*self._license().notes]
        if snapshot.read(model_path(self.name)) is None:
            edits[model_path(self.name)] = self._model().to_bytes()
        elif self.request.model_description or self.request.task or self.request.owners:
            notes.append(f"{self.name} exists: its description is left as it is (gitreg update {self.name} changes it)")
        return Plan(
            edits=edits,
            subject=f"Register {self.name} {version}",
            body=(self.request.description or "").strip(),
            notes=tuple(notes),
            about=manifest,
        )

    def _model(self) -> Model:
        request = self.request
        data = {
            "api_version": "gitreg/v1",
            "kind": "Model",
            "model": str(self.name),
            "description": request.model_description or f"The model {self.name}.",
            "owners": list(request.owners),
            "task": request.task,
        }
        return Model.parse(_bytes({key: value for key, value in data.items() if value}), model_path(self.name))


def _bytes(data: dict[str, object], *, header: str | None = None) -> bytes:
    from gitreg.wire import dump

    return dump(data, header=header)


def _ordered(fields: Mapping[str, object]) -> dict[str, object]:
    """Copy fields in the order of the canonical form."""
    return {name: fields[name] for name in sorted(fields, key=str)}


def _spelled(data: Mapping[str, object]) -> str:
    """Say fields in a form that differs wherever their file would."""
    return json.dumps(data, default=repr)


def _artifact(file: StoredFile, report: Mapping[str, object]) -> dict[str, object]:
    data: dict[str, object] = {"path": file.path, "digest": str(file.digest), "size": file.size}
    if file.format:
        data["format"] = file.format
    return {**data, "inspection": dict(report)} if report else data


def _parent(text: str) -> dict[str, object]:
    model, version, relation = _parent_parts(text)
    return {"model": model, "version": version, "relation": relation}


def _framework(text: str | None) -> dict[str, object] | None:
    if not text:
        return None
    name, _, version = text.partition("==")
    return {"name": name, "version": version} if version else {"name": name}


def now() -> str:
    """Write the present time as a manifest does."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
