"""Draw on the server what needs no script: metrics as lines, lineage as a graph; the templates write the SVG."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from gitreg.charts.lineage import graph_of, laid_out
from gitreg.errors import InvalidError
from gitreg.names import Selector
from gitreg.records import replace
from gitreg.server.pages.rendering import version_url

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from gitreg.charts.lineage import Stop
    from gitreg.names import ModelName
    from gitreg.registry.results import LineageNode
    from gitreg.server.pages.listing import Measured

WIDTH, HEIGHT = 360, 120
MOST_BOXES = 60
_LEFT, _RIGHT, _TOP, _BOTTOM = 6, 6, 10, 10
BOX, TALL = 184, 52
_GAP, _ROW = 96, 76
_MODEL_LETTERS, _LETTERS = 24, 22


class Line(NamedTuple):
    """A metric as a line: its pieces (a version that lacks it breaks the line), its points, and its ends."""

    name: str
    values: tuple[float | None, ...]
    pieces: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    low: float
    high: float
    last: float


def line_of(metric: Measured) -> Line:
    """Place a metric's values in a box of WIDTH by HEIGHT."""
    present = [value for value in metric.values if value is not None]
    low, high = min(present), max(present)
    steps = max(1, len(metric.values) - 1)

    def place(index: int, value: float) -> tuple[float, float]:
        across = _LEFT + (WIDTH - _LEFT - _RIGHT) * index / steps
        share = (value - low) / (high - low) if high > low else 0.5
        return round(across, 1), round(HEIGHT - _BOTTOM - (HEIGHT - _TOP - _BOTTOM) * share, 1)

    pieces: list[list[tuple[float, float]]] = [[]]
    for index, value in enumerate(metric.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(place(index, value))
    paths = tuple("M" + " L".join(f"{x} {y}" for x, y in piece) for piece in pieces if len(piece) > 1)
    points = tuple(point for piece in pieces for point in piece)
    return Line(metric.name, metric.values, paths, points, low, high, present[-1])


class Box(NamedTuple):
    """A version in a drawn graph: its upper left corner, its two lines and a note, and where it leads."""

    x: float
    y: float
    title: str
    model: str
    version: str
    note: str
    href: str | None
    is_root: bool


class Arrow(NamedTuple):
    """An edge of a drawn graph: its path, its relation and where that is written."""

    path: str
    relation: str
    x: float
    y: float


class Drawing(NamedTuple):
    """A graph, placed."""

    width: int
    height: int
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]


def pruned(node: LineageNode, reads: Callable[[ModelName], bool]) -> LineageNode:
    """Cut the ancestors of what the caller may not read: only its name is known, from a manifest that may be read."""
    try:
        readable = reads(Selector.parse(node.name).model)
    except InvalidError:
        readable = True  # a base outside the registry; a parent's relation may be any word, `base` as well
    if not readable:
        return replace(node, state="you may not read it", parents=())
    return replace(node, parents=tuple(pruned(each, reads) for each in node.parents))


def drawing_of(root: LineageNode) -> Drawing | None:
    """Place the versions of a lineage, what came first on the left; None where there are too many to look at."""
    graph = graph_of(root)
    if len(graph.nodes) > MOST_BOXES:
        return None
    routes, columns = laid_out(graph)
    rows = max(map(len, columns))
    places: dict[Stop, tuple[float, float]] = {
        stop: (column * (BOX + _GAP), (row + (rows - len(stops)) / 2) * _ROW)
        for column, stops in enumerate(columns)
        for row, stop in enumerate(stops)
    }
    boxes = [
        _box(stop.child, graph.nodes[stop.child], place, is_root=stop.child == root.name)
        for stop, place in places.items()
        if stop.parent is None
    ]
    arrows = [
        _arrow([places[stop] for stop in route], relation)
        for route, relation in zip(routes, graph.edges.values(), strict=True)
    ]
    width = len(columns) * BOX + (len(columns) - 1) * _GAP
    return Drawing(width, int((rows - 1) * _ROW + TALL), tuple(boxes), tuple(arrows))


def _box(name: str, note: str, place: tuple[float, float], *, is_root: bool) -> Box:
    model, at, version = name.rpartition("@")
    is_version = bool(at) and ":" not in name
    href = version_url(model, version) if is_version and "read it" not in note else None
    first, second = (model, version) if is_version else (name, "outside the registry")
    shown = "" if note == "outside the registry" else note
    return Box(*place, name, _cut(first, _MODEL_LETTERS), _cut(second, _LETTERS), _cut(shown, 24), href, is_root)


def _cut(text: str, letters: int) -> str:
    return text if len(text) <= letters else f"{text[: letters - 1]}…"


def _arrow(places: Sequence[tuple[float, float]], relation: str) -> Arrow:
    middle = TALL / 2
    path = f"M{places[0][0] + BOX} {places[0][1] + middle}"
    for (x0, y0), (x1, y1) in pairwise(places):
        bend = _GAP / 2
        path += f" C{x0 + BOX + bend} {y0 + middle} {x1 - bend} {y1 + middle} {x1} {y1 + middle}"
        if (x1, y1) != places[-1]:
            path += f" L{x1 + BOX} {y1 + middle}"
    (x0, y0), (_, y1) = places[0], places[1]
    return Arrow(path, _cut(relation, 18), x0 + BOX + _GAP / 2, (y0 + y1) / 2 + middle - 6)
