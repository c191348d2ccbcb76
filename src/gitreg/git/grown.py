"""Work out the trees that edits make of another, so that what was written need not be read back."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from gitreg.git.trees import FOLDER_MODES
from gitreg.git.values import Object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.git.objects import Objects
    from gitreg.git.trees import RawEntry
    from gitreg.git.values import Oid

Folder = dict[bytes, "Folder | bytes | None"]

# Of more than this whoever needs it asks git, as of all that others have written.
MOST_BYTES = 1 << 20
_FILE = b"100644"


class _UnknownError(Exception):
    """A tree was not read, or is large."""


def grown(objects: Objects, tree: Oid, edits: Mapping[str, bytes | None]) -> list[Object] | None:
    """Give what edits (None removes) add to a tree: files, folders, and last the new tree itself.

    None where a folder on the way was not read before: git is not asked. What is given holds if the tree that git wrote
    has the same id.
    """
    if sum(len(data) for data in edits.values() if data is not None) > MOST_BYTES:
        return None
    found: list[Object] = []
    try:
        _Growing(objects, found).folder(tree, _nested(edits))
    except _UnknownError:
        return None
    return found


def _nested(edits: Mapping[str, bytes | None]) -> Folder:
    nested: Folder = {}
    for path, data in edits.items():
        *above, name = path.encode().split(b"/")
        folder = nested
        for part in above:
            inner = folder.setdefault(part, {})
            if not isinstance(inner, dict):
                raise _UnknownError  # a file gives way to a folder
            folder = inner
        folder[name] = data
    return nested


class _Growing:
    def __init__(self, objects: Objects, found: list[Object]) -> None:
        self._objects = objects
        self._found = found
        self._left = MOST_BYTES
        self._hash = "sha1" if objects.oid_bytes == hashlib.sha1(usedforsecurity=False).digest_size else "sha256"

    def folder(self, tree: Oid | None, edits: Folder) -> bytes | None:
        """Change a folder, and those in it; give its id, or None where nothing is left in it."""
        before = self._objects.named(tree) if tree else {}
        if before is None:
            raise _UnknownError
        entries = dict(before)
        for name, edit in edits.items():
            entry = self._entry(name, entries.get(name), edit)
            if entry is None:
                entries.pop(name, None)
            else:
                entries[name] = entry
        if not entries:
            return None
        # Git sorts a folder as if its name ended in a slash.
        ordered = sorted(entries.values(), key=lambda raw: raw[1] + b"/" if raw[0] in FOLDER_MODES else raw[1])
        return self._add("tree", b"".join(b"%s %s\0%s" % raw for raw in ordered))

    def _entry(self, name: bytes, before: RawEntry | None, edit: Folder | bytes | None) -> RawEntry | None:
        if isinstance(edit, dict):
            is_folder = before is not None and before[0] in FOLDER_MODES
            oid = self.folder(before[2].hex() if before and is_folder else None, edit)
            return (FOLDER_MODES[0], name, oid) if oid else None
        return (_FILE, name, self._add("blob", edit)) if edit is not None else None

    def _add(self, kind: str, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0:
            raise _UnknownError
        oid = hashlib.new(self._hash, b"%s %d\0" % (kind.encode(), len(data)) + data, usedforsecurity=False).digest()
        self._found.append(Object(oid.hex(), kind, data))
        return oid
