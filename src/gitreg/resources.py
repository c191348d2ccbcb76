"""Find the files that gitreg ships: schemas, hooks, the example registry."""

from __future__ import annotations

from pathlib import Path


def resource(name: str) -> Path:
    """Name the folder of shipped files: beside the code in a wheel, at the top level in a checkout."""
    packaged = Path(__file__).parent / "_data" / name
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / name
