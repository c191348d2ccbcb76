"""The public face of gitreg: one method a use case."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.registry.answering import ModelVersion, Pulled
from gitreg.registry.facade import Registry
from gitreg.registry.opening import open_registry
from gitreg.registry.results import (
    LineageNode,
    ModelSummary,
    Series,
    StatusRow,
    VersionDetails,
    VersionSummary,
)
from gitreg.writer import Mode, Written

if TYPE_CHECKING:
    from gitreg.registry.register import RegisterRequest

__all__ = [
    "LineageNode",
    "Mode",
    "ModelSummary",
    "ModelVersion",
    "Pulled",
    "RegisterRequest",
    "Registry",
    "Series",
    "StatusRow",
    "VersionDetails",
    "VersionSummary",
    "Written",
    "open_registry",
]


def __getattr__(name: str) -> object:
    """Import what registering needs when it is first asked for: reading starts faster without it."""
    if name == "RegisterRequest":
        from gitreg.registry.register import RegisterRequest

        return RegisterRequest
    raise AttributeError(f"module 'gitreg.registry' has no attribute {name!r}")
