"""`gitreg mark`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen


@command("mark")
@click.option("--push", is_flag=True, help="Fetch first, and push the new tags to the origin.")
def mark(session: Session, push: bool) -> None:
    """Write the deploy tags that are missing.

    For the CI job of a hosted forge; gitreg's own servers do it by themselves after each push.
    """
    with session.registry() as registry:
        session.answer({"tags": registry.mark(push=push)}, lambda screen, value: _render(screen, value["tags"]))


def _render(screen: Screen, refs: Sequence[str]) -> None:
    for ref in refs:
        screen.line(ref.removeprefix("refs/tags/"))
    if not refs:
        screen.line("every deployment has its tag")
