"""The `gitreg` command itself: global options, and the commands, each imported when it is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.commands import COMMANDS
from gitreg.cli.help import FETCH, REGISTRY, SUMMARY, TRUST, VERSION, help_text
from gitreg.cli.session import CONTEXT_SETTINGS, Session, help_when_empty

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Commands(click.Group):
    """A group that knows its commands from a table and imports only the one that runs."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help where no command is given."""
        help_when_empty(ctx, args)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Name the commands that the help shows."""
        return [name for name, entry in COMMANDS.items() if entry.section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a command."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        from importlib import import_module

        module, _, attribute = entry.target.partition(":")
        command: click.Command = getattr(import_module(f"gitreg.cli.{module}"), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; say which was meant where there is none of that name."""
        name = args[0]
        if name in COMMANDS or name.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        near = _near(name)
        hint = f"; did you mean {' or '.join(near)}?" if near else ""
        raise click.UsageError(f"there is no command {name!r}{hint}", ctx)

    def get_help(self, ctx: click.Context) -> str:  # noqa: ARG002 - click's signature
        """Write the help from the tables, without importing any command."""
        return help_text()

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete command names from the table, options as click does."""
        from click.shell_completion import CompletionItem

        found = [
            CompletionItem(name, help=entry.help)
            for name, entry in COMMANDS.items()
            if entry.section and name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _near(name: str) -> list[str]:
    """Name the commands that a mistyped one may have meant: by their beginning, then by likeness."""
    from difflib import get_close_matches

    shown = [each for each, entry in COMMANDS.items() if entry.section]
    return [each for each in shown if each.startswith(name)] or get_close_matches(name.lower(), shown, n=2)


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from gitreg import __version__

        click.echo(f"gitreg {__version__}")
        ctx.exit()


@click.group("gitreg", cls=Commands, help=SUMMARY, context_settings=CONTEXT_SETTINGS, no_args_is_help=False)
@click.option("--registry", metavar="PATH|URL", help=REGISTRY.help)
@click.option("--fetch/--no-fetch", default=None, help=FETCH.help)
@click.option("--trust", metavar="FILE", help=TRUST.help)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help=VERSION.help)
@click.pass_context
def gitreg(ctx: click.Context, registry: str | None, fetch: bool | None, trust: str | None) -> None:
    """Keep the global options for the command."""
    ctx.obj = Session(registry, fetch=fetch, trust=trust)
