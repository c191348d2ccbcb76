"""Answer from a published index what `Snapshot` answers from git."""

from __future__ import annotations

import json
from bisect import bisect_right
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError
from gitreg.layout import APPROVALS, DEPLOYMENTS, MODELS, SETTINGS, STATUS, Kind, Place, card_path, place
from gitreg.names import ModelName, Version
from gitreg.published.shape import Part, check_depth, mapping
from gitreg.reader import PlainFile, RegistryFiles
from gitreg.settings import Settings
from gitreg.wire import Document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitreg.names import VersionRange
    from gitreg.published.shape import Head, Ref

# What is in the catalogue of a project; manifests and approvals are in the model's own shard.
_CATALOGUED = frozenset({Kind.MODEL, Kind.DEPLOYMENT, Kind.STATUS})


class PublishedFiles(RegistryFiles):
    """A registry as it was published: accepted anew, by the rules that the gate has for each file."""

    def __init__(self, head: Head, shard: Callable[[Ref], dict[str, Any]]) -> None:
        self.head = head
        self.commit = head.commit
        self._shard = shard
        self._accepted: dict[str, PlainFile] = {}

    def plain(self, path: str) -> PlainFile | None:
        """Give what a file says, or None where there is no such file; IntegrityError where the gate would refuse it."""
        known = self._accepted.get(path)
        if known is None:
            try:
                where = place(path)
            except InvalidError as error:
                raise IntegrityError(f"the index names {path[:200]!r}, which is no file of a registry") from error
            entry = self.head.settings if path == SETTINGS else self._entries(where).get(path)
            if entry is None:
                return None
            known = self._accepted[path] = _accept(where, entry)
        return known

    def _entries(self, where: Place) -> Mapping[str, Any]:
        if where.model is None:
            return {}
        if where.kind in _CATALOGUED:
            return mapping(self._catalogue(where.model.project).get("files"), "files")
        return self._files(where.model, where.path, where.path)

    def names(self, folder: str) -> Sequence[str]:
        """Give the names directly inside a folder of models, deployments, status or approvals."""
        top, *inner = folder.split("/")
        if top == MODELS:
            return self._in_models(inner)
        if top == APPROVALS and len(inner) > 1:
            return _below(folder, self._files(ModelName(*inner[:2]), f"{folder}/", f"{folder}0"))
        if top in {DEPLOYMENTS, STATUS} and len(inner) == 1:
            return [name for name in self.head.projects if self.names(f"{folder}/{name}")]
        if top in {DEPLOYMENTS, STATUS} and inner:
            return _below(folder, mapping(self._catalogue(inner[1]).get("files"), "files"))
        return []

    def _in_models(self, inner: Sequence[str]) -> Sequence[str]:
        if not inner:
            return list(self.head.projects)
        models = mapping(self._catalogue(inner[0]).get("models"), "models")
        try:
            if len(inner) == 1:
                return [ModelName(inner[0], name).name for name in models]
            row = models.get(inner[1])
            return [] if row is None else [f"{Version(each)}.yaml" for each in _versions(row)]
        except InvalidError as error:
            raise IntegrityError(f"the catalogue of {inner[0]} is damaged: {error}") from error

    def card(self, name: ModelName) -> str | None:
        """Read the model card, in Markdown."""
        text = next(self._parts(name, "", ""), {}).get("card")
        if text is not None and not isinstance(text, str):
            raise IntegrityError(f"{card_path(name)} is damaged in the index: it is no text")
        return text

    @cached_property
    def settings(self) -> Settings:
        """The registry's settings."""
        self.plain(SETTINGS)
        try:
            return Settings.parse(json.dumps(self.head.settings["data"]).encode(), SETTINGS)
        except InvalidError as error:
            raise _damaged(SETTINGS, error) from error

    def _best(self, name: ModelName, wanted: VersionRange | None) -> Version:
        latest = self._row(name).get("latest") if wanted is None else None
        if latest is None:
            return super()._best(name, wanted)
        try:
            return Version(latest)
        except (InvalidError, TypeError) as error:
            raise IntegrityError(f"the catalogue of {name.project} is damaged: {error}") from error

    def _catalogue(self, project: str) -> dict[str, Any]:
        ref = self.head.projects.get(project)
        if ref is None:
            return {"files": {}, "models": {}}
        found = self._shard(ref)
        if found.get("project") != project:
            raise IntegrityError(f"the catalogue of {project} in the index is another one's")
        return found

    def _row(self, name: ModelName) -> dict[str, Any]:
        row = mapping(self._catalogue(name.project).get("models"), "models").get(name.name)
        return mapping(row, f"the row of {name}") if row is not None else {}

    def _files(self, name: ModelName, first: str, last: str) -> dict[str, Any]:
        """Give the files of the shards that hold a model's paths between two, and others of the same shards."""
        return {
            path: entry
            for part in self._parts(name, first, last)
            for path, entry in mapping(part.get("files"), "files").items()
        }

    def _parts(self, name: ModelName, first: str, last: str) -> Iterator[dict[str, Any]]:
        row = self._row(name)
        parts = Part.all_of(row) if row else []
        begins = [part.first for part in parts]
        for part in parts[max(0, bisect_right(begins, first) - 1) : bisect_right(begins, last)]:
            found = self._shard(part.ref)
            if found.get("model") != str(name):
                raise IntegrityError(f"the shard of {name} in the index is another one's")
            yield found


