"""Bring a store up to date with another: copy what is missing, each blob verified on its way."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, BinaryIO, cast

from gitreg.errors import GitregError, IntegrityError, NotFoundError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from _typeshed import ReadableBuffer, WriteableBuffer

    from gitreg.objects.bucket import Bucket, Found

# In the order in which a store is written, so that nothing visible points at what is not there.
KINDS = ("registries/", "blobs/", "chunks/", "recipes/", "similar/")


@dataclass(frozen=True, slots=True)
class Failure:
    """An object that was not copied, and why."""

    key: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """What a mirror lacked: objects and bytes that were copied (or would be), those that were there, and failures."""

    source: str
    target: str
    copied: int
    bytes: int
    present: int
    failures: tuple[Failure, ...]


def sync(
    source: Bucket, target: Bucket, *, dry_run: bool = False, moved: Callable[[int], None] | None = None
) -> Synced:
    """Copy every object that the target lacks or has in another size; what it has beside them stays.

    A damaged blob is not copied: its bytes are held against its name. The bytes of objects of equal size are not
    compared, `gitreg fsck --deep` does that.
    """
    run = _Run(source, target, moved, dry_run=dry_run)
    for kind in KINDS:
        if not run.copy(kind):
            break
    return Synced(
        source=source.uri,
        target=target.uri,
        copied=run.copied,
        bytes=run.bytes,
        present=run.present,
        failures=tuple(run.failures),
    )


class _Run:
    """One run of `sync`, and what it has done so far."""

    def __init__(
        self,
        source: Bucket,
        target: Bucket,
        moved: Callable[[int], None] | None,
        *,
        dry_run: bool,
    ) -> None:
        self._source = source
        self._target = target
        self._dry_run = dry_run
        self._moved = moved
        self.copied = self.bytes = self.present = 0
        self.failures: list[Failure] = []

    def copy(self, kind: str) -> bool:
        """Copy what is missing of one kind; say False where the next kinds might point at what did not arrive."""
        there = _listed(self._target, kind)
        for found in sorted(self._source.list(kind), key=lambda each: each.key):
            if there.get(found.key) == found.size:
                self.present += 1
                continue
            try:
                if self._dry_run or self._take(found, replace=found.key in there):
                    self.copied, self.bytes = self.copied + 1, self.bytes + found.size
            except GitregError as error:
                self.failures.append(Failure(found.key, error.message))
                if not isinstance(error, IntegrityError):
                    break  # the store, and not the object: the next would fare no better
        return not self.failures

    def _take(self, found: Found, *, replace: bool) -> bool:
        try:
            _copy(self._source, self._target, found, replace=replace, moved=self._moved)
        except NotFoundError:
            if self._source.size(found.key) is not None:
                raise
            return False  # gc took it meanwhile
        return True


def _listed(bucket: Bucket, kind: str) -> dict[str, int]:
    try:
        return {found.key: found.size for found in bucket.list(kind)}
    except NotFoundError:
        if bucket.path_of(kind.rstrip("/")) is None:
            raise  # a bucket is not made by gitreg
        return {}  # a folder is, with the first object


def _copy(source: Bucket, target: Bucket, found: Found, *, replace: bool, moved: Callable[[int], None] | None) -> None:
    digest = found.key.rpartition("/")[2] if found.key.startswith("blobs/sha256/") else None
    file = _Checked(source.read(found.key), digest, found.size, f"{found.key} in {source.uri!r}")
    if found.size:
        target.put_file(found.key, cast("BinaryIO", file), found.size, moved=moved, replace=replace)
    else:
        target.put(found.key, b"", replace=replace)


class _Checked(io.RawIOBase):
    """An object as a file, that raises IntegrityError before its last bytes where they are not what its name says."""

    def __init__(self, pieces: Iterator[ReadableBuffer], digest: str | None, size: int, what: str) -> None:
        self._pieces = pieces
        self._digest = digest
        self._left = size
        self._what = what
        self._hasher = hashlib.sha256()
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer with what comes next."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b"")).cast("B")
            self._hasher.update(self._rest)
            self._left -= len(self._rest)
            self._check()
        view = memoryview(buffer).cast("B")
        count = min(len(view), len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _check(self) -> None:
        if self._left < 0 or (self._left and not self._rest):
            raise IntegrityError(f"{self._what} has another size than it was listed with")
        if self._left == 0 and self._digest is not None and self._hasher.hexdigest() != self._digest:
            raise IntegrityError(
                f"{self._what} is damaged: its bytes have the digest sha256:{self._hasher.hexdigest()}",
                hint="gitreg fsck --deep finds what else is, and --repair brings it back from where it is sound",
            )
