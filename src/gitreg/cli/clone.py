"""`gitreg clone`."""

from __future__ import annotations

from pathlib import Path

import click

from gitreg.cli.session import Session, command


@command("clone")
@click.argument("url")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
def clone(session: Session, url: str, folder: Path | None) -> None:
    """Clone a registry, with hooks that check before a push.

    A plain `git clone` works as well; deploy tags stay on the server, where `gitreg history` reads what they mark.
    """
    from gitreg.registry.setup import clone as clone_registry

    path = clone_registry(url, folder)
    session.answer({"path": str(path)}, lambda screen, _: screen.line(f"cloned {url} into {path}"))
