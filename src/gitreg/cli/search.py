"""`gitreg search`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import at_option
from gitreg.cli.session import Session, command
from gitreg.cli.versions import render_found
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.registry.search import Explained, Found


_DIRECTIONS = frozenset({"asc", "desc"})


@command("search")
@click.argument("conditions", metavar="[CONDITION...]", nargs=-1)
@click.option("--order-by", metavar="FIELDS", help="Sort by these, as in 'metrics.auc desc, created'.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@click.option("--cursor", metavar="CURSOR", help="Go on after the page that ended with this.")
@click.option("--explain", is_flag=True, help="Show the SQL and SQLite's plan instead of the answer.")
@at_option
def search(
    session: Session,
    conditions: tuple[str, ...],
    order_by: str | None,
    limit: int | None,
    cursor: str | None,
    explain: bool,
    at: str | None,
) -> None:
    r"""Find versions by their fields.

    Every CONDITION must be met; without any, all versions are found:

    \b
      gitreg search 'metrics.auc>0.95' labels.team=risk
      gitreg search "metrics.auc > 0.95 and deployed('prod')" --order-by 'metrics.auc desc'
      gitreg search "license in (MIT, Apache-2.0) or not model like 'risk/%'"
      gitreg search "deployed('prod', at '2026-01-31')" "text('fraud')"
      gitreg search --order-by 'created desc' --limit 10

    Operators are = != < <= > >= ~ (contains), like, ilike, in, is null; and, or, not join conditions. Quote them
    from your shell.
    """
    if explain and (cursor or at):
        raise InvalidError("--explain explains the first page of now", hint="leave out --cursor and --at")
    if order_by and conditions and conditions[-1].lower() in _DIRECTIONS:
        # --order-by metrics.auc desc, without quotes: the shell makes a word of its own of it.
        order_by, conditions = f"{order_by} {conditions[-1]}", conditions[:-1]
    with session.registry() as registry:
        if explain:
            session.answer(registry.explain_search(conditions, order_by=order_by, limit=limit), _render_explained)
            return
        found = registry.search(conditions, order_by=order_by, limit=limit, cursor=cursor, at=at)
        for note in found.notes:
            click.echo(f"gitreg: {note}", err=True)
        session.answer(found, _render)


def _render(screen: Screen, found: Found) -> None:
    render_found(screen, found.versions)
    if found.next:
        screen.line(f"more: --cursor {found.next}")


def _render_explained(screen: Screen, explained: Explained) -> None:
    screen.line(explained.sql)
    screen.line()
    screen.line("with " + ", ".join(explained.parameters))
    screen.line()
    for step in explained.plan:
        screen.line(step)
