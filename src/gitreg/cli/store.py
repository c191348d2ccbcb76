"""`gitreg store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group
from gitreg.errors import UnavailableError
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.objects.sync import Synced
    from gitreg.objects.trial import Trial

_SHOWN = 10


@group("store")
def store() -> None:
    """Try out the store and its mirrors, and bring mirrors up to date."""


@command("check")
@click.option("--read-only", is_flag=True, help="Only look and list, for who may not write.")
def check(session: Session, read_only: bool) -> None:
    """Try out the store and its mirrors.

    Writes, reads, lists and deletes an object of its own, and tells what fails and how long each step took. Exits as
    the first error does: with 5 where credentials or rights are missing, with 7 where a store does not answer.
    """
    with session.registry() as registry:
        trials = registry.check_stores(write=not read_only)
    session.answer(trials, _render_trials)
    click.get_current_context().exit(next((each.exit_code for each in trials if not each.is_fine), 0))


@command("sync")
@click.option("--dry-run", is_flag=True, help="Only tell what the mirrors lack.")
def sync(session: Session, dry_run: bool) -> None:
    """Copy to each mirror what it lacks of the store.

    Every blob is verified on its way, and what a mirror has beside stays there. Exits with 7 where something was not
    copied.
    """
    from gitreg.cli.progress import progress

    with session.registry() as registry, progress("copying", quiet=session.as_json) as moved:
        synced = registry.sync_stores(dry_run=dry_run, progress=moved)
    session.answer(synced, lambda screen, found: _render_synced(screen, found, dry_run=dry_run))
    if any(each.failures for each in synced):
        click.get_current_context().exit(UnavailableError.exit_code)


store.add_command(check)
store.add_command(sync)


def _render_trials(screen: Screen, trials: Sequence[Trial]) -> None:
    for trial in trials:
        screen.line(f"{trial.uri} {'is fine' if trial.is_fine else 'is not fit'}", None if trial.is_fine else "red")
        rows = [
            ("wrong" if step.message else "ok", step.name, f"{step.seconds * 1000:.0f} ms", step.message, step.hint)
            for step in trial.steps
        ]
        screen.table(("STATE", "STEP", "TOOK", "FOUND", "REMEDY"), rows)


def _render_synced(screen: Screen, synced: Sequence[Synced], *, dry_run: bool) -> None:
    if not synced:
        screen.line("there are no mirrors; name some as `mirrors` in registry.yaml")
    for each in synced:
        did = "would get" if dry_run else "got"
        screen.line(
            f"{each.target} {did} {each.copied} objects, {human_size(each.bytes)}; {each.present} were there",
            "red" if each.failures else None,
        )
        for failure in each.failures[:_SHOWN]:
            screen.line(f"  {failure.key}: {failure.reason}")
        if len(each.failures) > _SHOWN:
            screen.line(f"  … and {len(each.failures) - _SHOWN} more; --json lists all")
