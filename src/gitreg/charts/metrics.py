"""A metric over the versions of a model: in the terminal, or as PNG, SVG or HTML."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.charts.files import MISSING, drawn, format_of, new_figure
from gitreg.charts.pages import figure, page, table
from gitreg.errors import UnavailableError
from gitreg.objects.local import write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.registry import Series

_MARGIN = 0.05  # of the span of the values, above and below
_LABELS = 24  # versions named on the axis of a file
_BESIDE = 22  # columns beside a chart in the terminal: the numbers on the left, the end of the axis
_NARROWEST = 20
_CLEARANCE = 2  # columns between two versions' names in the terminal


def in_terminal(series: Series, width: int, height: int = 12) -> str:
    """Draw each metric in characters, one chart below the other; `width` is in columns."""
    try:
        import plotille  # type: ignore[import-untyped] # it has no types
    except ImportError as error:
        raise UnavailableError("charts in the terminal need plotille", hint=MISSING) from error
    charts = []
    for metric, values in series.metrics.items():
        places = [place for place, value in enumerate(values) if value is not None]
        known = [value for value in values if value is not None]
        low, high = _span(known)
        figure = plotille.Figure()
        figure.with_colors = False
        figure.width, figure.height = max(_NARROWEST, width - _BESIDE - len(series.versions[-1]) // 2), height
        last = max(1, len(values) - 1)
        figure.set_x_limits(0, last + last / figure.width / 2)  # what lies on the limit is not drawn
        figure.set_y_limits(low, high)
        figure.y_label, figure.x_label = metric, "version"
        figure.y_ticks_fkt = lambda value, _: f"{value:.4g}"
        figure.x_ticks_fkt = lambda _value, _: ""
        if len(places) > 1:
            figure.plot(places, known)
        figure.scatter(places, known, marker="o")
        lines = [line.rstrip() for line in figure.show().replace("-> (version)", "").splitlines()]
        indent = lines[-1].find("|") + 2
        charts.append("\n".join([*lines[:-1], " " * indent + _axis(series.versions, figure.width)]))
    return "\n\n".join(charts)


def _axis(versions: Sequence[str], width: int) -> str:
    """Write as many versions as there is room for, each below its place, the first and the last always."""
    last = len(versions) - 1
    line = [" "] * (width + len(versions[-1]))
    free = 0
    end = _column(last, last, width) - len(versions[-1]) // 2
    for place, version in enumerate(versions):
        column = max(0, _column(place, last, width) - len(version) // 2)
        room = column >= free and (place == last or column + len(version) + _CLEARANCE <= end)
        if room or place == 0:
            line[column : column + len(version)] = version
            free = column + len(version) + _CLEARANCE
    return "".join(line).rstrip()


def _column(place: int, last: int, width: int) -> int:
    return round(place / max(1, last) * (width - 1))


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = (high - low) * _MARGIN or abs(high) * _MARGIN or 1.0
    return low - margin, high + margin


def write_chart(series: Series, path: Path) -> None:
    """Write the chart to a file whose name ends in .png, .svg or .html; the page holds the figures as a table too."""
    format_ = format_of(path)
    title = f"{series.model}: {', '.join(series.metrics)}"
    drawing = new_figure(8, 2.6 * len(series.metrics) + 0.4)
    axes = drawing.subplots(len(series.metrics), sharex=True, squeeze=False)[:, 0]
    places = range(len(series.versions))
    for axis, (metric, values) in zip(axes, series.metrics.items(), strict=True):
        axis.plot(places, [float("nan") if value is None else value for value in values], marker="o")
        axis.set_ylabel(metric)
        axis.grid(visible=True, alpha=0.3)
    drawing.suptitle(str(series.model))
    step = -(-len(series.versions) // _LABELS)
    axes[-1].set_xticks(places[::step], labels=series.versions[::step], rotation=45, ha="right")
    picture = drawn(drawing, "svg" if format_ == "html" else format_, title)
    write_whole(path, _page(series, title, picture.decode()).encode() if format_ == "html" else picture)


def _page(series: Series, title: str, picture: str) -> str:
    rows = (
        (version, series.created[place], *(_cell(values[place]) for values in series.metrics.values()))
        for place, version in enumerate(series.versions)
    )
    return page(title, [figure(title, picture), table(("Version", "Created", *series.metrics), rows, numbers=2)])


def _cell(value: float | None) -> str | None:
    return None if value is None else f"{value:.6g}"
