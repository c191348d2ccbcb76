"""`gitreg show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from gitreg.cli.options import at_option, selector_argument
from gitreg.cli.session import Session, command
from gitreg.cli.text import listed, number, pairs
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gitreg.cli.screen import Screen
    from gitreg.manifest import Dataset, Evaluation, Manifest, Training
    from gitreg.registry import VersionDetails


@command("show")
@selector_argument
@click.option("--card", is_flag=True, help="Show the model's card instead, in Markdown.")
@at_option
def show(session: Session, selector: str, card: bool, at: str | None) -> None:
    """Show a version.

    Everything its manifest says, and what points at it: environments, aliases, approvals. A model without @ means its
    latest version.
    """
    with session.registry() as registry:
        if card:
            text = registry.card(selector.partition("@")[0], at=at)
            session.answer({"card": text}, lambda screen, _: screen.block((text or "this model has no card").rstrip()))
        else:
            session.answer(registry.show(selector, at=at), _render)


def _render(screen: Screen, details: VersionDetails) -> None:
    manifest = details.manifest
    screen.line(f"{manifest.model}@{manifest.version}", "bold")
    screen.fields(_facts(details))
    _files(screen, manifest)
    _signature(screen, manifest.signature or {})
    _numbers(screen, manifest)
    if manifest.training:
        _training(screen, manifest.training)
    if details.approvals:
        screen.heading("Approvals")
        rows = [(each.environment, each.user, each.verdict, each.comment) for each in details.approvals]
        screen.table(("ENVIRONMENT", "USER", "VERDICT", "COMMENT"), rows)


def _facts(details: VersionDetails) -> Iterator[tuple[str, object]]:
    manifest = details.manifest
    yield "lifecycle", manifest.lifecycle
    yield "deployed", listed(details.deployed)
    yield "aliases", listed(details.aliases)
    yield "created", manifest.created
    yield "author", manifest.author
    yield "description", manifest.description
    yield "license", manifest.license
    yield "labels", pairs(manifest.labels)
    if manifest.external:
        yield "external", f"{manifest.external.provider}: {manifest.external.id}"
    yield "parents", listed(f"{each} ({each.relation})" if each.relation else each for each in manifest.parents)
    yield "base", manifest.base
    yield "digest", details.manifest_digest
    yield "commit", details.registry_commit[:10]


def _files(screen: Screen, manifest: Manifest) -> None:
    if not manifest.artifacts:
        return
    screen.heading(f"Artifacts ({human_size(manifest.total_size)})")
    rows = [(each.path, human_size(each.size), each.format, each.digest.short) for each in manifest.artifacts]
    screen.table(("PATH", "SIZE", "FORMAT", "SHA256"), rows, right={"SIZE"})


def _signature(screen: Screen, signature: Mapping[str, Any]) -> None:
    rows = []
    for side in ("inputs", "outputs"):
        for each in signature.get(side, ()):
            shape = "x".join("?" if size is None else str(size) for size in each["shape"])
            rows.append((side.removesuffix("s"), each["name"], each["dtype"], shape))
    if rows or "parameters" in signature:
        screen.heading("Signature")
        if "parameters" in signature:
            screen.fields([("parameters", f"{signature['parameters']:,}")])
        if rows:
            screen.table(("", "NAME", "TYPE", "SHAPE"), rows)


def _numbers(screen: Screen, manifest: Manifest) -> None:
    if manifest.metrics:
        screen.heading("Metrics")
        screen.fields((name, number(value)) for name, value in manifest.metrics.items())
    if manifest.evaluations:
        screen.heading("Evaluations")
        screen.table(("DATASET", "SPLIT", "METRICS"), [_evaluation(each) for each in manifest.evaluations])


def _evaluation(each: Evaluation) -> tuple[object, ...]:
    return _dataset_name(each.dataset), each.split, pairs(each.metrics)


def _training(screen: Screen, training: Training) -> None:
    framework, code = training.framework, training.code
    screen.heading("Training")
    screen.fields(
        [
            ("framework", " ".join(filter(None, (framework.name, framework.version))) if framework else None),
            ("code", " at ".join(filter(None, (code.repository, code.commit))) if code else None),
            ("hyperparameters", pairs(training.hyperparameters or {})),
        ]
    )
    if training.datasets:
        rows = [(each.name, each.version, each.digest and each.digest.short, each.uri) for each in training.datasets]
        screen.table(("DATASET", "VERSION", "SHA256", "URI"), rows)


def _dataset_name(dataset: Dataset) -> str:
    return f"{dataset.name}@{dataset.version}" if dataset.version else dataset.name
