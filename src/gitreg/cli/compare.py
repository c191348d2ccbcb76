"""`gitreg compare`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_selector
from gitreg.cli.options import at_option
from gitreg.cli.session import Session, command
from gitreg.cli.text import number, value_line
from gitreg.names import whole_selectors
from gitreg.quantities import human_size, signed

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
    shell_complete=complete_selector,
)
@click.option("--maximize", multiple=True, metavar="METRIC", help="More of it is better; may be given several times.")
@click.option("--minimize", multiple=True, metavar="METRIC", help="Less of it is better; may be given several times.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(("text", "html")),
    default="text",
    show_default=True,
    help="As tables, or as a page.",
)
@at_option
def compare(
    session: Session,
    selectors: tuple[str, ...],
    maximize: tuple[str, ...],
    minimize: tuple[str, ...],
    format_: str,
    at: str | None,
) -> None:
    r"""Set versions side by side.

    Metrics with the difference to the first version and a star at the best, then what differs. Which way a metric is
    better is told by its name (`auc`, `loss`) or by you:

    \b
      gitreg compare risk/fraud-detector@prod @1.5.0 @^2 --minimize ttft
      gitreg compare risk/fraud-detector@prod @latest --format html > compared.html
      gitreg compare corp:risk/fraud-detector@1.4.0 prod:risk/fraud-detector@prod
    """
    from gitreg.registry.comparing import compare_across

    with session.places(whole_selectors(selectors)) as places:
        found = compare_across(places, maximize, minimize, at)
        session.answer(found, _render if format_ == "text" else lambda screen, found: screen.block(_page(found)))


def _render(screen: Screen, found: Comparison) -> None:
    headers = ["", *_names(found.versions)]
    screen.table(headers, _measures(found), right=set(headers[1:]))
    for title, rows in _differences(found).items():
        screen.heading(title)
        screen.table(headers, rows)


def _page(found: Comparison) -> str:
    from gitreg.charts import pages

    headers = ["", *_names(found.versions)]
    models = dict.fromkeys(version.partition("@")[0] for version in found.versions)
    said = "Behind a value is its difference to the first version; a star marks the best."
    parts = [pages.note(said), pages.table(headers, _measures(found), numbers=1)]
    for title, rows in _differences(found).items():
        parts += [pages.heading(title), pages.table(headers, rows)]
    return pages.page(f"Versions of {', '.join(models)}", parts)


def _measures(found: Comparison) -> list[tuple[object, ...]]:
    rows = [("created", *found.created), ("size", *map(human_size, found.sizes))]
    return [*rows, *map(_metric, found.metrics)]


def _differences(found: Comparison) -> dict[str, list[tuple[object, ...]]]:
    """Give what is not the same in all, under its title."""
    sections = {
        "Hyperparameters": found.hyperparameters,
        "Data sets": found.datasets,
        "Artifacts": found.artifacts,
        "Other fields": found.fields,
    }
    return {title: list(map(_field, fields)) for title, fields in sections.items() if fields}


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


def _field(row: FieldRow) -> tuple[object, ...]:
    return row.name, *map(value_line, row.values)
