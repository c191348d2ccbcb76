"""Keep blobs in a bucket, wherever it lies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, NotFoundError
from gitreg.objects import recipes

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer

    from gitreg.digest import Digest
    from gitreg.objects.bucket import Bucket
    from gitreg.objects.recipes import Layout
    from gitreg.objects.streams import Blob, Readable


class Store:
    """Where blobs are kept in a bucket: immutable, written once, named by their digest."""

    def __init__(self, bucket: Bucket) -> None:
        """Name the bucket; nothing is touched before the first use."""
        self.bucket = bucket

    @property
    def uri(self) -> str:
        """The URI of the bucket, without credentials."""
        return self.bucket.uri

    def size_of(self, digest: Digest) -> int | None:
        """Look up the size of a blob in bytes without reading it; None where it is not there.

        NotFoundError: the store itself is not there, which says nothing about the blob.
        """
        return recipes.size_of(self.bucket, digest)

    def renewed(self, digest: Digest, size: int) -> bool:
        """Whether a blob is there with all that it is made of; if so, gc takes it for new from now on.

        False also where there is no store yet.
        """
        from gitreg.objects.renewal import renewed

        try:
            return renewed(self.bucket, digest, size)
        except NotFoundError:
            return False

    def layout(self, digest: Digest) -> Layout:
        """Find the ranges of objects that the bytes of a blob lie in; NotFoundError where it is not there."""
        return recipes.layout_of(self.bucket, digest)

    def path_of(self, digest: Digest) -> Path | None:
        """Name the read-only file of a blob, where it is whole and on this machine."""
        key = recipes.blob_key(digest)
        path = self.bucket.path_of(key)
        return path if path is not None and self.bucket.size(key) is not None else None

    def open(self, digest: Digest) -> io.RawIOBase:
        """Open a blob; IntegrityError before its last bytes are given out where they are not what was stored."""
        from gitreg.objects.streams import VerifiedParts

        layout = self.layout(digest)
        return VerifiedParts(self._pieces(layout), digest, layout.size, self.uri)

    def _pieces(self, layout: Layout) -> Iterator[ReadableBuffer]:
        for part in layout.parts:
            try:
                yield from self.bucket.read(part.key, part.offset, part.size)
            except NotFoundError as error:
                if layout.is_whole:
                    raise
                raise IntegrityError(
                    f"blob {layout.digest} cannot be put together: {part.digest}, which its recipe names, is not in the"
                    f" store {self.uri!r}",
                    hint="restore that one from a mirror or a copy of the store, or register the same file again",
                ) from error

    def put(self, source: Readable, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store a stream and return its digest and size; what is there already is not written twice.

        `moved` hears the bytes of each piece. UnavailableError: no room, or not writable.
        """
        from gitreg.objects.intake import Intake

        return Intake(self.bucket, moved).stream(source)

    def put_file(self, path: Path, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store a file, of which only the new bytes are kept; ConflictError, and nothing stored, where it changes."""
        from gitreg.objects.streams import SteadyFile

        with SteadyFile(path) as source:
            return self.put_open(source, moved=moved)

    def put_open(self, source: io.FileIO, *, moved: Callable[[int], None] | None = None) -> Blob:
        """Store an open file, from its beginning, as `put_file` does."""
        from gitreg.objects.intake import Intake

        return Intake(self.bucket, moved).file(source)


class LocalStore(Store):
    """A store in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        """Name the folder; nothing is touched before the first use."""
        from gitreg.objects.local import LocalBucket

        super().__init__(LocalBucket(folder))
        self.folder = folder
