"""`gitreg versions`, and the table of versions that `gitreg search` shows as well."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.cli.options import at_option, model_argument
from gitreg.cli.session import Session, command
from gitreg.cli.text import listed, pairs
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.registry import VersionSummary

_METRICS = 4


@command("versions")
@model_argument
@at_option
def versions(session: Session, model: str, at: str | None) -> None:
    """List the versions of a model.

    The highest comes first; deleted ones keep their number and are listed as such.
    """
    with session.registry() as registry:
        session.answer(registry.versions(model, at=at), _render)


def _render(screen: Screen, rows: Sequence[VersionSummary]) -> None:
    headers = ("VERSION", "CREATED", "LIFECYCLE", "SIZE", "DEPLOYED", "ALIASES", "METRICS", "AUTHOR")
    screen.table(headers, [(row.version, *_cells(row), row.author) for row in rows], right={"SIZE"})


def render_found(screen: Screen, rows: Sequence[VersionSummary]) -> None:
    """Show versions of several models."""
    headers = ("MODEL", "VERSION", "CREATED", "LIFECYCLE", "SIZE", "DEPLOYED", "ALIASES", "METRICS")
    screen.table(headers, [(row.model, row.version, *_cells(row)) for row in rows], right={"SIZE"})


def _cells(row: VersionSummary) -> tuple[object, ...]:
    size = human_size(row.size) if row.size else None
    metrics = pairs(row.metrics, _METRICS) or row.reason
    return row.created, row.lifecycle, size, listed(row.deployed), listed(row.aliases), metrics
