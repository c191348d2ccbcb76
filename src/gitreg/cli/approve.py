"""`gitreg approve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import environment_argument, selector_argument, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written

if TYPE_CHECKING:
    from gitreg.registry import Mode


@command("approve")
@selector_argument
@environment_argument
@click.option("--reject", is_flag=True, help="Say no instead.")
@click.option("--comment", metavar="TEXT", help="What was looked at, or what is missing.")
@writes
def approve(session: Session, selector: str, environment: str, reject: bool, comment: str | None, mode: Mode) -> None:
    """Approve or reject a version for an environment.

    In your own name, and for the very bytes of the manifest: when they change, the approval no longer counts.
    """
    with session.registry() as registry:
        answer_written(session, registry, registry.approve(selector, environment, mode, reject=reject, comment=comment))
