"""Take out of a store what no version needs, so that nothing that somebody needs is ever lost.

What goes is moved to the store's trash first and removed for good a time later. From the move on nobody finds it:
whoever uploads the same bytes uploads them anew, and the gate refuses a manifest that names them. A push that was
judged just before is found by looking at the refs again after the move, or by the next run, and its blobs come back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, NotFoundError
from gitreg.keep.inventory import TRASH, Inventory, digest_of
from gitreg.objects.recipes import read_recipe
from gitreg.reader.history import iso
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from gitreg.keep.inventory import Stored
    from gitreg.keep.retention import Terms
    from gitreg.objects.bucket import Bucket, Found
    from gitreg.reader.reachable import Need, Reachable

FORMAT = "gitreg/tombstone/v1"
_MAX_TOMBSTONE = 16 << 20
_SHOWN = 1000  # versions in one tombstone
_COPIED_BY_SERVER = 5 << 30  # bytes: S3 copies no larger object in one request


@dataclass(frozen=True, slots=True)
class Gone:
    """A blob that nothing needs: its size in the store, when it came, and the deleted versions that needed it."""

    digest: Digest
    bytes: int
    modified: str
    needed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Collected:
    """What a run of gc did in one store, or would do.

    `taken` went to the trash, `removed` out of it for good, `rescued` came back out of it since something needs them.
    `young` blobs are not needed either and wait for their grace to end.
    """

    store: str
    dry_run: bool
    taken: tuple[Gone, ...]
    removed: tuple[str, ...]
    removed_bytes: int
    rescued: tuple[str, ...]
    young: int
    young_bytes: int
    kept: int
    kept_bytes: int

    @property
    def taken_bytes(self) -> int:
        """The bytes that went to the trash."""
        return sum(each.bytes for each in self.taken)


def tombstone_key(digest: str) -> str:
    """Name the record of what gc took."""
    return f"tombstones/sha256/{digest[:2]}/{digest}.json"


class Collector:
    """One run of gc over one store.

    `added` looks at the refs again, and names the digests that came to be needed since it was last asked.
    """

    def __init__(
        self, bucket: Bucket, needed: Reachable, terms: Terms, now: float, added: Callable[[], Collection[str]]
    ) -> None:
        self._bucket = bucket
        self._needed = needed
        self._terms = terms
        self._now = now
        self._added = added
        self._also: set[str] = set()

    def run(self, provenance: dict[str, str], *, dry_run: bool) -> Collected:
        """Do it, or say what would be done; `provenance` is what every tombstone tells besides."""
        inventory = Inventory.of(self._bucket)
        # Whatever lands from here on is looked for below; the listing came first.
        self._also.update(self._added())
        rescued = self._rescue(inventory, dry_run=dry_run)
        kept = self._kept(inventory)
        going = {digest: each for digest, each in inventory.stored.items() if digest not in kept}
        old = {digest: each for digest, each in going.items() if not self._is_young(each)}
        taken = old if dry_run else dict(self._take(old, provenance))
        after = inventory
        if not dry_run:
            self._also.update(self._added())
            after = Inventory.of(self._bucket)
            back = self._rescue(after, dry_run=False)
            rescued += back
            taken = {digest: each for digest, each in taken.items() if digest not in back}
        removed, freed = self._purge(after, {*kept, *rescued}, dry_run=dry_run)
        young = [each for digest, each in going.items() if digest not in old]
        stays = [each for digest, each in inventory.stored.items() if digest in kept]
        return Collected(
            store=self._bucket.uri,
            dry_run=dry_run,
            taken=tuple(self._described(*item) for item in sorted(taken.items())),
            removed=tuple(sorted(removed)),
            removed_bytes=freed,
            rescued=tuple(sorted(set(rescued))),
            young=len(young),
            young_bytes=sum(each.size for each in young),
            kept=len(stays),
            kept_bytes=sum(each.size for each in stays),
        )

    def _is_needed(self, digest: str) -> bool:
        return digest in self._needed or digest in self._also

    def _described(self, digest: str, stored: Stored) -> Gone:
        needs = self._needed.released.get(digest, ())
        return Gone(Digest(digest), stored.size, iso(int(stored.modified)), tuple(map(str, needs[:_SHOWN])))

    # What stays

    def _kept(self, inventory: Inventory) -> set[str]:
        """Name the blobs that are needed, and those that their recipes, or young ones, are made of."""
        kept = {digest for digest in inventory.stored if self._is_needed(digest)}
        for digest, stored in inventory.stored.items():
            if stored.recipe is not None and (digest in kept or self._is_young(stored)):
                kept.update(self._parts(digest))
        return kept

    def _is_young(self, stored: Stored) -> bool:
        return stored.modified >= self._now - self._terms.grace

    def _parts(self, digest: str) -> Iterator[str]:
        """Name what a recipe is made of. One that cannot be read stops the run: nobody knows what it needs."""
        recipe = read_recipe(self._bucket, Digest(digest))
        return (part.digest.hex for part in recipe.parts) if recipe else iter(())

    # What goes

    def _take(self, old: dict[str, Stored], provenance: dict[str, str]) -> Iterator[tuple[str, Stored]]:
        """Move what is old and unneeded to the trash, having looked once more."""
        now = Inventory.of(self._bucket).stored if old else {}
        self._also.update(self._added())
        # Recipes go before the blobs that they are made of, so that none is ever seen without them.
        for digest, stored in sorted(old.items(), key=lambda item: item[1].blob is not None):
            if self._is_needed(digest) or digest not in now or now[digest].modified != stored.modified:
                continue
            self._write_tombstone(digest, stored, provenance)
            for found in stored.objects():
                if found in stored.similar:
                    self._bucket.delete(found.key)
                else:
                    move(self._bucket, found.key, TRASH + found.key)
            yield digest, stored

    def _write_tombstone(self, digest: str, stored: Stored, provenance: dict[str, str]) -> None:
        needs = self._needed.released.get(digest, ())
        why = "its versions were deleted" if needs else "no version ever named it"
        record = {
            "format": FORMAT,
            "digest": f"sha256:{digest}",
            "bytes": stored.size,
            "taken": iso(int(self._now)),
            "why": why,
            **provenance,
            "versions": [_need(need) for need in needs[:_SHOWN]],
            "objects": [
                {"key": found.key, "size": found.size, "modified": iso(int(found.modified))}
                for found in stored.objects()
            ],
        }
        self._bucket.put(tombstone_key(digest), _json(record), replace=True)

    # The trash

    def _rescue(self, inventory: Inventory, *, dry_run: bool) -> list[str]:
        """Bring back what lies in the trash and is needed: by a version, or by a recipe."""
        if not inventory.trash:
            return []
        wanted = {digest for key in inventory.trash if (digest := digest_of(key)) and self._is_needed(digest)}
        for digest, stored in inventory.stored.items():
            if stored.recipe is not None:
                wanted.update(self._parts(digest))
        for key in inventory.trash:
            digest = digest_of(key)
            if key.startswith("recipes/") and digest in wanted:
                wanted.update(_parts_in_trash(self._bucket, key, digest))
        # In the order of their names, blobs come before the recipes that are made of them.
        keys = [key for key in sorted(inventory.trash) if digest_of(key) in wanted and not _is_back(key, inventory)]
        for key in keys if not dry_run else ():
            move(self._bucket, TRASH + key, key)
        return sorted({digest for key in keys if (digest := digest_of(key))})

    def _purge(self, inventory: Inventory, kept: Collection[str], *, dry_run: bool) -> tuple[set[str], int]:
        """Remove for good what has lain in the trash for long enough."""
        removed: dict[str, int] = {}
        for key, found in inventory.trash.items():
            digest = digest_of(key)
            if digest is None or ((digest in kept or self._is_needed(digest)) and not _is_back(key, inventory)):
                continue
            if self._taken_at(digest, found) > self._now - self._terms.trash:
                continue
            removed[digest] = removed.get(digest, 0) + found.size
            if not dry_run:
                self._bucket.delete(TRASH + key)
        for digest in removed if not dry_run else ():
            self._close_tombstone(digest)
        return set(removed), sum(removed.values())

    def _taken_at(self, digest: str, found: Found) -> float:
        record = self._tombstone(digest)
        taken = record.get("taken")
        return _seconds(taken) if isinstance(taken, str) else found.modified

    def _tombstone(self, digest: str) -> dict[str, object]:
        data = self._bucket.get(tombstone_key(digest), limit=_MAX_TOMBSTONE)
        try:
            found = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _close_tombstone(self, digest: str) -> None:
        record = self._tombstone(digest) | {"removed": iso(int(self._now))}
        self._bucket.put(tombstone_key(digest), _json(record), replace=True)


def _is_back(key: str, inventory: Inventory) -> bool:
    """Whether what lies in the trash is in the store as well: somebody uploaded it again."""
    stored = inventory.stored.get(digest_of(key) or "")
    return stored is not None and any(found.key == key for found in stored.objects())


def _parts_in_trash(bucket: Bucket, key: str, digest: str) -> Iterator[str]:
    from gitreg.objects.recipes import MAX_RECIPE, Recipe

    data = bucket.get(TRASH + key, limit=MAX_RECIPE)
    if data is not None:
        yield from (part.digest.hex for part in Recipe.parse(data, Digest(digest)).parts)


def _need(need: Need) -> dict[str, str]:
    return {"model": need.model, "version": need.version, "path": need.path}


def _json(record: dict[str, object]) -> bytes:
    return json.dumps(record, indent=2).encode() + b"\n"


def _seconds(text: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError as error:
        raise IntegrityError(f"a tombstone says that it was written at {text[:40]!r}", hint="remove it") from error


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
    import tempfile

    with tempfile.TemporaryFile() as file:
        for piece in bucket.read(key):
            file.write(piece)
        size = file.tell()
        file.seek(0)
        bucket.put_file(to, file, size, replace=True)
