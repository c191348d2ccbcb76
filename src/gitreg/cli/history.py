"""`gitreg history`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_environment
from gitreg.cli.options import at_option, model_argument
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.reader import DeploymentRecord


@command("history")
@model_argument
@click.argument("environment", required=False, shell_complete=complete_environment)
@at_option
def history(session: Session, model: str, environment: str | None, at: str | None) -> None:
    """List the deployments of a model.

    The newest comes first. N counts up from 1 in each environment; `gitreg rollback --to N` goes back to one.
    """
    with session.registry() as registry:
        session.answer(registry.history(model, environment, at=at), _render)


def _render(screen: Screen, records: Sequence[DeploymentRecord]) -> None:
    headers = ("TIME", "ENVIRONMENT", "N", "ACTION", "VERSION", "PREVIOUS", "BY", "COMMIT", "REASON")
    screen.table(headers, [_cells(record) for record in records], right={"N"})


def _cells(record: DeploymentRecord) -> tuple[object, ...]:
    version = str(record.version) if record.version else None
    if record.canary_version:
        version = f"{version} +{record.canary_percent}% {record.canary_version}"
    return (
        record.time,
        record.environment,
        record.number,
        record.action,
        version,
        record.previous,
        record.actor or record.author,
        record.commit[:10],
        record.reason,
    )
