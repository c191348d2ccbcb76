"""Compare two trees level by level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.git.objects import MAX_TREE
from gitreg.git.trees import entry_faults, entry_of, lenient_entry_of, malformed, order_faults, split
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.git.objects import Objects
    from gitreg.git.trees import RawEntry, TreeEntry
    from gitreg.git.values import Oid

MAX_TREE_BYTES = 256 * 1024 * 1024


class TooMuchError(InvalidError):
    """Two trees differ in more than the caller was ready to look at."""


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path whose entry differs between two trees; None on the side where it does not exist. Never a folder."""

    path: str
    before: TreeEntry | None
    after: TreeEntry | None


class _Walk:
    """One comparison in progress: what it may still open."""

    def __init__(self, objects: Objects, budget: int, depth: int) -> None:
        self.objects = objects
        self.budget = budget
        self.depth = depth
        self.folders = 0
        self.bytes = 0
        self.changes: list[PathChange] = []

    def raws(self, oid: Oid | None, folder: str, *, trusted: bool) -> list[RawEntry]:
        if oid is None:
            return []
        data = self.folder(oid, folder) if folder else self.objects.tree(oid)
        self.bytes += 0 if trusted else len(data)
        if self.bytes > MAX_TREE_BYTES:
            raise TooMuchError(f"the changed folders hold more than {MAX_TREE_BYTES} bytes")
        return split(data, self.objects.oid_bytes, folder)

    def folder(self, oid: Oid, path: str) -> bytes:
        """Read a folder below the top, which is a tree itself and not something that leads to one."""
        try:
            found = self.objects.read(oid, limit=MAX_TREE)
        except NotFoundError as error:
            raise IntegrityError(f"{path!r} names the object {oid}, which is missing") from error
        if found.type != "tree":
            raise InvalidError(f"{path!r} is a folder by its mode, but the object {oid} is a {found.type}")
        return found.data

    def compare(self, old: Oid | None, new: Oid | None, folder: str) -> Iterator[tuple[Oid | None, Oid | None, str]]:
        """Note what differs directly inside one folder; give the folders to open next."""
        before, after = self.raws(old, folder, trusted=True), self.raws(new, folder, trusted=False)
        faults = list(order_faults(after))
        was, now = set(before), set(after)
        fresh = now - was
        faults += entry_faults(raw for raw in after if raw in fresh)
        if faults:
            raise malformed(folder, faults)
        sides: dict[str, tuple[TreeEntry | None, TreeEntry | None]] = {}
        for raw in was - now:
            entry = lenient_entry_of(raw)
            sides[entry.name] = (entry, None)
        for raw in fresh:
            entry = entry_of(raw)
            sides[entry.name] = (sides.get(entry.name, (None, None))[0], entry)
        for name in sorted(sides):
            yield from self.note(f"{folder}/{name}" if folder else name, *sides[name])

    def note(
        self, path: str, before: TreeEntry | None, after: TreeEntry | None
    ) -> Iterator[tuple[Oid | None, Oid | None, str]]:
        """Note one differing entry: a file as a change, a folder to be opened."""
        old, new = _folder(before), _folder(after)
        if old is not None or new is not None:
            self.folders += 1
            yield old, new, path
        gone, come = (None if _folder(side) else side for side in (before, after))
        if gone or come:
            self.changes.append(PathChange(path, gone, come))
        if len(self.changes) > self.budget or self.folders > self.budget:
            raise TooMuchError(f"more than {self.budget} paths change at once", hint="split the change")

    def check_types(self) -> None:
        """Refuse a file that is no blob, whatever its mode says; and one that is not there at all."""
        files = {
            change.after.oid: change.path for change in self.changes if change.after and change.after.type == "blob"
        }
        for (oid, path), info in zip(files.items(), self.objects.infos(list(files)), strict=True):
            if info is None:
                raise IntegrityError(f"{path!r} names the object {oid}, which is missing")
            if info.type != "blob":
                raise InvalidError(f"{path!r} is a file by its mode, but the object {oid} is a {info.type}")


def _folder(entry: TreeEntry | None) -> Oid | None:
    return entry.oid if entry and entry.type == "tree" else None


def changed_paths(
    objects: Objects,
    old: Oid | None,
    new: Oid | None,
    *,
    budget: int = 10_000,
    depth: int = 16,
) -> list[PathChange]:
    """Name the paths that differ between two trees (or commits), in the order of their names; None is the empty tree.

    Subtrees that are equal are never opened. InvalidError where more than `budget` paths (or folders) differ, where a
    path that differs is nested deeper than `depth` names, or where the new tree is malformed.
    """
    walk = _Walk(objects, budget, depth)
    level: list[tuple[Oid | None, Oid | None, str]] = [(old, new, "")] if old != new else []
    objects.prefetch(f"{oid}^{{tree}}" for oid in (old, new) if oid)
    for _ in range(depth):
        level = [found for old_oid, new_oid, path in level for found in walk.compare(old_oid, new_oid, path)]
        objects.prefetch(oid for old_oid, new_oid, _ in level for oid in (old_oid, new_oid) if oid)
        if not level:
            walk.check_types()
            return sorted(walk.changes, key=lambda change: change.path)
    raise TooMuchError(f"{level[0][2]!r} is nested deeper than {depth} levels")
