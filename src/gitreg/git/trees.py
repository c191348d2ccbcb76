"""Compare trees level by level, trusting nothing that they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import IntegrityError, InvalidError, Problem
from gitreg.git.values import Oid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gitreg.git.objects import Objects

FOLDER = "040000"
FILE = "100644"
_TYPES = {
    b"40000": (FOLDER, "tree"),
    b"100644": (FILE, "blob"),
    b"100664": ("100664", "blob"),
    b"100755": ("100755", "blob"),
    b"120000": ("120000", "blob"),
    b"160000": ("160000", "commit"),
}
_MAX_NAME = 255
# Code points that HFS+ ignores when it compares names; `.g\u200cit` is `.git` there (git's utf8.c, is_hfs_dotgit).
_IGNORED = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


class TreeEntry(NamedTuple):
    """A name in a tree: six octal digits of mode, name, object id, type (`blob`, `tree` or `commit`)."""

    mode: str
    name: str
    oid: Oid
    type: str


class PathChange(NamedTuple):
    """A path whose entry differs between two trees; None on the side where it does not exist. Never a folder."""

    path: str
    before: TreeEntry | None
    after: TreeEntry | None


_Raw = tuple[bytes, bytes, bytes]
MAX_TREE_BYTES = 256 * 1024 * 1024


def name_fault(name: str) -> str | None:
    """Say why a name may not stand in a tree, or None: git's own rules, control characters and backslashes."""
    if name in {"", ".", ".."}:
        return "is no name"
    if "/" in name or "\\" in name:
        return "holds a slash"
    if any(ord(mark) < ord(" ") or mark == "\x7f" for mark in name):
        return "holds a control character"
    if len(name.encode("utf-8", "surrogateescape")) > _MAX_NAME:
        return f"is longer than {_MAX_NAME} bytes"
    # Windows drops dots and spaces at the end and what follows a colon, and has short names for long ones.
    plain = name.translate(_IGNORED).lower().partition(":")[0].rstrip(". ")
    return "is git's own folder" if plain in {".git", "git~1"} else None


def path_fault(path: str) -> str | None:
    """Say why a path may not be written, or None."""
    for name in path.split("/"):
        fault = name_fault(name)
        if fault:
            return f"{name!r} {fault}"
    return None


def parse_tree(data: bytes, oid_bytes: int, folder: str = "") -> list[TreeEntry]:
    """Read a tree object strictly, in its order.

    `oid_bytes` is 20 or 32; `folder` is its path, for messages. InvalidError names every entry that git's fsck would
    object to: bad names and modes, duplicates, wrong order, trailing bytes.
    """
    raws = _split(data, oid_bytes, folder)
    faults = [*_order_faults(raws), *_entry_faults(raws)]
    if faults:
        raise _malformed(folder, faults)
    return [_entry(raw) for raw in raws]


def _pattern(oid_bytes: int) -> re.Pattern[bytes]:
    return re.compile(rb"([^ \0]*) ([^\0]*)\0(.{%d})" % oid_bytes, re.DOTALL)


def _split(data: bytes, oid_bytes: int, folder: str) -> list[_Raw]:
    raws = _pattern(oid_bytes).findall(data)
    # findall skips what does not match; so the lengths tell whether it skipped anything.
    if sum(len(mode) + len(name) + oid_bytes + 2 for mode, name, _ in raws) != len(data):
        raise _malformed(folder, [("", "the tree object is cut off or garbled")])
    return raws


def _order_faults(raws: Sequence[_Raw]) -> Iterator[tuple[str, str]]:
    names = [raw[1] for raw in raws]
    if len(set(names)) != len(names):
        from collections import Counter

        yield from ((_shown(name), "is there twice") for name, times in Counter(names).items() if times > 1)
    # Git sorts a folder as if its name ended in a slash.
    keys = [name + b"/" if mode == b"40000" else name for mode, name, _ in raws]
    if keys != sorted(keys):
        at = next(index for index in range(1, len(keys)) if keys[index] < keys[index - 1])
        yield _shown(names[at]), "is out of order"


