"""Put models with their history and their weights into one file, and take them out again, every byte verified.

A bundle is a plain tar: `gitreg-bundle.json`, which names everything that follows with its digest; `history.bundle`,
which `git clone` reads; and the blobs, under the names that they have in a store.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.git.values import is_oid
from gitreg.keep import tar
from gitreg.layout import MAIN
from gitreg.names import ModelName
from gitreg.objects.faults import reading, writing
from gitreg.objects.recipes import blob_key
from gitreg.objects.streams import Blob, copy
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitreg.git import Repository
    from gitreg.objects import Store

FORMAT = "gitreg/bundle/v1"
INDEX, HISTORY = "gitreg-bundle.json", "history.bundle"
_MAX_INDEX = 256 << 20
_MAX_BLOBS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """What a bundle holds: main at `commit`, its history from `since` on (None: all), and the blobs of some models."""

    registry: str
    commit: str
    since: str | None
    models: tuple[str, ...]
    history: Blob
    blobs: tuple[Blob, ...]

    def to_bytes(self) -> bytes:
        """Write it as it stands in the bundle."""
        data = {
            "format": FORMAT,
            "registry": self.registry,
            "commit": self.commit,
            "since": self.since,
            "models": list(self.models),
            "history": _blob_data(self.history),
            "blobs": [_blob_data(blob) for blob in self.blobs],
        }
        return json.dumps(data, indent=1).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes) -> Index:
        """Read it; InvalidError for anything that is not one."""
        try:
            found = json.loads(data)
            if found["format"] != FORMAT:
                raise InvalidError(f"its format is {str(found['format'])[:80]}", hint="a newer gitreg may read it")
            index = cls(
                registry=str(found["registry"]),
                commit=_oid(found["commit"]),
                since=None if found["since"] is None else _oid(found["since"]),
                models=tuple(str(ModelName.parse(name)) for name in found["models"]),
                history=_blob(found["history"]),
                blobs=tuple(map(_blob, found["blobs"])),
            )
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise InvalidError(f"the bundle's {INDEX} is no index of one: {error}") from error
        if len(index.blobs) > _MAX_BLOBS or len({blob.digest for blob in index.blobs}) != len(index.blobs):
            raise InvalidError(f"the bundle's {INDEX} names too many blobs, or one twice")
        return index


def _blob_data(blob: Blob) -> dict[str, object]:
    return {"digest": str(blob.digest), "size": blob.size}


def _blob(data: Mapping[str, object]) -> Blob:
    digest, size = data["digest"], data["size"]
    if not isinstance(digest, str) or type(size) is not int or size < 0:
        raise InvalidError("a blob is not a digest and a size")
    return Blob(Digest.parse(digest), size)


def _oid(value: object) -> str:
    if not isinstance(value, str) or not is_oid(value):
        raise InvalidError(f"{str(value)[:80]!r} is no object id")
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle that was written or verified: its file, what it holds, its size in bytes and its own digest."""

    path: Path
    registry: str
    commit: str
    since: str | None
    models: tuple[str, ...]
    blobs: int
    bytes: int
    digest: Digest

    @classmethod
    def of(cls, path: Path, index: Index, whole: Blob) -> Bundled:
        """Describe the bundle at a path."""
        return cls(
            path=path,
            registry=index.registry,
            commit=index.commit,
            since=index.since,
            models=index.models,
            blobs=len(index.blobs),
            bytes=whole.size,
            digest=whole.digest,
        )


