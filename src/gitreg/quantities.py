"""Write sizes and differences for people."""

from __future__ import annotations

_STEP = 1024


def human_size(size: int) -> str:
    """Write a number of bytes, in powers of 1024."""
    if size < _STEP:
        return f"{size} B"
    value, units = size / _STEP, ["KiB", "MiB", "GiB", "TiB"]
    while value >= _STEP and len(units) > 1:
        value /= _STEP
        units.pop(0)
    return f"{value:.1f} {units[0]}"


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{value:+.6g}"
