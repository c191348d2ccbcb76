"""`gitreg server`."""

from __future__ import annotations

from pathlib import Path

import click

from gitreg.cli.init import init_options, make
from gitreg.cli.session import Session, command, group


@group("server")
def server() -> None:
    """Set up a registry on a server."""


@command("init")
@click.argument("path", type=click.Path(path_type=Path))
@init_options
def init(session: Session, path: Path, **options: object) -> None:
    """Make a bare registry, with the hooks that judge pushes.

    The same as `gitreg init --bare`.
    """
    make(session, path, bare=True, **options)


server.add_command(init)
