"""Hold a store against the versions of a registry, and find what is missing or damaged."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

from gitreg.digest import Digest
from gitreg.errors import GitregError, IntegrityError, NotFoundError
from gitreg.keep.inventory import BLOBS, Inventory
from gitreg.keep.mend import Looks, Mender
from gitreg.objects.chunks import ChunkCheck
from gitreg.objects.recipes import MAX_SIZE, Layout, Part, blob_key, chunks_key, layout_of
from gitreg.records import dataclass, replace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from gitreg.keep.mend import Source
    from gitreg.objects.bucket import Bucket
    from gitreg.objects.chunks import Chunk
    from gitreg.reader.reachable import Need

WORKERS = 4  # hashing leaves the interpreter's lock, and a bucket answers late
_NAMED = 20  # versions and ranges named in one finding


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
    """What fsck found in one store; sizes are in bytes. `orphans` are blobs that no version of main needs today.

    `elsewhere` are blobs that were never here, of versions whose weights no bundle brought.

    `problem` says why the store could not be looked at, and then nothing else is known of it.
    """

    store: str
    deep: bool
    versions: int
    blobs: int
    bytes: int
    damage: tuple[Damage, ...] = ()
    orphans: int = 0
    orphan_bytes: int = 0
    trash: int = 0
    trash_bytes: int = 0
    strangers: tuple[str, ...] = ()
    elsewhere: int = 0
    arrived: tuple[str, ...] = ()
    problem: str | None = None

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong, or everything was mended."""
        return self.problem is None and all(each.is_repaired for each in self.damage)


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
        self._parts: set[str] = set()  # what the recipes of needed blobs are made of
        self._silent: str | None = None  # why the store does not answer any more

    def run(
        self, versions: int, *, deep: bool, sources: Sequence[Source] | None = None, left_behind: Collection[str] = ()
    ) -> Checked:
        """Check every blob; with `sources`, mend what is wrong from the store's trash or one of them.

        Of the versions in `left_behind` nothing has to be there; what is there is checked.
        """
        inventory = Inventory.of(self._bucket)
        elsewhere = {
            digest for digest in self._needs.keys() - inventory.stored.keys() if self._is_of(digest, left_behind)
        }
        digests = [Digest(each) for each in sorted(self._needs.keys() - elsewhere)]
        wrong = self._wrong(digests, inventory, deep=deep)
        damage = [self._described(digest, each) for digest, each in wrong.items()]
        if sources is not None and self._silent is None:
            damage = self._repair(damage, sources, deep=deep)
        used = {digest.hex for digest in digests} | self._parts
        orphans = [each for digest, each in inventory.stored.items() if digest not in used and not each.is_empty]
        return replace(
            self.unchecked(versions, deep=deep),
            damage=tuple(damage),
            orphans=len(orphans),
            orphan_bytes=sum(each.size for each in orphans),
            trash=len(inventory.trash),
            trash_bytes=sum(each.size for each in inventory.trash.values()),
            strangers=tuple(each.key for each in inventory.strangers[:_NAMED]),
            elsewhere=len(elsewhere),
            arrived=self._arrived(inventory, left_behind),
        )

    def unchecked(self, versions: int, problem: str | None = None, *, deep: bool) -> Checked:
        """Say what should be there, of a store that cannot be looked at."""
        return Checked(
            store=self._bucket.uri,
            deep=deep,
            versions=versions,
            blobs=len(self._needs),
            bytes=sum(self._size(Digest(digest)) for digest in self._needs),
            problem=problem,
        )

    def _is_of(self, digest: str, versions: Collection[str]) -> bool:
        """Whether only these versions need a blob."""
        return bool(versions) and all(f"{each.model}@{each.version}" in versions for each in self._needs[digest])

    def _arrived(self, inventory: Inventory, left_behind: Collection[str]) -> tuple[str, ...]:
        """Name the versions in `left_behind` whose weights are all there by now."""
        if not left_behind:
            return ()
        there: dict[str, bool] = {}
        for digest, needs in self._needs.items():
            is_there = digest in inventory.stored and inventory.stored[digest].is_there
            for name in {f"{each.model}@{each.version}" for each in needs} & set(left_behind):
                there[name] = there.get(name, True) and is_there
        return tuple(sorted(name for name, every in there.items() if every))

    def _size(self, digest: Digest) -> int:
        return max((need.size for need in self._needs[digest.hex]), default=0)

    def _sizes(self, digest: Digest) -> set[int]:
        """Give the sizes that a blob was registered with, which is one unless somebody wrote a manifest by hand."""
        return {need.size for need in self._needs[digest.hex] if need.size >= 0}

    # What is wrong

    def _wrong(self, digests: Sequence[Digest], inventory: Inventory, *, deep: bool) -> dict[Digest, _Wrong]:
        """Look at every blob: by the listing, then by its recipe, then, `deep`, at every byte of what is left."""
        found = {digest: wrong for digest in digests if (wrong := self._listed_wrong(digest, inventory))}
        composed = [each for each in digests if each not in found and inventory.stored[each.hex].blob is None]
        found |= self._each(lambda digest: self._recipe_wrong(digest, inventory), composed)
        if deep:
            found |= self._each(self._deep, [digest for digest in digests if digest not in found])
        return dict(sorted(found.items()))

    def _each(self, look: Callable[[Digest], _Wrong | None], digests: Sequence[Digest]) -> dict[Digest, _Wrong]:
        """Look at several blobs at once, and name those that are wrong."""
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(WORKERS) as pool:
            return {digest: wrong for digest, wrong in zip(digests, pool.map(look, digests), strict=True) if wrong}

    def _listed_wrong(self, digest: Digest, inventory: Inventory) -> _Wrong | None:
        """Check by the listing that a blob is there and has its size, if it is whole."""
        stored = inventory.stored.get(digest.hex)
        if stored is None or not stored.is_there:
            return _Wrong("missing", "it is not in the store")
        return _size_fault(self._sizes(digest), stored.blob.size) if stored.blob is not None else None

    def _recipe_wrong(self, digest: Digest, inventory: Inventory) -> _Wrong | None:
        """Check that a blob's recipe can be read, and by the listing that all its parts are there."""
        if self._silent is not None:
            return self._unread()
        try:
            layout = layout_of(self._bucket, digest)
        except NotFoundError:
            return _Wrong("missing", "it is not in the store")
        except IntegrityError as error:
            return _Wrong("recipe", error.message)
        except GitregError as error:
            self._ask_for_life()
            return _Wrong("unreadable", error.message)
        self._parts.update({part.digest.hex for part in layout.parts})
        for part in layout.parts:
            base = inventory.stored.get(part.digest.hex)
            if base is None or base.blob is None:
                return _Wrong("missing", f"the blob {part.digest} is not in the store, which its recipe takes bytes of")
            if part.offset + part.size > base.blob.size:
                return _Wrong("size", f"the blob {part.digest}, which its recipe takes bytes of, is too short")
        return _size_fault(self._sizes(digest), layout.size)

    def _deep(self, digest: Digest) -> _Wrong | None:
        """Read a blob once, put together as a pull would, and compare its digest and each of its chunks."""
        if self._silent is not None:
            return self._unread()
        try:
            layout = layout_of(self._bucket, digest)
            chunks, unlisted = _listed(layout)
            hasher = hashlib.sha256()
            for piece in _read(self._bucket, layout):
                hasher.update(piece)
                chunks.update(piece)
                self._moved(len(piece))
        except NotFoundError as error:
            return _Wrong("missing", error.message)
        except IntegrityError as error:
            return _Wrong("damaged", error.message)
        except GitregError as error:
            self._ask_for_life()
            return _Wrong("unreadable", error.message)
        if hasher.hexdigest() != digest.hex:
            return _Wrong("damaged", _where(layout, hasher.hexdigest(), chunks.damaged))
        if chunks.damaged:
            return _Wrong("chunks", "its bytes are right, and its chunk list says otherwise")
        return unlisted

    def _unread(self) -> _Wrong:
        return _Wrong("unreadable", f"it was not read, since the store did not answer any more: {self._silent}")

    def _ask_for_life(self) -> None:
        """Find out whether it is one blob that cannot be read, or the store: it would not answer for the others."""
        try:
            next(self._bucket.list(BLOBS), None)
        except GitregError as error:
            self._silent = error.message

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
        """Mend one blob after the other; one that cannot be mended leaves the others their turn."""
        sizes = {each.digest: max(self._sizes(each.digest), default=MAX_SIZE) for each in damage}
        looks = Looks(
            lambda digest: self._is_sound(digest, deep=deep), lambda *part: self._is_damaged(*part, deep=deep)
        )
        mender = Mender(self._bucket, sources, looks, sizes)
        return [self._mended(each, mender) for each in damage]

    def _mended(self, each: Damage, mender: Mender) -> Damage:
        try:
            if each.kind == "chunks":
                self._bucket.delete(chunks_key(each.digest))
                return replace(each, repaired_from="the blob itself: its chunk list was removed")
            found = mender.mend(each.digest)
            remedy = each.remedy if found else f"nothing here mends it: {mender.tried}; {_ELSEWHERE}"
            return replace(each, repaired_from=found, remedy=remedy)
        except GitregError as error:
            return replace(each, remedy=f"it could not be repaired: {error.message}; {each.remedy}")

    def _is_sound(self, digest: Digest, *, deep: bool) -> bool:
        """Look at one blob again, by a few questions in the place of a listing."""
        try:
            layout = layout_of(self._bucket, digest)
            whole = layout.is_there()
        except GitregError:
            return False
        return whole and not _size_fault(self._sizes(digest), layout.size) and not (deep and self._deep(digest))

    def _is_damaged(self, digest: Digest, end: int, *, deep: bool) -> bool:
        """Whether a whole blob is too short for its use, or its bytes cannot be read or are not its own."""
        try:
            size = self._bucket.size(blob_key(digest))
            if size is None or size < end or not deep:
                return size is None or size < end
            hasher = hashlib.sha256()
            for piece in _read(self._bucket, Layout(self._bucket, digest, size, (Part(digest, 0, size),))):
                hasher.update(piece)
        except GitregError:
            return True
        return hasher.hexdigest() != digest.hex


