"""`gitreg verify`."""

from __future__ import annotations

import os
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
    from gitreg.objects import Progress
    from gitreg.objects.checking import CheckedFile
    from gitreg.registry.pulled import Verified

_DAMAGED = 6  # IntegrityError's
_SHOWN = 20


@command("verify")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.argument(
    "selector", metavar="[MODEL@VERSION]", required=False, callback=in_registry, shell_complete=complete_selector
)
@click.option("--only", metavar="GLOB", help="Only the files whose name matches, such as '*.safetensors'.")
@click.option("--locked", is_flag=True, help="Verify the folders of every model in models.lock.")
@click.option(
    "--lock-file",
    type=click.Path(path_type=Path),
    default=Path("models.lock"),
    metavar="FILE",
    help="The lock file of --locked; default: models.lock.",
)
@click.option(
    "--key",
    "keys",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Verify the signature, model.sig, with a public key in PEM as well; of several one has to fit.",
)
@click.option("--exact", is_flag=True, help="Files that are not of the version are wrong as well.")
def verify(
    session: Session,
    folder: Path | None,
    selector: str | None,
    only: str | None,
    locked: bool,
    lock_file: Path,
    keys: tuple[Path, ...],
    exact: bool,
) -> None:
    """Read every byte of a pulled folder, and tell what is wrong.

    Without MODEL@VERSION it is what was last pulled into the folder from this machine, or with --locked what
    models.lock says; neither asks the registry. Exits with 6 where something is wrong.
    """
    from gitreg.cli.progress import progress

    if locked and (folder or selector or only):
        raise click.UsageError("--locked verifies the folders of models.lock: name none")
    with progress("verifying", quiet=session.as_json) as moved:
        found = _of_lock(lock_file, moved) if locked else [_of_folder(session, folder or Path(), selector, only, moved)]
    if keys:
        from gitreg.registry.pulled import with_signature

        found = [with_signature(each, keys) if each.fine else each for each in found]
    session.answer(found if locked else found[0], lambda screen, _: _render(screen, found, exact=exact))
    if not all(each.fine and not (exact and each.others) for each in found):
        click.get_current_context().exit(_DAMAGED)


def _of_folder(
    session: Session, folder: Path, selector: str | None, only: str | None, moved: Progress | None
) -> Verified:
    if selector is not None:
        with session.registry() as registry:
            return registry.verify(folder, selector, only=only, progress=moved)
    from gitreg.objects import Cache
    from gitreg.registry.pulled import verify_remembered

    return verify_remembered(Cache.of_user(os.environ), folder, only=only, progress=moved)


def _of_lock(lock_file: Path, moved: Progress | None) -> list[Verified]:
    from gitreg.registry.locking import verify_locked

    return verify_locked(lock_file, moved)


def _render(screen: Screen, found: Sequence[Verified], *, exact: bool) -> None:
    for each in found:
        wrong = [file for file in each.files if file.state != "ok"]
        if wrong:
            screen.table(("STATE", "FILE", "REGISTERED", "FOUND"), [_row(file) for file in wrong])
        for name in each.others[:_SHOWN]:
            screen.line(f"{name} is not a file of the version", None if not exact else "red")
        if len(each.others) > _SHOWN:
            screen.line(f"… and {len(each.others) - _SHOWN} more")
        size = human_size(sum(file.size for file in each.files))
        what = f"{each.folder}: {each.model}@{each.version}"
        if each.fine:
            count = "1 file" if len(each.files) == 1 else f"{len(each.files)} files"
            signed = f", signed with {each.key}" if each.key else ""
            strange = f", but {len(each.others)} beside them are not of the version" if exact and each.others else ""
            screen.line(f"{what}: every byte of {count} is right ({size}){signed}{strange}")
        else:
            screen.line(f"{what}: {len(wrong)} of {len(each.files)} files are not as registered; pull again: --force")


def _row(file: CheckedFile) -> tuple[str, str, str, str]:
    found = "-" if file.found is None else f"{file.found}, {file.found_size} bytes"
    return str(file.state), file.path, f"{file.digest}, {file.size} bytes", found
