"""Complete what a user is typing, through click's own mechanism; nothing here may print or fail."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, InvalidError

if TYPE_CHECKING:
    import click

    from gitreg.registry import Registry

VARIABLE = "_GITREG_COMPLETE"


def complete(cli: click.Command, instruction: str) -> int:
    """Answer the shell: a script (`bash_source`) or completions (`bash_complete`)."""
    from click.shell_completion import shell_complete

    from gitreg.cli.bash import register

    register()
    return shell_complete(cli, {}, "gitreg", VARIABLE, instruction)


def complete_model(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a model's name."""
    found: list[str] = []
    with suppress(GitregError, OSError), _registry(ctx) as registry:
        found = [word for word in registry.complete(incomplete) if "@" not in word]
    return found


def complete_selector(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a model's name and, after @, what a selector may name."""
    found: list[str] = []
    with suppress(GitregError, OSError), _registry(ctx) as registry:
        found = registry.complete(incomplete)
        if len(found) == 1 and "@" not in incomplete:
            # Only one model is left: go on with what may come after its name.
            found = registry.complete(f"{found[0]}@")
    return found


def complete_environment(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete an environment's name."""
    found: list[str] = []
    with suppress(GitregError, OSError), _registry(ctx) as registry:
        found = [name for name in registry.snapshot().environments() if name.startswith(incomplete)]
    return found


def complete_place(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete an environment's or a model's name."""
    return complete_environment(ctx, param, incomplete) + complete_model(ctx, param, incomplete)


def _registry(ctx: click.Context) -> Registry:
    """Open the registry that the half-typed line means, without asking any server."""
    from gitreg.registry import open_registry

    named = ctx.find_root().params.get("registry")
    return open_registry(named if isinstance(named, str) else None, fetch=False)


def script(cli: click.Command, shell: str) -> str:
    """Write the script that a shell's start-up file is to run."""
    from click.shell_completion import get_completion_class

    from gitreg.cli.bash import register

    register()
    kind = get_completion_class(shell)
    if kind is None:
        raise InvalidError(f"there is no completion for {shell}", hint="bash, zsh or fish")
    # Not through the class of bash: it would run bash to ask for its version.
    return kind.source_template % kind(cli, {}, "gitreg", VARIABLE).source_vars()
