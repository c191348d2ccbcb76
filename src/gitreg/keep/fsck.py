"""Hold a store against the versions of a registry: find what is missing or damaged, and mend it from elsewhere."""

from __future__ import annotations

import hashlib
import tempfile
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from gitreg.digest import Digest
from gitreg.errors import GitregError, IntegrityError, NotFoundError
from gitreg.keep.inventory import TRASH, Inventory
from gitreg.objects.recipes import Layout, blob_key, chunks_key, layout_of, recipe_key
from gitreg.objects.streams import VerifiedParts, copy
from gitreg.records import dataclass, replace

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import BinaryIO

    from gitreg.objects.bucket import Bucket
    from gitreg.reader.reachable import Need

WORKERS = 2  # hashing leaves the interpreter's lock
_NAMED = 20  # versions and ranges named in one finding
_ONE_READ = 16 << 20


class Source(NamedTuple):
    """Another place that may have a blob: what it is called, and how it is opened (NotFoundError where it has none)."""

    name: str
    open: Callable[[Digest], io.RawIOBase]


@dataclass(frozen=True, slots=True, kw_only=True)
class Damage:
    """One blob that is not as it should be: what is wrong, who needs it, and what to do or what was done."""

    kind: str
    digest: Digest
    store: str
    message: str
    needed_by: tuple[str, ...]
    needs: int
    remedy: str
    repaired_from: str | None = None

    @property
    def is_repaired(self) -> bool:
        """Whether it is mended."""
        return self.repaired_from is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What fsck found in one store; sizes are in bytes. `orphans` are blobs that no version of main needs today."""

    store: str
    deep: bool
    versions: int
    blobs: int
    bytes: int
    damage: tuple[Damage, ...]
    orphans: int
    orphan_bytes: int
    trash: int
    trash_bytes: int
    strangers: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, or everything was mended."""
        return all(each.is_repaired for each in self.damage)


class _Wrong(NamedTuple):
    """What is wrong with a blob, in a word and in a sentence."""

    kind: str
    message: str


