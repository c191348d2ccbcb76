"""`gitreg lineage`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import at_option, selector_argument
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.cli.screen import Branch, Screen
    from gitreg.registry import LineageNode


@command("lineage")
@selector_argument
@click.option(
    "--depth", type=click.IntRange(1, 32), default=20, show_default=True, metavar="N", help="So many generations."
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(("tree", "dot", "mermaid", "svg", "html")),
    default="tree",
    show_default=True,
    help="As a tree, or as a graph for Graphviz, for Markdown, or to look at.",
)
@click.option("--down", is_flag=True, help="What came from it, in place of what it came from.")
@at_option
def lineage(session: Session, selector: str, depth: int, format_: str, at: str | None, *, down: bool) -> None:
    r"""Show what a version came from.

    Its parents, their parents and so on, each with its relation to what stands above it.

    \b
      gitreg lineage risk/base-encoder@2.0.0 --down
      gitreg lineage risk/fraud-detector@prod --format svg > lineage.svg    # needs the extra `plot`
    """
    with session.registry() as registry:
        node = registry.lineage(selector, depth=depth, down=down, at=at)
    session.answer(node, _render if format_ == "tree" else lambda screen, node: screen.block(_graph(node, format_)))


def _graph(node: LineageNode, format_: str) -> str:
    from gitreg.charts import lineage as graphs

    write: dict[str, Callable[[LineageNode], str]]
    write = {"dot": graphs.as_dot, "mermaid": graphs.as_mermaid, "svg": graphs.as_svg, "html": graphs.as_html}
    return write[format_](node)


def _render(screen: Screen, node: LineageNode) -> None:
    screen.tree(_branch(node))


def _branch(node: LineageNode) -> Branch:
    from gitreg.cli.screen import Branch

    notes = [note for note in (node.relation, node.state) if note]
    label = f"{node.name} ({', '.join(notes)})" if notes else node.name
    return Branch(label, tuple(map(_branch, (*node.parents, *node.children))))
