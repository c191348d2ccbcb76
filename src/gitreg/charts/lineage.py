"""Lineage as a graph: DOT for Graphviz, Mermaid for Markdown, SVG and HTML for everybody else."""

from __future__ import annotations

from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.charts import pages
from gitreg.charts.files import drawn, new_figure

if TYPE_CHECKING:
    from gitreg.registry import LineageNode

_STEP = 1.0  # between two rows, inches
_WIDTH = 3.2  # of a column
_INK = "#35577d"
_CENTRED: dict[str, Any] = {"ha": "center", "va": "center"}
_SIDES = ("patchA", "patchB")


class Graph(NamedTuple):
    """Versions by name with what is noted of them, and edges from a parent to what came from it, with its relation."""

    nodes: dict[str, str]
    edges: dict[tuple[str, str], str]


def graph_of(root: LineageNode) -> Graph:
    """Turn a tree, in which a version may stand several times, into a graph in which it stands once."""
    graph = Graph({}, {})
    waiting = [root]
    while waiting:
        node = waiting.pop(0)
        note = node.state or ""
        if node.name not in graph.nodes or "shown above" in graph.nodes[node.name]:
            graph.nodes[node.name] = note
        for parent in node.parents:
            graph.edges[parent.name, node.name] = parent.relation or ""
        for child in node.children:
            graph.edges[node.name, child.name] = child.relation or ""
        waiting += (*node.parents, *node.children)
    return Graph({name: "" if "shown above" in note else note for name, note in graph.nodes.items()}, graph.edges)


def as_dot(root: LineageNode) -> str:
    """Write the graph in Graphviz's DOT (https://graphviz.org/doc/info/lang.html)."""
    graph = graph_of(root)
    lines = ["digraph lineage {", "  rankdir=LR;", "  node [shape=box];"]
    for name, note in graph.nodes.items():
        label = _quoted(f"{name}\n{note}" if note else name)
        lines.append(f"  {_quoted(name)} [label={label}];")
    for (parent, child), relation in graph.edges.items():
        label = f" [label={_quoted(relation)}]" if relation else ""
        lines.append(f"  {_quoted(parent)} -> {_quoted(child)}{label};")
    return "\n".join([*lines, "}"])


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def as_mermaid(root: LineageNode) -> str:
    """Write the graph as a Mermaid flowchart (https://mermaid.js.org/syntax/flowchart.html)."""
    graph = graph_of(root)
    ids = {name: f"v{number}" for number, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[name]}["{_entities(name)}{_line(note)}"]' for name, note in graph.nodes.items()]
    for (parent, child), relation in graph.edges.items():
        label = f'|"{_entities(relation)}"|' if relation else ""
        lines.append(f"  {ids[parent]} -->{label} {ids[child]}")
    return "\n".join(lines)


def _line(note: str) -> str:
    return f"<br/>{_entities(note)}" if note else ""


def _entities(text: str) -> str:
    """Write what Mermaid or HTML would read as more than text by its code point."""
    return "".join(each if each.isalnum() or each in " @./-_:" else f"#{ord(each)};" for each in text)


def as_svg(root: LineageNode) -> str:
    """Draw the graph, what came first on the left; UnavailableError where matplotlib is not installed."""
    graph = graph_of(root)
    routes, columns = laid_out(graph)
    rows = max(map(len, columns))
    figure = new_figure(_WIDTH * len(columns), _STEP * rows)
    axes = figure.add_subplot()
    axes.set(xlim=(-0.5, len(columns) - 0.5), ylim=(rows - 0.5, -0.5))
    axes.axis("off")
    places = {
        stop: (stop.column, row + (rows - len(column)) / 2) for column in columns for row, stop in enumerate(column)
    }
    box = {"boxstyle": "round,pad=0.4", "facecolor": "#eef3fb", "edgecolor": _INK}
    boxes = {
        stop: axes.text(*place, _label(stop.child, graph.nodes[stop.child]), **_CENTRED, fontsize=8, bbox=box)
        for stop, place in places.items()
        if stop.parent is None
    }
    for relation, route in zip(graph.edges.values(), routes, strict=True):
        for begin, end in pairwise(route):
            ends = {
                side: boxes[stop].get_bbox_patch()
                for side, stop in zip(_SIDES, (begin, end), strict=True)
                if stop in boxes
            }
            line = {"arrowstyle": "-|>" if end in boxes else "-", "color": _INK, "shrinkA": 0, "shrinkB": 0, **ends}
            axes.annotate("", places[end], places[begin], arrowprops=line)
        across, down = ((one + other) / 2 for one, other in zip(places[route[0]], places[route[1]], strict=True))
        axes.text(across, down, relation, ha="center", va="bottom", fontsize=7, color="#555555")
    return drawn(figure, "svg", f"Lineage of {root.name}").decode()


def as_html(root: LineageNode) -> str:
    """Draw the graph on a page, with a table of what it shows; UnavailableError where matplotlib is not installed."""
    graph = graph_of(root)
    title = f"Lineage of {root.name}"
    came = [(child, relation, parent) for (parent, child), relation in graph.edges.items()]
    parts = [pages.figure(title, as_svg(root))]
    if came:
        parts.append(pages.table(("Version", "Relation", "Came from"), came))
    if noted := [(name, note) for name, note in graph.nodes.items() if note]:
        parts.append(pages.table(("Version", "State"), noted))
    return pages.page(title, parts)


def _label(name: str, note: str) -> str:
    """Break a name before its version; a dollar would begin mathematics."""
    model, at, version = name.rpartition("@")
    lines = [model, f"{at}{version}"] if model else [name]
    return "\n".join([*lines, *([note] if note else [])]).replace("$", r"\$")


class Stop(NamedTuple):
    """Where a version stands, or where the edge from `parent` to `child` runs through a column between the two."""

    column: int
    child: str
    parent: str | None = None


def laid_out(graph: Graph) -> tuple[list[list[Stop]], list[list[Stop]]]:
    """Give each edge the stops it runs through, and each column its stops, top to bottom.

    Layered as by Sugiyama, Tagawa and Toda (1981): a version stands left of all that came from it, an edge that skips
    columns has a stop in each, and a stop stands near those that it leads to.
    """
    distances = _distances(graph)
    last = max(distances.values())
    stands = {name: Stop(last - distance, name) for name, distance in distances.items()}
    routes = []
    for parent, child in graph.edges:
        between = range(stands[parent].column + 1, stands[child].column)
        routes.append([stands[parent], *(Stop(column, child, parent) for column in between), stands[child]])
    stops = dict.fromkeys([*stands.values(), *(stop for route in routes for stop in route)])
    leads: dict[Stop, list[Stop]] = {stop: [] for stop in stops}
    for begin, end in (step for route in routes for step in pairwise(route)):
        leads[begin].append(end)
    columns = [[stop for stop in stops if stop.column == column] for column in range(last + 1)]
    rows = {stop: row for row, stop in enumerate(columns[-1])}
    for column in reversed(columns[:-1]):
        column.sort(key=lambda stop: fmean(rows[end] for end in leads[stop]))
        rows |= {stop: row for row, stop in enumerate(column)}
    return routes, columns


def _distances(graph: Graph) -> dict[str, int]:
    """Count the edges of the longest way from each version to the one that was asked for."""
    distances = dict.fromkeys(graph.nodes, 0)
    for _ in graph.nodes:  # no way is longer, and there are no circles: a parent is there before its child
        before = dict(distances)
        for parent, child in graph.edges:
            distances[parent] = max(distances[parent], distances[child] + 1)
        if distances == before:
            break
    return distances
