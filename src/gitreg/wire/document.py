"""Keep what a file says together with where it says it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from gitreg.records import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Mapping

Path: TypeAlias = tuple[str | int, ...]
"""Where inside a document: ("training", "datasets", 0, "version"); () is the document itself."""


class Mark(NamedTuple):
    """A place in a file, counted from 1, in characters."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Document:
    """A file's value, the place of every field and item, and the file's own name.

    A field stands where its key stands, an item of a list where it begins. `sources` holds the text of the plain
    scalars that were not read as text, so that a message can repeat `2026.10` as it was written.
    """

    value: dict[str, Any]
    marks: Mapping[Path, Mark] = field(default_factory=dict)
    path: str | None = None
    sources: Mapping[Path, str] = field(default_factory=dict)

    def mark(self, path: Path) -> Mark | None:
        """Find the place of a field, or of the nearest thing around it whose place is known."""
        for length in range(len(path), -1, -1):
            if found := self.marks.get(path[:length]):
                return found
        return None


def field_name(path: Path) -> str:
    """Write a path as people do: `training.datasets[0].version`."""
    name = ""
    for part in path:
        if isinstance(part, int):
            name += f"[{part}]"
        elif re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]*", part):
            name += f".{part}" if name else part
        else:
            name += f"[{part!r}]"
    return name
