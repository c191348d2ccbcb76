"""Read tree objects, trusting nothing that they say."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, Problem
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gitreg.git.values import Oid

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
# As it is stored: git's own spelling, and that of old tools.
FOLDER_MODES = (b"40000", b"040000")
_MAX_NAME = 255
# Code points that HFS+ ignores when it compares names; `.g\u200cit` is `.git` there (git's utf8.c, is_hfs_dotgit).
_IGNORED = dict.fromkeys([*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF])


@dataclass(frozen=True, slots=True)
class TreeEntry:
    """A name in a tree: six octal digits of mode, name, object id, type (`blob`, `tree` or `commit`)."""

    mode: str
    name: str
    oid: Oid
    type: str


RawEntry = tuple[bytes, bytes, bytes]
"""Mode, name and object id of an entry as they are stored, before anything is believed."""


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
    raws = split(data, oid_bytes, folder)
    faults = [*order_faults(raws), *entry_faults(raws)]
    if faults:
        raise malformed(folder, faults)
    return [entry_of(raw) for raw in raws]


def _pattern(oid_bytes: int) -> re.Pattern[bytes]:
    return re.compile(rb"([^ \0]*) ([^\0]*)\0(.{%d})" % oid_bytes, re.DOTALL)


def split(data: bytes, oid_bytes: int, folder: str) -> list[RawEntry]:
    """Cut a tree object into its entries; InvalidError where it is no sequence of them."""
    raws = _pattern(oid_bytes).findall(data)
    # findall skips what does not match; so the lengths tell whether it skipped anything.
    if sum(map(len, chain.from_iterable(raws))) + 2 * len(raws) != len(data):
        raise malformed(folder, [("", "the tree object is cut off or garbled")])
    return raws


def order_faults(raws: Sequence[RawEntry]) -> Iterator[tuple[str, str]]:
    """Name the entries that stand twice or in the wrong place, each with what is wrong."""
    names = [raw[1] for raw in raws]
    if len(set(names)) != len(names):
        from collections import Counter

        yield from ((_shown(name), "is there twice") for name, times in Counter(names).items() if times > 1)
    # Git sorts a folder as if its name ended in a slash.
    keys = [name + b"/" if mode == b"40000" else name for mode, name, _ in raws]
    if keys != sorted(keys):
        at = next(index for index in range(1, len(keys)) if keys[index] < keys[index - 1])
        yield _shown(names[at]), "is out of order"


def entry_faults(raws: Iterable[RawEntry]) -> Iterator[tuple[str, str]]:
    """Name the entries that may not be in any tree, each with what is wrong."""
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


def malformed(folder: str, faults: Iterable[tuple[str, str]]) -> InvalidError:
    """Make the error for what is wrong in one folder."""
    problems = [
        Problem(f"{name!r} {what}" if name or what == "is no name" else what, folder or None) for name, what in faults
    ]
    where = f"the tree of {folder!r}" if folder else "the top tree"
    return InvalidError(
        f"{where} is malformed: {problems[0].message}", problems=problems[:20] if len(problems) > 1 else ()
    )


def entry_of(raw: RawEntry) -> TreeEntry:
    """Read an entry that has no fault."""
    mode, kind = _TYPES[raw[0]]
    return TreeEntry(mode, raw[1].decode(), raw[2].hex(), kind)


def lenient_entry_of(raw: RawEntry) -> TreeEntry:
    """Read an entry of the state before, which was judged when it came in (or never was)."""
    mode, kind = _TYPES.get(raw[0], (raw[0].decode("ascii", "replace"), "tree" if raw[0] in FOLDER_MODES else "blob"))
    return TreeEntry(mode, raw[1].decode("utf-8", "surrogateescape"), raw[2].hex(), kind)
