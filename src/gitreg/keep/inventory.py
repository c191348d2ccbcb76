"""List what lies in a store, by the blob that it belongs to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitreg.keep.trash import TRASH
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.objects.bucket import Bucket, Found

BLOBS, RECIPES, CHUNKS, SIMILAR = "blobs/", "recipes/", "chunks/", "similar/"
_BY_DIGEST = re.compile(r"(blobs|recipes|chunks)/sha256/([0-9a-f]{2})/(\2[0-9a-f]{62})")
_BY_FEATURE = re.compile(r"similar/[0-9a-f]{1,64}/([0-9a-f]{64})")


class Stored:
    """The objects of one blob: its bytes, or the recipe of them, its chunk list, and its features."""

    __slots__ = ("blob", "chunks", "recipe", "similar")

    def __init__(self) -> None:
        self.blob: Found | None = None
        self.recipe: Found | None = None
        self.chunks: Found | None = None
        self.similar: list[Found] = []

    def objects(self) -> Iterator[Found]:
        """Give them in the order in which they may go: first what leads to the others, the bytes last."""
        yield from self.similar
        yield from (each for each in (self.recipe, self.chunks, self.blob) if each is not None)

    @property
    def is_there(self) -> bool:
        """Whether the blob can be read, if everything that belongs to it is sound."""
        return self.blob is not None or self.recipe is not None

    @property
    def is_empty(self) -> bool:
        """Whether all that is left of it is empty: the features that it was found by, or the mark of an upload."""
        return not self.is_there and self.chunks is None

    @property
    def size(self) -> int:
        """The bytes that its objects take in the store."""
        return sum(each.size for each in self.objects())

    @property
    def modified(self) -> float:
        """When the last of its objects was written, in seconds since 1970."""
        return max((each.modified for each in self.objects()), default=0.0)


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that a store holds: by digest in hex; objects that gc took, by their former key; what is none of ours."""

    stored: dict[str, Stored]
    trash: dict[str, Found]
    strangers: tuple[Found, ...]

    @classmethod
    def of(cls, bucket: Bucket) -> Inventory:
        """List a store; what comes or goes meanwhile may be missing or listed."""
        stored: dict[str, Stored] = {}
        strangers: list[Found] = []
        for prefix in (BLOBS, RECIPES, CHUNKS, SIMILAR):
            for found in bucket.list(prefix):
                _sort_in(stored, strangers, found)
        trash = {found.key.removeprefix(TRASH): found for found in bucket.list(TRASH)}
        return cls(stored, trash, tuple(strangers))


def _sort_in(stored: dict[str, Stored], strangers: list[Found], found: Found) -> None:
    if match := _BY_DIGEST.fullmatch(found.key):
        each = stored.setdefault(match[3], Stored())
        if match[1] == "blobs":
            each.blob = found
        elif match[1] == "recipes":
            each.recipe = found
        else:
            each.chunks = found
    elif match := _BY_FEATURE.fullmatch(found.key):
        stored.setdefault(match[1], Stored()).similar.append(found)
    else:
        strangers.append(found)


def digest_of(key: str) -> str | None:
    """Name the blob that an object belongs to by its key, in hex; None for another object."""
    match = _BY_DIGEST.fullmatch(key)
    return match[3] if match else None
