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
    return [word for word in _selectors(ctx, incomplete) if "@" not in word]


def complete_selector(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete a model's name and, after @, what a selector may name."""
    found = _selectors(ctx, incomplete)
    if len(found) == 1 and "@" not in found[0] and "/" in found[0]:
        # Only one model is left: go on with what may come after its name.
        return _selectors(ctx, f"{found[0]}@")
    return found


def _selectors(ctx: click.Context, incomplete: str) -> list[str]:
    """Complete a selector in the registry that it names, or in the one at hand; or that name itself."""
    from gitreg.config import registry_names
    from gitreg.names import split_registry

    found: list[str] = []
    with suppress(GitregError, OSError):
        name, rest = split_registry(incomplete)
        before = f"{name}:" if name else ""
        if not name and "/" not in rest:
            found = [f"{each}:" for each in registry_names() if each.startswith(rest)]
        with _registry(ctx, before) as registry:
            found = [f"{before}{word}" for word in registry.complete(rest)] + found
    return found


def complete_environment(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Complete an environment's name."""
    found: list[str] = []
    with suppress(GitregError, OSError), _registry(ctx) as registry:
        found = [name for name in registry.files().environments() if name.startswith(incomplete)]
    return found


def complete_place(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete an environment's or a model's name."""
    return complete_environment(ctx, param, incomplete) + complete_model(ctx, param, incomplete)


def _registry(ctx: click.Context, named: str = "") -> Registry:
    """Open the registry that the half-typed line means, without asking any server."""
    from gitreg.registry import open_registry

    named = named or _named_before(ctx) or ctx.find_root().params.get("registry") or ""
    return open_registry(named or None, fetch=False)


def _named_before(ctx: click.Context) -> str:
    """Give the registry's name of the first model on the line that has one."""
    from gitreg.names import split_registry

    for word in ctx.params.values():
        if isinstance(word, str) and "/" in word and (name := split_registry(word)[0]):
            return f"{name}:"
    return ""


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
