"""The arguments and options that several commands share."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import click

from gitreg.cli.complete import complete_environment, complete_model, complete_selector
from gitreg.cli.session import Session

if TYPE_CHECKING:
    from collections.abc import Callable


def in_registry(ctx: click.Context, _param: click.Parameter, value: Any) -> Any:  # noqa: ANN401 - click's value
    """Take the registry's name off what models are named by, and open that registry; a click callback."""
    if ctx.resilient_parsing or value is None or not isinstance(ctx.obj, Session):
        return value
    if isinstance(value, str):
        return ctx.obj.unqualified(value)
    return tuple(ctx.obj.unqualified(each) for each in value)


at_option = click.option(
    "--at", metavar="TIME", help="Answer as of then: 2026-01-31 (its end) or 2026-01-31T12:00:00Z (UTC)."
)
reason_option = click.option("--reason", metavar="TEXT", help="Why; kept in the commit and in the deploy tag.")
undo_option = click.option("--undo", is_flag=True, help="Take it back.")
model_argument = click.argument("model", callback=in_registry, shell_complete=complete_model)
selector_argument = click.argument(
    "selector", metavar="MODEL@VERSION", callback=in_registry, shell_complete=complete_selector
)
environment_argument = click.argument("environment", shell_complete=complete_environment)


def writes(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a write, bundled as `mode`."""

    @click.option("--dry-run", is_flag=True, help="Show the change and the gate's verdict; change nothing.")
    @click.option("--propose", is_flag=True, help="Push a branch for a pull request instead of main.")
    @click.option(
        "--as", "user", metavar="USER", help="Your name in the registry, where this machine does not know it."
    )
    @functools.wraps(function)
    def wrapper(*args: object, dry_run: bool, propose: bool, user: str | None, **kwargs: object) -> None:
        from gitreg.registry import Mode

        function(*args, mode=Mode(dry_run=dry_run, propose=propose, user=user), **kwargs)

    return wrapper