_REMEDIES = {
    "missing": "bring it back with --repair from a mirror or a cache, restore it from a copy of the store, or register"
    " the same file again",
    "size": "bring it back with --repair, or from a copy of the store",
    "recipe": "bring the blob back with --repair, or its recipe from a copy of the store",
    "damaged": "bring it back with --repair, or from a copy of the store",
    "unreadable": "look after the disk, the rights or the server, and bring it back with --repair if it is lost",
    "chunks": "--repair removes the list; pulls go on without it",
}


_ELSEWHERE = "bring it back from a copy of the store, or register the same file again"


def _size_fault(expected: set[int], size: int) -> _Wrong | None:
    if expected and expected != {size}:
        return _Wrong("size", f"it has {size} bytes, and {', '.join(map(str, sorted(expected)))} were registered")
    return None


def _listed(layout: Layout) -> tuple[ChunkCheck, _Wrong | None]:
    """Prepare to hold a blob against its chunk list; a list that cannot be used holds nothing, and is told."""
    try:
        return ChunkCheck(layout.chunks or ()), None
    except GitregError as error:
        return ChunkCheck(()), _Wrong("chunks", error.message)


def _where(layout: Layout, found: str, damaged: Sequence[Chunk]) -> str:
    """Say what is wrong with a blob, and at which bytes where a chunk list knows."""
    message = f"its bytes have the digest sha256:{found}"
    if not damaged:
        return message
    ranges: list[tuple[int, int]] = []
    for chunk in damaged:
        start = ranges.pop()[0] if ranges and ranges[-1][1] == chunk.offset else chunk.offset
        ranges.append((start, chunk.offset + chunk.size))
    named = ", ".join(f"{start}-{end - 1}" for start, end in ranges[:_NAMED])
    total = sum(chunk.size for chunk in damaged)
    bases = sorted({part.digest for start, end in ranges for part in layout.within(start, end - start)})
    inside = "" if layout.is_whole else f", which lie in {', '.join(map(str, bases[:_NAMED]))}"
    return f"{message}; damaged are {total} bytes of {layout.size}, at {named}{inside}"


def _read(bucket: Bucket, layout: Layout) -> Iterator[memoryview]:
    """Read a blob from wherever its bytes lie; IntegrityError where an object is too short."""
    for part in layout.parts:
        left = part.size
        for piece in bucket.read(part.key, part.offset, part.size):
            view = memoryview(piece).cast("B")[:left]
            left -= len(view)
            yield view
        if left:
            raise IntegrityError(f"the blob {part.digest} ends {left} bytes early")
