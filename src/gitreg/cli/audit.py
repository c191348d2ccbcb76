"""`gitreg audit`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group
from gitreg.errors import InvalidError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from gitreg.cli.screen import Screen

_DAMAGED = 6  # IntegrityError's


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """How many decisions the log holds, and what is wrong with it."""

    decisions: int
    wrong: tuple[str, ...]


@group("audit")
def audit() -> None:
    """Verify the log of the gate's decisions."""


@command("verify")
def verify(session: Session) -> None:
    """Check that no decision was altered, left out or put in between.

    Runs on the server, where the log lies beside the registry. Exits with 6 where something is wrong.
    """
    from gitreg.gate_hooks.audit import verify as verify_chain

    with session.registry() as registry:
        path = registry.target.registry_path
        if path is None:
            raise InvalidError("the audit log lies on the registry's server", hint="run it there")
        decisions, wrong = verify_chain(path)
    session.answer(AuditVerdict(decisions=decisions, wrong=tuple(wrong)), _render)
    if wrong:
        click.get_current_context().exit(_DAMAGED)


def _render(screen: Screen, verdict: AuditVerdict) -> None:
    for each in verdict.wrong:
        screen.line(each, "red")
    state = "is damaged" if verdict.wrong else "is whole"
    screen.line(f"the audit log {state}: {verdict.decisions} decision{'s' if verdict.decisions != 1 else ''}")


audit.add_command(verify)
