"""Put models with their history and their weights into one file, and take them out again, every byte verified.

A bundle is a plain tar: `gitreg-bundle.json`, which names everything that follows with its digest; `history.bundle`,
which `git clone` reads; and the blobs, under the names that they have in a store.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import tempfile
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError
from gitreg.git import packs
from gitreg.keep import tar
from gitreg.keep.bundle_index import HISTORY, INDEX, MAX_INDEX, Index
from gitreg.layout import MAIN
from gitreg.objects.faults import reading, writing
from gitreg.objects.local import NO_LINKS, sync_folder
from gitreg.objects.mirrors import ELSEWHERE
from gitreg.objects.recipes import blob_key, recipe_key
from gitreg.objects.streams import Blob, copy
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from gitreg.git import Repository
    from gitreg.objects import Store

    Moved = Callable[[int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle that was written or verified: its file, what it holds, its size in bytes and its own digest.

    `left_out` are blobs that an earlier bundle brought, known where it was written.
    """

    path: Path
    registry: str
    commit: str
    since: str | None
    models: tuple[str, ...]
    blobs: int
    bytes: int
    digest: Digest
    left_out: int = 0

    @classmethod
    def of(cls, path: Path, index: Index, whole: Blob, left_out: int = 0) -> Bundled:
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
            left_out=left_out,
        )


# Writing


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What is to go into a bundle: main at a commit, history after `since`, versions by model, and their blobs.

    `files` tell people what each blob is. `left_out` is how many blobs of these versions an earlier bundle brought.
    """

    registry: str
    commit: str
    since: str | None
    versions: Mapping[str, tuple[str, ...]]
    blobs: tuple[Blob, ...]
    files: Mapping[Digest, str]
    left_out: int = 0

    def index(self, history: Blob) -> Index:
        """Make the index, once the history is written."""
        return Index(
            registry=self.registry,
            commit=self.commit,
            since=self.since,
            versions=self.versions,
            history=history,
            blobs=self.blobs,
        )


def write(contents: Contents, repository: Repository, store: Store, path: Path, moved: Moved | None = None) -> Bundled:
    """Write a bundle, whole or not at all; ConflictError where there is a file of that name."""
    _check_free(path)
    around = path.absolute().parent  # git stands elsewhere
    with writing(around), tempfile.TemporaryDirectory(prefix=".gitreg-bundle-", dir=around) as folder:
        history = Path(folder) / HISTORY
        _write_history(repository, contents, history)
        draft = Path(folder) / "draft"
        with draft.open("w+b") as sink, history.open("rb", buffering=0) as packed:
            index = contents.index(copy(packed))
            packed.seek(0)
            data = index.to_bytes()
            tar.add(sink, INDEX, len(data), io.BytesIO(data))
            tar.add(sink, HISTORY, index.history.size, packed)
            for blob in contents.blobs:
                _add_blob(sink, store, blob, contents.files[blob.digest])
                if moved is not None:
                    moved(blob.size)
            tar.finish(sink)
            sink.flush()
            os.fsync(sink.fileno())
            sink.seek(0)
            found = copy(sink)
        _give_name(draft, path)
    return Bundled.of(path, index, found, contents.left_out)


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


def _add_blob(sink: BinaryIO, store: Store, blob: Blob, file: str) -> None:
    """Append a blob from the first store that gives all its bytes, each held against its digest."""
    start = sink.tell()
    failed: GitregError | None = None
    for each in getattr(store, "all", (store,)):
        try:
            with closing(each.open(blob.digest)) as source:
                tar.add(sink, blob_key(blob.digest), blob.size, source)
        except ELSEWHERE as error:
            failed = failed or error
            sink.seek(start)
            sink.truncate()
        else:
            return
    if failed is not None:
        raise type(failed)(f"{file}: {failed.message}", hint=failed.hint) from failed


def _check_free(path: Path) -> None:
    if os.path.lexists(path):
        raise ConflictError(f"{str(path)!r} exists", hint="name another file, or remove it")


def _give_name(draft: Path, path: Path) -> None:
    """Give a finished file its name, and never that of a file which is there by now."""
    try:
        os.link(draft, path)
    except FileExistsError:
        _check_free(path)
        raise
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        # A stick that other systems read, for one, has no hard links; what comes between these two lines is lost.
        _check_free(path)
        draft.rename(path)
    with suppress(OSError):  # the bytes are on the medium, and not every one takes a folder
        sync_folder(path.absolute().parent)


# Reading


class Verified:
    """A bundle that was read to its end, every byte as its index says; what is taken out is held against that again.

    The file stays open: another one may get its name meanwhile, and what is on a stick may change.
    """

    def __init__(self, file: _File, index: Index, described: Bundled) -> None:
        self._file = file
        self.index = index
        self.described = described

    def take_history(self, repository: Repository) -> None:
        """Bring the history into a repository, moving no ref; NotFoundError without its base."""
        since = self.index.since
        if since is not None and repository.objects.info(since) is None:
            raise NotFoundError(
                f"the bundle goes on from the commit {since[:12]}, which is not here",
                hint="take in the bundle before it first, or one without --since",
            )
        member, expected = next(self._members())
        folder = repository.git_dir
        with writing(folder), tempfile.TemporaryFile(dir=folder) as file:
            if copy(member, file) != expected:
                raise self._changed(member)
            file.seek(0)
            header = packs.read_header(file, repository.object_format)
            if header.refs != {MAIN: self.index.commit}:
                raise IntegrityError(f"the history is not that of main at {self.index.commit[:12]}")
            packs.take_pack(repository, file, expected.size)
        try:
            repository.run(["rev-list", "--objects", "--quiet", self.index.commit, "--not", "--all"])
        except GitregError as error:
            raise IntegrityError(f"the bundle's history is not complete: {error.message}") from error

    def take_blobs(self, store: Store, workshop: Path) -> int:
        """Put the blobs into a store that does not have them, sound; give how many were new.

        A store looks through a file, not through a stream, for what it has already; each passes through `workshop`.
        """
        added = 0
        for member, blob in self._members():
            if member.name == HISTORY:
                continue
            is_damaged = False
            if store.renewed(blob.digest, blob.size):
                if _is_sound(store, blob):
                    continue
                is_damaged = True
            with writing(workshop), tempfile.TemporaryFile(buffering=0, dir=workshop) as draft:
                if copy(member, draft) != blob:
                    raise self._changed(member)
                draft.seek(0)
                if is_damaged:
                    store.bucket.put_file(blob_key(blob.digest), draft, blob.size, replace=True)
                    store.bucket.delete(recipe_key(blob.digest))
                else:
                    store.put_open(draft)
            added += 1
        return added

    def _members(self) -> Iterator[tuple[tar.Member, Blob]]:
        """Read it once more; IntegrityError where its index is not what was verified."""
        self._file.rewind()
        for index, member, expected in _walk(self._file):
            if index != self.index:
                raise self._changed(member)
            yield member, expected

    def _changed(self, member: tar.Member) -> IntegrityError:
        return IntegrityError(
            f"{str(self._file.path)!r} changed since it was verified, at {member.name}",
            hint="copy it to a disk of this machine, and take it in from there",
        )


@contextmanager
def verified(path: Path, moved: Moved | None = None) -> Iterator[Verified]:
    """Read a bundle to its end and hold everything in it against its digest, before anything is taken out of it.

    IntegrityError where anything is not what the index says, InvalidError where the file is no bundle.
    """
    with closing(_File(path)) as file:
        index = None
        for index, member, expected in _walk(file):  # noqa: B007 - the last one is as good as any
            found = copy(member, moved=moved)
            if found != expected:
                raise IntegrityError(
                    f"{member.name} in {str(path)!r} is damaged: expected {expected.digest}, found {found.digest}",
                    hint="carry the bundle over again",
                )
        if index is None:
            raise InvalidError(f"{str(path)!r} is no bundle")
        yield Verified(file, index, Bundled.of(path, index, file.whole()))


def index_of(path: Path) -> Index:
    """Read the index of a bundle, or one that was taken out of it; nothing else is looked at."""
    with closing(_File(path)) as file:
        first = file.read(1)
        file.rewind()
        if first == b"{":
            return Index.parse(file.read(MAX_INDEX + 1))
        return _first(tar.members(file))


class _File:
    """The file of a bundle: hashed the first time it is read, and the same one every time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._hasher: hashlib._Hash | None = hashlib.sha256()
        with reading(path):
            # O_NONBLOCK: opening a named pipe must not wait for a writer.
            opened = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self._file = io.FileIO(opened)
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            self._file.close()
            raise InvalidError(f"{str(path)!r} is not a regular file")

    def read(self, size: int, /) -> bytes:
        with reading(self.path):
            data = self._file.read(size) or b""
        if self._hasher is not None:
            self._hasher.update(data)
        return data

    def whole(self) -> Blob:
        """Describe the file, which was read to its end for the first time."""
        if self._hasher is None:
            raise ValueError("it was read before")
        return Blob(Digest(self._hasher.hexdigest()), self._file.tell())

    def rewind(self) -> None:
        self._hasher = None
        self._file.seek(0)

    def close(self) -> None:
        self._file.close()


