"""`gitreg lock`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_selector
from gitreg.cli.options import in_registry
from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.registry.locking import Locked


@command("lock")
@click.argument(
    "selectors", metavar="[MODEL@VERSION]...", nargs=-1, callback=in_registry, shell_complete=complete_selector
)
@click.option("--folder", metavar="FOLDER", help="Where it is pulled to, from the lock file; default: models/MODEL.")
@click.option(
    "--lock-file",
    type=click.Path(path_type=Path),
    default=Path("models.lock"),
    metavar="FILE",
    help="The lock file; default: models.lock.",
)
@click.option("--check", is_flag=True, help="Write nothing; exit with 4 where something would be.")
def lock(session: Session, selectors: tuple[str, ...], folder: str | None, lock_file: Path, check: bool) -> None:
    """Write down which versions a project uses.

    The lock file keeps name, version, digests and the registry's commit, for `gitreg pull --locked`. Without
    MODEL@VERSION every model in it is brought up to what its selector means now.
    """
    with session.registry_of(lock_file) as registry:
        session.answer(registry.lock(selectors, lock_file, folder=folder, check=check), _render)


def _render(screen: Screen, locked: Locked) -> None:
    rows = [
        (each.model, each.version, each.commit[:10], each.folder, "new" if each.model in locked.changed else "")
        for each in locked.models
    ]
    screen.table(("MODEL", "VERSION", "COMMIT", "FOLDER", "CHANGED"), rows)
    done = f"wrote {locked.file}" if locked.changed else f"{locked.file} is up to date"
    screen.line(done)
