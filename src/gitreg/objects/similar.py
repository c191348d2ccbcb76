"""Find blobs alike a new one in a store, and say which of its bytes are there already.

A blob's features are the smallest of its chunks' digests: two blobs that share most chunks share most features
(min-wise hashing, Broder 1997). Each is an empty object `similar/<feature>/<64 hex of the blob>`, so one listing of a
short prefix finds all blobs that have it, in any store, without an index that somebody has to keep.
"""

from __future__ import annotations

from collections import Counter
from heapq import nsmallest
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.objects.recipes import Layout, Part, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import Chunk, ChunkList

FEATURES = 8
LISTED = 64  # blobs looked at of one feature
CANDIDATES = 4  # whose chunk lists are read
_FEATURE_BYTES = 16


def features(chunks: ChunkList) -> list[str]:
    """Name the features of a blob: equal chunks count once."""
    return [digest[:_FEATURE_BYTES].hex() for digest in nsmallest(FEATURES, {chunk.digest for chunk in chunks})]


def feature_key(feature: str, digest: Digest) -> str:
    """Name the object that says that a blob has a feature."""
    return f"similar/{feature}/{digest.hex}"


def note(bucket: Bucket, digest: Digest, chunks: ChunkList) -> None:
    """Make a blob one that can be found."""
    for feature in features(chunks):
        bucket.put(feature_key(feature, digest), b"")


class Match(NamedTuple):
    """A chunk of a new blob, and the bytes of stored objects that are the same; none for new bytes."""

    chunk: Chunk
    parts: tuple[Part, ...]


def match(bucket: Bucket, chunks: ChunkList) -> list[Match]:
    """Find each chunk of a new blob in the blobs most like it, as their chunk lists tell."""
    known = _index(candidates(bucket, chunks), {chunk.digest for chunk in chunks})
    return [Match(chunk, _parts(known.get(chunk.digest), chunk)) for chunk in chunks]


def candidates(bucket: Bucket, chunks: ChunkList) -> Iterator[Layout]:
    """Give the blobs that share most features with a new one; what is broken or gone is left out."""
    counted: Counter[str] = Counter()
    for feature in features(chunks):
        prefix = f"similar/{feature}/"
        counted.update(found.key.removeprefix(prefix) for found in islice(bucket.list(prefix), LISTED))
    for name, _ in counted.most_common(CANDIDATES):
        try:
            layout = layout_of(bucket, Digest(name))
            if layout.is_there() and layout.chunks is not None:
                yield layout
        except (InvalidError, NotFoundError, IntegrityError):  # removed since, or for `gitreg fsck` to tell
            continue


def _index(layouts: Iterable[Layout], wanted: set[bytes]) -> Mapping[bytes, tuple[Layout, int]]:
    known: dict[bytes, tuple[Layout, int]] = {}
    for layout in layouts:
        for chunk in layout.chunks or ():
            if chunk.digest in wanted:
                known.setdefault(chunk.digest, (layout, chunk.offset))
    return known


def _parts(found: tuple[Layout, int] | None, chunk: Chunk) -> tuple[Part, ...]:
    if found is None:
        return ()
    layout, offset = found
    return tuple(layout.within(offset, chunk.size))