# Writing


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to go into a bundle: main at a commit, history after `since`, these models with these blobs."""

    registry: str
    commit: str
    since: str | None
    models: tuple[str, ...]
    blobs: tuple[Blob, ...]


def write(
    contents: Contents, repository: Repository, store: Store, path: Path, moved: Callable[[int], None] | None = None
) -> Bundled:
    """Write a bundle, whole or not at all; ConflictError where there is a file of that name."""
    if path.exists():
        raise ConflictError(f"{str(path)!r} exists", hint="name another file, or remove it")
    around = path.absolute().parent  # git stands elsewhere
    with writing(around), tempfile.TemporaryDirectory(prefix=".gitreg-bundle-", dir=around) as folder:
        history = Path(folder) / HISTORY
        _write_history(repository, contents, history)
        draft = Path(folder) / "draft"
        with draft.open("wb") as sink, history.open("rb", buffering=0) as packed:
            described = copy(packed)
            packed.seek(0)
            index = Index(
                registry=contents.registry,
                commit=contents.commit,
                since=contents.since,
                models=contents.models,
                history=described,
                blobs=contents.blobs,
            )
            data = index.to_bytes()
            tar.add(sink, INDEX, len(data), io.BytesIO(data))
            tar.add(sink, HISTORY, described.size, packed)
            for blob in contents.blobs:
                with closing(store.open(blob.digest)) as source:
                    tar.add(sink, blob_key(blob.digest), blob.size, source)
                if moved is not None:
                    moved(blob.size)
            tar.finish(sink)
            sink.flush()
            os.fsync(sink.fileno())
        with draft.open("rb", buffering=0) as whole:
            found = copy(whole)
        draft.chmod(0o644)
        os.link(draft, path)  # and never over a file that is there by now
    return Bundled.of(path, index, found)


def _write_history(repository: Repository, contents: Contents, path: Path) -> None:
    """Let git pack main into a bundle of its own.

    Deploy tags stay behind: they name entries of this registry's audit log, and follow from the history anyway.
    """
    from gitreg.git import refs, scratch

    # Main gets its own name, whatever this clone calls it.
    with closing(scratch(repository)) as workshop:
        refs.update(workshop, MAIN, contents.commit, None)
        wanted = [MAIN, *([f"^{contents.since}"] if contents.since else [])]
        workshop.run(["bundle", "create", "--quiet", str(path), *wanted])


# Reading


def verify(path: Path, moved: Callable[[int], None] | None = None) -> tuple[Index, Bundled]:
    """Read a bundle to its end and hold everything in it against its digest; nothing is kept.

    IntegrityError where anything is not what the index says, InvalidError where the file is no bundle.
    """
    hasher = hashlib.sha256()
    with reading(path), path.open("rb") as file:
        index = None
        for index, member, expected in _walk(_Hashing(file, hasher)):  # noqa: B007 - the last one is as good as any
            found = copy(member, moved=moved)
            if found != expected:
                raise IntegrityError(
                    f"{member.name} in {str(path)!r} is damaged: expected {expected.digest}, found {found.digest}",
                    hint="carry the bundle over again",
                )
        whole = Blob(Digest(hasher.hexdigest()), file.tell())
    if index is None:
        raise InvalidError(f"{str(path)!r} is no bundle")
    return index, Bundled.of(path, index, whole)


class _Hashing:
    """A file that is hashed as it is read."""

    def __init__(self, file: BinaryIO, hasher: hashlib._Hash) -> None:
        self._file = file
        self._hasher = hasher

    def read(self, size: int = -1, /) -> bytes:
        data = self._file.read(size)
        self._hasher.update(data)
        return data


def _walk(file: object) -> Iterator[tuple[Index, tar.Member, Blob]]:
    """Give the members of a bundle after its index, in the order that the index says, with what they shall be."""
    found = tar.members(file)  # type: ignore[arg-type] # it reads, and that is all that is asked of it
    first = next(found, None)
    if first is None or first.name != INDEX or first.size > _MAX_INDEX:
        raise InvalidError(f"the file is no bundle: it does not begin with {INDEX}")
    index = Index.parse(_all(first))
    expected = [(HISTORY, index.history), *((blob_key(blob.digest), blob) for blob in index.blobs)]
    for name, blob in expected:
        member = next(found, None)
        if member is None or member.name != name or member.size != blob.size:
            raise IntegrityError(f"the bundle holds {member.name[:200] if member else 'nothing'!r} in place of {name}")
        yield index, member, blob
    if (more := next(found, None)) is not None:
        raise IntegrityError(f"the bundle holds {more.name[:200]!r}, of which its index does not speak")


def _all(member: tar.Member) -> bytes:
    data = bytearray(member.size)
    view = memoryview(data)
    while count := member.readinto(view):
        view = view[count:]
    return bytes(data)


def take_history(path: Path, repository: Repository) -> Index:
    """Bring the history of a verified bundle into a repository, moving no ref; NotFoundError without its base."""
    with reading(path), path.open("rb") as file:
        index, member, _ = next(_walk(file))
        if index.since is not None and repository.objects.info(index.since) is None:
            raise NotFoundError(
                f"the bundle goes on from the commit {index.since[:12]}, which is not here",
                hint="take in the bundle before it first, or one without --since",
            )
        with tempfile.TemporaryDirectory() as folder:
            history = Path(folder) / HISTORY
            with history.open("wb") as sink:
                if copy(member, sink) != index.history:
                    raise IntegrityError(f"{HISTORY} changed since it was verified")
            try:
                repository.run(["-c", "transfer.fsckObjects=true", "bundle", "unbundle", str(history)])
            except GitregError as error:
                raise IntegrityError(f"git cannot read the bundle's history: {error.message}") from error
    repository.close()  # what it read so far knows nothing of the new objects
    _check_connected(repository, index)
    return index


def _check_connected(repository: Repository, index: Index) -> None:
    """Make sure that every object of the history is there before a ref names it."""
    try:
        repository.run(["rev-list", "--objects", "--quiet", index.commit, "--not", "--all"])
    except GitregError as error:
        raise IntegrityError(f"the bundle's history is not complete: {error.message}") from error


def take_blobs(path: Path, store: Store, workshop: Path, moved: Callable[[int], None] | None = None) -> int:
    """Put the blobs of a verified bundle into a store that does not have them; give how many were new.

    A store looks through a file, not through a stream, for what it has already; each passes through `workshop`.
    """
    added = 0
    with reading(path), path.open("rb") as file:
        for _, member, blob in _walk(file):
            if member.name == HISTORY or store_has(store, blob):
                continue
            with writing(workshop), tempfile.TemporaryFile(buffering=0, dir=workshop) as draft:
                if copy(member, draft) != blob:
                    raise IntegrityError(f"{member.name} changed since it was verified")
                draft.seek(0)
                store.put_open(draft, moved=moved)
            added += 1
    return added


def store_has(store: Store, blob: Blob) -> bool:
    """Whether a blob is in a store, as far as its size tells; a store that is not made yet has none."""
    try:
        return store.size_of(blob.digest) == blob.size
    except NotFoundError:
        return False
