"""`gitreg pull`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_selector
from gitreg.cli.options import in_registry
from gitreg.cli.session import Session, command
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.objects import Store
    from gitreg.registry import Pulled
    from gitreg.registry.locking import LockedModel, PulledModel


@command("pull")
@click.argument(
    "selector", metavar="[MODEL@VERSION]", required=False, callback=in_registry, shell_complete=complete_selector
)
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FOLDER", help="Where to; default: here.")
@click.option("--only", metavar="GLOB", help="Only the files whose name matches, such as '*.safetensors'.")
@click.option("--copy", is_flag=True, help="Copy out of the cache, where links to its read-only files would do.")
@click.option("--force", is_flag=True, help="Replace files of other content.")
@click.option("--locked", is_flag=True, help="Bring exactly what models.lock says: all of it, or the model named.")
@click.option(
    "--lock-file",
    type=click.Path(path_type=Path),
    default=Path("models.lock"),
    metavar="FILE",
    help="The lock file of --locked; default: models.lock.",
)
def pull(
    session: Session,
    selector: str | None,
    output: Path | None,
    only: str | None,
    copy: bool,
    force: bool,
    locked: bool,
    lock_file: Path,
) -> None:
    """Download the files of a version.

    Every byte is verified against the digest that was registered. Files that are there already are left alone. What
    was fetched before comes out of the cache, and needs neither store nor server.
    """
    if locked:
        if only is not None:
            raise click.UsageError("--locked brings whole versions: leave out --only")
        _pull_locked(session, selector, output, lock_file, link=not copy, force=force)
        return
    if selector is None:
        raise click.UsageError("name a MODEL@VERSION, or say --locked for those of models.lock")
    from gitreg.cli.progress import progress

    folder = output or Path()
    with session.registry() as registry:
        with progress("pulling", quiet=session.as_json) as moved:
            pulled = registry.pull(selector, folder, only=only, link=not copy, force=force, progress=moved)
        session.answer(pulled, _render)


def _pull_locked(
    session: Session, selector: str | None, output: Path | None, lock_file: Path, *, link: bool, force: bool
) -> None:
    from contextlib import ExitStack

    from gitreg.cli.progress import progress
    from gitreg.registry import Registry, open_registry
    from gitreg.registry.locking import pull_locked

    with ExitStack() as stack:
        opened: list[Registry] = []

        def store(named: str, locked: LockedModel) -> Store:
            if not opened:
                opened.append(stack.enter_context(open_registry(session.named or named, fetch=session.fetch)))
            return opened[0].locked_store(locked)

        with progress("pulling", quiet=session.as_json) as moved:
            names = (selector,) if selector else ()
            pulled = pull_locked(lock_file, store, names, to=output, link=link, force=force, progress=moved)
        session.answer(pulled, _render_all)


def _render_all(screen: Screen, pulled: Sequence[PulledModel]) -> None:
    for each in pulled:
        _render(screen, each)


def _render(screen: Screen, pulled: Pulled | PulledModel) -> None:
    count = len(pulled.files)
    files = "1 file" if count == 1 else f"{count} files"
    screen.line(
        f"pulled {pulled.model}@{pulled.version} into {pulled.folder} ({files}, {human_size(pulled.bytes)}, verified)"
    )
