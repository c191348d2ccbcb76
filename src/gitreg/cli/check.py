"""`gitreg check`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.cli.session import Session, command
from gitreg.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.gate import Violation

_FORMATS = ("text", "json", "github", "sarif", "gitlab")


@command("check")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option("--base", metavar="COMMIT", help="Judge the commits after this one, as a push onto it would be.")
@click.option("--head", metavar="COMMIT", help="Up to this one; default: HEAD.")
@click.option(
    "--as",
    "user",
    metavar="USER",
    help="Who would push; left out, who signed, or nobody: then the access rules are left out.",
)
@click.option("--no-store", is_flag=True, help="Take it that the object store has every blob.")
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="text", show_default=True, help="How to write the verdict."
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    metavar="FILE.md",
    help="Write the verdict and metrics in Markdown too.",
)
def check(  # its parameters are its flags
    session: Session,
    path: Path | None,
    base: str | None,
    head: str | None,
    user: str | None,
    no_store: bool,
    form: str,
    report: Path | None,
) -> None:
    r"""Judge a checkout or a range of commits as the server would.

    Without --base: the files of the checkout at PATH (by default where you stand) as they lie there. With it: the
    commits from --base to --head, each by the rules before the push. The exit code is that of the refusal.

    \b
      gitreg check
      gitreg check --base origin/main --as alice --format github --report metrics.md
    """
    if base is None:
        for flag, value in (("--head", head), ("--as", user), ("--report", report)):
            if value is not None:
                raise InvalidError(f"{flag} is about a range of commits", hint="name its beginning: --base COMMIT")
        violations = _check_folder(path or Path(session.location or "."), use_store=not no_store)
    else:
        # The range is in the checkout one stands in, as the files are; a default registry elsewhere is not asked.
        session.location = str(path or session.location or ".")
        violations = _check_range(session, (base, head or "HEAD"), user, use_store=not no_store, report=report)
    _answer(session, violations, form)


def _check_folder(path: Path, *, use_store: bool) -> list[Violation]:
    from gitreg.gate_hooks.check import check_folder

    return check_folder(path.absolute(), use_store=use_store)


def _check_range(
    session: Session, revs: tuple[str, str], user: str | None, *, use_store: bool, report: Path | None
) -> list[Violation]:
    with session.registry() as registry:
        violations = registry.check_range(*revs, user, use_store=use_store)
        if report is not None:
            from gitreg.cli import markdown
            from gitreg.cli.comparison import compare_range

            _write(report, markdown.report(violations, compare_range(registry.target.repository, *revs)))
    return violations


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UnavailableError(f"--report {path} cannot be written: {error.strerror or error}") from error


def _answer(session: Session, violations: Sequence[Violation], form: str) -> None:
    from gitreg.cli.verdict import FORMATS
    from gitreg.gate import refusal

    click.echo(FORMATS["json" if session.as_json else form](violations))
    if violations:
        click.get_current_context().exit(refusal(violations).exit_code)