def _entry_faults(raws: Iterable[_Raw]) -> Iterator[tuple[str, str]]:
    for mode, name, oid in raws:
        if mode not in _TYPES:
            yield _shown(name), f"has the mode {mode[:20].decode('ascii', 'replace')!r}"
        if not oid.strip(b"\0"):
            yield _shown(name), "points at nothing"
        try:
            fault = name_fault(name.decode())
        except UnicodeDecodeError:
            fault = "is not UTF-8"
        if fault:
            yield _shown(name), fault


def _shown(name: bytes) -> str:
    return name[:80].decode("utf-8", "backslashreplace")


def _malformed(folder: str, faults: Iterable[tuple[str, str]]) -> InvalidError:
    problems = [
        Problem(f"{name!r} {what}" if name or what == "is no name" else what, folder or None) for name, what in faults
    ]
    where = f"the tree of {folder!r}" if folder else "the top tree"
    return InvalidError(f"{where} is malformed: {problems[0].message}", problems=problems[:20])


def _entry(raw: _Raw) -> TreeEntry:
    mode, kind = _TYPES[raw[0]]
    return TreeEntry(mode, raw[1].decode(), raw[2].hex(), kind)


class _Walk:
    """One comparison in progress: what it may still open."""

    def __init__(self, objects: Objects, budget: int, depth: int) -> None:
        self.objects = objects
        self.budget = budget
        self.depth = depth
        self.folders = 0
        self.bytes = 0
        self.changes: list[PathChange] = []

    def raws(self, oid: Oid | None, folder: str, *, trusted: bool) -> list[_Raw]:
        if oid is None:
            return []
        data = self.objects.tree(oid)
        self.bytes += 0 if trusted else len(data)
        if self.bytes > MAX_TREE_BYTES:
            raise InvalidError(f"the changed folders hold more than {MAX_TREE_BYTES} bytes")
        return _split(data, self.objects.oid_bytes, folder)

    def compare(self, old: Oid | None, new: Oid | None, folder: str) -> Iterator[tuple[Oid | None, Oid | None, str]]:
        """Note what differs directly inside one folder; give the folders to open next."""
        before, after = self.raws(old, folder, trusted=True), self.raws(new, folder, trusted=False)
        faults = list(_order_faults(after))
        was, now = set(before), set(after)
        fresh = now - was
        faults += _entry_faults(raw for raw in after if raw in fresh)
        if faults:
            raise _malformed(folder, faults)
        sides: dict[str, tuple[TreeEntry | None, TreeEntry | None]] = {}
        for raw in was - now:
            entry = _lenient_entry(raw)
            sides[entry.name] = (entry, None)
        for raw in fresh:
            entry = _entry(raw)
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
            raise InvalidError(f"more than {self.budget} paths change at once", hint="split the change")

    def check_types(self) -> None:
        """Refuse a file that is no blob, whatever its mode says; and one that is not there at all."""
        files = {change.after.oid: change.path for change in self.changes if change.after and change.after.type == "blob"}
        for (oid, path), info in zip(files.items(), self.objects.infos(list(files)), strict=True):
            if info is None:
                raise IntegrityError(f"{path!r} names the object {oid}, which is missing")
            if info.type != "blob":
                raise InvalidError(f"{path!r} is a file by its mode, but the object {oid} is a {info.type}")



def _folder(entry: TreeEntry | None) -> Oid | None:
    return entry.oid if entry and entry.type == "tree" else None


def _lenient_entry(raw: _Raw) -> TreeEntry:
    """Read an entry of the state before, which was judged when it came in (or never was)."""
    mode, kind = _TYPES.get(raw[0], (raw[0].decode("ascii", "replace"), "tree" if raw[0] == b"040000" else "blob"))
    return TreeEntry(mode, raw[1].decode("utf-8", "surrogateescape"), raw[2].hex(), kind)


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
    for _ in range(depth):
        level = [found for old_oid, new_oid, path in level for found in walk.compare(old_oid, new_oid, path)]
        if not level:
            walk.check_types()
            return sorted(walk.changes, key=lambda change: change.path)
    raise InvalidError(f"{level[0][2]!r} is nested deeper than {depth} levels")
