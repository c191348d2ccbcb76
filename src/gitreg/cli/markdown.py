"""Write the report of `gitreg check` in Markdown, for a comment on a pull request."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.cli.text import number, one_line
from gitreg.quantities import signed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitreg.cli.comparison import Comparison, Deployed
    from gitreg.gate import Violation

_LONGEST = 200
_MOST = 50


def report(violations: Sequence[Violation], comparisons: Sequence[Comparison]) -> str:
    """Write the verdict, and a table for each version against what is deployed now in each environment."""
    lines = ["### gitreg", "", *_verdict(violations)]
    for comparison in comparisons[:_MOST]:
        lines += ["", *_section(comparison)]
    if len(comparisons) > _MOST:
        lines += ["", f"… and {len(comparisons) - _MOST} more versions."]
    return "\n".join(lines) + "\n"


def code(text: object) -> str:
    """Put pushed text where Markdown takes nothing in it for markup, links, mentions or the end of a table cell."""
    string = one_line(text).replace("`", "'").replace("|", "¦")
    shown = string if len(string) <= _LONGEST else string[:_LONGEST] + "…"
    return f"`{shown}`" if shown else "n/a"


def _verdict(violations: Sequence[Violation]) -> Iterator[str]:
    if not violations:
        yield "The gate would accept this."
        return
    yield f"The gate would refuse this: {len(violations)} violation{'s' if len(violations) != 1 else ''}."
    yield ""
    for violation in violations[:_MOST]:
        yield f"- {code(violation)}"


def _section(comparison: Comparison) -> Iterator[str]:
    yield f"#### {code(f'{comparison.model}@{comparison.version}')}: {', '.join(map(code, comparison.events))}"
    yield ""
    others = [each for each in comparison.deployed if each.version != comparison.version]
    names = dict.fromkeys([*comparison.metrics, *(name for other in others for name in other.metrics)])
    if not names:
        yield "It has no metrics."
        return
    yield _row(["metric", "this version", *(cell for other in others for cell in (_title(other), "delta"))])
    yield _row(["---", "---:", *["---:"] * (2 * len(others))])
    for name in names:
        mine = comparison.metrics.get(name)
        yield _row([code(name), _number(mine), *(cell for other in others for cell in _against(mine, other, name))])
    if not others:
        yield ""
        yield "Nothing else of this model is deployed."


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _title(other: Deployed) -> str:
    return f"{code(other.environment)} now: {code(other.version)}"


def _against(mine: float | None, other: Deployed, name: str) -> tuple[str, str]:
    theirs = other.metrics.get(name)
    delta = signed(mine - theirs) if mine is not None and theirs is not None else "n/a"
    return _number(theirs), delta


def _number(value: float | None) -> str:
    return "n/a" if value is None else number(value)
