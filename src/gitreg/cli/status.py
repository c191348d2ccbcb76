"""`gitreg status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_place
from gitreg.cli.options import at_option, in_registry
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.deployment import Status
    from gitreg.registry import StatusRow


@command("status")
@click.argument(
    "places", metavar="[ENVIRONMENT|MODEL]...", nargs=-1, callback=in_registry, shell_complete=complete_place
)
@at_option
def status(session: Session, places: tuple[str, ...], at: str | None) -> None:
    """Show what is deployed, and what was reported to run.

    In all environments, or only in those and of those models that are named. DRIFT tells where the two differ.
    """
    models: list[str | None] = [place for place in places if "/" in place] or [None]
    environments: list[str | None] = [place for place in places if "/" not in place] or [None]
    with session.registry() as registry:
        rows = [row for where in environments for model in models for row in registry.status(where, model, at=at)]
        session.answer(rows, _render)


def _render(screen: Screen, rows: Sequence[StatusRow]) -> None:
    headers = ("ENVIRONMENT", "MODEL", "VERSION", "CANARY", "LIFECYCLE", "STATE", "REPORTED", "DRIFT")
    screen.table(headers, [_cells(row) for row in rows])


def _cells(row: StatusRow) -> tuple[object, ...]:
    canary = f"{row.canary_version} {row.canary_percent}%" if row.canary_version else None
    state, reported = _reported(row.reported)
    return row.environment, row.model, row.version, canary, row.lifecycle, state, reported, row.drift


def _reported(status: Status | None) -> tuple[str | None, str | None]:
    return (str(status.state), status.reported) if status else (None, None)
