"""Keep what was read of a repository, as far as memory allows."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from gitreg.errors import InvalidError
from gitreg.git.trees import split

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.git.trees import RawEntry
    from gitreg.git.values import Object, Oid

_T = TypeVar("_T")

MOST_BYTES = 16 * 1024 * 1024
MOST_ENTRIES = 100_000


class Bounded(Generic[_T]):
    """Values by key, the newest up to a total weight; what is true once stays true, so nothing is ever replaced."""

    __slots__ = ("_lock", "_most", "_total", "_values", "_weigh")

    def __init__(self, most: int, weigh: Callable[[_T], int]) -> None:
        self._most = most
        self._weigh = weigh
        self._total = 0
        self._values: dict[str, _T] = {}
        self._lock = threading.Lock()

    def __contains__(self, key: str) -> bool:
        """Whether a value is still there."""
        return key in self._values

    def get(self, key: str) -> _T | None:
        """Give the value of a key, or None."""
        return self._values.get(key)

    def add(self, key: str, value: _T) -> None:
        """Keep a value, in the place of the oldest ones where there are too many."""
        weight = self._weigh(value)
        if weight > self._most:
            return
        with self._lock:
            if key in self._values:
                return
            self._values[key] = value
            self._total += weight
            while self._total > self._most:
                self._total -= self._weigh(self._values.pop(next(iter(self._values))))

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._values.clear()
            self._total = 0


class Folders:
    """The entries of the trees that were read, by tree and name."""

    __slots__ = ("_named", "_objects", "_oid_bytes", "_raws")

    def __init__(self, objects: Bounded[Object], oid_bytes: int) -> None:
        self._objects = objects
        self._oid_bytes = oid_bytes
        self._raws: Bounded[list[RawEntry]] = Bounded(MOST_ENTRIES, len)
        self._named: Bounded[dict[bytes, RawEntry]] = Bounded(MOST_ENTRIES, len)

    def raws(self, tree: Object, shown: str) -> list[RawEntry]:
        """Cut a tree into its entries, once; InvalidError, naming it as `shown`, where it is garbled."""
        found = self._raws.get(tree.oid)
        if found is None:
            found = split(tree.data, self._oid_bytes, shown)
            self._raws.add(tree.oid, found)
        return found

    def named(self, oid: Oid) -> dict[bytes, RawEntry] | None:
        """Give the entries of a tree by name; None where it was not read, or is garbled."""
        found = self._named.get(oid)
        if found is None:
            tree = self._objects.get(oid)
            if tree is None or tree.type != "tree":
                return None
            try:
                raws = self.raws(tree, "")
            except InvalidError:
                return None
            # Of two entries of one name git finds the first.
            found = {raw[1]: raw for raw in reversed(raws)}
            self._named.add(oid, found)
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._raws.clear()
        self._named.clear()
