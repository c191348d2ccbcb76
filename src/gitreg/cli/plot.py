"""`gitreg plot`."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.options import at_option, model_argument
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.registry import Series

_WIDTH = 80  # columns, in a pipe


@command("plot")
@model_argument
@click.argument("metrics", metavar="METRIC...", nargs=-1, required=True)
@click.option("--last", type=click.IntRange(min=2), metavar="N", help="Only the highest N versions.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="A .png, .svg or .html."
)
@at_option
def plot(
    session: Session, model: str, metrics: tuple[str, ...], last: int | None, output: Path | None, at: str | None
) -> None:
    r"""Draw metrics over the versions of a model.

    \b
      gitreg plot risk/fraud-detector auc
      gitreg plot risk/fraud-detector auc loss --last 20 -o fraud.html

    A chart needs the extra: pip install 'gitreg[plot]'. With --json the numbers are given, and nothing is needed.
    """
    with session.registry() as registry:
        series = registry.series(model, metrics, last=last, at=at)
    if output is not None:
        from gitreg.charts.metrics import write_chart

        write_chart(series, output)
    session.answer(series, _drawn if output is None else lambda screen, _: screen.line(f"wrote {output}"))


def _drawn(screen: Screen, series: Series) -> None:
    from gitreg.charts.metrics import in_terminal

    width = shutil.get_terminal_size((_WIDTH, 24)).columns if screen.terminal else _WIDTH
    screen.block(in_terminal(series, width))
