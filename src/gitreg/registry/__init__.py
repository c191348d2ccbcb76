"""The public face of gitreg: one method a use case."""

from __future__ import annotations

from gitreg.registry.answering import ModelVersion, Pulled
from gitreg.registry.facade import Registry, open_registry
from gitreg.registry.register import RegisterRequest
from gitreg.registry.results import (
    LineageNode,
    ModelSummary,
    Series,
    StatusRow,
    VersionDetails,
    VersionSummary,
)
from gitreg.writer import Mode, Written

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
