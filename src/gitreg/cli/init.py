"""`gitreg init`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.cli.screen import Screen
    from gitreg.registry.setup import InitResult


def init_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that say what a new registry is to be like."""
    for option in (
        click.option(
            "--from",
            "source",
            type=click.Path(path_type=Path),
            metavar="FOLDER",
            help="Begin with the files of a folder, such as an export of another registry.",
        ),
        click.option(
            "--environment",
            "environments",
            multiple=True,
            metavar="NAME",
            help="In their order; default: staging prod.",
        ),
        click.option("--store", metavar="URI", help="The object store; default: file:../store."),
        click.option("--identity", metavar="SOURCE", help="What names the pusher, such as GL_USER; default: account."),
        click.option("--admin", metavar="USER", help="Who may do everything at first; default: you."),
        click.option("--name", metavar="NAME", help="The registry's name; default: the folder's."),
    ):
        function = option(function)
    return function


@command("init")
@click.argument("path", type=click.Path(path_type=Path), default=".")
@click.option("--bare", is_flag=True, help="Without a work tree, for a server.")
@init_options
def init(session: Session, path: Path, bare: bool, **options: object) -> None:
    """Make a registry.

    A git repository with its hooks, rules, an object store and a first commit, complete or not at all. PATH is a new
    or an empty folder, by default the one you stand in. A git repository that is there already gets what it lacks.
    """
    make(session, path, bare=bare, **options)


def make(session: Session, path: Path, *, bare: bool, **options: object) -> None:
    """Make a registry and tell what was made."""
    from gitreg.registry.setup import InitRequest
    from gitreg.registry.setup import init as make_registry

    request = InitRequest(path=path, bare=bare, **options)  # type: ignore[arg-type] # the options are its fields
    session.answer(make_registry(request), _render)


def _render(screen: Screen, made: InitResult) -> None:
    screen.line(f"made the registry {made.path} (commit {made.commit[:8]} on main)")
    screen.fields(
        [
            ("object store", made.store),
            ("admin", ", ".join(made.admins)),
            ("pushers are named by", made.identity),
            ("hooks", ", ".join(hook.name for hook in made.hooks)),
        ]
    )
    screen.line(f"next: gitreg --registry {made.path} register PROJECT/MODEL FILE --version 1.0.0")
