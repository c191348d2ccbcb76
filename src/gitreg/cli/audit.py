"""`gitreg audit`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command, group
from gitreg.errors import InvalidError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from typing import BinaryIO

    from gitreg.cli.screen import Screen
    from gitreg.gate_hooks.audit.result import Verified

_DAMAGED = 6  # IntegrityError's


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """How many decisions were written, and where to."""

    decisions: int
    output: str


@group("audit")
def audit() -> None:
    """Verify and export the log of the gate's decisions."""


@command("verify")
@click.option(
    "--log",
    "copy",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A copy of the server's log, held against this clone's main and deploy tags.",
)
def verify(session: Session, copy: Path | None) -> None:
    """Check that no decision was altered, left out or put in, and that main is what the decisions made it.

    Runs on the server, where the log lies in the registry's repository, or on a copy of it; a registry behind a server
    proves it to admins. Exits with 6 where something is wrong.
    """
    with session.registry() as registry:
        verified = registry.verify_audit(copy)
    session.answer(verified, _render)
    if verified.damage:
        click.get_current_context().exit(_DAMAGED)


def _render(screen: Screen, verified: Verified) -> None:
    for note in verified.notes:
        screen.line(note, "dim")
    for finding in verified.findings:
        where = f"line {finding.line}: " if finding.line else ""
        screen.line(f"{where}{finding.message}; {finding.remedy}", "red")
    more = verified.damage - len(verified.findings)
    if more:
        screen.line(f"and {more} more findings", "red")
    state = "is damaged" if verified.damage else "is whole"
    screen.line(f"the audit log {state}: {_counted(verified.entries, 'decision')}")
    screen.fields(
        [
            ("accepted", f"{verified.accepted}, of which {verified.landed} moved main"),
            ("refused", verified.refused),
            ("on main", f"{_counted(verified.commits, 'commit')}, and {verified.older} older than the log"),
            ("deploy tags", f"{verified.anchors} name a decision"),
            ("head", verified.head),
        ]
    )


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' if count != 1 else ''}"


@command("export")
@click.option("--format", "shape", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True, help="How.")
@click.option("--since", metavar="TIME", help="From then on: 2026-01-31 (its beginning) or 2026-01-31T12:00:00Z.")
@click.option("--until", metavar="TIME", help="Up to then: 2026-01-31 (its end) or 2026-01-31T12:00:00Z.")
@click.option("--actor", metavar="USER", help="Only pushes of this user.")
@click.option("--model", metavar="MODEL", help="Only pushes that touch it: project/name, or a pattern such as risk/*.")
@click.option("--verdict", type=click.Choice(["accepted", "refused"]), help="Only these.")
@click.option("--output", metavar="FILE", type=click.Path(path_type=Path), help="Write there and not to stdout.")
def export(
    session: Session,
    shape: str,
    since: str | None,
    until: str | None,
    actor: str | None,
    model: str | None,
    verdict: str | None,
    output: Path | None,
) -> None:
    """Give the log of decisions away, as JSON lines or as a table for spreadsheets.

    Oldest first, all of it or only what is asked for. Runs on the server, where the log lies, or for admins through
    that server.
    """
    from gitreg.gate_hooks.audit import export as exports
    from gitreg.reader.history import parse_time

    wanted = exports.Wanted(
        since=exports.since(since) if since else None,
        until=parse_time(until) if until else None,
        actor=actor,
        model=exports.pattern(model) if model else None,
        verdict=verdict,
    )
    with session.registry() as registry:
        found = registry.audit(wanted)
        if session.as_json and output is None:
            session.answer([members for _, members in found], lambda _screen, _members: None)
            return
        lines = exports.as_csv(found) if shape == "csv" else exports.as_json_lines(found)
        with _opened(output) as file:
            written = _write(file, lines) - (shape == "csv")
    if output is not None:
        session.answer(Exported(decisions=written, output=str(output)), _render_exported)


def _render_exported(screen: Screen, exported: Exported) -> None:
    screen.line(f"{_counted(exported.decisions, 'decision')} written to {exported.output}")


def _opened(output: Path | None) -> AbstractContextManager[BinaryIO]:
    if output is None:
        from contextlib import nullcontext

        return nullcontext(sys.stdout.buffer)
    try:
        return output.open("wb")
    except OSError as error:
        raise InvalidError(f"--output {output} cannot be written: {error.strerror}") from error


def _write(file: BinaryIO, lines: Iterator[bytes]) -> int:
    count = 0
    for line in lines:
        file.write(line)
        count += 1
    return count


audit.add_command(verify)
audit.add_command(export)
