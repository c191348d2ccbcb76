"""Bring sound bytes into a store in the place of what is missing or damaged."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import GitregError, NotFoundError
from gitreg.keep.trash import TRASH, company, move, untouched
from gitreg.objects.faults import NoStoreError, writing
from gitreg.objects.recipes import MAX_SIZE, blob_key, chunks_key, layout_of, recipe_key
from gitreg.objects.store import Store
from gitreg.objects.streams import CHUNK

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from gitreg.digest import Digest
    from gitreg.objects.bucket import Bucket

THE_TRASH = "the store's trash"
_NONE = "has none of it"


class Source(NamedTuple):
    """Another place that may have a blob: what it is called, and how it is opened (NotFoundError where it has none)."""

    name: str
    open: Callable[[Digest], io.RawIOBase]


class Looks(NamedTuple):
    """How a blob is looked at: put together as a pull would, or by itself, where others take bytes up to an end."""

    is_sound: Callable[[Digest], bool]
    is_damaged: Callable[[Digest, int], bool]


class Mender:
    """What mends one store from others; every byte is verified before it has a name there.

    `looks` are how a blob is looked at, `sizes` those that were registered, in bytes.
    """

    def __init__(self, bucket: Bucket, sources: Sequence[Source], looks: Looks, sizes: Mapping[Digest, int]) -> None:
        self._bucket = bucket
        self._sources = sources
        self._looks = looks
        self._sizes = sizes
        self._has_mended = False
        self._tried: dict[str, str] = {}

    def mend(self, digest: Digest) -> str | None:
        """Mend a blob and name what it came from; None where no source has it, and any error is the store's own."""
        self._tried = {}
        if self._has_mended and self._looks.is_sound(digest):
            return "the repair of another blob"
        return self._from_trash(digest) or self._mend_parts(digest) or self._mend_whole(digest)

    @property
    def tried(self) -> str:
        """Say of each source that did not mend the last blob, why."""
        return ", ".join(f"{name} {why}" for name, why in self._tried.items())

    def _from_trash(self, digest: Digest) -> str | None:
        """Give back its name to what gc took of a blob, a recipe and all that it needs included."""
        keys = company(self._bucket, digest)
        taken = Source(THE_TRASH, Store(untouched(self._bucket)).open)
        if not keys:
            self._tried.setdefault(THE_TRASH, _NONE)
        if not keys or self._copied(taken, digest, lambda _: None) is None:
            return None
        self._has_mended = True
        own = {blob_key(digest), chunks_key(digest), recipe_key(digest)}
        for key in keys:
            # Of another blob only what it needs of it was read: one that is there may be sound where this is not.
            if key in own or self._bucket.size(key) is None:
                move(self._bucket, TRASH + key, key)
        if blob_key(digest) in keys:
            self._bucket.delete(recipe_key(digest))  # a broken one, of which nobody has need now
        # gc may have removed for good meanwhile what had lain there long enough.
        return THE_TRASH if self._looks.is_sound(digest) else None

    def _mend_parts(self, digest: Digest) -> str | None:
        """Mend the blobs that one is made of, which costs no more room than before and mends others with it."""
        try:
            layout = layout_of(self._bucket, digest)
        except GitregError:
            return None
        if layout.is_whole:
            return None
        ends: dict[Digest, int] = {}
        for part in layout.parts:
            ends[part.digest] = max(ends.get(part.digest, 0), part.offset + part.size)
        names = [
            self._from_trash(part) or self._put_whole(part)
            for part, end in sorted(ends.items())
            if self._looks.is_damaged(part, end)
        ]
        return next(filter(None, names), None) if self._looks.is_sound(digest) else None

    def _mend_whole(self, digest: Digest) -> str | None:
        name = self._put_whole(digest)
        if name is not None:
            # It was whole before its recipe went, so nobody missed it.
            self._bucket.delete(recipe_key(digest))
        return name

    def _put_whole(self, digest: Digest) -> str | None:
        """Write a blob whole, from the first source that has it; name that source."""
        name = next((source.name for source in self._sources if self._put(source, digest)), None)
        self._has_mended |= name is not None
        return name

    def _put(self, source: Source, digest: Digest) -> bool:
        """Write a blob from a source, if its copy is sound; where the store is a folder, straight into that."""
        incoming = self._bucket.incoming()
        if incoming is not None:
            with incoming as entering:
                if self._copied(source, digest, entering.write) is None:
                    return False
                entering.commit(blob_key(digest), replace=True)
            return True
        folder = Path(tempfile.gettempdir())
        with writing(folder), tempfile.TemporaryFile(dir=folder) as file:
            size = self._copied(source, digest, file.write)
            if size is None:
                return False
            file.seek(0)
            self._bucket.put_file(blob_key(digest), file, size, replace=True)
        return True

    def _copied(self, source: Source, digest: Digest, write: Callable[[memoryview], object]) -> int | None:
        """Copy a blob out of a source and give its size; None where that has no sound copy."""
        hasher, size, most = hashlib.sha256(), 0, self._sizes.get(digest, MAX_SIZE)
        for piece in self._pieces(source, digest):
            size += len(piece)
            if size > most:
                self._tried.setdefault(source.name, "has more bytes than were registered")
                return None
            hasher.update(piece)
            write(piece)
        if hasher.hexdigest() != digest.hex:
            self._tried.setdefault(source.name, "has a damaged copy")
            return None
        return size

    def _pieces(self, source: Source, digest: Digest) -> Iterator[memoryview]:
        """Give what a source has of a blob; where it fails that is the end, and the digest tells."""
        buffer = memoryview(bytearray(CHUNK))
        try:
            with closing(source.open(digest)) as opened:
                while count := opened.readinto(buffer):
                    yield buffer[:count]
        except (GitregError, OSError) as error:
            is_missing = isinstance(error, NotFoundError) and not isinstance(error, NoStoreError)
            self._tried.setdefault(source.name, _NONE if is_missing else f"could not be read ({error})")
