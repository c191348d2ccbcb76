"""Find blobs alike a new one in a store, and say which of its bytes are there already.

A blob's features are the smallest of its chunks' digests: two blobs that share most chunks share most features
(min-wise hashing, Broder 1997). Each is an empty object `similar/<feature>/<64 hex of the blob>`, so one listing of a
short prefix finds all blobs that have it, in any store, without an index that somebody has to keep.
"""

from __future__ import annotations

from collections import Counter
from heapq import nlargest, nsmallest
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.objects.recipes import Layout, Part, layout_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import Chunk, ChunkList

FEATURES = 8
LISTED = 1000  # blobs looked at of one feature: what a cloud lists in one request
CANDIDATES = 4  # whose chunk lists are read
_TRIED = 16  # of which some may be broken or gone
_FEATURE_BYTES = 16

_Answer = TypeVar("_Answer")


def features(chunks: ChunkList) -> list[str]:
    """Name the features of a blob: equal chunks count once."""
    return [digest[:_FEATURE_BYTES].hex() for digest in nsmallest(FEATURES, {chunk.digest for chunk in chunks})]


def feature_key(feature: str, digest: Digest) -> str:
    """Name the object that says that a blob has a feature."""
    return f"similar/{feature}/{digest.hex}"


def note(bucket: Bucket, digest: Digest, chunks: ChunkList) -> None:
    """Make a blob one that can be found."""
    _of_each(bucket, features(chunks), lambda feature: bucket.put(feature_key(feature, digest), b""))


class Match(NamedTuple):
    """A chunk of a new blob, and the bytes of stored objects that are the same; none for new bytes."""

    chunk: Chunk
    parts: tuple[Part, ...]


def match(bucket: Bucket, chunks: ChunkList) -> list[Match]:
    """Find each chunk of a new blob in the blobs most like it, as their chunk lists tell."""
    known = _index(candidates(bucket, chunks), {chunk.digest for chunk in chunks})
    return [Match(chunk, _parts(known.get(chunk.digest), chunk)) for chunk in chunks]


def candidates(bucket: Bucket, chunks: ChunkList) -> Iterator[Layout]:
    """Give the blobs that share most features with a new one, of several the newest; what is broken is left out."""
    found = (_candidate(bucket, name) for name in _most_alike(bucket, features(chunks)))
    return islice((layout for layout in found if layout is not None), CANDIDATES)


def _most_alike(bucket: Bucket, wanted: Sequence[str]) -> list[str]:
    """Name the blobs that have most of these features, in hex."""
    shared: Counter[str] = Counter()
    noted: dict[str, float] = {}
    for listed in _of_each(bucket, wanted, lambda feature: list(islice(bucket.list(f"similar/{feature}/"), LISTED))):
        for found in listed:
            name = found.key.rpartition("/")[2]
            shared[name] += 1
            noted[name] = found.modified
    return nlargest(_TRIED, shared, key=lambda name: (shared[name], noted[name]))


def _of_each(bucket: Bucket, names: Sequence[str], ask: Callable[[str], _Answer]) -> list[_Answer]:
    """Ask a bucket about each of a few features, at once where most of the time is waiting for an answer."""
    if not names or bucket.path_of(f"similar/{names[0]}") is not None:
        return [ask(name) for name in names]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(ask, names))


def _candidate(bucket: Bucket, name: str) -> Layout | None:
    try:
        layout = layout_of(bucket, Digest(name))
        return layout if layout.is_there() and layout.chunks is not None else None
    except (InvalidError, NotFoundError, IntegrityError):  # removed since, or for `gitreg fsck` to tell
        return None


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
