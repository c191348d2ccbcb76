"""`gitreg pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.options import selector_argument
from gitreg.cli.session import Session, command
from gitreg.cli.text import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.registry import Pulled


@command("pull")
@selector_argument
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to; default: here.")
@click.option("--only", metavar="GLOB", help="Only the files whose name matches, such as '*.safetensors'.")
@click.option("--copy", is_flag=True, help="Copy out of the cache, where links to its read-only files would do.")
@click.option("--force", is_flag=True, help="Replace files of other content.")
def pull(session: Session, selector: str, output: Path | None, only: str | None, copy: bool, force: bool) -> None:
    """Download the files of a version.

    Every byte is verified against the digest that was registered. Files that are there already are left alone.
    """
    from gitreg.cli.progress import progress

    folder = output or Path()
    with session.registry() as registry:
        with progress("pulling", quiet=session.as_json) as moved:
            pulled = registry.pull(selector, folder, only=only, link=not copy, force=force, progress=moved)
        session.answer(pulled, _render)


def _render(screen: Screen, pulled: Pulled) -> None:
    count = len(pulled.files)
    files = "1 file" if count == 1 else f"{count} files"
    screen.line(
        f"pulled {pulled.model}@{pulled.version} into {pulled.folder} ({files}, {human_size(pulled.bytes)}, verified)"
    )
