"""Carry models to another machine in one file, and sign them."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import STORE, Where, is_repository, locate, open_registry_store
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError
from gitreg.git import Repository, refs
from gitreg.keep import bundle as bundles
from gitreg.keep.claims import claim
from gitreg.layout import MAIN, MODEL_SIGNATURE
from gitreg.names import ModelName, Selector
from gitreg.objects.streams import Blob
from gitreg.reader import Snapshot
from gitreg.reader.reachable import present
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitreg.digest import Digest
    from gitreg.keep.bundle import Bundled
    from gitreg.manifest import Manifest
    from gitreg.objects import Store

    Moved = Callable[[int], None]


# Bundles


def bundle(  # noqa: PLR0913 - a registry and its store, and what the user asks for
    snapshot: Snapshot,
    store: Store,
    selectors: Sequence[str],
    output: Path,
    *,
    since: str | None = None,
    moved: Moved | None = None,
) -> Bundled:
    """Write models, or single versions, with the history of main and their weights into one file."""
    base = _base(snapshot, since) if since else None
    if base == snapshot.commit:
        raise InvalidError(f"nothing happened since {since}", hint="leave out --since for everything")
    chosen = _chosen(snapshot, selectors)
    carried = set(present(snapshot.repository, base).needs) if base else set()
    blobs = {
        artifact.digest: Blob(artifact.digest, artifact.size)
        for manifest in chosen
        for artifact in manifest.artifacts
        if artifact.digest.hex not in carried
    }
    contents = bundles.Contents(
        registry=snapshot.settings.name,
        commit=snapshot.commit,
        since=base,
        models=tuple(sorted({str(manifest.model) for manifest in chosen})),
        blobs=tuple(sorted(blobs.values(), key=lambda blob: blob.digest)),
    )
    return bundles.write(contents, snapshot.repository, store, output, moved)


def _base(snapshot: Snapshot, since: str) -> str:
    from gitreg.git.history import is_on_first_parent_chain

    found = snapshot.repository.run(["rev-parse", "--verify", "--quiet", "--end-of-options", f"{since}^{{commit}}"])
    oid = found.decode("ascii").strip()
    if not is_on_first_parent_chain(snapshot.repository, oid, snapshot.commit):
        raise InvalidError(f"{since} is not on main", hint="give the commit that the last bundle names")
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbundled:
    """What came out of a bundle: the registry that took it, how far main is now, and how many blobs were new."""

    registry: Path | None
    is_new: bool
    commit: str
    models: tuple[str, ...]
    blobs: int
    added: int
    digest: Digest


def unbundle(
    path: Path, into: Path | None, *, store: str | None = None, expect: str | None = None, moved: Moved | None = None
) -> Unbundled:
    """Verify a bundle and take it into a registry on this machine, made where there is none; without one, verify only.

    `expect` is the digest that `gitreg bundle` printed. A registry that is there moves forward only (ConflictError).
    """
    index, found = bundles.verify(path, moved)
    if expect is not None and str(found.digest) != expect:
        raise IntegrityError(
            f"{str(path)!r} is not the expected bundle: its digest is {found.digest}", hint="ask where it came from"
        )
    is_new = into is not None and not is_repository(into)
    added_blobs = 0
    if into is not None:
        take = _take_new if is_new else _take_further
        added_blobs = take(path, Path(os.path.abspath(into)), index, store)  # noqa: PTH100 - a link is the user's choice
    return Unbundled(
        registry=into,
        is_new=is_new,
        commit=index.commit,
        models=index.models,
        blobs=len(index.blobs),
        added=added_blobs,
        digest=found.digest,
    )


def _take_new(path: Path, into: Path, index: bundles.Index, store: str | None) -> int:
    """Make a registry of a bundle, complete or not at all."""
    from gitreg.gate import refusal
    from gitreg.gate_hooks.check import check_state
    from gitreg.gate_hooks.facts import no_store
    from gitreg.git.create import create
    from gitreg.registry.setup import InitRequest, init

    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise ConflictError(f"{into} exists and is neither empty nor a registry", hint="name a new folder")
    into.parent.mkdir(parents=True, exist_ok=True)
    building = into.with_name(f".{into.name}.{secrets.token_hex(4)}.new")
    try:
        create(building, bare=True, object_format="sha1" if len(index.commit) == len("0" * 40) else "sha256")
        with Repository.open(building) as repository:
            bundles.take_history(path, repository)
            violations = check_state(repository, index.commit, no_store("it is checked later"), use_store=False)
            if violations:
                raise refusal(violations, "the bundle holds no valid registry")
            if store:
                repository.run(["config", STORE, store])
            added_blobs = _take_blobs(path, repository, index.commit, into)
            refs.update(repository, MAIN, index.commit, None)
        # With hooks before it has its name: nobody finds a registry that takes any push.
        init(InitRequest(path=building))
        if into.exists():
            into.rmdir()
        building.rename(into)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    init(InitRequest(path=into))
    return added_blobs


def _take_further(path: Path, into: Path, index: bundles.Index, store: str | None) -> int:
    """Move a registry forward to where a bundle is, as its owner."""
    from gitreg.gate import RefUpdate, refusal
    from gitreg.gate_hooks import audit
    from gitreg.gate_hooks.check import check_range
    from gitreg.gate_hooks.marks import write_marks
    from gitreg.git.history import is_on_first_parent_chain
    from gitreg.reader.history import iso

    location = locate(str(into))
    if location.where is not Where.BARE:
        raise InvalidError(f"{into} is a checkout", hint="unbundle into the bare registry, then fetch")
    if store:
        raise InvalidError("the registry has a store already", hint="leave out --store")
    with Repository.open(location.path) as repository:
        old = refs.resolve(repository, MAIN)
        if old is None:
            raise ConflictError(f"{into} is an empty repository", hint="name a folder that does not exist")
        bundles.take_history(path, repository)
        if is_on_first_parent_chain(repository, index.commit, old):
            new = old  # it is ahead of the bundle already
        elif is_on_first_parent_chain(repository, old, index.commit):
            new = index.commit
        else:
            raise ConflictError(
                f"main of {into} and of the bundle have gone different ways", hint="unbundle into a new folder"
            )
        violations = check_range(repository, old, new, None, use_store=False)
        if violations:
            raise refusal(violations, "the registry would refuse this history")
        added_blobs = _take_blobs(path, repository, index.commit, Path(location.path))
        if new != old:
            update = RefUpdate(old, new, MAIN)
            account = str(os.geteuid())
            audit.append(
                repository.common_dir,
                audit.Entry(iso(int(time.time())), account, (update,), (), {"identity": "bundle"}),
            )
            refs.update(repository, MAIN, new, old)
        write_marks(repository)
    return added_blobs


def _take_blobs(path: Path, repository: Repository, commit: str, base: Path) -> int:
    settings = Snapshot(repository, commit).settings
    store = open_registry_store(repository, settings.store, base)
    claim(store, settings.name)
    return bundles.take_blobs(path, store, base.parent)


# Signing


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature that was written or verified: of how many files, and by which key."""

    signature: Path | None
    files: int
    key: Path


