"""Move objects into a store's trash and out of it, and read a store as if nothing lay there."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, cast

from gitreg.errors import GitregError, NotFoundError
from gitreg.objects.faults import writing
from gitreg.objects.recipes import blob_key, chunks_key, layout_of, recipe_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

    from gitreg.digest import Digest
    from gitreg.objects.bucket import Bucket

TRASH = "trash/"
_COPIED_BY_SERVER = 5 << 30  # bytes: S3 copies no larger object in one request


class Untouched:
    """A bucket to read from as if gc had taken nothing: what lies in the trash comes before what has its name now."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.uri = bucket.uri
        self._places: dict[str, str] = {}

    def size(self, key: str) -> int | None:
        """Look up the size of an object in bytes; None where it is neither here nor in the trash."""
        return self._bucket.size(self._where(key))

    def read(self, key: str, start: int = 0, size: int | None = None) -> Iterator[ReadableBuffer]:
        """Give the bytes of a range in pieces."""
        return self._bucket.read(self._where(key), start, size)

    def get(self, key: str, *, limit: int) -> bytes | None:
        """Read a small object whole."""
        return self._bucket.get(self._where(key), limit=limit)

    def _where(self, key: str) -> str:
        if key not in self._places:
            self._places[key] = TRASH + key if self._bucket.size(TRASH + key) is not None else key
        return self._places[key]


def untouched(bucket: Bucket) -> Bucket:
    """Read a bucket as if gc had taken nothing; it is only there to be read."""
    return cast("Bucket", Untouched(bucket))


def company(bucket: Bucket, digest: Digest) -> list[str]:
    """Name what the trash holds of a blob and of those that its recipe is made of, in the order to bring it back."""
    try:
        layout = layout_of(untouched(bucket), digest)
    except GitregError:
        return []
    own = [] if layout.is_whole else [chunks_key(digest), recipe_key(digest)]
    parts = dict.fromkeys(part.digest for part in layout.parts)
    # Blobs come before the recipe, so that it is never seen without them.
    keys = [*(key for part in parts for key in (blob_key(part), chunks_key(part))), *own]
    return [key for key in keys if bucket.size(TRASH + key) is not None]


def move(bucket: Bucket, key: str, to: str) -> None:
    """Give an object another name; one that is not there any more was moved by somebody else."""
    try:
        if bucket.path_of(key) is None and (bucket.size(key) or 0) > _COPIED_BY_SERVER:
            _copy(bucket, key, to)
            bucket.delete(key)
        else:
            bucket.rename(key, to)
    except NotFoundError:
        return


def _copy(bucket: Bucket, key: str, to: str) -> None:
    folder = Path(tempfile.gettempdir())
    with writing(folder), tempfile.TemporaryFile(dir=folder) as file:
        for piece in bucket.read(key):
            file.write(piece)
        size = file.tell()
        file.seek(0)
        bucket.put_file(to, file, size, replace=True)
