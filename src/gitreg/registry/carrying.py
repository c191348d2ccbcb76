"""Carry models to another machine in one file."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import STORE, Where, is_repository, locate, open_registry_store
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.git import Repository, refs
from gitreg.keep import bundle as bundles
from gitreg.keep import left_behind
from gitreg.keep.claims import check_begun, claim
from gitreg.layout import MAIN
from gitreg.names import ModelName, Selector
from gitreg.objects.streams import Blob
from gitreg.reader import Snapshot
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from gitreg.digest import Digest
    from gitreg.gate import Violation
    from gitreg.keep.bundle import Bundled, Verified
    from gitreg.keep.bundle_index import Index
    from gitreg.manifest import Artifact, Manifest
    from gitreg.objects import Store

    Moved = Callable[[int], None]

_NAMED = 5  # files named in one message
_SINGLE = 2  # a chain of one commit, and of the one before it


# Out


def bundle(  # noqa: PLR0913 - a registry and its store, and what the user asks for
    snapshot: Snapshot,
    store: Store,
    selectors: Sequence[str],
    output: Path,
    *,
    since: str | None = None,
    moved: Moved | None = None,
) -> Bundled:
    """Write models, or single versions, with the history of main and their weights into one file.

    `since` is an earlier bundle, or the commit of main that it reached. What is left out is what that bundle brought;
    of a commit, what the same selectors meant there.
    """
    base, brought = _earlier(snapshot, since, selectors) if since else (None, set())
    if base == snapshot.commit:
        raise InvalidError(f"nothing happened since {since}", hint="leave out --since for everything")
    files: dict[Digest, str] = {}
    blobs: dict[Digest, Blob] = {}
    versions: dict[str, list[str]] = {}
    for manifest in _chosen(snapshot, selectors):
        versions.setdefault(str(manifest.model), []).append(str(manifest.version))
        for artifact in manifest.artifacts:
            files.setdefault(artifact.digest, _name(manifest, artifact))
            blobs[artifact.digest] = Blob(artifact.digest, artifact.size)
    contents = bundles.Contents(
        registry=snapshot.settings.name,
        commit=snapshot.commit,
        since=base,
        versions={model: tuple(found) for model, found in versions.items()},
        blobs=tuple(blobs[digest] for digest in sorted(blobs.keys() - brought)),
        files=files,
        left_out=len(blobs.keys() & brought),
    )
    return bundles.write(contents, snapshot.repository, store, output, moved)


def _name(manifest: Manifest, artifact: Artifact) -> str:
    return f"{manifest.model}@{manifest.version} ({artifact.path})"


def _earlier(snapshot: Snapshot, since: str, selectors: Sequence[str]) -> tuple[str, set[Digest]]:
    """Find the commit that an earlier bundle reached, and the blobs that are where it was taken in."""
    commit = _commit_named(snapshot, since)
    if Path(since).is_file():
        if commit is not None:
            hint = f"write ./{since} for the file, {since}^0 for the commit"
            raise InvalidError(f"{since!r} is a file here, and a commit of the registry", hint=hint)
        index = bundles.index_of(Path(since))
        then = Snapshot(snapshot.repository, _on_main(snapshot, index.commit, since))
        names: Sequence[str] = sorted(index.names)
    elif commit is None:
        raise InvalidError(
            f"{since!r} is no file and no commit", hint="give the last bundle, or the commit that it names"
        )
    else:
        then = Snapshot(snapshot.repository, _on_main(snapshot, commit, since))
        names = selectors or [str(name) for name in then.models()]
    brought: set[Digest] = set()
    for name in names:
        with suppress(NotFoundError):  # it was not there then
            brought.update(artifact.digest for each in _chosen(then, [name]) for artifact in each.artifacts)
    return then.commit, brought


def _commit_named(snapshot: Snapshot, name: str) -> str | None:
    from gitreg.git.lookup import commit_of

    try:
        return commit_of(snapshot.repository, name)
    except InvalidError:  # a file may be called so, and no commit
        return None


def _on_main(snapshot: Snapshot, oid: str, since: str) -> str:
    from gitreg.git.history import is_on_first_parent_chain

    is_here = snapshot.repository.objects.info(oid) is not None
    if not is_here or not is_on_first_parent_chain(snapshot.repository, oid, snapshot.commit):
        raise InvalidError(f"{since} is not on main", hint="give the last bundle, or the commit that it names")
    return oid


def _chosen(snapshot: Snapshot, selectors: Sequence[str]) -> list[Manifest]:
    """Find the versions that are meant: all of a model, or the one that a selector names; without any, all."""
    from gitreg.reader import VersionFile

    found: dict[tuple[str, str], Manifest] = {}
    for text in selectors or [str(name) for name in snapshot.models()]:
        if "@" in text:
            selector = Selector.parse(text)
            versions = [snapshot.version(selector.model, snapshot.resolve(selector))]
        else:
            every = snapshot.every_version(ModelName.parse(text))
            versions = [each for each in every if isinstance(each, VersionFile)]
        found |= {(str(each.manifest.model), str(each.manifest.version)): each.manifest for each in versions}
    return list(found.values())


# In


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbundled:
    """What came out of a bundle: the registry that took it, how far main is now, and how many blobs were new.

    `left_behind` counts the versions whose weights no bundle brought here.
    """

    registry: Path | None
    is_new: bool
    commit: str
    models: tuple[str, ...]
    blobs: int
    added: int
    digest: Digest
    store: str | None = None
    left_behind: int = 0


@dataclass(frozen=True, slots=True)
class _Taken:
    """What was taken into a registry."""

    store: str
    added: int
    left_behind: int


def unbundle(
    path: Path, into: Path | None, *, store: str | None = None, expect: str | None = None, moved: Moved | None = None
) -> Unbundled:
    """Verify a bundle and take it into a registry on this machine, made where there is none; without one, verify only.

    `expect` is the digest that `gitreg bundle` printed. A registry that is there moves forward only (ConflictError),
    and to where the weights of all that the bundle speaks of are there (NotFoundError).
    """
    with bundles.verified(path, moved) as found:
        digest = found.described.digest
        if expect is not None and str(digest) != expect:
            raise IntegrityError(
                f"{str(path)!r} is not the expected bundle: its digest is {digest}", hint="ask where it came from"
            )
        is_new = into is not None and not is_repository(into)
        taken = None
        if into is not None:
            take = _take_new if is_new else _take_further
            taken = take(found, Path(os.path.abspath(into)), store)  # noqa: PTH100 - a link is the user's choice
        return Unbundled(
            registry=into,
            is_new=is_new,
            commit=found.index.commit,
            models=found.index.models,
            blobs=len(found.index.blobs),
            added=taken.added if taken else 0,
            digest=digest,
            store=taken.store if taken else None,
            left_behind=taken.left_behind if taken else 0,
        )


def _take_new(found: Verified, into: Path, store: str | None) -> _Taken:
    """Make a registry of a bundle, complete or not at all."""
    from gitreg.gate import refusal
    from gitreg.gate_hooks.check import check_state
    from gitreg.gate_hooks.facts import no_store
    from gitreg.git.create import create
    from gitreg.registry.setup import InitRequest, init

    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ConflictError(f"{into} exists and is neither empty nor a registry", hint="name a new folder")
    commit = found.index.commit
    into.parent.mkdir(parents=True, exist_ok=True)
    building = into.with_name(f".{into.name}.{secrets.token_hex(4)}.new")
    try:
        create(building, bare=True, object_format="sha1" if len(commit) == len("0" * 40) else "sha256")
        with Repository.open(building) as repository:
            found.take_history(repository)
            violations = check_state(repository, commit, no_store("it is checked later"), use_store=False)
            if violations:
                raise refusal(violations, "the bundle holds no valid registry")
            settings = Snapshot(repository, commit).settings
            if store:
                repository.run(["config", STORE, store])
            else:
                _check_beside(settings.store, into)
            opened = open_registry_store(repository, settings.store, into)
            _check_complete(repository, found.index, opened)
            claim(opened, settings.name, commit)
            added_blobs = found.take_blobs(opened, into.parent)
            left = _left_behind(repository, found.index, None, commit)
            left_behind.write(repository.common_dir, left)
            refs.update(repository, MAIN, commit, None)
        # With hooks before it has its name: nobody finds a registry that takes any push.
        init(InitRequest(path=building))
        if into.exists():
            into.rmdir()
        building.rename(into)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    init(InitRequest(path=into))
    return _Taken(opened.uri, added_blobs, len(left))


def _check_beside(uri: str | None, into: Path) -> None:
    """Refuse a store that only the bundle names, unless it is a folder of its own beside the new registry."""
    from gitreg.objects.addresses import parse

    around = into.parent.resolve()
    folder = parse(uri, into) if uri else None
    if isinstance(folder, Path):
        is_inside = around in folder.parents and into.resolve() not in (folder, *folder.parents)
        if is_inside and (not folder.exists() or _is_store(folder)):
            return
    raise InvalidError(
        f"the bundle says that its weights belong into {uri or 'no store'}, which is not a folder of theirs beside"
        f" {str(into)!r}",
        hint="say where they belong on this machine, with --store file:../store for one",
    )


def _is_store(folder: Path) -> bool:
    """Whether a folder is an object store, or empty: what lies in another one's `tmp/` would be swept out."""
    names = {each.name for each in folder.iterdir()} if folder.is_dir() else {""}
    return not names or not names.isdisjoint({"blobs", "registries"})


