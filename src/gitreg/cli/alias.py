"""`gitreg alias`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.options import selector_argument, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from gitreg.registry import Mode


@command("alias")
@selector_argument
@click.argument("name")
@click.option("--remove", is_flag=True, help="Remove the alias.")
@writes
def alias(session: Session, selector: str, name: str, remove: bool, mode: Mode) -> None:
    r"""Set, move or remove an alias.

    \b
      gitreg alias risk/fraud-detector@1.4.0 champion
      gitreg alias risk/fraud-detector champion --remove
    """
    if not remove and "@" not in selector:
        raise InvalidError(f"{selector} names no version", hint=f"write {selector}@VERSION {name}, or --remove")
    with session.registry() as registry:
        answer_written(session, registry, registry.alias(selector, name, mode, remove=remove))
