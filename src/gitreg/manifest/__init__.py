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
    from gitreg.manifest.differ import FieldDiff, ManifestDiff, MetricDiff, diff

__all__ = [
    "API_VERSION",
    "HEADER",
    "IMMUTABLE_FIELDS",
    "Artifact",
    "Code",
    "Dataset",
    "Evaluation",
    "External",
    "FieldDiff",
    "Framework",
    "Lifecycle",
    "Manifest",
    "ManifestDiff",
    "MetricDiff",
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
    "version_from_data",
]


def __getattr__(name: str) -> object:
    """Import the comparison of two versions when it is first asked for: making its classes takes milliseconds."""
    if name in {"FieldDiff", "ManifestDiff", "MetricDiff", "diff"}:
        from gitreg.manifest import differ

        return getattr(differ, name)
    raise AttributeError(f"module 'gitreg.manifest' has no attribute {name!r}")
