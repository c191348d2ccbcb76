"""What a run of the command line knows: the registry that was named, and how to answer."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

import click

from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitreg.cli.screen import Screen
    from gitreg.registry import Registry
    from gitreg.registry.comparing import Place

T = TypeVar("T")

CONTEXT_SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Session:
    """The global options, the way to the registry, and the way back to the user."""

    def __init__(self, location: str | None = None, *, fetch: bool | None = None, trust: str | None = None) -> None:
        self.location = location
        self.fetch = fetch
        self.trust = trust
        self.as_json = False
        self._chosen: dict[str | None, str] = {}

    def unqualified(self, selector: str) -> str:
        """Take the registry's name off a selector, as in `corp:risk/fraud@prod`, and mean that registry from now on.

        A command works on one registry: InvalidError where its selectors, or --registry, name several.
        """
        from gitreg.names import split_registry

        name, rest = split_registry(selector)
        if name is None and "/" not in rest:
            return rest  # no model's: an environment, or only what comes after @
        if name is not None and self.location and self.location.removesuffix(":") not in {name, *self._chosen}:
            raise InvalidError(
                f"--registry names {self.location!r}, and {selector!r} another", hint="name one registry"
            )
        other = next((text for key, text in self._chosen.items() if key != name), None)
        if other is not None:
            raise InvalidError(
                f"{other!r} and {selector!r} are in two registries",
                hint="a command works on one: name it before each model, or with --registry",
            )
        self._chosen[name] = selector
        if name is not None:
            self.location = f"{name}:"
        return rest

    def registry(self) -> Registry:
        """Open the registry that the user means; close it with `with`."""
        from gitreg.registry import open_registry

        return open_registry(self.location, fetch=self.fetch, trust=self.trust)

    @contextmanager
    def places(self, selectors: Sequence[str]) -> Iterator[list[Place]]:
        """Open the registries of what is only read: one, or several that the selectors all name."""
        from gitreg.names import split_registry
        from gitreg.registry import open_registry
        from gitreg.registry.comparing import Place

        names = [split_registry(each)[0] for each in selectors]
        with ExitStack() as stack:
            if self.location or None in names or len(set(names)) == 1:
                plain = [self.unqualified(each) for each in selectors]
                registry = stack.enter_context(self.registry())
                yield [Place(registry, each) for each in plain]
                return
            opened = {
                name: stack.enter_context(open_registry(f"{name}:", fetch=self.fetch, trust=self.trust))
                for name in dict.fromkeys(names)
            }
            yield [Place(opened[name], rest, name) for name, rest in map(split_registry, selectors)]

    @property
    def named(self) -> str | None:
        """The registry that the user named: by --registry, or by GITREG_REGISTRY."""
        return self.location or os.environ.get("GITREG_REGISTRY") or None

    def registry_of(self, lock_file: Path) -> Registry:
        """Open the registry that the user named, else the one of a lock file, else the default one."""
        from gitreg.registry import open_registry
        from gitreg.registry.locking import read_lock

        named = self.named or (read_lock(lock_file).registry if lock_file.exists() else None)
        return open_registry(named, fetch=self.fetch, trust=self.trust)

    def answer(self, value: T, render: Callable[[Screen, T], None]) -> None:
        """Print a value: as one JSON document, or for people."""
        if self.as_json:
            from gitreg.cli.text import json_text

            click.echo(json_text(value))
        else:
            from gitreg.cli.screen import Screen

            render(Screen(), value)


class Group(click.Group):
    """A command with commands of its own, `gitreg access explain` for one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help where no command is given."""
        help_when_empty(ctx, args)
        return super().parse_args(ctx, args)


def help_when_empty(ctx: click.Context, args: list[str]) -> None:
    """Show the help and exit as misused, where a group is called without a command."""
    if not args and not ctx.resilient_parsing:
        click.echo(ctx.get_help(), err=True)
        ctx.exit(2)


def group(name: str) -> Callable[[Callable[[], None]], click.Group]:
    """Make a command that only holds others."""

    def decorate(function: Callable[[], None]) -> click.Group:
        return click.group(name, cls=Group, context_settings=CONTEXT_SETTINGS, no_args_is_help=False)(function)

    return decorate


def _want_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and isinstance(ctx.obj, Session):
        ctx.obj.as_json = True


def _name_registry(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value and isinstance(ctx.obj, Session):
        ctx.obj.location = value


def command(name: str, *, hidden: bool = False) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command that is given the session, and knows what every command knows."""

    def decorate(function: Callable[..., None]) -> click.Command:
        options = (
            click.option(
                "--json", is_flag=True, expose_value=False, is_eager=True, callback=_want_json, help="Answer in JSON."
            ),
            # People write it after the command as well.
            click.option("--registry", hidden=True, expose_value=False, is_eager=True, callback=_name_registry),
        )
        # A docstring that is raw keeps its \\b as two characters; click wants the one.
        function.__doc__ = (function.__doc__ or "").replace("\\b\n", "\b\n")
        decorated = click.pass_obj(function)
        for option in options:
            decorated = option(decorated)
        return click.command(name, context_settings=CONTEXT_SETTINGS, hidden=hidden)(decorated)

    return decorate
