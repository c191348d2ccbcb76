"""Put a blob together from ranges of others: the recipes of a store, and where the bytes of any blob lie."""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import ChunkList

FORMAT = "gitreg/recipe/v1"
MAX_RECIPE = 16 << 20  # bytes of its JSON
MAX_PARTS = 100_000
MAX_BLOBS = 1000  # of which the parts are: each is looked up by itself
MAX_SIZE = 1 << 50  # bytes of a blob, a pebibyte: far beyond any, and well within 64 bits
# How every recipe begins, so that a size is known from its first bytes.
_BEGIN = re.compile(rb'\{"format": "gitreg/recipe/v1", "digest": "(sha256:[0-9a-f]{64})", "size": ([0-9]{1,16}), ')
# The rest of it, which is read as it was written: a parser of any JSON takes what memory the JSON asks for.
_PARTS = b'"parts": ['
_PART = re.compile(rb'\{"digest": "(sha256:[0-9a-f]{64})", "offset": ([0-9]{1,16}), "size": ([0-9]{1,16})\}(, |\]\}\n)')
_HEAD = 256


def blob_key(digest: Digest) -> str:
    """Name the object that a blob is, where it is stored whole."""
    return _key("blobs", digest)


def recipe_key(digest: Digest) -> str:
    """Name the recipe of a blob, where it is not stored whole."""
    return _key("recipes", digest)


def chunks_key(digest: Digest) -> str:
    """Name the chunk list of a blob."""
    return _key("chunks", digest)


def _key(kind: str, digest: Digest) -> str:
    return f"{kind}/sha256/{digest.hex[:2]}/{digest.hex}"


