"""`gitreg index`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group
from gitreg.cli.text import human_size

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen
    from gitreg.registry.search import IndexState


@group("index")
def index() -> None:
    """Build and show the index that searches are answered from."""


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


index.add_command(build)
index.add_command(status)


def _render(screen: Screen, state: IndexState) -> None:
    screen.fields(
        [
            ("file", state.path),
            ("state", "current" if state.current else "behind main" if state.commit else "not built yet"),
            ("commit", state.commit),
            ("size", human_size(state.size) if state.size else None),
            ("versions", f"{state.versions:,}"),
            ("models", f"{state.models:,}"),
            ("deployments", f"{state.deployments:,}, all there were"),
            ("files read now", f"{state.read:,}" if state.read is not None else None),
        ]
    )
    for problem in state.problems:
        screen.line(f"left out: {problem}")
