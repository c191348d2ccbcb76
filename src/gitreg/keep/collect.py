"""Take out of a store what no version needs, so that nothing that somebody needs is ever lost.

What goes is moved to the store's trash first and removed for good by a later run. From the move on nobody finds it:
whoever uploads the same bytes uploads them anew, and the gate refuses a manifest that names them. A push that was
judged just before is found by looking at the refs again after the move, a recipe that was just written by listing the
store again, both at the latest by the next run, and what they need comes back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import GitregError, IntegrityError
from gitreg.keep.inventory import SIMILAR, Inventory, digest_of
from gitreg.keep.trash import TRASH, move
from gitreg.objects.recipes import MAX_RECIPE, Recipe
from gitreg.objects.renewal import MARK
from gitreg.reader.history import iso
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from gitreg.keep.inventory import Stored
    from gitreg.keep.retention import Terms
    from gitreg.objects.bucket import Bucket, Found
    from gitreg.reader.reachable import Need, Reachable

FORMAT = "gitreg/tombstone/v1"
_LOOKED = "looked"  # the field of a tombstone that says when a run was sure that nothing needs what it took
_MARKS = f"{SIMILAR}{MARK}/"
_MAX_TOMBSTONE = 16 << 20
_SHOWN = 1000  # versions in one tombstone
_LATELY = 3600  # seconds; what was written since then may be on its way into a version


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
    `young` blobs are not needed either and wait for their grace to end. `recent` of those taken were written within the
    last hour: a registration that was about to name them is refused.
    """

    store: str
    dry_run: bool
    taken: tuple[Gone, ...]
    removed: tuple[str, ...]
    removed_bytes: int
    rescued: tuple[str, ...]
    young: int
    young_bytes: int
    recent: int
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
        self._read: dict[Found, frozenset[str]] = {}

    def run(self, provenance: dict[str, str], *, dry_run: bool) -> Collected:
        """Do it, or say what would be done; `provenance` is what every tombstone tells besides."""
        inventory = Inventory.of(self._bucket)
        # Whatever lands from here on is looked for below; the listing came first.
        self._also.update(self._added())
        rescued = self._rescue(inventory, dry_run=dry_run)
        kept = self._kept(inventory)
        going = {digest: each for digest, each in inventory.stored.items() if digest not in kept}
        old = {digest: each for digest, each in going.items() if not self._is_young(each)}
        taken, after = dict(old), inventory
        if not dry_run:
            taken, after, back = self._take(old, inventory, provenance)
            rescued += back
        removed, freed = self._purge(after, {*kept, *rescued, *taken}, dry_run=dry_run)
        if not dry_run:
            self._note_look({*taken, *map(digest_of, inventory.trash)}, after, removed)
        young = [each for digest, each in going.items() if digest not in old and not each.is_empty]
        stays = [each for digest, each in inventory.stored.items() if digest in kept]
        return Collected(
            store=self._bucket.uri,
            dry_run=dry_run,
            taken=tuple(self._described(*item) for item in sorted(taken.items()) if not item[1].is_empty),
            removed=tuple(sorted(removed)),
            removed_bytes=freed,
            rescued=tuple(sorted(set(rescued))),
            young=len(young),
            young_bytes=sum(each.size for each in young),
            recent=sum(not each.is_empty and each.modified > self._now - _LATELY for each in taken.values()),
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
                kept.update(self._parts(stored.recipe))
        return kept

    def _is_young(self, stored: Stored) -> bool:
        return stored.modified >= self._now - self._terms.grace

    def _parts(self, recipe: Found) -> frozenset[str]:
        """Name what a recipe is made of, here or in the trash. One that cannot be read stops the run: it may need any.

        Each is read once; one that is written anew is another.
        """
        if recipe not in self._read:
            digest = Digest(recipe.key.rpartition("/")[2])
            data = self._bucket.get(recipe.key, limit=MAX_RECIPE)
            parts = () if data is None else Recipe.parse(data, digest).parts
            self._read[recipe] = frozenset(part.digest.hex for part in parts)
        return self._read[recipe]

    # What goes

    def _take(
        self, old: dict[str, Stored], before: Inventory, provenance: dict[str, str]
    ) -> tuple[dict[str, Stored], Inventory, list[str]]:
        """Move what is old and unneeded to the trash, and at once bring back what came to be needed meanwhile.

        Gives what was taken, what the store holds then, and what came back.
        """
        taken: dict[str, Stored] = {}
        try:
            for digest, stored in self._still_going(old, before):
                if not stored.is_empty:
                    self._write_tombstone(digest, stored, provenance)
                    taken[digest] = stored
                for found in stored.objects():
                    self._let_go(found, stored)
        finally:  # also where the store failed half-way: a push may have counted on what went
            self._also.update(self._added())
            after = Inventory.of(self._bucket)
            self._also.update(_asked_for(taken, after))
            back = self._rescue(after, dry_run=False)
        return {digest: each for digest, each in taken.items() if digest not in back}, after, back

    def _let_go(self, found: Found, of: Stored) -> None:
        """Move an object to the trash, or remove one that is empty."""
        if found not in of.similar:
            move(self._bucket, found.key, TRASH + found.key)
        elif of.is_empty or not found.key.startswith(_MARKS):  # an upload may have written its mark anew just now
            self._bucket.delete(found.key)

    def _still_going(self, old: dict[str, Stored], before: Inventory) -> list[tuple[str, Stored]]:
        """Look once more, and leave out what changed, what came to be needed, and what a new recipe is made of."""
        if not old:
            return []
        now = Inventory.of(self._bucket).stored
        self._also.update(self._added())
        going = {
            digest: each
            for digest, each in old.items()
            if digest in now and now[digest].modified == each.modified and not self._is_needed(digest)
        }
        held: set[str] = set()
        for digest, each in now.items():
            known = before.stored.get(digest)
            is_new = known is None or known.recipe != each.recipe
            if each.recipe is not None and digest not in going and (is_new or digest in old):
                held.update(self._parts(each.recipe))
        # Recipes go before the blobs that they are made of, so that none is ever seen without them.
        return sorted(
            ((digest, each) for digest, each in going.items() if digest not in held),
            key=lambda item: item[1].blob is not None,
        )

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
        """Bring back what lies in the trash and is needed: by a version, or by a recipe.

        A recipe that cannot be read stops the run, but not before everything else is back.
        """
        if not inventory.trash:
            return []
        wanted = {digest for key in inventory.trash if (digest := digest_of(key)) and self._is_needed(digest)}
        recipes = [stored.recipe for stored in inventory.stored.values() if stored.recipe is not None]
        recipes += [
            found for key, found in inventory.trash.items() if key.startswith("recipes/") and digest_of(key) in wanted
        ]
        failed: list[GitregError] = []
        for recipe in recipes:
            try:
                wanted.update(self._parts(recipe))
            except GitregError as error:
                failed.append(error)
        # In the order of their names, blobs come before the recipes that are made of them.
        keys = [key for key in sorted(inventory.trash) if digest_of(key) in wanted and not _is_back(key, inventory)]
        for key in keys if not dry_run else ():
            move(self._bucket, TRASH + key, key)
        if failed:
            raise failed[0]
        return sorted({digest for key in keys if (digest := digest_of(key))})

    def _purge(self, inventory: Inventory, kept: Collection[str], *, dry_run: bool) -> tuple[set[str], int]:
        """Remove for good what has lain in the trash for long enough, and that a run before this one looked after.

        So nothing goes that this run put there, or another one that has not finished yet.
        """
        removed: dict[str, int] = {}
        for key, found in inventory.trash.items():
            digest = digest_of(key)
            if digest is None or ((digest in kept or self._is_needed(digest)) and not _is_back(key, inventory)):
                continue
            record = self._tombstone(digest)
            if _LOOKED not in record or _taken_at(record, found) > self._now - self._terms.trash:
                continue
            removed[digest] = removed.get(digest, 0) + found.size
            if not dry_run:
                self._bucket.delete(TRASH + key)
        for digest in removed if not dry_run else ():
            self._add_to_tombstone(digest, "removed")
        return set(removed), sum(removed.values())

    def _note_look(self, seen: Collection[str | None], after: Inventory, removed: Collection[str]) -> None:
        """Write down of what lay in the trash before the refs were looked at for the last time that nothing needs it.

        A run that was killed has not written it, nor has one that is still going on.
        """
        lying = {digest for key in after.trash if (digest := digest_of(key)) in seen and digest not in removed}
        for digest in sorted(filter(None, lying)):
            if _LOOKED not in self._tombstone(digest):
                self._add_to_tombstone(digest, _LOOKED)

    def _tombstone(self, digest: str) -> dict[str, object]:
        data = self._bucket.get(tombstone_key(digest), limit=_MAX_TOMBSTONE)
        try:
            found = json.loads(data or b"{}")
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def _add_to_tombstone(self, digest: str, name: str) -> None:
        record = self._tombstone(digest) | {name: iso(int(self._now))}
        self._bucket.put(tombstone_key(digest), _json(record), replace=True)


def _taken_at(record: dict[str, object], found: Found) -> float:
    taken = record.get("taken")
    return _seconds(taken) if isinstance(taken, str) else found.modified


def _is_back(key: str, inventory: Inventory) -> bool:
    """Whether what lies in the trash is in the store as well: somebody uploaded it again."""
    stored = inventory.stored.get(digest_of(key) or "")
    return stored is not None and any(found.key == key for found in stored.objects())


def _asked_for(taken: dict[str, Stored], after: Inventory) -> set[str]:
    """Name what an upload found to be there, and marked, while it was taken."""
    return {
        digest
        for digest, stored in taken.items()
        if digest in after.stored and set(after.stored[digest].similar) - set(stored.similar)
    }


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
