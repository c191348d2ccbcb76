"""`gitreg doctor`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.cli.screen import Screen
    from gitreg.gate_hooks.finding import Finding

_WRONG = 6  # IntegrityError's


@command("doctor")
@click.option("--fix", is_flag=True, help="Put hooks and settings right where that is safe.")
def doctor(session: Session, fix: bool) -> None:
    """Find out whether hooks and settings are in force.

    Missing, emptied, altered or bypassed hooks, settings of git's that a registry needs, and whatever else would let a
    push past the gate. Exits with 6 where something is wrong.
    """
    with session.registry() as registry:
        if fix:
            from gitreg.registry.setup import fix as put_right

            put_right(registry.target.repository)
        findings = registry.doctor()
    session.answer(findings, _render)
    if not all(finding.fine for finding in findings):
        click.get_current_context().exit(_WRONG)


def _render(screen: Screen, findings: Sequence[Finding]) -> None:
    rows = [(_state(each), each.subject, each.message, each.remedy) for each in findings]
    screen.table(("STATE", "SUBJECT", "FOUND", "REMEDY"), rows)


def _state(finding: Finding) -> str:
    """Say in a word how it stands; what is fine and has a remedy all the same is to be known."""
    return "wrong" if not finding.fine else "note" if finding.remedy else "ok"
