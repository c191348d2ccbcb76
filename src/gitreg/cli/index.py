"""`gitreg index`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.published.publish import Publication
    from gitreg.registry.published import Standing
    from gitreg.registry.search import IndexState


_CUT = "and older ones that this shallow clone does not know (git fetch --unshallow)"


@group("index")
def index() -> None:
    """Build the index for searches, and publish a static one."""


@command("build")
@click.option("--anew", is_flag=True, help="Throw away what there is, and read everything again.")
def build(session: Session, anew: bool) -> None:
    """Bring the index of this clone up to main.

    Searches do so by themselves; this makes the first one fast.
    """
    with session.registry() as registry:
        session.answer(registry.build_index(anew=anew), _render)


@command("status")
def status(session: Session) -> None:
    """Show what the index holds, and whether that is what main says."""
    with session.registry() as registry:
        session.answer(registry.index_state(), _render)


@command("publish")
@click.option("--to", metavar="FOLDER|URI", help="Where to; by default into the object store, below index/.")
@click.option("--sign", "key", metavar="KEY", type=click.Path(dir_okay=False), help="Sign the head with this SSH key.")
@click.option("--anew", is_flag=True, help="Write every file again.")
@click.option("--check", is_flag=True, help="Publish nothing; exit 4 where what is published is not main.")
def publish(session: Session, to: str | None, key: str | None, anew: bool, check: bool) -> None:
    """Publish main as static JSON files.

    Any web server can hand them out, and `gitreg --registry https://host/index` reads them, without git and without a
    server of gitreg's. Only what changed is written; readers see all of a publication or nothing of it.
    """
    with session.registry() as registry:
        if check:
            standing = registry.published(to)
            session.answer(standing, _standing)
            if not standing.current:
                raise click.exceptions.Exit(4)
        else:
            session.answer(registry.publish_index(to, key=key, anew=anew), _publication)


index.add_command(build)
index.add_command(status)
index.add_command(publish)


def _publication(screen: Screen, done: Publication) -> None:
    screen.fields(
        [
            ("index", done.to),
            ("state", "published" if done.changed else "was current"),
            ("commit", done.commit),
            ("signed", "yes" if done.signed else None),
            ("models", f"{done.models:,}"),
            ("files written", f"{done.files_written:,}, {human_size(done.bytes_written)}"),
            ("files removed", f"{done.files_removed:,}" if done.files_removed else None),
        ]
    )
    for path in done.damaged:
        screen.line(f"published as damaged: {path}")


def _standing(screen: Screen, found: Standing) -> None:
    screen.fields(
        [
            ("index", found.at),
            ("state", "current" if found.current else "not what main says"),
            ("commit", found.commit),
            ("published", found.published),
            ("main", found.main),
        ]
    )


def _render(screen: Screen, state: IndexState) -> None:
    screen.fields(
        [
            ("file", state.path),
            ("state", "current" if state.current else "behind main" if state.commit else "not built yet"),
            ("commit", state.commit),
            ("size", human_size(state.size) if state.size else None),
            ("versions", f"{state.versions:,}"),
            ("models", f"{state.models:,}"),
            ("deployments", f"{state.deployments:,}, {_CUT if state.shallow else 'all there were'}"),
            ("files read now", f"{state.read:,}" if state.read is not None else None),
        ]
    )
    for problem in state.problems:
        screen.line(f"left out: {problem}")