def sign(paths: Sequence[Path], key: Path, output: Path | None = None, password: str | None = None) -> Signed:
    """Sign a folder, or files, as they would be registered; the signature goes beside them as `model.sig`."""
    from gitreg.keep import signing
    from gitreg.objects import collect, hash_file

    sources = [source for source in collect(paths) if source.path != MODEL_SIGNATURE]
    digests = {source.path: hash_file(source.file).digest for source in sources}
    first = paths[0]
    written = output or (first if first.is_dir() else first.parent) / MODEL_SIGNATURE
    data = signing.sign(digests, (first if first.is_dir() else first.absolute().parent).resolve().name, key, password)
    draft = written.with_name(f".{written.name}.{secrets.token_hex(4)}")
    try:
        draft.write_bytes(data)
        draft.replace(written)
    finally:
        draft.unlink(missing_ok=True)
    return Signed(signature=written, files=len(digests), key=key)


def verify_signature(snapshot: Snapshot, store: Store, selector: str, keys: Sequence[Path]) -> Signed:
    """Verify the signature of a registered version by its manifest; no weights are read.

    NotFoundError where it has none, IntegrityError where it is not by one of the keys, or of other files.
    """
    from gitreg.keep import signing
    from gitreg.registry import reads

    manifest = reads.found(snapshot, Selector.parse(selector)).manifest
    listed = {artifact.path: artifact for artifact in manifest.artifacts}
    name = f"{manifest.model}@{manifest.version}"
    if MODEL_SIGNATURE not in listed:
        raise NotFoundError(f"{name} has no signature", hint="sign the files and register them as a new version")
    if listed[MODEL_SIGNATURE].size > signing.MAX_SIGNATURE:
        raise InvalidError(f"the {MODEL_SIGNATURE} of {name} has {listed[MODEL_SIGNATURE].size} bytes: it is none")
    with store.open(listed[MODEL_SIGNATURE].digest) as source:
        data = b"".join(iter(lambda: source.read(1 << 20), b""))
    digests = {path: artifact.digest for path, artifact in listed.items()}
    return Signed(signature=None, files=len(digests) - 1, key=signing.verify(digests, data, keys))
