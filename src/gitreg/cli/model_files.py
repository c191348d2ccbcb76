"""`gitreg no-model-files`: a hook for pre-commit, in repositories that are no registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen

_FOUND = 1  # what pre-commit takes for a failure
_DEFAULT_MEGABYTES = 5.0


@command("no-model-files", hidden=True)
@click.argument("files", nargs=-1, type=click.Path(path_type=Path))
@click.option(
    "--max-megabytes",
    type=click.FloatRange(min=0),
    default=_DEFAULT_MEGABYTES,
    show_default=True,
    metavar="MB",
    help="Refuse any file that is larger, whatever it is.",
)
def no_model_files(session: Session, files: tuple[Path, ...], max_megabytes: float) -> None:
    """Refuse model files: a pre-commit hook.

    Tells weights by content, extension and size, and says how to register them.
    """
    from gitreg.scan import is_model_file

    limit = int(max_megabytes * 1_000_000)
    found = [why for why in (is_model_file(path, limit) for path in files) if why]
    session.answer({"found": found}, lambda screen, value: _render(screen, value["found"]))
    if found:
        click.get_current_context().exit(_FOUND)


def _render(screen: Screen, found: Sequence[str]) -> None:
    for why in found:
        screen.line(why)
