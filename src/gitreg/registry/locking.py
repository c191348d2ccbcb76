"""Write down which versions a project uses, `models.lock`, and bring exactly those."""

from __future__ import annotations

import json
import os
import re
from itertools import pairwise
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn, Self

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError, Problem
from gitreg.names import ModelName, Selector, Version
from gitreg.records import dataclass, replace
from gitreg.registry.pulled import Verified, note

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from gitreg.manifest import Manifest
    from gitreg.objects import Progress, Store
    from gitreg.reader import RegistryFiles
    from gitreg.registry.opened import Opened

LOCK_FILE = "models.lock"
FORMAT = "gitreg/lock/v1"
MAX_BYTES = 16 << 20  # a hundred thousand files
MAX_MODELS = 10_000
MAX_FILES = 10_000  # of one model, as in a manifest
_COMMIT = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
# As the manifest's schema has it, and what is no text in UTF-8.
MAX_PATH = 1024  # characters
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A file has three values in a hundred bytes and more. What has many in few would fill the memory as it is parsed.
_FEW, _APART = 1000, 20
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedFile:
    """A file of a locked version."""

    path: str
    digest: Digest
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedModel:
    """A version that a project uses, with all that is needed to bring it again.

    `selector` is what was asked for, such as `risk/fraud-detector@prod`; `commit` the registry's when it meant this
    version, `manifest_digest` that of the manifest's bytes then. `folder` counts from the lock file's.
    """

    model: ModelName
    version: Version
    selector: str
    commit: str
    manifest_digest: Digest
    folder: str
    files: tuple[LockedFile, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """The versions that a project uses, by model, and the registry that they come from."""

    registry: str
    models: Mapping[ModelName, LockedModel]

    @classmethod
    def parse(cls, data: bytes, path: str = LOCK_FILE) -> Self:
        """Read a lock file; InvalidError for anything else."""
        if len(data) > MAX_BYTES:
            raise InvalidError(f"{path} has more than {MAX_BYTES:,} bytes")
        if sum(map(data.count, (b",", b"[", b"{"))) > _FEW + len(data) // _APART:
            raise _broken(path, "it has more values than fit in a lock file of its size")
        try:
            found = json.loads(data.decode("utf-8"), object_pairs_hook=_pairs, parse_constant=_no_number)
            _check_format(found)
            return cls(registry=_text(found["registry"]), models=_models(found["models"]))
        except KeyError as error:
            raise _broken(path, f"{error.args[0]!r} is missing") from error
        except (InvalidError, ValueError, TypeError, AttributeError, RecursionError) as error:
            raise _broken(path, error.message if isinstance(error, GitregError) else str(error)) from error

    def to_bytes(self) -> bytes:
        """Write the file: models and files in the order of their names, so that a difference shows what changed."""
        models = {str(name): _data(self.models[name]) for name in sorted(self.models, key=str)}
        data = {"format": FORMAT, "registry": self.registry, "models": models}
        return json.dumps(data, indent=2, ensure_ascii=False).encode() + b"\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """What `gitreg lock` did: the file, the models in it, and which of them are other than before."""

    file: Path
    models: tuple[LockedModel, ...]
    changed: tuple[ModelName, ...]


class How(NamedTuple):
    """How to lock: the folder of the one model named, and whether only to check that nothing would be written."""

    folder: str | None = None
    check: bool = False


def read_lock(path: Path) -> Lock:
    """Read a lock file; NotFoundError where there is none."""
    try:
        with path.open("rb") as file:
            return Lock.parse(file.read(MAX_BYTES + 1), str(path))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"there is no {path.name} in {str(path.parent)!r}", hint="write one: gitreg lock MODEL@VERSION …"
        ) from error
    except OSError as error:
        raise InvalidError(f"{str(path)!r} cannot be read: {error.strerror}") from error


def lock_models(registry: Opened, selectors: Sequence[str], path: Path, how: How) -> Locked:
    """Add versions to a lock file, or without any bring all in it up to what their selectors mean now.

    ConflictError where the lock file is of another registry.
    """
    from gitreg.objects.faults import reading
    from gitreg.objects.local import write_whole
    from gitreg.objects.locks import locked_folder

    wanted = {str(Selector.parse(text).model): text for text in selectors}
    if how.folder is not None and len(wanted) != 1:
        raise InvalidError("--folder is for one model", hint="name one MODEL@VERSION with it")
    named, files = registry.address, registry.files()
    with reading(path.parent), locked_folder(path.parent):
        old = read_lock(path) if path.exists() or not selectors else Lock(registry="", models={})
        if old.registry != named:
            _check_same_registry(registry, old, path)
        models = _locked_anew(files, old, list(wanted.values()), how.folder)
        lock = Lock(registry=named, models=models)
        changed = tuple(name for name in models if models[name] != old.models.get(name))
        if how.check and changed:
            problems = [f"{name} is now {models[name].version}{_was(old.models.get(name))}" for name in changed]
            raise ConflictError(
                f"{path} is out of date",
                hint="`gitreg lock` brings it up to date",
                problems=[Problem(text) for text in problems],
            )
        if not how.check and (changed or lock != old):
            _check_apart(models.values())
            write_whole(path, Lock.parse(lock.to_bytes()).to_bytes())
    return Locked(file=path, models=tuple(models[name] for name in sorted(models, key=str)), changed=changed)


def _check_same_registry(registry: Opened, old: Lock, path: Path) -> None:
    """Refuse a lock file with commits that this registry does not have; under another name it may be the same one."""
    if registry.index is not None:
        for each in old.models.values():
            check_locked(registry, each)
        return
    for each in {each.commit: each for each in old.models.values()}.values():
        if registry.at_commit(each.commit) is None:
            raise ConflictError(
                f"{path} is of another registry, {old.registry}: {registry.address} does not have the commit"
                f" {each.commit[:10]} that {each.model} was locked at",
                hint="a lock file is of one registry: choose another with --lock-file, or remove it to begin anew",
            )


def _locked_anew(
    files: RegistryFiles, old: Lock, wanted: Sequence[str], folder: str | None
) -> dict[ModelName, LockedModel]:
    """Look up what selectors mean now, those of a lock where there are none, and put it in the place of what was."""
    models = dict(old.models)
    for text in wanted or [each.selector for each in old.models.values()]:
        new = _resolve(files, text)
        before = old.models.get(new.model)
        place = folder if folder is not None else before.folder if before else f"models/{new.model}"
        new = replace(new, folder=place)
        # A commit that changed nothing here is no news: the older one stays, and so does the file.
        models[new.model] = before if before and replace(new, commit=before.commit) == before else new
    return models


def _folders(model: LockedModel) -> tuple[str, ...]:
    return PurePosixPath(model.folder).parts


def _check_apart(models: Iterable[LockedModel]) -> None:
    """Refuse folders that lie in each other: the files of one model would be in the way of the other."""
    # In order, the first path below one comes right after it.
    for one, other in pairwise(sorted(models, key=_folders)):
        if _folders(other)[: len(_folders(one))] == _folders(one):
            raise InvalidError(
                f"the folder {other.folder!r} of {other.model} lies in {one.folder!r}, that of {one.model}",
                hint="a folder belongs to one model alone; name another: gitreg lock MODEL@VERSION --folder FOLDER",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class PulledModel:
    """A locked model that was brought to its folder."""

    model: ModelName
    version: Version
    folder: Path
    files: tuple[Path, ...]
    bytes: int


def pull_locked(  # noqa: PLR0913 - what, where to and how
    path: Path,
    open_store: Callable[[str, LockedModel], Store],
    names: Sequence[str] = (),
    *,
    to: Path | None = None,
    link: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> list[PulledModel]:
    """Bring the models of a lock file, or those named, each into its folder, exactly as they were locked.

    The store is opened, by the registry's name, only where the cache lacks something; `Registry.locked_store` does it,
    and holds what was locked against the registry. A name may be a selector with the locked version. ConflictError: the
    lock has another version, or a folder holds files that are not of the version.
    """
    from gitreg.objects import Cache, pull
    from gitreg.objects.checking import others_in
    from gitreg.objects.destination import check_way

    lock = read_lock(path)
    chosen = [_chosen(lock, path, name) for name in names] or list(lock.models.values())
    if to is not None and len(chosen) != 1:
        raise InvalidError("one folder is for one model", hint="name a model, or leave the folder to models.lock")
    cache = Cache.of_user(os.environ)
    pulled = []
    for each in chosen:
        folder = to if to is not None else path.parent / each.folder
        within = path.parent if to is None else None  # what a project names leads nowhere but into itself
        check_way(folder, within)
        others = others_in(folder, (file.path for file in each.files))
        if others:
            shown = [Problem(f"{name!r} is not a file of {each.model}@{each.version}") for name in others[:_SHOWN]]
            raise ConflictError(
                f"{str(folder)!r} holds other files than {path.name} says ({len(others)} of them)",
                hint="remove them, or give the model a folder of its own: gitreg lock MODEL@VERSION --folder FOLDER",
                problems=shown,
            )
        files = pull(
            each.files,
            lambda each=each: open_store(lock.registry, each),  # type: ignore[misc]
            cache,
            folder,
            link=link,
            force=force,
            progress=progress,
            within=within,
        )
        note(cache, folder, each.model, each.version, each.files)
        size = sum(file.size for file in each.files)
        pulled.append(
            PulledModel(model=each.model, version=each.version, folder=folder, files=tuple(files), bytes=size)
        )
    return pulled


def verify_locked(path: Path, progress: Progress | None = None) -> list[Verified]:
    """Read every byte of the folders of a lock file; a folder that is not there misses all its files."""
    return [_verify_locked(each, path.parent / each.folder, progress) for each in read_lock(path).models.values()]


def _verify_locked(locked: LockedModel, folder: Path, progress: Progress | None) -> Verified:
    from gitreg.objects.checking import check_files, missing, others_in

    if folder.is_dir():
        checked, others = (
            check_files(locked.files, folder, progress),
            others_in(folder, (file.path for file in locked.files)),
        )
    else:
        checked, others = [missing(file) for file in locked.files], []
    return Verified(
        model=locked.model, version=locked.version, folder=folder, files=tuple(checked), others=tuple(others)
    )


def _chosen(lock: Lock, path: Path, text: str) -> LockedModel:
    selector = Selector.parse(text)
    found = lock.models.get(selector.model)
    if found is None:
        raise NotFoundError(f"{selector.model} is not in {path.name}", hint=f"lock it: gitreg lock {text}")
    if selector.what is not None and str(found.version) != selector.what and found.selector != text:
        raise ConflictError(
            f"{path.name} has {found.model}@{found.version}, not {text}", hint=f"lock it: gitreg lock {text}"
        )
    return found


def check_locked(registry: Opened, locked: LockedModel) -> Manifest:
    """Make sure that the registry's history says what a lock file says, and give the manifest.

    A published index knows no history: what never changes of a version has to be there as it was locked.
    ConflictError: main does not have the commit. IntegrityError: the manifest there is another.
    """
    files = registry.files() if registry.index is not None else registry.at_commit(locked.commit)
    if files is None:
        raise ConflictError(
            f"the registry's main does not have the commit {locked.commit[:10]} that {locked.model} was locked at",
            hint="is it another registry? --registry names one; or lock it again: gitreg lock",
        )
    found = files.version(locked.model, locked.version)
    said = {file.path: (file.digest, file.size) for file in found.manifest.artifacts}
    changed = files.commit == locked.commit and found.digest != locked.manifest_digest
    if changed or said != {each.path: (each.digest, each.size) for each in locked.files}:
        raise IntegrityError(
            f"{locked.model}@{locked.version} at the registry's commit {files.commit[:10]} is not what was locked",
            hint="the lock file was changed by hand, or is another registry's; lock it again: gitreg lock",
        )
    return found.manifest


def _resolve(registry: RegistryFiles, text: str) -> LockedModel:
    from gitreg.registry import reads

    found = reads.found(registry, Selector.parse(text))
    manifest = found.manifest
    if not manifest.artifacts:
        raise InvalidError(f"{manifest.model}@{manifest.version} has no files: it is external", hint="leave it out")
    files = (LockedFile(path=file.path, digest=file.digest, size=file.size) for file in manifest.artifacts)
    return LockedModel(
        model=manifest.model,
        version=manifest.version,
        selector=text,
        commit=registry.commit,
        manifest_digest=found.digest,
        folder="",
        files=tuple(sorted(files, key=lambda file: file.path)),
    )


def _was(before: LockedModel | None) -> str:
    return f", was {before.version}" if before else ", and not in it"


def _data(model: LockedModel) -> dict[str, object]:
    return {
        "version": str(model.version),
        "selector": model.selector,
        "commit": model.commit,
        "manifest_digest": str(model.manifest_digest),
        "folder": model.folder,
        "files": {file.path: {"digest": str(file.digest), "size": file.size} for file in model.files},
    }


def _check_format(found: Mapping[str, object]) -> None:
    if found["format"] != FORMAT or set(found) != {"format", "registry", "models"}:
        raise InvalidError(f"its format is not {FORMAT}")


def _models(found: dict[str, Any]) -> dict[ModelName, LockedModel]:
    if len(found) > MAX_MODELS:
        raise InvalidError(f"it has more than {MAX_MODELS:,} models")
    return {ModelName.parse(name): _model(ModelName.parse(name), data) for name, data in found.items()}


def _model(name: ModelName, data: dict[str, Any]) -> LockedModel:
    if set(data) != {"version", "selector", "commit", "manifest_digest", "folder", "files"}:
        raise InvalidError(f"{name}: its fields are not those of a lock file")
    if not data["files"] or len(data["files"]) > MAX_FILES:
        raise InvalidError(f"{name}: it has no files, or more than {MAX_FILES:,}")
    if Selector.parse(_text(data["selector"])).model != name:
        raise InvalidError(f"{name}: its selector is another model's")
    if not _COMMIT.fullmatch(_text(data["commit"])):
        raise InvalidError(f"{name}: {data['commit'][:80]!r} is not a commit")
    folder = _text(data["folder"])
    if folder != ".":
        _check_path(folder)
    return LockedModel(
        model=name,
        version=Version(_text(data["version"])),
        selector=data["selector"],
        commit=data["commit"],
        manifest_digest=Digest.parse(_text(data["manifest_digest"])),
        folder=folder,
        files=tuple(_file(path, each) for path, each in data["files"].items()),
    )


def _file(path: str, data: dict[str, Any]) -> LockedFile:
    _check_path(path)
    size = data["size"]
    if set(data) != {"digest", "size"} or type(size) is not int or size < 0:
        raise InvalidError(f"{path[:80]!r}: want its digest and its size")
    return LockedFile(path=path, digest=Digest.parse(_text(data["digest"])), size=size)


def _check_path(path: str) -> None:
    """Refuse what a manifest could not say either: control characters, ends of space, and what is too long or deep."""
    from gitreg.objects.destination import parts_of

    if len(path) > MAX_PATH or _UNPRINTABLE.search(path) or path.strip(" ") != path:
        raise InvalidError(f"{path[:80]!r} is not a path that a file of a version may have")
    parts_of(path)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidError(f"{str(value)[:80]!r} is not text")
    return value


def _pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    rows = list(pairs)
    found = dict(rows)
    if len(found) != len(rows):
        raise InvalidError("a name is there twice")
    return found


def _no_number(text: str) -> NoReturn:
    raise InvalidError(f"{text} is not a number of JSON")


def _broken(path: str, why: str) -> InvalidError:
    return InvalidError(f"{path} is not a lock file: {why[:200]}", hint="restore it, or write it anew: gitreg lock")
