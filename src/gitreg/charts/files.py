"""Draw charts with matplotlib, which the extra `plot` brings."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

from gitreg.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "html")
MISSING = "pip install 'gitreg[plot]'"


def format_of(path: Path) -> str:
    """Tell a chart's format by the ending of its file's name."""
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise InvalidError(f"{path.name!r} names no format of a chart", hint=f"end it in {', '.join(FORMATS)}")
    return ending


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure, in inches; UnavailableError where matplotlib is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UnavailableError("charts in files need matplotlib", hint=MISSING) from error
    return Figure(figsize=(width, height), layout="constrained")


def drawn(figure: Figure, format_: str, title: str) -> bytes:
    """Draw a figure; the same figure gives the same bytes."""
    from matplotlib import rc_context

    data = BytesIO()
    # Text stays text in SVG, so that it can be searched and read aloud.
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "gitreg"}):
        about = {"Title": title, "Date": None} if format_ == "svg" else {"Title": title}
        figure.savefig(data, format=format_, dpi=150, metadata=about)
    return data.getvalue()
