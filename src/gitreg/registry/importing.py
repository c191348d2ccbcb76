"""Take versions over from another registry: the same manifests, to the byte, and the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.layout import card_path, model_path, version_path
from gitreg.manifest import Tombstone
from gitreg.names import Selector
from gitreg.reader import Snapshot, VersionFile
from gitreg.reader.snapshot import RESOLVABLE
from gitreg.records import dataclass, replace
from gitreg.writer import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gitreg.digest import Digest
    from gitreg.manifest import Manifest, Parent
    from gitreg.names import ModelName, Version
    from gitreg.objects import Store

MAX_VERSIONS = 1000  # of a lineage that comes along


class Origin(NamedTuple):
    """Where versions come from: the registry, read at one commit, and its URL without credentials."""

    snapshot: Snapshot
    url: str


@dataclass(frozen=True, slots=True)
class Import:
    """Versions of another registry, parents before their children."""

    origin: Origin
    versions: tuple[VersionFile, ...]

    @property
    def wanted(self) -> Manifest:
        """The manifest of the version that was asked for; the others are what it came from."""
        return self.versions[-1].manifest

    def sizes(self) -> dict[str, int]:
        """Give the sizes of the blobs by their digests, for a verdict that is not to look into the store."""
        return {str(file.digest): file.size for each in self.versions for file in each.manifest.artifacts}

    def plan(self, current: Snapshot) -> Plan:
        """Plan the commit on a tip: nothing where all is there already, ConflictError where it is something else."""
        missing = [each for each in self.versions if _is_missing(current, each)]
        edits: dict[str, bytes | None] = {}
        for each in missing:
            name = each.manifest.model
            edits[version_path(name, each.manifest.version)] = self._bytes(each)
            if current.read(model_path(name)) is None:
                edits |= self._model(each)
        _check_parents(current, missing)
        wanted, settings = self.wanted, self.origin.snapshot.settings
        return Plan(
            edits=edits,
            subject=f"Import {wanted.model} {wanted.version} from {settings.name}",
            trailers={
                "Imported-From": self.origin.url,
                "Imported-Commit": self.origin.snapshot.commit,
                "Imported-Versions": ", ".join(
                    f"{each.manifest.model}@{each.manifest.version} {each.digest}" for each in missing
                ),
            },
            about=wanted,
        )

    def _bytes(self, each: VersionFile) -> bytes:
        path = version_path(each.manifest.model, each.manifest.version)
        data = self.origin.snapshot.read(path)
        if data is None:
            raise IntegrityError(f"{path} is gone from {self.origin.url} at {self.origin.snapshot.commit[:10]}")
        return data

    def _model(self, each: VersionFile) -> dict[str, bytes | None]:
        """Describe the model as its registry does; who owns it and what its aliases mean is decided here anew."""
        name, source = each.manifest.model, self.origin.snapshot
        card = source.read(card_path(name))
        model = replace(source.model(name), owners=(), aliases={})
        return {model_path(name): model.to_bytes(), **({card_path(name): card} if card is not None else {})}


def prepare(origin: Origin, selector: str, *, parents: bool) -> Import:
    """Find what a selector means in the other registry, with what it came from where that is wanted."""
    snapshot, chosen = origin.snapshot, Selector.parse(selector)
    file = snapshot.version(chosen.model, snapshot.resolve(chosen))
    lifecycle = file.manifest.lifecycle
    if lifecycle not in RESOLVABLE:
        raise ConflictError(
            f"{file.manifest.model}@{file.manifest.version} is {lifecycle} in {origin.url}",
            hint="only what is active or deprecated there is taken over",
        )
    return Import(origin, (*_lineage(snapshot, file.manifest), file) if parents else (file,))


def _lineage(snapshot: Snapshot, root: Manifest) -> Iterator[VersionFile]:
    """Give what a version came from, parents before their children, each once."""
    open_ = [(each, False) for each in root.parents]
    files: dict[tuple[ModelName, Version], VersionFile] = {}
    done: set[tuple[ModelName, Version]] = set()
    while open_:
        parent, has_parents = open_.pop()
        key = (parent.model, parent.version)
        if key in done:
            continue
        if has_parents:
            done.add(key)
            yield files[key]
            continue
        if key in files:
            continue  # a circle, which the gate keeps out
        files[key] = _version(snapshot, parent)
        if len(files) > MAX_VERSIONS:
            raise InvalidError(
                f"{root.model}@{root.version} came from more than {MAX_VERSIONS} versions",
                hint="import them in parts, the oldest first",
            )
        open_ += [(parent, True), *((each, False) for each in files[key].manifest.parents)]


def _version(snapshot: Snapshot, parent: Parent) -> VersionFile:
    return snapshot.version(parent.model, parent.version)


def _is_missing(current: Snapshot, each: VersionFile) -> bool:
    """Whether a version is not there yet; ConflictError where something else has its name and number."""
    name, version = each.manifest.model, each.manifest.version
    found = current.find(name, version)
    if found is None:
        return True
    if isinstance(found, Tombstone):
        if found.manifest_digest == each.digest:
            return True  # the very same bytes may come back
        raise ConflictError(f"{name}@{version} was deleted here, and its number stays taken: {found.reason}")
    ours, theirs = found.manifest, each.manifest
    if found.digest == each.digest or _fixed(ours) == _fixed(theirs):
        return False  # what may be edited was edited on one side, and is left as it is
    raise ConflictError(
        f"{name}@{version} exists here, and is another: its manifest has the digest {found.digest.short}, not"
        f" {each.digest.short}",
        hint=f"`gitreg show {name}@{version}` in both registries tells them apart; register it under another number",
    )


def _fixed(manifest: Manifest) -> dict[str, object]:
    from gitreg.manifest import IMMUTABLE_FIELDS

    data = manifest.to_data()
    return {field: data.get(field) for field in IMMUTABLE_FIELDS}


def _check_parents(current: Snapshot, missing: Sequence[VersionFile]) -> None:
    coming = {(each.manifest.model, each.manifest.version) for each in missing}
    lacking = {
        f"{parent.model}@{parent.version}": None
        for each in missing
        for parent in each.manifest.parents
        if (parent.model, parent.version) not in coming
        and not isinstance(current.find(parent.model, parent.version), VersionFile)
    }
    if lacking:
        raise NotFoundError(
            f"it came from {', '.join(lacking)}, which this registry does not have",
            hint="--parents imports what it came from as well",
        )


def copy_blobs(found: Import, source: Store, target: Store, moved: Callable[[int], None]) -> None:
    """Bring the weights from one store to the other; every byte is held against the manifest before it is visible."""
    sizes: dict[Digest, int] = {file.digest: file.size for each in found.versions for file in each.manifest.artifacts}
    for digest, size in sizes.items():
        if target.renewed(digest, size):
            continue
        with source.open(digest) as stream:
            blob = target.put(stream, moved=moved)
        if (blob.digest, blob.size) != (digest, size):
            raise IntegrityError(
                f"{digest} has {blob.size} bytes in {source.uri!r}, and {size} by its manifest",
                hint="run `gitreg fsck --deep` on the registry that it comes from",
            )
