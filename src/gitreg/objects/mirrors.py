"""Keep the same blobs in several stores: a primary, which decides, and mirrors, which stand in for it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

from gitreg.errors import DeniedError, GitregError, IntegrityError, NotFoundError, UnavailableError
from gitreg.objects.store import Store
from gitreg.objects.streams import copy
from gitreg.records import dataclass

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects.recipes import Layout
    from gitreg.objects.streams import Blob, Readable

T = TypeVar("T")

# What another store may do better.
ELSEWHERE = (NotFoundError, UnavailableError, IntegrityError, DeniedError)


@dataclass(frozen=True, slots=True)
class Behind:
    """A mirror that did not get a blob, and why; `gitreg store sync` catches it up."""

    uri: str
    digest: Digest
    reason: str


class Stores(Store):
    """A primary store and its mirrors, used like one store.

    A read asks the primary, then each mirror. A write has to succeed in the primary; a mirror that it fails in is noted
    in `behind`, and one that is `away`, by its URI and why, is not written to. `bucket` is the primary's.
    """

    def __init__(self, primary: Store, mirrors: tuple[Store, ...] = ()) -> None:
        """Name the stores; nothing is touched before the first use."""
        super().__init__(primary.bucket)
        self.primary = primary
        self.mirrors = mirrors
        self.behind: list[Behind] = []
        self.away: dict[str, str] = {}

    @property
    def all(self) -> tuple[Store, ...]:
        """The primary and the mirrors, in their order."""
        return self.primary, *self.mirrors

    def size_of(self, digest: Digest) -> int | None:
        """Look up the size of a blob in the first store that has it; None where the primary answers and none has it.

        Where the primary does not answer and no mirror has the blob, the primary's error is raised.
        """
        failed: GitregError | None = None
        for store in self.all:
            try:
                size = store.size_of(digest)
            except ELSEWHERE as error:
                if store is self.primary:
                    failed = error
                continue
            if size is not None:
                return size
        if failed is not None:
            raise failed
        return None

    def renewed(self, digest: Digest, size: int) -> bool:
        """Whether every store has a blob, as `Store.renewed`; a mirror that does not answer counts as one without."""
        if not self.primary.renewed(digest, size):
            return False
        try:
            return all(mirror.renewed(digest, size) for mirror in self.mirrors)
        except ELSEWHERE:
            return False

    def layout(self, digest: Digest) -> Layout:
        """Find where the bytes of a blob lie in the primary: the keys of a layout are those of one store."""
        return self.primary.layout(digest)

    def path_of(self, digest: Digest) -> Path | None:
        """Name the read-only file of a blob, where it is whole and on this machine in one of the stores."""
        return self._first(lambda store: store.path_of(digest), enough=lambda path: path is not None)

    def open(self, digest: Digest) -> io.RawIOBase:
        """Open a blob in the first store that has it sound.

        Where there are mirrors, it is read through before any of it is given: what was given cannot be taken back.
        """
        return self._first(lambda store: self._sound(store, digest))

    def _sound(self, store: Store, digest: Digest) -> io.RawIOBase:
        if self.mirrors:
            with store.open(digest) as trial:
                copy(trial)
        return store.open(digest)

    def put(self, source: Readable, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store a stream in the primary, then in each mirror from there."""
        blob = self.primary.put(source, moved=moved)
        for mirror in self.mirrors:
            self._also(mirror, blob, partial(self._copy, mirror, blob.digest))
        return blob

    def put_open(self, source: io.FileIO, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store an open file, from its beginning, in the primary, then in each mirror; ConflictError if it changed."""
        blob = self.primary.put_open(source, moved=moved)
        for mirror in self.mirrors:
            self._also(mirror, blob, partial(self._again, mirror, source))
        return blob

    def _again(self, mirror: Store, source: io.FileIO) -> None:
        source.seek(0)
        mirror.put_open(source)

    def _copy(self, mirror: Store, digest: Digest) -> None:
        with self.primary.open(digest) as source:
            mirror.put(source)

    def _also(self, mirror: Store, blob: Blob, write: Callable[[], object]) -> None:
        try:
            if mirror.uri in self.away:
                raise UnavailableError(self.away[mirror.uri])
            write()
        except ELSEWHERE as error:
            self.behind.append(Behind(mirror.uri, blob.digest, error.message))

    def _first(self, ask: Callable[[Store], T], enough: Callable[[T], bool] = lambda _: True) -> T:
        """Give the first answer; where no store has one, raise the error of the primary."""
        failed: GitregError | None = None
        last: list[T] = []
        for store in self.all:
            try:
                found = ask(store)
            except ELSEWHERE as error:
                failed = failed or error
                continue
            if enough(found):
                return found
            last.append(found)
        if failed is not None and not last:
            raise failed
        return last[-1]
