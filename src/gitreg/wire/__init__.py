"""Read and write the registry's YAML: strictly, with positions, and in one canonical form."""

from __future__ import annotations

from gitreg.wire.document import Document, Mark, Path, field_name
from gitreg.wire.limits import MAX_BYTES, MAX_DEPTH, MAX_KEY, MAX_NODES, MAX_NUMBER
from gitreg.wire.plain import plain
from gitreg.wire.read import load, load_plain
from gitreg.wire.write import dump

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_KEY",
    "MAX_NODES",
    "MAX_NUMBER",
    "Document",
    "Mark",
    "Path",
    "dump",
    "field_name",
    "load",
    "load_plain",
    "plain",
]
