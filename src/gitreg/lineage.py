"""Walk from a version to the versions that it came from."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.manifest import Manifest, Tombstone
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gitreg.names import ModelName, Version

    Lookup = Callable[[ModelName, Version], Manifest | Tombstone | None]

MAX_DEPTH = 32


class Standing(StrEnum):
    """What is known of an ancestor."""

    FOUND = "found"
    DELETED = "deleted"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ancestor:
    """A version in a tree of lineage, and how the one below it came from it.

    `base` is a parent outside the registry. `repeated` stands where the version's own parents are shown elsewhere in
    the tree, `cut` where they lie deeper than was asked for.
    """

    model: ModelName
    version: Version
    relation: str | None
    standing: Standing
    base: str | None = None
    parents: tuple[Ancestor, ...] = ()
    repeated: bool = False
    cut: bool = False

    def __str__(self) -> str:
        """Write `project/name@version`."""
        return f"{self.model}@{self.version}"


class _Key(NamedTuple):
    model: ModelName
    version: Version


class _Found(NamedTuple):
    manifest: Manifest | Tombstone | None
    below: _Key | None
    cut: bool


def lineage(model: ModelName, version: Version, lookup: Lookup, *, depth: int = MAX_DEPTH) -> Ancestor:
    """Give the tree of a version's ancestors, `depth` generations up.

    Each version is looked up once and shown with its parents once, where it is nearest to the root; so a circle ends,
    and a family that meets again and again does not grow the tree. `lookup` gives None for a version that does not
    exist.
    """
    if not 0 <= depth <= MAX_DEPTH:
        raise InvalidError(f"cannot go {depth} generations up", hint=f"allowed: 0 to {MAX_DEPTH}")
    root = _Key(model, version)
    found: dict[_Key, _Found] = {}
    generation: dict[_Key, _Key | None] = {root: None}
    for level in range(depth + 1):
        following: dict[_Key, _Key | None] = {}
        for key, below in generation.items():
            manifest = lookup(*key)
            parents = list(_parents(manifest))
            found[key] = _Found(manifest, below, cut=bool(parents) and level == depth)
            if level < depth:
                following |= {parent: key for parent in parents if parent not in following}
        generation = {key: below for key, below in following.items() if key not in found}
    return _Tree(found).grow(root, None, None)


def _parents(manifest: Manifest | Tombstone | None) -> Iterator[_Key]:
    if isinstance(manifest, Manifest):
        for parent in manifest.parents:
            yield _Key(parent.model, parent.version)


class _Tree:
    """Grow the tree, and remember whose parents it shows already."""

    def __init__(self, found: dict[_Key, _Found]) -> None:
        self._found = found
        self._shown: set[_Key] = set()

    def grow(self, key: _Key, below: _Key | None, relation: str | None) -> Ancestor:
        manifest, shown_below, cut = self._found[key]
        if not isinstance(manifest, Manifest):
            standing = Standing.DELETED if isinstance(manifest, Tombstone) else Standing.MISSING
            return Ancestor(model=key.model, version=key.version, relation=relation, standing=standing)
        elsewhere = below != shown_below or key in self._shown
        if not elsewhere:
            self._shown.add(key)
        above = () if cut or elsewhere else manifest.parents
        return Ancestor(
            model=key.model,
            version=key.version,
            relation=relation,
            standing=Standing.FOUND,
            base=manifest.base,
            parents=tuple(self.grow(_Key(each.model, each.version), key, each.relation) for each in above),
            repeated=elsewhere and bool(manifest.parents),
            cut=cut and not elsewhere,
        )
