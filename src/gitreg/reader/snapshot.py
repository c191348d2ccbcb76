"""A registry at one commit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, NoReturn

from gitreg.deployment import Approval, Deployment, Status
from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.index.precedence import precedence
from gitreg.layout import (
    ACCESS,
    APPROVALS,
    DEPLOYMENTS,
    MODELS,
    SETTINGS,
    STATUS,
    approvals_path,
    card_path,
    deployment_path,
    model_path,
    status_path,
    version_path,
)
from gitreg.manifest import Lifecycle, Manifest, Model, Tombstone, version_from_data
from gitreg.names import AliasName, EnvironmentName, ModelName, Selector, Version, did_you_mean
from gitreg.reader.parsed import Parsed, PlainFile
from gitreg.records import dataclass
from gitreg.wire import load_plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitreg.access import Access
    from gitreg.changes import State
    from gitreg.git import Repository
    from gitreg.names import VersionRange
    from gitreg.reader.parsed import R
    from gitreg.settings import Settings

RESOLVABLE = frozenset({Lifecycle.ACTIVE, Lifecycle.DEPRECATED})


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A manifest as it stands in the tree: its value, and the digest of the file's bytes."""

    manifest: Manifest
    digest: Digest


class RegistryFiles(ABC):
    """The files of a registry at one commit, wherever they are read from.

    It answers every question about one model or one environment; those about history are git's.
    """

    commit: str

    def read(self, path: str) -> bytes | None:  # noqa: ARG002 - what there is to read, others say
        """Give a file's bytes, or None; InvalidError where only what they say is known, as of a published index."""
        raise InvalidError("this needs the files themselves", hint="name the registry itself: --registry ssh://…")

    @abstractmethod
    def plain(self, path: str) -> PlainFile | None:
        """Give what a file says, or None where there is no such file."""

    @abstractmethod
    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder."""

    def ahead(self, paths: Iterable[str]) -> None:  # noqa: B027 - only who reads from afar has anything to do
        """Say which files will be read, so that they come together where each would be a question to a server."""

    @abstractmethod
    def card(self, name: ModelName) -> str | None:
        """Read the model card, in Markdown."""

    @property
    @abstractmethod
    def settings(self) -> Settings:
        """The registry's settings."""

    # Models and versions

    def models(self, project: str | None = None) -> Iterator[ModelName]:
        """Name every model, or those of one project."""
        for each in [project] if project else sorted(self.names(MODELS)):
            for name in sorted(self.names(f"{MODELS}/{each}")):
                yield ModelName(each, name)

    def model(self, name: ModelName) -> Model:
        """Read a model's description; NotFoundError names the nearest model."""
        found = self.plain(model_path(name))
        if found is None:
            raise no_model(str(name), map(str, self.models()))
        return Model.from_data(found.data)

    def versions(self, name: ModelName) -> list[Version]:
        """List the versions of a model, tombstones included, lowest first."""
        names = self.names(f"{MODELS}/{name}")
        if not names:
            raise no_model(str(name), map(str, self.models()))
        found = [each.removesuffix(".yaml") for each in names if each.endswith(".yaml") and each != "model.yaml"]
        # Comparing them pair by pair takes several times as long.
        return sorted(map(Version, found), key=lambda version: precedence(version.text))

    def find(self, name: ModelName, version: Version) -> VersionFile | Tombstone | None:
        """Read one version, or None where there is none."""
        found = self.plain(version_path(name, version))
        return _version(found) if found is not None else None

    def version(self, name: ModelName, version: Version) -> VersionFile:
        """Read one version; NotFoundError where it does not exist or was deleted."""
        found = self.find(name, version)
        if isinstance(found, VersionFile):
            return found
        if found is not None:
            raise NotFoundError(f"{name}@{version} was deleted: {found.reason}")
        known = [str(each) for each in self.versions(name)]
        near = did_you_mean(str(version), known)
        hint = f"did you mean {near}?" if near else f"`gitreg versions {name}` shows what there is"
        raise NotFoundError(f"there is no version {name}@{version}", hint=hint)

    def every_version(self, name: ModelName) -> Iterator[VersionFile | Tombstone]:
        """Read all versions of a model, lowest first."""
        for version in self.versions(name):
            found = self.find(name, version)
            if found is not None:
                yield found

    # Selectors

    def resolve(self, selector: Selector) -> Version:
        """Find the version that a selector means; NotFoundError says what there is instead."""
        name, what = selector.model, selector.what
        if selector.version is not None:
            return selector.version
        if what is None or what == "latest":
            return self._best(name, None)
        if selector.version_range is None:
            return self._pointed(name, what) or self._unknown(name, what)
        # A name of digits alone, such as 2026, reads as a range as well; the name goes first.
        named = self._pointed(name, what) if what.isdigit() else None
        return named or self._best(name, selector.version_range)

    def _best(self, name: ModelName, wanted: VersionRange | None) -> Version:
        candidates = [version for version in reversed(self.versions(name)) if wanted is None or version in wanted]
        if wanted is None:
            # A pre-release is the latest only where there is nothing else.
            candidates.sort(key=lambda version: version.is_prerelease)
        for version in candidates:
            found = self.find(name, version)
            if isinstance(found, VersionFile) and found.manifest.lifecycle in RESOLVABLE:
                return version
        what = f"version in {wanted.text}" if wanted else "version"
        raise NotFoundError(f"{name} has no active {what}", hint=f"`gitreg versions {name}` shows what there is")

    def _pointed(self, name: ModelName, what: str) -> Version | None:
        """Find the version that an environment or an alias points at."""
        with suppress(InvalidError):
            pointer = self.pointer(EnvironmentName(what), name)
            if pointer is not None:
                return pointer.version
        aliases = self.model(name).aliases
        return aliases[AliasName(what)] if what in aliases else None

    def _unknown(self, name: ModelName, what: str) -> NoReturn:
        environments = [str(each) for each in self.environments()]
        if what in environments:
            raise NotFoundError(
                f"nothing of {name} is deployed in {what}", hint=f"`gitreg deploy {name}@VERSION {what}`"
            )
        known = [*environments, *self.model(name).aliases, "latest"]
        near = did_you_mean(what, known)
        if near is None and what[0] in "v0123456789":
            Version(what)  # says what is wrong with it
        hint = f"did you mean {name}@{near}?" if near else f"it has {', '.join(known)}, and versions"
        raise NotFoundError(f"{name} has no environment, alias or version {what!r}", hint=hint)

    # Deployments

    def environments(self) -> list[EnvironmentName]:
        """Name the environments in the order of the settings."""
        found = self.plain(SETTINGS)
        if found is None:
            raise self._missing(SETTINGS)
        try:
            return [EnvironmentName(rule["name"]) for rule in found.data.get("environments", ())]
        except (InvalidError, KeyError, TypeError):
            # It was not judged when it came in: reading it strictly says what is wrong.
            return [rule.name for rule in self.settings.environments]

    def pointer(self, environment: EnvironmentName, name: ModelName) -> Deployment | None:
        """Read what is meant to run somewhere."""
        found = self.plain(deployment_path(environment, name))
        return Deployment.from_data(found.data) if found is not None else None

    def pointers(self, environment: EnvironmentName) -> Iterator[Deployment]:
        """Read every pointer of an environment."""
        found = (self.pointer(environment, name) for name in self._models_in(f"{DEPLOYMENTS}/{environment}"))
        return (pointer for pointer in found if pointer is not None)

    def statuses(self, environment: EnvironmentName) -> Iterator[Status]:
        """Read every reported status of an environment."""
        found = (self.status(environment, name) for name in self._models_in(f"{STATUS}/{environment}"))
        return (status for status in found if status is not None)

    def _models_in(self, folder: str) -> Iterator[ModelName]:
        found = [(project, name) for project in self.names(folder) for name in self.names(f"{folder}/{project}")]
        self.ahead(f"{folder}/{project}/{name}" for project, name in found)
        for project, name in found:
            yield ModelName(project, name.removesuffix(".yaml"))

    def status(self, environment: EnvironmentName, name: ModelName) -> Status | None:
        """Read what was last reported to run somewhere."""
        found = self.plain(status_path(environment, name))
        return Status.from_data(found.data) if found is not None else None

    def approvals(self, name: ModelName, version: Version) -> Iterator[Approval]:
        """Read the approvals of a version, for every environment."""
        for environment in self.names(f"{APPROVALS}/{name}/{version}"):
            folder = approvals_path(name, version, EnvironmentName(environment))
            for user in self.names(folder):
                found = self.plain(f"{folder}/{user}")
                if found is not None:
                    yield Approval.from_data(found.data)

    def _missing(self, path: str) -> NotFoundError:
        return NotFoundError(f"{path} is missing at {self.commit[:10]}", hint="is this a gitreg registry?")