def _versions(row: object) -> Sequence[str]:
    found = mapping(row, "a model").get("versions")
    if isinstance(found, list) and all(isinstance(each, str) for each in found):
        return found
    raise IntegrityError("the index lists no versions where it must")


def _below(folder: str, files: Mapping[str, Any]) -> list[str]:
    prefix = f"{folder}/"
    return list(dict.fromkeys(path[len(prefix) :].partition("/")[0] for path in files if path.startswith(prefix)))


def _accept(where: Place, entry: object) -> PlainFile:
    """Accept what a file says as the gate does; IntegrityError for damage, here or in the registry."""
    found = mapping(entry, where.path)
    if "damaged" in found:
        raise IntegrityError(f"{where.path} was damaged when it was published: {str(found['damaged'])[:500]}")
    data = mapping(found.get("data"), where.path)
    check_depth(data, where.path)
    try:
        digest = Digest.parse(str(found.get("digest")))
    except InvalidError as error:
        raise _damaged(where.path, error) from error
    check_entry(where, Document(data, path=where.path))
    return PlainFile(data, digest)


def check_entry(where: Place, document: Document) -> None:
    """Check what a file says, as the gate does, and that it is about what its place says; IntegrityError for damage."""
    data = document.value
    try:
        _check(where, document)
    except (InvalidError, TypeError) as error:
        raise _damaged(where.path, error) from error
    if where.model is not None and data.get("model") != str(where.model):
        raise IntegrityError(f"{where.path} is damaged in the index: it is about another model")
    if where.version is not None and data.get("version") != str(where.version):
        raise IntegrityError(f"{where.path} is damaged in the index: it is about another version")
    if where.environment is not None and data.get("environment") != str(where.environment):
        raise IntegrityError(f"{where.path} is damaged in the index: it is about another environment")


def _check(where: Place, document: Document) -> None:
    from gitreg.manifest.rules import accept_model, accept_version
    from gitreg.parsing import accept
    from gitreg.schema import Kind as Schema

    if where.kind is Kind.VERSION:
        accept_version(document)
    elif where.kind is Kind.MODEL:
        accept_model(document)
    else:
        kinds = {
            Kind.SETTINGS: Schema.REGISTRY,
            Kind.DEPLOYMENT: Schema.DEPLOYMENT,
            Kind.STATUS: Schema.STATUS,
            Kind.APPROVAL: Schema.APPROVAL,
        }
        accept(kinds[where.kind], document, ())


def _damaged(path: str, error: Exception) -> IntegrityError:
    return IntegrityError(f"{path} is damaged in the index: {error}")