def _take_further(found: Verified, into: Path, store: str | None) -> _Taken:
    """Move a registry forward to where a bundle is, as its owner."""
    from gitreg.gate import refusal
    from gitreg.gate_hooks.marks import write_marks
    from gitreg.git.history import first_parents

    location = locate(str(into))
    if location.where is not Where.BARE:
        raise InvalidError(f"{into} is a checkout", hint="unbundle into the bare registry, then fetch")
    if store:
        raise InvalidError("the registry has a store already", hint="leave out --store")
    with Repository.open(location.path) as repository:
        old = refs.resolve(repository, MAIN)
        if old is None:
            raise ConflictError(f"{into} is an empty repository", hint="name a folder that does not exist")
        found.take_history(repository)
        new = _further(repository, old, found.index.commit, into)
        violations = _judged(repository, [old, *reversed(list(first_parents(repository, new, old)))])
        if violations:
            raise refusal(violations, "the registry would refuse this history")
        opened, before = _store_of(repository, old, new, into), Snapshot(repository, old)
        check_begun(opened, before)
        name = before.settings.name
        _check_complete(repository, found.index, opened)
        claim(opened, name, old)
        added_blobs = found.take_blobs(opened, into.parent)
        left = _left_behind(repository, found.index, old, new)
        if new == old:
            left_behind.write(repository.common_dir, left)
        else:
            _move_main(repository, old, new, left)
            with suppress(GitregError):  # main is there; whoever registers next says so too
                claim(opened, name, new)
        write_marks(repository)
    return _Taken(opened.uri, added_blobs, len(left))