def _walk(file: _File) -> Iterator[tuple[Index, tar.Member, Blob]]:
    """Give the members of a bundle after its index, in the order that the index says, with what they shall be."""
    found = tar.members(file)
    index = _first(found)
    expected = [(HISTORY, index.history), *((blob_key(blob.digest), blob) for blob in index.blobs)]
    for name, blob in expected:
        member = next(found, None)
        if member is None or member.name != name or member.size != blob.size:
            raise IntegrityError(f"the bundle holds {member.name[:200] if member else 'nothing'!r} in place of {name}")
        yield index, member, blob
    if (more := next(found, None)) is not None:
        raise IntegrityError(f"the bundle holds {more.name[:200]!r}, of which its index does not speak")


def _first(members: Iterator[tar.Member]) -> Index:
    first = next(members, None)
    if first is None or first.name != INDEX or first.size > MAX_INDEX:
        raise InvalidError(f"the file is no bundle: it does not begin with {INDEX}")
    data = bytearray(first.size)
    view = memoryview(data)
    while count := first.readinto(view):
        view = view[count:]
    view.release()
    return Index.parse(bytes(data))


def _is_sound(store: Store, blob: Blob) -> bool:
    """Read a blob that has its size in a store, and see whether its bytes are right."""
    try:
        with closing(store.open(blob.digest)) as source:
            return copy(source) == blob
    except (IntegrityError, NotFoundError):
        return False
