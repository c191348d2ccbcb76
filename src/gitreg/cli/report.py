"""`gitreg report`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import environment_argument, selector_argument, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written

if TYPE_CHECKING:
    from gitreg.registry import Mode


@command("report")
@selector_argument
@environment_argument
@click.option("--state", type=click.Choice(["live", "failed"]), default="live", show_default=True, help="How it is.")
@click.option("--endpoint", metavar="URL", help="Where it answers.")
@click.option("--detail", metavar="TEXT", help="More about it.")
@writes
def report(
    session: Session,
    selector: str,
    environment: str,
    state: str,
    endpoint: str | None,
    detail: str | None,
    mode: Mode,
) -> None:
    """Report what really runs in an environment.

    For what serves the model; `gitreg status` shows it beside what is meant to run.
    """
    with session.registry() as registry:
        written = registry.report(selector, environment, mode, state=state, endpoint=endpoint, detail=detail)
        answer_written(session, registry, written)
