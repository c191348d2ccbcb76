"""`gitreg compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_selector
from gitreg.cli.options import at_option, in_registry
from gitreg.cli.session import Session, command
from gitreg.cli.text import human_size, number, signed, value_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.manifest import Comparison, FieldRow, MetricRow


@command("compare")
@click.argument(
    "selectors",
    metavar="MODEL@VERSION...",
    nargs=-1,
    required=True,
    callback=in_registry,
    shell_complete=complete_selector,
)
@click.option("--maximize", multiple=True, metavar="METRIC", help="More of it is better; may be given several times.")
@click.option("--minimize", multiple=True, metavar="METRIC", help="Less of it is better; may be given several times.")
@at_option
def compare(
    session: Session, selectors: tuple[str, ...], maximize: tuple[str, ...], minimize: tuple[str, ...], at: str | None
) -> None:
    r"""Set versions side by side.

    Metrics with the difference to the first version and a star at the best, then what differs. Which way a metric is
    better is told by its name (`auc`, `loss`) or by you:

    \b
      gitreg compare risk/fraud-detector@prod @1.5.0 @^2 --minimize ttft
    """
    with session.registry() as registry:
        found = registry.compare(_whole(selectors), maximize=maximize, minimize=minimize, at=at)
        session.answer(found, _render)


def _whole(selectors: Sequence[str]) -> list[str]:
    """Complete selectors that leave the model out: it is that of the one before."""
    whole: list[str] = []
    for selector in selectors:
        model = whole[-1].partition("@")[0] if whole and "/" not in selector else None
        whole.append(f"{model}@{selector.removeprefix('@')}" if model else selector)
    return whole


def _render(screen: Screen, found: Comparison) -> None:
    headers = ["", *_names(found.versions)]
    rows = [("created", *found.created), ("size", *map(human_size, found.sizes))]
    screen.table(headers, [*rows, *map(_metric, found.metrics)], right=set(headers[1:]))
    sections = {
        "Hyperparameters": found.hyperparameters,
        "Data sets": found.datasets,
        "Artifacts": found.artifacts,
        "Other fields": found.fields,
    }
    for title, fields in sections.items():
        _fields(screen, title, headers, fields)


def _names(versions: Sequence[str]) -> list[str]:
    """Leave the model out where all have the same."""
    models = {version.partition("@")[0] for version in versions}
    return [version.partition("@")[2] for version in versions] if len(models) == 1 else list(versions)


def _metric(row: MetricRow) -> tuple[object, ...]:
    name = f"{row.name} on {row.dataset}" if row.dataset else row.name
    return name, *(_cell(row, place) for place in range(len(row.values)))


def _cell(row: MetricRow, place: int) -> str | None:
    value, delta = row.values[place], row.deltas[place]
    if value is None:
        return None
    change = f" ({signed(delta)})" if place and delta else ""
    return f"{number(value)}{change}{' *' if place in row.best else ''}"


def _fields(screen: Screen, title: str, headers: Sequence[str], fields: Sequence[FieldRow]) -> None:
    if fields:
        screen.heading(title)
        screen.table(headers, [(row.name, *map(value_line, row.values)) for row in fields])
