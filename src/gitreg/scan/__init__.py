"""Tell what a file is from its content, look into it, and keep model files out of ordinary repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.scan.content import detect, detect_file
from gitreg.scan.formats import PICKLES, Format
from gitreg.scan.stray import is_model_file

if TYPE_CHECKING:
    from gitreg.scan.headers.source import Tensor
    from gitreg.scan.inspection import Inspection, inspect_file
    from gitreg.scan.sandbox import Inspector, inspect_files

__all__ = [
    "PICKLES",
    "Format",
    "Inspection",
    "Inspector",
    "Tensor",
    "detect",
    "detect_file",
    "inspect_file",
    "inspect_files",
    "is_model_file",
]


def __getattr__(name: str) -> object:
    """Import what looks into files when it is first asked for: to tell a format needs none of it."""
    if name in {"Inspection", "inspect_file"}:
        from gitreg.scan import inspection

        return getattr(inspection, name)
    if name in {"Inspector", "inspect_files"}:
        from gitreg.scan import sandbox

        return getattr(sandbox, name)
    if name == "Tensor":
        from gitreg.scan.headers.source import Tensor

        return Tensor
    raise AttributeError(f"module 'gitreg.scan' has no attribute {name!r}")