class Checker:
    """One run of fsck over one store."""

    def __init__(self, bucket: Bucket, needs: Mapping[str, Sequence[Need]], moved: Callable[[int], None]) -> None:
        """Check what is needed; `moved` hears how many bytes were read, from any thread."""
        self._bucket = bucket
        self._needs = needs
        self._moved = moved
        self._sound: set[Digest] = set()

    def run(self, versions: int, *, deep: bool, sources: Sequence[Source] = ()) -> Checked:
        """Check every blob, and mend what is wrong where there are sources."""
        inventory = Inventory.of(self._bucket)
        digests = [Digest(each) for each in sorted(self._needs)]
        wrong = self._wrong(digests, inventory, deep=deep)
        damage = [self._described(digest, each) for digest, each in wrong.items()]
        if sources and damage:
            damage = self._repair(damage, sources, deep=deep)
        used = {digest.hex for digest in digests} | self._parts(inventory)
        orphans = [each for digest, each in inventory.stored.items() if digest not in used]
        return Checked(
            store=self._bucket.uri,
            deep=deep,
            versions=versions,
            blobs=len(digests),
            bytes=sum(self._size(digest) for digest in digests),
            damage=tuple(damage),
            orphans=len(orphans),
            orphan_bytes=sum(each.size for each in orphans),
            trash=len(inventory.trash),
            trash_bytes=sum(each.size for each in inventory.trash.values()),
            strangers=tuple(each.key for each in inventory.strangers[:_NAMED]),
        )

    def _size(self, digest: Digest) -> int:
        return max((need.size for need in self._needs[digest.hex]), default=0)

    def _parts(self, inventory: Inventory) -> set[str]:
        """Name what the recipes of needed blobs are made of."""
        found: set[str] = set()
        for digest in self._needs:
            stored = inventory.stored.get(digest)
            if stored is not None and stored.recipe is not None:
                try:
                    found.update(part.digest.hex for part in layout_of(self._bucket, Digest(digest)).parts)
                except GitregError:
                    continue  # told already
        return found

    # What is wrong

    def _wrong(self, digests: Sequence[Digest], inventory: Inventory, *, deep: bool) -> dict[Digest, _Wrong]:
        found: dict[Digest, _Wrong] = {}
        for digest in digests:
            if complaint := self._shallow(digest, inventory):
                found[digest] = complaint
        if deep:
            from concurrent.futures import ThreadPoolExecutor

            whole = [digest for digest in digests if digest not in found]
            with ThreadPoolExecutor(WORKERS) as pool:
                complaints = zip(whole, pool.map(self._deep, whole), strict=True)
                found |= {digest: complaint for digest, complaint in complaints if complaint}
        return dict(sorted(found.items()))

    def _shallow(self, digest: Digest, inventory: Inventory) -> _Wrong | None:
        """Check by the listing that a blob is there and has its size."""
        stored = inventory.stored.get(digest.hex)
        expected = {need.size for need in self._needs[digest.hex] if need.size >= 0}
        if stored is None or not stored.is_there:
            return _Wrong("missing", "it is not in the store")
        if stored.blob is not None:
            return _size_fault(expected, stored.blob.size)
        try:
            layout = layout_of(self._bucket, digest)
        except NotFoundError:
            return _Wrong("missing", "it is not in the store")
        except IntegrityError as error:
            return _Wrong("recipe", error.message)
        for part in layout.parts:
            base = inventory.stored.get(part.digest.hex)
            if base is None or base.blob is None:
                return _Wrong("missing", f"the blob {part.digest} is not in the store, which its recipe takes bytes of")
            if part.offset + part.size > base.blob.size:
                return _Wrong("size", f"the blob {part.digest}, which its recipe takes bytes of, is too short")
        return _size_fault(expected, layout.size)

    def _deep(self, digest: Digest) -> _Wrong | None:
        """Read a blob, put together as a pull would, and compare its digest."""
        try:
            layout = layout_of(self._bucket, digest)
            hasher = hashlib.sha256()
            for piece in _read(self._bucket, layout, 0, layout.size):
                hasher.update(piece)
                self._moved(len(piece))
            if hasher.hexdigest() == digest.hex:
                return self._chunk_list(layout)
            return _Wrong("damaged", self._where(layout, hasher.hexdigest()))
        except NotFoundError as error:
            return _Wrong("missing", error.message)
        except IntegrityError as error:
            return _Wrong("damaged", error.message)

    def _chunk_list(self, layout: Layout) -> _Wrong | None:
        """Check the chunk list of a blob that is sound."""
        try:
            if layout.chunks is None or self._damaged_ranges(layout) == []:
                return None
        except IntegrityError as error:
            return _Wrong("chunks", error.message)
        return _Wrong("chunks", "its bytes are right, and its chunk list says otherwise")

    def _where(self, layout: Layout, found: str) -> str:
        """Say which bytes are wrong, where a chunk list knows."""
        message = f"its bytes have the digest sha256:{found}"
        try:
            ranges = self._damaged_ranges(layout)
        except GitregError:
            ranges = None
        if not ranges:
            return message
        named = ", ".join(f"{start}-{end - 1}" for start, end in ranges[:_NAMED])
        total = sum(end - start for start, end in ranges)
        bases = sorted({part.digest for each in ranges for part in layout.within(each[0], each[1] - each[0])})
        inside = "" if layout.is_whole else f", which lie in {', '.join(map(str, bases[:_NAMED]))}"
        return f"{message}; damaged are {total} bytes of {layout.size}, at {named}{inside}"

    def _damaged_ranges(self, layout: Layout) -> list[tuple[int, int]] | None:
        """Find the ranges whose chunks are not what the list says, joined; None without a list."""
        if layout.chunks is None:
            return None
        ranges: list[tuple[int, int]] = []
        for chunk in layout.chunks:
            if not chunk.matches(b"".join(map(bytes, _read(self._bucket, layout, chunk.offset, chunk.size)))):
                start = ranges.pop()[0] if ranges and ranges[-1][1] == chunk.offset else chunk.offset
                ranges.append((start, chunk.offset + chunk.size))
        return ranges

    def _described(self, digest: Digest, wrong: _Wrong) -> Damage:
        needs = self._needs[digest.hex]
        return Damage(
            kind=wrong.kind,
            digest=digest,
            store=self._bucket.uri,
            message=wrong.message,
            needed_by=tuple(map(str, needs[:_NAMED])),
            needs=len(needs),
            remedy=_REMEDIES[wrong.kind],
        )

    # Mending

    def _repair(self, damage: Sequence[Damage], sources: Sequence[Source], *, deep: bool) -> list[Damage]:
        """Bring sound bytes from the first source that has them; a blob is written whole, whatever it was before."""
        sources = (Source("the store's trash", self._from_trash), *sources)
        mended: list[Damage] = []
        for each in damage:
            name = (
                self._again(each, deep=deep) or self._mend_parts(each, sources, deep=deep) or self._mend(each, sources)
            )
            mended.append(replace(each, repaired_from=name) if name else each)
        return mended

    def _again(self, each: Damage, *, deep: bool) -> str | None:
        """Look whether the repair of another blob, which this one is made of, has mended it as well."""
        if each.kind == "chunks":
            self._bucket.delete(chunks_key(each.digest))
            return "the blob itself: its chunk list was removed"
        return "the repair of another blob" if self._is_fine(each.digest, deep=deep) else None

    def _is_fine(self, digest: Digest, *, deep: bool) -> bool:
        """Look at one blob again, by a few questions in the place of a listing."""
        expected = {need.size for need in self._needs[digest.hex] if need.size >= 0}
        try:
            layout = layout_of(self._bucket, digest)
            whole = all(part.offset + part.size <= (self._bucket.size(part.key) or 0) for part in layout.parts)
        except (NotFoundError, IntegrityError):
            return False
        return whole and not _size_fault(expected, layout.size) and not (deep and self._deep(digest))

    def _mend_parts(self, each: Damage, sources: Sequence[Source], *, deep: bool) -> str | None:
        """Mend the blobs that one is made of, which costs no more room than before and mends others with it."""
        try:
            layout = layout_of(self._bucket, each.digest)
        except GitregError:
            return None
        if layout.is_whole:
            return None
        for digest in sorted({part.digest for part in layout.parts}):
            if self._is_damaged(digest, deep=deep):
                self._put_whole(digest, sources)
        return self._again(each, deep=deep)

    def _is_damaged(self, digest: Digest, *, deep: bool) -> bool:
        """Whether a whole blob is not there, or its bytes are not its own."""
        size = self._bucket.size(blob_key(digest))
        if size is None or not deep:
            return size is None
        hasher = hashlib.sha256()
        for piece in self._bucket.read(blob_key(digest)):
            hasher.update(piece)
        return hasher.hexdigest() != digest.hex

    def _mend(self, each: Damage, sources: Iterable[Source]) -> str | None:
        name = self._put_whole(each.digest, sources)
        if name is not None:
            # It was whole before its recipe went, so nobody missed it.
            self._bucket.delete(recipe_key(each.digest))
        return name

    def _put_whole(self, digest: Digest, sources: Iterable[Source]) -> str | None:
        """Write a blob whole, from the first source that has it; name that source."""
        for source in sources:
            with tempfile.TemporaryFile() as file:
                if self._fetched(digest, source, file):
                    size = file.tell()
                    file.seek(0)
                    self._bucket.put_file(blob_key(digest), file, size, replace=True)
                    return source.name
        return None

    def _fetched(self, digest: Digest, source: Source, file: BinaryIO) -> bool:
        """Whether a source has the blob, every byte as it should be; a bad copy is no copy."""
        try:
            with closing(source.open(digest)) as opened:
                return copy(opened, file).digest == digest
        except GitregError:
            return False

    def _from_trash(self, digest: Digest) -> io.RawIOBase:
        key = TRASH + blob_key(digest)
        return VerifiedParts(self._bucket.read(key), digest, self._bucket.size(key) or 0, self._bucket.uri)


_REMEDIES = {
    "missing": "bring it back with --repair from a mirror or a cache, restore it from a copy of the store, or register"
    " the same file again",
    "size": "bring it back with --repair, or from a copy of the store",
    "recipe": "bring the blob back with --repair, or its recipe from a copy of the store",
    "damaged": "bring it back with --repair, or from a copy of the store",
    "chunks": "--repair removes the list; pulls go on without it",
}


def _size_fault(expected: set[int], size: int) -> _Wrong | None:
    if expected and expected != {size}:
        return _Wrong("size", f"it has {size} bytes, and {', '.join(map(str, sorted(expected)))} were registered")
    return None


def _read(bucket: Bucket, layout: Layout, offset: int, size: int) -> Iterator[memoryview]:
    """Read a range of a blob from wherever its bytes lie; IntegrityError where an object is too short."""
    for part in layout.within(offset, size):
        left = part.size
        for piece in bucket.read(part.key, part.offset, part.size):
            view = memoryview(piece).cast("B")[:left]
            left -= len(view)
            yield view
        if left:
            raise IntegrityError(f"the blob {part.digest} ends {left} bytes early")
