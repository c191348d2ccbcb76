"""`gitreg deploy`, `promote`, `rollback` and `undeploy`: what is meant to run where."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from gitreg.cli.complete import complete_environment
from gitreg.cli.options import environment_argument, model_argument, reason_option, selector_argument, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written

if TYPE_CHECKING:
    from gitreg.registry import Mode


@command("deploy")
@selector_argument
@environment_argument
@click.option("--canary", metavar="VERSION", help="A second version, for a share of the traffic.")
@click.option("--percent", type=click.IntRange(1, 99), metavar="1..99", help="The canary's share.")
@reason_option
@writes
def deploy(
    session: Session,
    selector: str,
    environment: str,
    canary: str | None,
    percent: int | None,
    reason: str | None,
    mode: Mode,
) -> None:
    r"""Point an environment at a version.

    \b
      gitreg deploy risk/fraud-detector@1.4.0 staging --reason "January retrain"
      gitreg deploy risk/fraud-detector@1.4.0 prod --canary 1.5.0 --percent 10
    """
    with session.registry() as registry:
        written = registry.deploy(selector, environment, mode, reason=reason, canary=canary, percent=percent)
        answer_written(session, registry, written)


@command("promote")
@model_argument
@click.argument("source", metavar="FROM", shell_complete=complete_environment)
@click.argument("target", metavar="[TO]", required=False, shell_complete=complete_environment)
@reason_option
@writes
def promote(session: Session, model: str, source: str, target: str | None, reason: str | None, mode: Mode) -> None:
    """Deploy what runs in one environment to the next.

    The next is the one that comes after FROM in registry.yaml, unless TO names it.
    """
    with session.registry() as registry:
        answer_written(session, registry, registry.promote(model, source, target, mode, reason=reason))


@command("rollback")
@model_argument
@environment_argument
@click.option("--to", metavar="VERSION|N", help="Where to, as a version that ran there or as a deployment's number.")
@reason_option
@writes
def rollback(session: Session, model: str, environment: str, to: str | None, reason: str | None, mode: Mode) -> None:
    """Point an environment back at what ran before.

    `gitreg history MODEL ENVIRONMENT` lists where one can go back to. `git revert` of the deployment's commit and a
    push do the same.
    """
    with session.registry() as registry:
        answer_written(session, registry, registry.rollback(model, environment, mode, to=to, reason=reason))


@command("undeploy")
@model_argument
@environment_argument
@reason_option
@writes
def undeploy(session: Session, model: str, environment: str, reason: str | None, mode: Mode) -> None:
    """Take a model out of an environment."""
    with session.registry() as registry:
        answer_written(session, registry, registry.undeploy(model, environment, mode, reason=reason))
