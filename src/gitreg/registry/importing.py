"""Take versions over from another registry: the same manifests, to the byte, and the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Self

from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.layout import card_path, model_path, version_path
from gitreg.manifest import Lifecycle, Tombstone
from gitreg.names import Selector
from gitreg.reader import VersionFile
from gitreg.reader.snapshot import RESOLVABLE
from gitreg.records import dataclass, replace
from gitreg.writer import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitreg.manifest import Manifest, Model, Parent
    from gitreg.names import ModelName, Version
    from gitreg.objects import Store
    from gitreg.reader import RegistryFiles
    from gitreg.registry.answering import Answering
    from gitreg.registry.opened import Opened

MAX_VERSIONS = 1000  # of a lineage that comes along


class Origin(NamedTuple):
    """Where versions come from: the registry's URL without credentials, its commit, its own name."""

    url: str
    commit: str
    name: str


class Taken(NamedTuple):
    """A version that is taken over: the bytes of its file, and what they say."""

    data: bytes
    file: VersionFile

    @classmethod
    def of(cls, data: bytes, path: str = "") -> Self:
        """Read a manifest; InvalidError where it is none."""
        from gitreg.manifest import Manifest

        return cls(data, VersionFile(Manifest.parse(data, path), Digest.of(data)))

    def as_new(self) -> bytes:
        """Give the bytes that it comes in with: what is new is active, whatever became of it elsewhere."""
        manifest = self.file.manifest
        is_active = manifest.lifecycle is Lifecycle.ACTIVE
        return self.data if is_active else replace(manifest, lifecycle=Lifecycle.ACTIVE).to_bytes()


class Described(NamedTuple):
    """A model as its registry describes it: `model.yaml`, and the card where it has one."""

    model: Model
    card: bytes | None


@dataclass(frozen=True, slots=True)
class Import:
    """Versions of another registry, parents before their children, and their models."""

    origin: Origin
    versions: tuple[Taken, ...]
    models: Mapping[ModelName, Described]

    @property
    def wanted(self) -> Manifest:
        """The manifest of the version that was asked for; the others are what it came from."""
        return self.versions[-1].file.manifest

    def sizes(self) -> dict[str, int]:
        """Give the sizes of the blobs by their digests, for a verdict that is not to look into the store."""
        return {str(file.digest): file.size for each in self.versions for file in each.file.manifest.artifacts}

    def plan(self, current: RegistryFiles) -> Plan:
        """Plan the commit on a tip: nothing where all is there already, ConflictError where it is something else."""
        taken = [each for each in self.versions if _is_missing(current, each.file)]
        missing = [each.file for each in taken]
        edits: dict[str, bytes | None] = {}
        for each in taken:
            name = each.file.manifest.model
            path = version_path(name, each.file.manifest.version)
            edits[path] = each.as_new() if current.read(path) is None else each.data
            if current.read(model_path(name)) is None:
                edits |= self._model(name)
        _check_parents(current, missing)
        wanted = self.wanted
        return Plan(
            edits=edits,
            subject=f"Import {wanted.model} {wanted.version} from {self.origin.name}",
            trailers={
                "Imported-From": self.origin.url,
                "Imported-Commit": self.origin.commit,
                "Imported-Versions": ", ".join(
                    f"{each.manifest.model}@{each.manifest.version} {each.digest}" for each in missing
                ),
            },
            about=wanted,
        )

    def _model(self, name: ModelName) -> dict[str, bytes | None]:
        """Describe the model as its registry does; who owns it and what its aliases mean is decided here anew."""
        found = self.models.get(name)
        if found is None:
            raise InvalidError(f"{name} is new here, and nothing describes it", hint="send its model.yaml as well")
        model = replace(found.model, owners=(), aliases={})
        return {model_path(name): model.to_bytes(), **({card_path(name): found.card} if found.card is not None else {})}

    def retired(self, paths: Sequence[str]) -> Iterator[tuple[str, Lifecycle]]:
        """Name those of the versions at some paths that are not active where they come from."""
        for each in self.versions:
            manifest = each.file.manifest
            is_active = manifest.lifecycle is Lifecycle.ACTIVE
            if not is_active and version_path(manifest.model, manifest.version) in paths:
                yield f"{manifest.model}@{manifest.version}", manifest.lifecycle

    def to_body(self) -> dict[str, object]:
        """Say it as a server is told it."""
        return {
            "origin": self.origin._asdict(),
            "versions": [each.data.decode() for each in self.versions],
            "models": {
                str(name): {
                    "model": each.model.to_bytes().decode(),
                    "card": each.card.decode("utf-8", "replace") if each.card is not None else None,
                }
                for name, each in self.models.items()
            },
        }


def prepare(registry: Opened, selector: str, *, parents: bool) -> Import:
    """Find what a selector means in the other registry, with what it came from where that is wanted."""
    url, files, chosen = registry.address, registry.files(), Selector.parse(selector)
    file = files.version(chosen.model, files.resolve(chosen))
    lifecycle = file.manifest.lifecycle
    if lifecycle not in RESOLVABLE:
        raise ConflictError(
            f"{file.manifest.model}@{file.manifest.version} is {lifecycle} in {url}",
            hint="only what is active or deprecated there is taken over",
        )
    versions = (*_lineage(files, file.manifest), file) if parents else (file,)
    return Import(
        Origin(url, files.commit, files.settings.name),
        tuple(Taken(_bytes(files, each.manifest, url), each) for each in versions),
        {
            name: Described(files.model(name), files.read(card_path(name)))
            for name in {each.manifest.model: None for each in versions}
        },
    )


def _bytes(files: RegistryFiles, manifest: Manifest, url: str) -> bytes:
    path = version_path(manifest.model, manifest.version)
    data = files.read(path)
    if data is None:
        raise IntegrityError(f"{path} is gone from {url} at {files.commit[:10]}")
    return data


def _lineage(snapshot: RegistryFiles, root: Manifest) -> Iterator[VersionFile]:
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


def _version(snapshot: RegistryFiles, parent: Parent) -> VersionFile:
    return snapshot.version(parent.model, parent.version)


def _is_missing(current: RegistryFiles, each: VersionFile) -> bool:
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


def _check_parents(current: RegistryFiles, missing: Sequence[VersionFile]) -> None:
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


def copy_blobs(found: Import, origin: Answering, target: Store, moved: Callable[[int], None]) -> None:
    """Bring the weights from one store to the other; every byte is held against the manifest before it is visible."""
    done: set[Digest] = set()
    for each in found.versions:
        sizes = {file.digest: file.size for file in each.file.manifest.artifacts if file.digest not in done}
        done |= sizes.keys()
        missing = {digest: size for digest, size in sizes.items() if not target.renewed(digest, size)}
        if missing:
            _copy(missing, origin.store_of(each.file.manifest), target, moved)


def _copy(sizes: Mapping[Digest, int], source: Store, target: Store, moved: Callable[[int], None]) -> None:
    for digest, size in sizes.items():
        with source.open(digest) as stream:
            blob = target.put(stream, moved=moved)
        if (blob.digest, blob.size) != (digest, size):
            raise IntegrityError(
                f"{digest} has {blob.size} bytes in {source.uri!r}, and {size} by its manifest",
                hint="run `gitreg fsck --deep` on the registry that it comes from",
            )
