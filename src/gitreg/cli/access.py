"""`gitreg access`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_environment, complete_model
from gitreg.cli.options import in_registry
from gitreg.cli.session import Session, command, group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.registry.reads import AccessRow


@group("access")
def access() -> None:
    """Explain who may do what."""


@command("explain")
@click.argument("user")
@click.argument("model", required=False, callback=in_registry, shell_complete=complete_model)
@click.argument("environment", required=False, shell_complete=complete_environment)
def explain(session: Session, user: str, model: str | None, environment: str | None) -> None:
    """Tell what a user may do, and which rule says so.

    On MODEL and in ENVIRONMENT where they are given.
    """
    with session.registry() as registry:
        session.answer(registry.access_explain(user, model=model, environment=environment), _render)


def _render(screen: Screen, rows: Sequence[AccessRow]) -> None:
    cells = [(row.action, "yes" if row.allowed else "no", row.rule, row.reason) for row in rows]
    screen.table(("ACTION", "ALLOWED", "RULE", "REASON"), cells)


@command("codeowners")
def codeowners(session: Session) -> None:
    """Print the CODEOWNERS file that follows from access.yaml."""
    with session.registry() as registry:
        text = registry.codeowners()
    session.answer({"codeowners": text}, lambda screen, _: screen.block(text.rstrip("\n")))


access.add_command(explain)
access.add_command(codeowners)
