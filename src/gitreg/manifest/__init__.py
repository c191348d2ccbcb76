"""Give meaning to the files under `models/`: manifests, tombstones, models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.manifest.compare import IMMUTABLE_FIELDS, changed_fields, missing_fields, rewritten_measurements
from gitreg.manifest.model import Model
from gitreg.manifest.parts import (
    Artifact,
    Code,
    Dataset,
    Evaluation,
    External,
    Framework,
    Lifecycle,
    Parent,
    Person,
    Training,
)
from gitreg.manifest.version import HEADER, Manifest, Tombstone, parse_version, version_from_data
from gitreg.parsing import API_VERSION

if TYPE_CHECKING:
    from gitreg.manifest.comparison import Comparison, FieldRow, Goal, MetricRow, side_by_side
    from gitreg.manifest.differ import FieldDiff, ManifestDiff, MetricDiff, diff

__all__ = [
    "API_VERSION",
    "HEADER",
    "IMMUTABLE_FIELDS",
    "Artifact",
    "Code",
    "Comparison",
    "Dataset",
    "Evaluation",
    "External",
    "FieldDiff",
    "FieldRow",
    "Framework",
    "Goal",
    "Lifecycle",
    "Manifest",
    "ManifestDiff",
    "MetricDiff",
    "MetricRow",
    "Model",
    "Parent",
    "Person",
    "Tombstone",
    "Training",
    "changed_fields",
    "diff",
    "missing_fields",
    "parse_version",
    "rewritten_measurements",
    "side_by_side",
    "version_from_data",
]


_LATER = {
    **dict.fromkeys(("FieldDiff", "ManifestDiff", "MetricDiff", "diff"), "gitreg.manifest.differ"),
    **dict.fromkeys(("Comparison", "FieldRow", "Goal", "MetricRow", "side_by_side"), "gitreg.manifest.comparison"),
}


def __getattr__(name: str) -> object:
    """Import comparisons when they are first asked for: making their classes takes milliseconds."""
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(_LATER[name]), name)
    raise AttributeError(f"module 'gitreg.manifest' has no attribute {name!r}")
