"""HTML pages that stand alone: no scripts, nothing from elsewhere, and every text escaped."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_STYLE = """\
body{font:16px/1.5 system-ui,sans-serif;max-width:80rem;margin:2rem auto;padding:0 1rem;overflow-wrap:break-word}
figure{margin:0}svg{max-width:100%;height:auto;background:#fff}
table{border-collapse:collapse;margin-bottom:2rem}
th,td{padding:.2rem 1rem .2rem 0;text-align:left;vertical-align:top;border-bottom:1px solid #ccc}
.number{text-align:right;font-variant-numeric:tabular-nums}:root{color-scheme:light dark}"""
# Even what slipped through as markup may load and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(title: str, parts: Iterable[str]) -> str:
    """Write a page of parts that are HTML already."""
    return "\n".join(
        (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>",
            *parts,
            "</body>\n</html>\n",
        )
    )


def heading(text: str) -> str:
    """Write the heading of what follows."""
    return f"<h2>{escape(text)}</h2>"


def note(text: str) -> str:
    """Write a sentence about what follows."""
    return f"<p>{escape(text)}</p>"


def figure(title: str, svg: str) -> str:
    """Put a drawing into the page, with a title for those who do not see it."""
    return f'<figure role="img" aria-label="{escape(title)}">\n{svg[svg.index("<svg") :]}</figure>'


def table(headers: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int | None = None) -> str:
    """Write a table; from column `numbers` on it is set to the right. None is an empty cell."""
    lines = ["<table>", _row("th", headers, numbers), *(_row("td", row, numbers) for row in rows), "</table>"]
    return "\n".join(lines)


def _row(cell: str, values: Sequence[object], numbers: int | None) -> str:
    cells = []
    for place, value in enumerate(values):
        mark = ' class="number"' if numbers is not None and place >= numbers else ""
        cells.append(f"<{cell}{mark}>{'' if value is None else escape(str(value))}</{cell}>")
    return f"<tr>{''.join(cells)}</tr>"
