"""Keep objects in a bucket of S3 (or of what speaks it), of Google Cloud Storage, or of Azure, through obstore."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from gitreg.errors import ConflictError, DeniedError, GitregError, IntegrityError, NotFoundError, UnavailableError
from gitreg.objects.bucket import Found
from gitreg.objects.clients import Patience, connect
from gitreg.objects.cloud_faults import LATER, Beyond, CannotCreate, Exists, Missing, told
from gitreg.objects.faults import NoStoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from _typeshed import ReadableBuffer
    from obstore.store import ObjectStore

    from gitreg.objects.bucket import Address, Incoming

SMALL = 8 << 20  # bytes; an object up to this goes in one request, which creates and never replaces
_PART = 8 << 20  # bytes of a part; parts on their way are what an upload takes of memory
_IN_FLIGHT = 64 << 20
_MOST_PARTS = 9_000  # S3 and Google take 10,000
_PIECE = 1 << 20
_BREAKS = 4  # that often a download may break off, beside obstore's own retries, and once more for each so many bytes
_BETWEEN = 1 << 20
_PROBE = "gitreg-is-there"


class CloudBucket:
    """Objects in a bucket, below a prefix."""

    def __init__(self, address: Address, *, endpoint: str | None = None, patience: Patience | None = None) -> None:
        """Name the place; credentials are looked for, and the bucket is asked, with the first use.

        `endpoint` is the URL of a server that speaks S3, where it is not the one that the environment names.
        """
        self._address = address
        self._endpoint = endpoint
        self._patience = patience
        self._lock = Lock()
        self._is_there = False
        self._creates = True

    @property
    def uri(self) -> str:
        """The URI of the bucket and its prefix."""
        return self._address.uri

    @cached_property
    def store(self) -> ObjectStore:
        """The client, made when it is first needed: importing it takes a while."""
        with self._told("open"):
            return connect(self._address, self._endpoint, self._patience or Patience.of(os.environ))

    def size(self, key: str) -> int | None:
        """Look up the size of an object in bytes; None where there is none."""
        found = self.find(key)
        return None if found is None else found.size

    def find(self, key: str) -> Found | None:
        """Look up an object; None where there is none."""
        import obstore

        try:
            with self._told(f"look up {key}", Missing):
                found = obstore.head(self.store, key)
        except Missing:
            self._need_bucket()
            return None
        return Found(key, int(found["size"]), found["last_modified"].timestamp())

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[ReadableBuffer]:
        """Give the bytes of a range in pieces, fewer where the object ends before; NotFoundError where there is none.

        A connection that breaks off is gone on with from where it broke.
        """
        end = None if size is None else start + size
        at, breaks, ended = start, 0, False
        while not ended and (end is None or at < end):
            try:
                for piece in self._stream(key, at, end):
                    at += len(piece)
                    yield piece
                ended = True
            except Beyond:
                ended = True
            except UnavailableError:
                breaks += 1
                if breaks > _BREAKS + (at - start) // _BETWEEN:
                    raise
        if size == 0:
            self._need(key)

    def _stream(self, key: str, start: int, end: int | None) -> Iterator[memoryview]:
        import obstore

        wanted: Any = None
        if end is not None:
            wanted = {"range": (start, end)}
        elif start:
            wanted = {"range": {"offset": start}}
        doing = f"read {key}"
        try:
            with self._told(doing, Missing, Beyond):
                found = obstore.get(self.store, key, options=wanted)
                first, last = found.range
        except Missing:
            self._need_bucket()
            raise self._not_found(key) from None
        if first != start or (end is not None and last > end):
            raise IntegrityError(f"{self.uri!r} gave the bytes {first}-{last} of {key}, asked for {start}-{end}")
        pieces = iter(found.stream(min_chunk_size=_PIECE))
        left = last - first
        while True:
            with self._told(doing):
                piece = next(pieces, None)
            if piece is None:
                break
            view = memoryview(piece)
            left -= len(view)
            if left < 0:
                raise IntegrityError(f"{self.uri!r} gave more bytes of {key} than it announced")
            yield view
        if left:
            raise UnavailableError(f"{self.uri!r} broke off {left} bytes before the end of {key}", hint=LATER)

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Read a small object whole; None where there is none, IntegrityError where it has more than `limit` bytes."""
        data = bytearray()
        try:
            for piece in self.read(key):
                data += piece
                if len(data) > limit:
                    raise IntegrityError(f"{key} in {self.uri!r} has more than the {limit} bytes that it may have")
        except NotFoundError:
            self._need_bucket()
            return None
        return bytes(data)

    def put(self, key: str, data: bytes, *, replace: bool = False) -> None:
        """Write a small object in one request; what is there already stays, unless it is to be replaced."""
        if replace:
            self._put(key, data, "overwrite")
            return
        if self._creates:
            with suppress(Exists):
                try:
                    self._put(key, data, "create")
                except CannotCreate:  # an older server that speaks S3: it is asked first from now on
                    self._creates = False
        if not self._creates and self.size(key) is None:
            self._put(key, data, "overwrite")

    def _put(self, key: str, data: bytes, mode: Literal["create", "overwrite"]) -> None:
        import obstore

        try:
            with self._told(f"write {key}", Missing, *((Exists, CannotCreate) if mode == "create" else ())):
                obstore.put(self.store, key, data, mode=mode, use_multipart=False)
        except Missing:
            raise self._no_bucket() from None

    def put_file(
        self, key: str, file: BinaryIO, size: int, *, moved: Callable[[int], None] | None = None, replace: bool = False
    ) -> None:
        """Send a large object in parts; ConflictError, and nothing kept, where the file has not `size` bytes.

        Parts cannot be bound to "only where nothing is there" (obstore), so it is asked before. Two that send the same
        blob at once both succeed, and the object is whole and the same at any time.
        """
        if not replace and self.size(key) is not None:
            if moved is not None:
                moved(size)
            return
        if size <= SMALL:
            self.put(key, b"".join(_pieces(file, size, _PIECE, key)), replace=replace)
            if moved is not None:
                moved(size)
        else:
            self._send(key, file, size, moved)
        stored = self.size(key)
        if stored != size:
            with suppress(GitregError):
                self.delete(key)  # nobody is to find it under that name
            raise IntegrityError(
                f"{key} has {stored} bytes in {self.uri!r} after {size} were sent",
                hint="the store is not to be trusted with it; try again, and ask who runs it",
            )

    def _send(self, key: str, file: BinaryIO, size: int, moved: Callable[[int], None] | None) -> None:
        import obstore

        part = max(_PART, -(-size // (_MOST_PARTS << 20)) << 20)  # whole MiB
        failed: list[BaseException] = []

        def parts() -> Iterator[bytearray]:
            try:
                for piece in _pieces(file, size, part, key):
                    yield piece
                    if moved is not None:
                        moved(len(piece))
            except BaseException as error:
                failed.append(error)
                raise

        try:
            with self._told(f"send {key}", Missing):
                concurrency = max(1, _IN_FLIGHT // part)
                obstore.put(self.store, key, parts(), use_multipart=True, chunk_size=part, max_concurrency=concurrency)
        except BaseException as error:
            if failed:  # what happened at this end, in its own words
                raise failed[0] from None
            if isinstance(error, Missing):
                raise self._no_bucket() from None
            raise

    def incoming(self) -> AbstractContextManager[Incoming] | None:
        """Say that a bucket needs the name first."""
        return None

    def list(self, prefix: str) -> Iterator[Found]:
        """List the objects whose key begins with `prefix`."""
        import obstore

        folder = prefix.rpartition("/")[0]
        doing = f"list {prefix}*"
        with self._told(doing):
            batches = iter(obstore.list(self.store, folder or None, chunk_size=1000))
        while True:
            try:
                with self._told(doing, Missing):
                    batch = next(batches, None)
            except Missing:
                raise self._no_bucket() from None
            if batch is None:
                return
            for each in batch:
                if each["path"].startswith(prefix):
                    yield Found(each["path"], int(each["size"]), each["last_modified"].timestamp())

    def rename(self, key: str, to: str) -> None:
        """Give an object another name: a copy on the server, then the end of the first; NotFoundError for none."""
        import obstore

        try:
            with self._told(f"move {key}", Missing):
                obstore.rename(self.store, key, to)
        except Missing:
            self._need_bucket()
            raise self._not_found(key) from None

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        import obstore

        try:
            with self._told(f"delete {key}", Missing):
                obstore.delete(self.store, key)
        except Missing:
            self._need_bucket()

    def path_of(self, key: str) -> None:
        """Say that no object is a file of this machine."""

    def _need(self, key: str) -> None:
        if self.size(key) is None:
            raise self._not_found(key)

    def _need_bucket(self) -> None:
        """Tell a missing object from a missing bucket, which the clouds answer alike; asked once."""
        with self._lock:
            if self._is_there:
                return
            try:
                next(self.list(f"{_PROBE}/"), None)
            except DeniedError:  # who may read and not list is told by the first that is denied
                return
            self._is_there = True

    def _not_found(self, key: str) -> NotFoundError:
        return NotFoundError(f"there is no {key} in the store {self.uri!r}")

    def _no_bucket(self) -> NotFoundError:
        return NoStoreError(
            f"the object store {self.uri!r} does not exist: there is no bucket {self._address.bucket!r}",
            hint="make the bucket, or check `store` in registry.yaml and the endpoint (docs/stores.md)",
        )

    def _told(self, doing: str, *expected: type[Exception]) -> AbstractContextManager[None]:
        return told(self.uri, doing, self._no_bucket, *expected)


def _pieces(file: BinaryIO, size: int, piece: int, key: str) -> Iterator[bytearray]:
    """Read `size` bytes in pieces; ConflictError where the file ends before."""
    left = size
    while left:
        buffer = bytearray(min(piece, left))
        filled = 0
        while filled < len(buffer):
            count = file.readinto(memoryview(buffer)[filled:])  # type: ignore[attr-defined]
            if not count:
                raise ConflictError(f"a file of {size} bytes ended {left - filled} bytes early as it was sent as {key}")
            filled += count
        left -= filled
        yield buffer
