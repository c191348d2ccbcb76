"""Tell what came from a version, through the index."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.lineage import MAX_DEPTH
from gitreg.manifest import Lifecycle
from gitreg.reader import indexing
from gitreg.registry.reads import found
from gitreg.registry.results import LineageNode

if TYPE_CHECKING:
    from collections.abc import Iterable
    from sqlite3 import Connection

    from gitreg.names import Selector
    from gitreg.reader import Snapshot

MOST = 10_000
"""Versions that are shown."""

_CHILDREN = (
    "SELECT c.model, c.version, p.relation, m.lifecycle FROM parents p "
    "CROSS JOIN versions c ON c.manifest = p.manifest "
    "CROSS JOIN manifests m ON m.id = c.manifest WHERE p.model = ? AND p.version = ? ORDER BY c.model, c.precedence"
)


class _Key(NamedTuple):
    model: str
    version: str


class _Child(NamedTuple):
    key: _Key
    relation: str
    lifecycle: str


def descendants(snapshot: Snapshot, selector: Selector, depth: int, *, now: bool) -> LineageNode:
    """Build the tree of what came from a version, `depth` generations down.

    Each version is shown with what came from it once, where it is nearest to the root; so a circle ends.
    """
    if not 0 <= depth <= MAX_DEPTH:
        raise InvalidError(f"cannot go {depth} generations down", hint=f"allowed: 0 to {MAX_DEPTH}")
    manifest = found(snapshot, selector).manifest
    root = _Child(_Key(str(manifest.model), str(manifest.version)), "", manifest.lifecycle)
    family, _ = indexing.ask(snapshot, lambda connection: _family(connection, root.key, depth), now=now)
    return _Tree(family).grow(root, None)


class _Family(NamedTuple):
    """The children of each version that is opened, in which one's list it is opened itself, and what is cut."""

    children: dict[_Key, list[_Child]]
    shown_below: dict[_Key, _Key | None]
    cut: set[_Key]


def _family(connection: Connection, root: _Key, depth: int) -> _Family:
    family, level, count = _Family({}, {root: None}, set()), [root], 0
    for generation in range(depth + 1):
        below: list[_Key] = []
        for key in level:
            rows = connection.execute(_CHILDREN, key)
            children = [_Child(_Key(*row[:2]), *row[2:]) for row in islice(rows, MOST - count + 1)]
            if children and (generation == depth or count + len(children) > MOST):
                family.cut.add(key)
                continue
            count += len(children)
            family.children[key] = children
            fresh = [each.key for each in children if each.key not in family.shown_below]
            family.shown_below.update(dict.fromkeys(fresh, key))
            below += fresh
        level = below
    return family


class _Tree:
    """Grow the tree, and remember of whom it shows already what came from it."""

    def __init__(self, family: _Family) -> None:
        self._family = family
        self._shown: set[_Key] = set()

    def grow(self, child: _Child, above: _Key | None) -> LineageNode:
        key, family = child.key, self._family
        elsewhere = family.shown_below[key] != above or key in self._shown
        self._shown |= set() if elsewhere else {key}
        state = None if child.lifecycle == Lifecycle.ACTIVE else str(child.lifecycle)
        if elsewhere and (family.children.get(key) or key in family.cut):
            state = "what came from it is shown above"
        elif key in family.cut:
            state = "what came from it is more, or deeper, than is shown"
        children: Iterable[_Child] = () if elsewhere else family.children.get(key, ())
        return LineageNode(
            name=f"{key.model}@{key.version}",
            relation=child.relation or None,
            state=state,
            parents=(),
            children=tuple(self.grow(each, key) for each in children),
        )