def no_model(name: str, known: Iterable[str]) -> NotFoundError:
    """Say that there is no such model, and which may be meant."""
    near = did_you_mean(name, known)
    hint = f"did you mean {near}?" if near else "`gitreg list` shows what there is"
    error = NotFoundError(f"there is no model {name}", hint=hint)
    error.sought, error.resembles = name, near
    return error


def _version(file: PlainFile) -> VersionFile | Tombstone:
    value = version_from_data(file.data)
    return value if isinstance(value, Tombstone) else VersionFile(value, file.digest)


class Snapshot(RegistryFiles):
    """A registry at one commit, read from git as far as a question needs; it is a `State` for the gate.

    `parsed` is what was read at other commits, and is added to.
    """

    def __init__(self, repository: Repository, commit: str, parsed: Parsed | None = None) -> None:
        self.repository = repository
        self.commit = commit
        self._parsed = parsed or Parsed()

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes, or None."""
        return self.repository.objects.blob(self.commit, path)

    def plain(self, path: str) -> PlainFile | None:
        """Give what a file says, or None where there is no such file."""
        oid = self._blob(path)
        return self._parsed.file(oid, lambda: self._read_plain(path)) if oid else None

    def _blob(self, path: str) -> str | None:
        info = self.repository.objects.at(self.commit, path)
        return info.oid if info and info.type == "blob" else None

    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder."""
        return [entry.name for entry in self.repository.objects.entries(self.commit, folder)]

    def ahead(self, paths: Iterable[str]) -> None:
        """Bring the files that a partial clone lacks in one fetch; those that do not exist are nobody's."""
        if self.repository.promisor is None:
            return
        objects, wanted = self.repository.objects, {tuple(path.rsplit("/", 1)) for path in paths}
        oids = []
        for folder in {parts[0] for parts in wanted}:
            oids += [each.oid for each in objects.entries(self.commit, folder) if (folder, each.name) in wanted]
        objects.bring(oids)

    def read_ahead(self, models: Iterable[ModelName]) -> None:
        """Read the folders of models in two questions to git, in the place of one for each file that is asked for.

        What lies in folders that are as they were at an earlier commit is known then.
        """
        above = ((MODELS, f"{MODELS}/{model.project}", f"{MODELS}/{model}") for model in models)
        places = dict.fromkeys([MODELS, DEPLOYMENTS, *(part for parts in above for part in parts)])
        wanted = [f"{self.commit}^{{tree}}", *(f"{self.commit}:{place}" for place in places)]
        self.repository.objects.prefetch(wanted)

    def card(self, name: ModelName) -> str | None:
        """Read the model card, in Markdown."""
        data = self.read(card_path(name))
        return data.decode("utf-8", "replace") if data is not None else None

    @cached_property
    def settings(self) -> Settings:
        """The registry's settings."""
        from gitreg.settings import Settings

        return self._rules(SETTINGS, Settings.parse)

    @cached_property
    def access(self) -> Access:
        """The access rules."""
        from gitreg.access import Access

        return self._rules(ACCESS, Access.parse)

    def _rules(self, path: str, parse: Callable[[bytes, str], R]) -> R:
        oid = self._blob(path)
        if oid is None:
            raise self._missing(path)
        return self._parsed.rules(oid, lambda: parse(self._required(path), path))

    def _required(self, path: str) -> bytes:
        data = self.read(path)
        if data is None:
            raise self._missing(path)
        return data

    def every_version(self, name: ModelName) -> Iterator[VersionFile | Tombstone]:
        """Read all versions of a model through one stream, lowest first."""
        folder = f"{MODELS}/{name}"
        entries = {entry.name: entry.oid for entry in self.repository.objects.entries(self.commit, folder)}
        ordered = [(version, entries[f"{version}.yaml"]) for version in self.versions(name)]
        known = {oid for _, oid in ordered if oid in self._parsed}
        fresh = self.repository.objects.read_many([oid for _, oid in ordered if oid not in known])
        for version, oid in ordered:
            path = version_path(name, version)
            data = None if oid in known else next(fresh)[1]
            yield _version(self._parsed.file(oid, partial(self._read_plain, path, data)))

    def _read_plain(self, path: str, data: bytes | None = None) -> PlainFile:
        data = self._required(path) if data is None else data
        return PlainFile(_accepted(data, path), Digest.of(data))


class Overlay:
    """A registry's state with edits on top that are in no commit yet: new bytes (None removes) by path."""

    def __init__(self, below: State, edits: Mapping[str, bytes | None]) -> None:
        self._below = below
        self._edits = edits

    def read(self, path: str) -> bytes | None:
        """Give a file's bytes, or None."""
        return self._edits[path] if path in self._edits else self._below.read(path)

    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder."""
        prefix = f"{folder}/" if folder else ""
        touched = {path.removeprefix(prefix).partition("/")[0] for path in self._edits if path.startswith(prefix)}
        kept = [name for name in self._below.names(folder) if name not in touched or self._is_there(prefix + name)]
        return [*kept, *sorted(name for name in touched - set(kept) if self._is_there(prefix + name))]

    def _is_there(self, path: str) -> bool:
        return self.read(path) is not None or bool(self.names(path))


def _accepted(data: bytes, path: str) -> dict[str, object]:
    """Load a file that the gate let in; one that cannot be read now is damage, not a user's mistake."""
    try:
        return load_plain(data, path)
    except InvalidError as error:
        raise IntegrityError(
            f"{path} is damaged: {error}", hint="`gitreg check` shows everything that is wrong"
        ) from error
