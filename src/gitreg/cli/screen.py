"""Show lines, fields, tables and trees: with rich on a terminal, as plain aligned text in a pipe."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NamedTuple

from gitreg.cli.text import clean, one_line

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from typing import TextIO

    from rich.console import Console, JustifyMethod
    from rich.tree import Tree

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_STYLES = {
    "live": "green",
    "failed": "red",
    "yanked": "red",
    "deprecated": "yellow",
    "archived": "dim",
    "deleted": "dim",
    "approve": "green",
    "reject": "red",
    "ok": "green",
    "wrong": "red",
    "yes": "green",
    "no": "red",
}
# The columns whose words those are, and those whose text may go on in a second line.
_STATES = frozenset({"STATE", "LIFECYCLE", "VERDICT", "ALLOWED"})
_PROSE = frozenset(
    {"DESCRIPTION", "REASON", "SUBJECT", "CHANGES", "METRICS", "COMMENT", "URI", "FOUND", "REMEDY", "MEANING", "DRIFT"}
    | {"LEFT", "RIGHT", "VALUE", "DEPLOYED", "ALIASES"}
)


class Branch(NamedTuple):
    """A node of a tree to show, with what hangs from it."""

    label: str
    children: tuple[Branch, ...] = ()


class Screen:
    """Where answers go: a terminal, with colours unless NO_COLOR is set, or a pipe, in plain text."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stdout
        self.terminal = self.stream.isatty() and os.environ.get("TERM") != "dumb"
        self.colour = self.terminal and not os.environ.get("NO_COLOR")

    def line(self, text: object = "", style: str | None = None) -> None:
        """Show one line."""
        self._write(one_line(text) if style is None else self._styled(one_line(text), style))

    def block(self, text: object) -> None:
        """Show text as it is laid out."""
        for line in clean(text, lines=True).split("\n"):
            self._write(line.rstrip())

    def heading(self, text: str) -> None:
        """Show a heading, after an empty line."""
        self._write("")
        self.line(text, "bold")

    def fields(self, fields: Iterable[tuple[str, object]]) -> None:
        """Show names and values below each other; what is None or empty is left out."""
        shown = [(name, one_line(value)) for name, value in fields if value not in (None, "")]
        width = max((len(name) for name, _ in shown), default=0)
        for name, value in shown:
            self._write(f"{self._styled(f'{name}:', 'dim')}{' ' * (width - len(name))} {value}")

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[object]], right: Collection[str] = ()) -> None:
        """Show a table; `right` names the columns to align on the right.

        In a pipe: a header row, two spaces or more between columns, one row a line, `-` for what is not there.
        """
        cells = [[one_line("" if cell is None else cell) for cell in row] for row in rows]
        if self.terminal:
            self._rich_table(headers, cells, right)
        else:
            self._plain_table(headers, cells, right)

    def tree(self, branch: Branch) -> None:
        """Show a tree."""
        if self.terminal:
            self._console().print(_rich_tree(branch))
        else:
            self._plain_tree(branch, "", "")

    def diff(self, text: str) -> None:
        """Show a unified diff."""
        for line in clean(text, lines=True).rstrip("\n").split("\n"):
            style = _diff_style(line)
            self._write(self._styled(line, style) if style else line)

    def _write(self, text: str) -> None:
        self.stream.write(text + "\n")

    def _styled(self, text: str, style: str) -> str:
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m" if self.colour else text

    def _plain_table(self, headers: Sequence[str], cells: Sequence[Sequence[str]], right: Collection[str]) -> None:
        rows = [list(headers), *([cell or "-" for cell in row] for row in cells)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            aligned = [
                cell.rjust(width) if header in right else cell.ljust(width)
                for header, cell, width in zip(headers, row, widths, strict=True)
            ]
            self._write("  ".join(aligned).rstrip())

    def _rich_table(self, headers: Sequence[str], cells: Sequence[Sequence[str]], right: Collection[str]) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        # What no row has a value for would only take the place of the rest.
        kept = [index for index in range(len(headers)) if not cells or any(row[index] for row in cells)]
        table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold")
        for header in (headers[index] for index in kept):
            justify: JustifyMethod = "right" if header in right else "left"
            table.add_column(header, justify=justify, no_wrap=header not in _PROSE, overflow="fold")
        for row in cells:
            table.add_row(*(Text(row[index], style=_style(headers[index], row[index])) for index in kept))
        self._console().print(table)

    def _console(self) -> Console:
        from rich.console import Console

        return Console(file=self.stream, markup=False, highlight=False, emoji=False, no_color=not self.colour)

    def _plain_tree(self, branch: Branch, first: str, rest: str) -> None:
        self._write(first + one_line(branch.label))
        for index, child in enumerate(branch.children):
            last = index == len(branch.children) - 1
            self._plain_tree(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))


def _rich_tree(branch: Branch) -> Tree:
    from rich.text import Text
    from rich.tree import Tree

    tree = Tree(Text(one_line(branch.label)), guide_style="dim")
    tree.children = [_rich_tree(child) for child in branch.children]
    return tree


def _style(header: str, cell: str) -> str:
    return _STYLES.get(cell, "") if header in _STATES else ""


def _diff_style(line: str) -> str | None:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