def _judged(repository: Repository, chain: Sequence[str]) -> list[Violation]:
    """Judge a chain of commits as the pushes that they came in, which nobody knows: what one may not bring, two may."""
    from gitreg.gate_hooks.check import check_range

    found = check_range(repository, chain[0], chain[-1], None, use_store=False)
    if not found or len(chain) <= _SINGLE:
        return found
    middle = len(chain) // 2
    return _judged(repository, chain[: middle + 1]) or _judged(repository, chain[middle:])


def _further(repository: Repository, old: str, commit: str, into: Path) -> str:
    """Find where main goes: to the bundle's commit, or nowhere where it is past that already."""
    from gitreg.git.history import is_on_first_parent_chain

    if is_on_first_parent_chain(repository, commit, old):
        return old
    if is_on_first_parent_chain(repository, old, commit):
        return commit
    raise ConflictError(f"main of {into} and of the bundle have gone different ways", hint="unbundle into a new folder")


def _store_of(repository: Repository, old: str, new: str, into: Path) -> Store:
    """Open the store of a registry; a bundle does not move it elsewhere (ConflictError)."""
    before, after = Snapshot(repository, old).settings.store, Snapshot(repository, new).settings.store
    if before != after and not repository.config(STORE):
        raise ConflictError(
            f"the bundle moves the weights from {before or 'nowhere'} to {after or 'nowhere'}",
            hint=f"say where they belong on this machine: git -C {into} config {STORE} file:../store",
        )
    return open_registry_store(repository, before, repository.git_dir)


def _move_main(repository: Repository, old: str, new: str, left: Collection[str]) -> None:
    """Move main once what is kept beside it says so; that then happens, since nobody else can move main meanwhile."""
    from gitreg.gate import RefUpdate
    from gitreg.gate_hooks import audit
    from gitreg.reader.history import iso

    update = RefUpdate(old, new, MAIN)
    with refs.prepared(repository, [refs.RefEdit(MAIN, new, old)]):
        left_behind.write(repository.common_dir, left)
        audit.append(
            repository.common_dir,
            audit.Entry(iso(int(time.time())), str(os.geteuid()), (update,), (), {"identity": "bundle"}),
        )


def _check_complete(repository: Repository, index: Index, store: Store) -> None:
    """Make sure that the weights of every version a bundle speaks of are in it, or in the store, before main moves."""
    carried = {blob.digest for blob in index.blobs}
    sizes = {blob.digest: blob.size for blob in index.blobs}
    lacking: list[str] = []
    for name, artifact in _files(Snapshot(repository, index.commit), index):
        if sizes.setdefault(artifact.digest, artifact.size) != artifact.size:
            raise IntegrityError(f"the bundle has another size than {name}: {sizes[artifact.digest]}")
        if artifact.digest not in carried:
            carried.add(artifact.digest)  # one look is enough
            if not store.renewed(artifact.digest, artifact.size):
                lacking.append(name)
    if lacking:
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        raise NotFoundError(
            f"the bundle leaves out weights that the store {store.uri!r} does not have: "
            f"{', '.join(lacking[:_NAMED])}{more}",
            hint="take in the bundle that brings them first, or have one made of these models without --since",
        )


def _files(at: Snapshot, index: Index) -> Iterable[tuple[str, Artifact]]:
    """Give each file of the versions that a bundle speaks of, and what to call it."""
    for model in index.models:
        manifests = {str(each.version): each for each in _chosen(at, [model])}
        for version in index.versions[model]:
            if version not in manifests:
                raise IntegrityError(f"the bundle speaks of {model}@{version}, which its history does not have")
            yield from ((_name(manifests[version], each), each) for each in manifests[version].artifacts)


def _left_behind(repository: Repository, index: Index, old: str | None, new: str) -> set[str]:
    """Name the versions that came without their weights; those that were registered here are none of them."""
    fresh = _versions_at(repository, new) - (_versions_at(repository, old) if old else set())
    return (fresh | left_behind.read(repository.common_dir)) - index.names


def _versions_at(repository: Repository, commit: str) -> set[str]:
    at = Snapshot(repository, commit)
    return {f"{name}@{version}" for name in at.models() for version in at.versions(name)}
