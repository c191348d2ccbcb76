"""Compare two trees level by level."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, InvalidError, NotFoundError
from gitreg.git.kept import MOST_BYTES
from gitreg.git.trees import entry_faults, entry_of, lenient_entry_of, malformed, order_faults
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitreg.git.objects import Objects
    from gitreg.git.trees import RawEntry, TreeEntry
    from gitreg.git.values import ObjectInfo, Oid

MAX_TREE_BYTES = 256 * 1024 * 1024
# How many folders are read at once, and how many pairs of a chain are compared side by side.
_TOGETHER = 128
_MOST_PAIRS = 64
_MOST_FOLDERS = 10_000


class TooMuchError(InvalidError):
    """Two trees differ in more than the caller was ready to look at."""


@dataclass(frozen=True, slots=True)
class PathChange:
    """A path whose entry differs between two trees; None on the side where it does not exist. Never a folder."""

    path: str
    before: TreeEntry | None
    after: TreeEntry | None


class _Walk:
    """A comparison of one or more pairs of trees in progress: what was found, and what may still be opened."""

    def __init__(self, objects: Objects, pairs: int, budget: int, depth: int) -> None:
        self.objects = objects
        self.budget = budget
        # A path may lie in folders of its own; but nobody makes us open more folders than a push may change paths.
        self.most_folders = max(budget, min(budget * depth, _MOST_FOLDERS))
        self.folders = 0
        self.files = 0
        self.bytes = 0
        self.changes: list[list[PathChange]] = [[] for _ in range(pairs)]

    def raws(self, oid: Oid | None, folder: str, *, trusted: bool) -> list[RawEntry]:
        if oid is None:
            return []
        info = self.folder(oid, folder) if folder else self.top(oid)
        self.bytes += 0 if trusted else info.size
        if self.bytes > MAX_TREE_BYTES:
            raise TooMuchError(f"the changed folders hold more than {MAX_TREE_BYTES} bytes")
        return self.objects.raws(info, folder)

    def top(self, oid: Oid) -> ObjectInfo:
        found = self.objects.info(f"{oid}^{{tree}}")
        if found is None:
            raise NotFoundError(f"there is no object {oid}^{{tree}}")
        return found

    def folder(self, oid: Oid, path: str) -> ObjectInfo:
        """Find a folder below the top, which is a tree itself and not something that leads to one."""
        found = self.objects.info(oid)
        if found is None:
            raise IntegrityError(f"{path!r} names the object {oid}, which is missing")
        if found.type != "tree":
            raise InvalidError(f"{path!r} is a folder by its mode, but the object {oid} is a {found.type}")
        return found

    def compare(self, each: _Folder) -> Iterator[_Folder]:
        """Note what differs directly inside one folder; give the folders to open next."""
        before = self.raws(each.old, each.path, trusted=True)
        after = self.raws(each.new, each.path, trusted=False)
        faults = list(order_faults(after))
        was, now = set(before), set(after)
        fresh = now - was
        faults += entry_faults(raw for raw in after if raw in fresh)
        if faults:
            raise malformed(each.path, faults)
        sides: dict[str, tuple[TreeEntry | None, TreeEntry | None]] = {}
        for raw in was - now:
            entry = lenient_entry_of(raw)
            sides[entry.name] = (entry, None)
        for raw in fresh:
            entry = entry_of(raw)
            sides[entry.name] = (sides.get(entry.name, (None, None))[0], entry)
        for name in sorted(sides):
            yield from self.note(each.pair, f"{each.path}/{name}" if each.path else name, *sides[name])

    def note(self, pair: int, path: str, before: TreeEntry | None, after: TreeEntry | None) -> Iterator[_Folder]:
        """Note one differing entry: a file as a change, a folder to be opened."""
        old, new = _folder(before), _folder(after)
        if old is not None or new is not None:
            self.folders += 1
            yield _Folder(pair, old, new, path)
        gone, come = (None if _folder(side) else side for side in (before, after))
        if gone or come:
            self.files += 1
            self.changes[pair].append(PathChange(path, gone, come))
        if self.files > self.budget or self.folders > self.most_folders:
            raise TooMuchError(f"more than {self.budget} paths change at once", hint="split the change")

    def check_types(self) -> None:
        """Refuse a file that is no blob, whatever its mode says; and one that is not there at all."""
        changes = [change for found in self.changes for change in found]
        sides = [side for change in changes for side in (change.before, change.after)]
        # The sizes of the old files will be asked for as well.
        self.objects.infos(list(dict.fromkeys(side.oid for side in sides if side and side.type == "blob")))
        files = {change.after.oid: change.path for change in changes if change.after and change.after.type == "blob"}
        for (oid, path), info in zip(files.items(), self.objects.infos(list(files)), strict=True):
            if info is None:
                raise IntegrityError(f"{path!r} names the object {oid}, which is missing")
            if info.type != "blob":
                raise InvalidError(f"{path!r} is a file by its mode, but the object {oid} is a {info.type}")


@dataclass(frozen=True, slots=True)
class _Folder:
    """A folder to compare: in which of the pairs, its trees before and after, its path."""

    pair: int
    old: Oid | None
    new: Oid | None
    path: str


def _folder(entry: TreeEntry | None) -> Oid | None:
    return entry.oid if entry and entry.type == "tree" else None


def _walk(objects: Objects, pairs: Sequence[tuple[Oid | None, Oid | None]], budget: int, depth: int) -> _Walk:
    """Compare pairs of trees level by level, all of them side by side: a level costs few round trips."""
    walk = _Walk(objects, len(pairs), budget, depth)
    level = [_Folder(pair, old, new, "") for pair, (old, new) in enumerate(pairs) if old != new]
    objects.prefetch(f"{oid}^{{tree}}" for each in level for oid in (each.old, each.new) if oid)
    for _ in range(depth):
        below: list[_Folder] = []
        for start in range(0, len(level), _TOGETHER):
            part = level[start : start + _TOGETHER]
            objects.prefetch(oid for each in part if each.path for oid in (each.old, each.new) if oid)
            below += [found for each in part for found in walk.compare(each)]
        level = below
        if not level:
            walk.check_types()
            return walk
    raise TooMuchError(f"{level[0].path!r} is nested deeper than {depth} levels")


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
    return _found(objects, _walk(objects, [(old, new)], budget, depth))[0]


def changed_along(
    objects: Objects, chain: Sequence[Oid], *, budget: int = 10_000, depth: int = 16
) -> Iterator[list[PathChange]]:
    """Name the paths that differ between each commit of a chain and the one before it, from the second one on.

    As `changed_paths` for one pair after the other, with one budget for all; but many pairs are looked at side by side.
    """
    pairs = list(pairwise(chain))
    at, width = 0, 1
    while at < len(pairs):
        part = pairs[at : at + width]
        # Who follows a chain reads its commits as well.
        commits = chain[at : at + len(part) + 1]
        objects.prefetch([each for oid in commits for each in (oid, f"{oid}^{{tree}}")])
        try:
            walk = _walk(objects, part, budget, depth)
        except (InvalidError, IntegrityError):
            if len(part) == 1:
                raise
            # One of them is to blame: find out which, and tell of those before it first.
            width = 1
            continue
        at += len(part)
        budget -= walk.files
        # As many at a time as have folders that are kept until they are read again.
        width = min(width * 4, _MOST_PAIRS) if walk.bytes * 4 < MOST_BYTES // 2 else max(1, width // 2)
        yield from _found(objects, walk)


def _found(objects: Objects, walk: _Walk) -> list[list[PathChange]]:
    """Give what a walk found, each pair's in the order of the names, and expect that its files will be read."""
    ordered = [sorted(changes, key=lambda change: change.path) for changes in walk.changes]
    sides = (side for changes in ordered for change in changes for side in (change.before, change.after))
    objects.expect(side.oid for side in sides if side and side.type == "blob")
    return ordered
