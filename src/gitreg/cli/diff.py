"""`gitreg diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_selector
from gitreg.cli.options import at_option
from gitreg.cli.session import Session, command
from gitreg.cli.text import number, value_line
from gitreg.quantities import signed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.manifest import FieldDiff, ManifestDiff, MetricDiff


@command("diff")
@click.argument("selector", metavar="MODEL@VERSION", shell_complete=complete_selector)
@click.argument("other", metavar="[MODEL]@VERSION")
@at_option
def diff(session: Session, selector: str, other: str, at: str | None) -> None:
    r"""Compare two versions.

    Metrics with their change, and the parameters, data sets, artifacts and other fields that differ:

    \b
      gitreg diff risk/fraud-detector@prod @1.5.0
    """
    from gitreg.registry.comparing import diff_across

    with session.places([selector, _whole(selector, other)]) as (left, right):
        session.answer(diff_across(left, right, at), _render)


def _whole(selector: str, other: str) -> str:
    """Complete the second selector, which may leave the model out."""
    if "/" in other:
        return other
    return f"{selector.partition('@')[0]}@{other.removeprefix('@')}"


def _render(screen: Screen, found: ManifestDiff) -> None:
    screen.line(f"{found.left} → {found.right}", "bold")
    if found.metrics:
        screen.heading("Metrics")
        headers = ("METRIC", "LEFT", "RIGHT", "DELTA")
        screen.table(headers, [_metric(each) for each in found.metrics], right={"LEFT", "RIGHT", "DELTA"})
    sections = {
        "Hyperparameters": found.hyperparameters,
        "Data sets": found.datasets,
        "Artifacts": found.artifacts,
        "Other fields": found.fields,
    }
    for title, fields in sections.items():
        _fields(screen, title, fields)
    if not any(sections.values()):
        screen.line()
        screen.line("nothing else differs")


def _metric(each: MetricDiff) -> tuple[object, ...]:
    name = f"{each.name} on {each.dataset}" if each.dataset else each.name
    sides = (None if value is None else number(value) for value in (each.left, each.right))
    return name, *sides, None if each.delta is None else signed(each.delta)


def _fields(screen: Screen, title: str, fields: Sequence[FieldDiff]) -> None:
    if fields:
        screen.heading(title)
        screen.table(
            ("NAME", "LEFT", "RIGHT"), [(each.name, value_line(each.left), value_line(each.right)) for each in fields]
        )
