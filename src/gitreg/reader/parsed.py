"""Keep what the files of a registry say, as long as it is open."""

from __future__ import annotations

import marshal
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from gitreg.git.kept import Bounded

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitreg.access import Access
    from gitreg.digest import Digest
    from gitreg.settings import Settings

R = TypeVar("R", "Settings", "Access")

_MOST = 4 * 1024 * 1024
_MOST_RULES = 16


class PlainFile(NamedTuple):
    """What a file of the registry says, as plain data, and the digest of its bytes."""

    data: Mapping[str, Any]
    digest: Digest


class Parsed:
    """What files say, by their blobs: no file is parsed twice while a registry is open.

    It is kept as bytes and given anew each time, so that what a caller does with an answer is in no other answer;
    settings and access rules, which nobody can change, are kept as they are.
    """

    def __init__(self) -> None:
        self._files: Bounded[tuple[Digest, bytes]] = Bounded(_MOST, lambda kept: len(kept[1]))
        self._rules: Bounded[Settings | Access] = Bounded(_MOST_RULES, lambda _: 1)

    def file(self, oid: str, read: Callable[[], PlainFile]) -> PlainFile:
        """Give what a file says, which is read only where it was not before."""
        kept = self._files.get(oid)
        if kept is not None:
            return PlainFile(marshal.loads(kept[1]), kept[0])  # noqa: S302 - written below
        found = read()
        data: Any = found.data  # of the types that YAML has
        self._files.add(oid, (found.digest, marshal.dumps(data)))
        return found

    def __contains__(self, oid: str) -> bool:
        """Whether a file was read before."""
        return oid in self._files

    def rules(self, oid: str, read: Callable[[], R]) -> R:
        """Give the settings or the access rules of a file, in the same way."""
        kept: Any = self._rules.get(oid)
        if kept is None:
            self._rules.add(oid, kept := read())
        found: R = kept
        return found
