"""`gitreg register`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gitreg.cli import parse
from gitreg.cli.options import model_argument, writes
from gitreg.cli.session import Session, command
from gitreg.cli.written import answer_written

if TYPE_CHECKING:
    from gitreg.objects import Progress
    from gitreg.registry import Mode, RegisterRequest


@command("register")
@model_argument
@click.argument("paths", metavar="PATH...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--version", metavar="V", help="The version, such as 1.4.0.")
@click.option("--bump", metavar="major|minor|patch", help="Count the highest version up instead.")
@click.option("--description", metavar="TEXT", help="What is new.")
@click.option("--metric", "metric", multiple=True, metavar="KEY=NUMBER", help="A metric; may be repeated.")
@click.option("--metrics", metavar="FILE", help="Metrics by name.")
@click.option("--param", "param", multiple=True, metavar="KEY=VALUE", help="A hyperparameter; may be repeated.")
@click.option("--params", metavar="FILE", help="Hyperparameters by name.")
@click.option("--label", "label", multiple=True, metavar="KEY=TEXT", help="A label; may be repeated.")
@click.option("--labels", metavar="FILE", help="Labels by name.")
@click.option(
    "--dataset",
    "dataset",
    multiple=True,
    metavar="NAME[@VERSION][,digest=…][,uri=…]",
    help="A data set it was trained on; may be repeated.",
)
@click.option("--datasets", metavar="FILE", help="A list of data sets: name, version, digest, uri.")
@click.option("--evaluations", metavar="FILE", help="A list of evaluations: dataset, split, metrics.")
@click.option("--signature", metavar="FILE", help="Inputs and outputs: name, dtype, shape.")
@click.option("--framework", metavar="NAME==VERSION", help="What trained it, such as pytorch==2.13.0.")
@click.option("--license", metavar="SPDX", help="Such as Apache-2.0.")
@click.option(
    "--parent", "parents", multiple=True, metavar="MODEL@VERSION[:RELATION]", help="What it came from; repeatable."
)
@click.option("--base", metavar="URI", help="A parent outside the registry, such as hf://org/model@revision.")
@click.option("--external", metavar="PROVIDER:ID", help="A model behind somebody's API, instead of files.")
@click.option("--created", metavar="TIME", help="When it was made, such as 2026-01-31T12:00:00Z; default: now.")
@click.option("--model-description", metavar="TEXT", help="Of a new model: what it does.")
@click.option("--task", metavar="TASK", help="Of a new model: such as text-classification.")
@click.option("--owner", "owners", multiple=True, metavar="USER", help="Of a new model; may be repeated.")
@click.option("--follow-symlinks", is_flag=True, help="Register what the symlinks in a folder lead to.")
@click.option("--no-code", is_flag=True, help="Do not record the commit of the checkout you stand in.")
@writes
def register(session: Session, mode: Mode, **flags: Any) -> None:  # noqa: ANN401 - click's values
    r"""Register a new version of a model.

    PATH is a file, or a folder whose files are named as they are in it, but for those that its .gitregignore matches.
    A FILE is JSON or YAML, or - for standard input; flags for single values win over it.

    \b
      gitreg register risk/fraud-detector out/ --version 1.4.0 --metric auc=0.981
      gitreg register risk/fraud-detector model.onnx --bump minor --metrics metrics.json --dataset ledger@2026.01
    """
    from gitreg.cli.progress import progress

    with session.registry() as registry:
        with progress("storing", quiet=session.as_json) as moved:
            written = registry.register(_request(flags, moved), mode)
        answer_written(session, registry, written)


def _request(flags: dict[str, Any], moved: Progress | None) -> RegisterRequest:
    from gitreg.registry import RegisterRequest

    same = ("model", "paths", "version", "bump", "description", "framework", "license", "parents", "base", "created")
    return RegisterRequest(
        **{name: flags[name] for name in (*same, "model_description", "task", "owners")},
        metrics=parse.numbers_file(flags["metrics"], "--metrics") | parse.numbers(flags["metric"], "--metric"),
        hyperparameters=parse.mapping_file(flags["params"], "--params") | parse.scalars(flags["param"], "--param"),
        labels=parse.texts_file(flags["labels"], "--labels") | parse.texts(flags["label"], "--label"),
        datasets=(*parse.list_file(flags["datasets"], "--datasets"), *map(parse.dataset, flags["dataset"])),
        evaluations=parse.list_file(flags["evaluations"], "--evaluations"),
        signature=parse.mapping_file(flags["signature"], "--signature") or None,
        external=parse.external(flags["external"]),
        code=not flags["no_code"],
        follow_symlinks=flags["follow_symlinks"],
        progress=moved,
    )
