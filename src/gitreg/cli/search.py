"""`gitreg search`."""

from __future__ import annotations

import click

from gitreg.cli.options import at_option
from gitreg.cli.session import Session, command
from gitreg.cli.versions import render_found


@command("search")
@click.argument("conditions", metavar="CONDITION...", nargs=-1, required=True)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@at_option
def search(session: Session, conditions: tuple[str, ...], limit: int | None, at: str | None) -> None:
    r"""Find versions by their fields.

    A CONDITION is FIELD OPERATOR VALUE in one word, and a version must meet all of them:

    \b
      gitreg search 'metrics.auc>0.95' labels.team=risk
      gitreg search deployed=prod 'license!=Apache-2.0'
      gitreg search model~fraud 'created>=2026-01-01'

    Operators are = != < <= > >= and ~ (contains). Quote < and > from your shell.
    """
    with session.registry() as registry:
        session.answer(registry.search(conditions, limit=limit, at=at), render_found)
