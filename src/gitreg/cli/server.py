"""`gitreg server`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from gitreg.cli.init import init_options, make
from gitreg.cli.session import Session, command, group
from gitreg.cli.token import token

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen

_ROOT = click.option(
    "--root",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="The folder of registries that may be reached, or the one registry.",
)


@group("server")
def server() -> None:
    """Set up a registry on a server, and serve it over ssh."""


@command("init")
@click.argument("path", type=click.Path(path_type=Path))
@init_options
def init(session: Session, path: Path, **options: object) -> None:
    """Make a bare registry, with the hooks that judge pushes.

    The same as `gitreg init --bare`. A repository that another git server made gets what it lacks: hooks, git's
    settings, the first state. It may run any number of times.
    """
    make(session, path, bare=True, **options)


@command("shell")
@click.argument("user")
@_ROOT
def shell(_session: Session, user: str, root: Path) -> None:
    """Serve git over ssh to one user: the forced command of a key.

    Reads SSH_ORIGINAL_COMMAND, and serves a clone, a fetch or a push of one registry; nothing else. A push is taken
    only where the gate is in force.
    """
    from gitreg.gate_hooks.shell import greeting, serve

    if not os.environ.get("SSH_ORIGINAL_COMMAND"):
        click.echo(greeting(user))
        return
    click.get_current_context().exit(serve(user, root, os.environ))


@command("authorize")
@click.argument("user")
@click.argument("key", type=click.File(encoding="utf-8"))
@_ROOT
def authorize(session: Session, user: str, key: TextIO, root: Path) -> None:
    """Print the line of authorized_keys that lets a key reach the registries as a user.

    KEY is the file of one public key, or - for standard input.
    """
    from gitreg.gate_hooks.shell import MAX_KEY, authorized_key

    session.answer({"line": authorized_key(user, key.read(MAX_KEY + 1), root)}, _render)


def _render(screen: Screen, made: dict[str, str]) -> None:
    screen.line(made["line"])


for each in (init, shell, authorize, token):
    server.add_command(each)
