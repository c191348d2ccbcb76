"""`gitreg list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import at_option
from gitreg.cli.session import Session, command
from gitreg.cli.text import pairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.registry import ModelSummary


@command("list")
@click.argument("project", required=False)
@at_option
def list_models(session: Session, project: str | None, at: str | None) -> None:
    """List the models.

    Of each its latest version, what is deployed where, and its aliases; only those of PROJECT where one is given.
    """
    with session.registry() as registry:
        session.answer(registry.models(project, at=at), _render)


def _render(screen: Screen, models: Sequence[ModelSummary]) -> None:
    headers = ("MODEL", "LATEST", "VERSIONS", "DEPLOYED", "ALIASES", "DESCRIPTION")
    rows = [
        (each.model, each.latest, each.versions, pairs(each.deployed), pairs(each.aliases), each.description)
        for each in models
    ]
    screen.table(headers, rows, right={"VERSIONS"})
