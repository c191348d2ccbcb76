"""Tell what a file is from its content, and keep model files out of ordinary repositories."""

from __future__ import annotations

from gitreg.scan.content import detect, detect_file
from gitreg.scan.formats import PICKLES, Format
from gitreg.scan.stray import is_model_file

__all__ = ["PICKLES", "Format", "detect", "detect_file", "is_model_file"]