@dataclass(frozen=True, slots=True)
class Range:
    """`size` bytes of a whole blob, from `offset` on."""

    digest: Digest
    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a blob is put together: the bytes of its ranges, one after the other."""

    digest: Digest
    size: int
    parts: tuple[Range, ...]

    def to_bytes(self) -> bytes:
        """Write it as JSON, always the same for the same parts."""
        import json

        data = {
            "format": FORMAT,
            "digest": str(self.digest),
            "size": self.size,
            "parts": [{"digest": str(part.digest), "offset": part.offset, "size": part.size} for part in self.parts],
        }
        return json.dumps(data).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes, digest: Digest) -> Recipe:
        """Read the recipe of a blob; IntegrityError for anything that is not one."""
        at, size = _begun(data, digest)
        try:
            recipe = cls(digest, size, tuple(_ranges(data, at)))
            recipe.check()
        except InvalidError as error:
            raise _broken(digest, error.message) from error
        return recipe

    def check(self) -> None:
        """Raise InvalidError where the blob is too large, or the sizes of the parts do not add up."""
        if self.size > MAX_SIZE:
            raise InvalidError("no blob is that large")
        if sum(part.size for part in self.parts) != self.size:
            raise InvalidError("the sizes of its parts do not add up")


def _begun(data: bytes, digest: Digest) -> tuple[int, int]:
    """Give where the first fields of a recipe end, and the size that they tell."""
    begin = _BEGIN.match(data)
    if begin is None or begin[1] != str(digest).encode():
        raise _broken(digest, "it does not begin as one of this blob does")
    return begin.end(), int(begin[2])


def _ranges(data: bytes, at: int) -> Iterator[Range]:
    """Read the parts of a recipe, from where its first fields end; InvalidError for what is none, or one too many."""
    if not data.startswith(_PARTS, at):
        raise InvalidError("it has no parts")
    at += len(_PARTS)
    digests: dict[bytes, Digest] = {}  # of few blobs, most of them
    for _ in range(MAX_PARTS):
        part = _PART.match(data, at)
        if part is None:
            raise InvalidError(f"byte {at} begins no digest, offset and size")
        offset, size, at = int(part[2]), int(part[3]), part.end()
        if offset > MAX_SIZE or not 0 < size <= MAX_SIZE:
            raise InvalidError("a part lies outside any blob")
        if part[1] not in digests:
            if len(digests) == MAX_BLOBS:
                raise InvalidError(f"it is made of more than {MAX_BLOBS:,} blobs")
            digests[part[1]] = Digest.parse(part[1].decode())
        yield Range(digests[part[1]], offset, size)
        if part[4] != b", ":
            if at != len(data):
                raise InvalidError("it goes on after its end")
            return
    raise InvalidError(f"it has more than {MAX_PARTS:,} parts")


def is_bounded(recipe: Recipe, data: bytes) -> bool:
    """Whether a recipe, and its JSON, are no larger than what is read."""
    blobs = {part.digest for part in recipe.parts}
    return len(blobs) <= MAX_BLOBS and len(recipe.parts) <= MAX_PARTS and len(data) <= MAX_RECIPE


def merged(parts: Iterable[Range]) -> Iterator[Range]:
    """Join ranges that follow each other in one blob."""
    last: Range | None = None
    for part in parts:
        if last is not None and last.digest == part.digest and last.offset + last.size == part.offset:
            last = Range(last.digest, last.offset, last.size + part.size)
        else:
            if last is not None:
                yield last
            last = part
    if last is not None:
        yield last


@dataclass(frozen=True, slots=True)
class Part:
    """`size` bytes of an object, from `offset` on; `digest` names the whole blob that the object is."""

    digest: Digest
    offset: int
    size: int

    @property
    def key(self) -> str:
        """Name the object in its bucket."""
        return blob_key(self.digest)


class Layout:
    """Where the bytes of a blob lie in a bucket: its parts, one after the other, are the blob."""

    def __init__(self, bucket: Bucket, digest: Digest, size: int, parts: tuple[Part, ...]) -> None:
        self.digest = digest
        self.size = size
        self.parts = parts
        self._bucket = bucket

    @property
    def is_whole(self) -> bool:
        """Whether the blob is one object of its own."""
        return len(self.parts) == 1 and self.parts[0] == Part(self.digest, 0, self.size)

    def is_there(self) -> bool:
        """Whether the objects that have its bytes are there and long enough; nothing of them is read."""
        if self.is_whole:  # it was looked up just now
            return True
        ends: dict[str, int] = {}
        for part in self.parts:
            ends[part.key] = max(ends.get(part.key, 0), part.offset + part.size)
        return all((self._bucket.size(key) or 0) >= end for key, end in ends.items())

    @cached_property
    def chunks(self) -> ChunkList | None:
        """The chunk list of the blob, read when it is first asked for; None where there is none.

        IntegrityError: it is damaged.
        """
        from gitreg.objects.chunks import ChunkList, most_bytes

        key = chunks_key(self.digest)
        data = self._bucket.get(key, limit=most_bytes(self.size))
        try:
            return None if data is None else ChunkList.parse(data, self.size)
        except InvalidError as error:
            raise IntegrityError(
                f"the chunk list of the blob {self.digest} is damaged: {error.message}",
                hint=f"remove {key} from the store {self._bucket.uri!r}: the blob can do without",
            ) from error

    def within(self, offset: int, size: int) -> Iterator[Part]:
        """Name the pieces of objects that a range of the blob consists of; past the end there is nothing."""
        index = max(bisect_right(self._starts, offset) - 1, 0)
        while index < len(self.parts) and self._starts[index] < offset + size:
            part, at = self.parts[index], self._starts[index]
            begin, end = max(offset, at), min(offset + size, at + part.size)
            if begin < end:
                yield Part(part.digest, part.offset + begin - at, end - begin)
            index += 1

    @cached_property
    def _starts(self) -> list[int]:
        """Where each part begins in the blob."""
        return list(accumulate((part.size for part in self.parts[:-1]), initial=0))


def size_of(bucket: Bucket, digest: Digest) -> int | None:
    """Look up the size of a blob, whole or a recipe, in one or two requests; None where it is not there."""
    size = bucket.size(blob_key(digest))
    if size is not None:
        return size
    if bucket.size(recipe_key(digest)) is None:
        return None
    head = b"".join(map(bytes, bucket.read(recipe_key(digest), 0, _HEAD)))
    return _begun(head, digest)[1]


def layout_of(bucket: Bucket, digest: Digest) -> Layout:
    """Find where the bytes of a blob lie; NotFoundError where it is not there, IntegrityError for a broken recipe."""
    size = bucket.size(blob_key(digest))
    if size is not None:
        return Layout(bucket, digest, size, (Part(digest, 0, size),))
    recipe = read_recipe(bucket, digest)
    if recipe is None:
        raise NotFoundError(
            f"blob {digest} is not in the store {bucket.uri!r}", hint="it was never uploaded here, or was removed"
        )
    parts = tuple(Part(part.digest, part.offset, part.size) for part in recipe.parts)
    return Layout(bucket, digest, recipe.size, parts)


def read_recipe(bucket: Bucket, digest: Digest) -> Recipe | None:
    """Read the recipe of a blob; None where there is none."""
    data = bucket.get(recipe_key(digest), limit=MAX_RECIPE)
    return None if data is None else Recipe.parse(data, digest)


def _broken(digest: Digest, why: str) -> IntegrityError:
    return IntegrityError(
        f"the recipe of the blob {digest} is damaged: {why[:200]}",
        hint=f"restore {recipe_key(digest)} from a mirror or a copy of the store, or register the same file again",
    )
