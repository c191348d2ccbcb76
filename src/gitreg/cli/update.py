"""`gitreg update`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitreg.cli import parse
from gitreg.cli.options import selector_argument, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from gitreg.registry import Mode

# Which flags say something about a version, and which about a model; the rest fit both.
_OF_VERSION = ("metric", "metrics", "license", "lifecycle", "evaluations")
_OF_MODEL = ("task", "owners", "card")


@command("update")
@selector_argument
@click.option("--description", metavar="TEXT", help="Of a version or a model.")
@click.option("--label", "label", multiple=True, metavar="KEY=TEXT", help="Set a label; may be repeated.")
@click.option("--remove-label", "remove_labels", multiple=True, metavar="KEY", help="Remove one; may be repeated.")
@click.option("--metric", "metric", multiple=True, metavar="KEY=NUMBER", help="Version: add a metric; repeatable.")
@click.option("--metrics", metavar="FILE", help="Version: add metrics by name, from JSON or YAML; - is stdin.")
@click.option("--evaluations", metavar="FILE", help="Version: add a list of evaluations: dataset, split, metrics.")
@click.option("--license", metavar="SPDX", help="Version: such as Apache-2.0.")
@click.option("--lifecycle", metavar="active|deprecated", help="Version: deprecate it, or take that back.")
@click.option("--task", metavar="TASK", help="Model: such as text-classification.")
@click.option("--owner", "owners", multiple=True, metavar="USER", help="Model: the owners from now on; repeatable.")
@click.option("--card", metavar="FILE", help="Model: its card, in Markdown; - is stdin.")
@writes
def update(session: Session, selector: str, mode: Mode, **flags: Any) -> None:  # noqa: ANN401 - click's values
    r"""Change what may change of a version or a model.

    With @ it is a version's, without @ the model's. Metrics and evaluations may be added, never rewritten; what
    identifies a version never changes.

    \b
      gitreg update risk/fraud-detector@1.4.0 --metric latency_ms=12 --lifecycle deprecated
      gitreg update risk/fraud-detector --description "Scores card payments." --owner alice
    """
    is_version = "@" in selector
    _refuse_other(flags, _OF_MODEL if is_version else _OF_VERSION, selector)
    fields = _version_fields(flags) if is_version else _model_fields(flags)
    if not any(value not in (None, (), {}) for value in fields.values()):
        raise InvalidError("nothing to change is named", hint="`gitreg update --help` lists what can be")
    with session.registry() as registry:
        write = registry.update if is_version else registry.update_model
        answer_written(session, registry, write(selector, mode, **fields))


def _refuse_other(flags: dict[str, Any], others: tuple[str, ...], selector: str) -> None:
    for name in others:
        if flags[name]:
            flag = f"--{name.removesuffix('s') if name == 'owners' else name}"
            if "@" in selector:
                raise InvalidError(f"{flag} is a model's, and {selector} is a version", hint="leave @… out")
            raise InvalidError(f"{flag} is a version's, and {selector} is a model", hint=f"write {selector}@VERSION")


def _version_fields(flags: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": flags["description"],
        "metrics": parse.numbers_file(flags["metrics"], "--metrics") | parse.numbers(flags["metric"], "--metric"),
        "labels": parse.texts(flags["label"], "--label"),
        "remove_labels": flags["remove_labels"],
        "license": flags["license"],
        "lifecycle": flags["lifecycle"],
        "evaluations": parse.list_file(flags["evaluations"], "--evaluations"),
    }


def _model_fields(flags: dict[str, Any]) -> dict[str, Any]:
    return {
        "description": flags["description"],
        "task": flags["task"],
        "owners": flags["owners"] or None,
        "labels": parse.texts(flags["label"], "--label"),
        "remove_labels": flags["remove_labels"],
        "card": parse.text_file(flags["card"], "--card"),
    }
