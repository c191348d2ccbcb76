"""Accept the files under `models/`: their schemas, and the rules that a schema cannot say."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from gitreg.manifest.parts import MANIFEST, TOMBSTONE
from gitreg.names import did_you_mean, folded
from gitreg.parsing import Findings, Rule, accept, check_moment, check_uri
from gitreg.schema import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitreg.parsing import Data
    from gitreg.wire import Document


def accept_version(document: Document) -> Data:
    """Accept a version's file, whichever of the two its `kind` says it is."""
    kind = document.value.get("kind", MANIFEST)
    if kind == TOMBSTONE:
        return accept_tombstone(document)
    if kind == MANIFEST:
        return accept_manifest(document)
    near = did_you_mean(str(kind), [MANIFEST, TOMBSTONE])
    findings = Findings(document)
    question = f"; did you mean {near}?" if near else ""
    findings.add(f"found {str(kind)[:80]!r}, allowed: {MANIFEST}, {TOMBSTONE}{question}", "kind")
    raise findings.refusal(Kind.MANIFEST)


def accept_manifest(document: Document) -> Data:
    """Accept a manifest; raise InvalidError with everything that is wrong."""
    return accept(Kind.MANIFEST, document, _MANIFEST_RULES).value


def accept_tombstone(document: Document) -> Data:
    """Accept a tombstone; raise InvalidError with everything that is wrong."""
    return accept(Kind.TOMBSTONE, document, ()).value


def accept_model(document: Document) -> Data:
    """Accept a model's file; raise InvalidError with everything that is wrong."""
    return accept(Kind.MODEL, document, ()).value


def _created(findings: Findings, data: Data) -> None:
    if "created" in data:
        check_moment(findings, data["created"], "created")


def _artifacts(findings: Findings, data: Data) -> None:
    """Note paths that no pull could lay side by side, on any file system, or that reach into a repository."""
    taken: dict[str, str] = {}
    paths = [artifact["path"] for artifact in data.get("artifacts", ())]
    folders = _folders(map(folded, paths))
    for index, path in enumerate(paths):
        place = ("artifacts", index, "path")
        plain = folded(path)
        other = taken.get(plain)
        taken.setdefault(plain, path)
        if ".git" in plain.split("/"):
            findings.add(f"{path!r} leads into a git repository; rename it", *place)
        if plain in folders:
            findings.add(f"{path!r} is the folder of another artifact; rename one", *place)
        if other == path:
            findings.add(f"{path!r} is there twice; leave one out", *place)
        elif other is not None:
            findings.add(f"{path!r} and {other!r} are one file where case does not count; rename one", *place)


def _folders(paths: Iterable[str]) -> set[str]:
    """Find the paths that are folders of others: in order, the first path below one comes right after it."""
    ordered = sorted({tuple(path.split("/")) for path in paths})
    return {"/".join(path) for path, after in pairwise(ordered) if after[: len(path)] == path}


def _parents(findings: Findings, data: Data) -> None:
    seen: set[tuple[str, str]] = set()
    for index, parent in enumerate(data.get("parents", ())):
        name = f"{parent['model']}@{parent['version']}"
        if (parent["model"], parent["version"]) == (data.get("model"), data.get("version")):
            findings.add(f"{name} cannot be its own parent", "parents", index)
        if (name, parent["relation"]) in seen:
            findings.add(f"{name} is there twice as {parent['relation']}; leave one out", "parents", index)
        seen.add((name, parent["relation"]))


def _training(findings: Findings, data: Data) -> None:
    training = data.get("training", {})
    for index, dataset in enumerate(training.get("datasets", ())):
        check_uri(findings, dataset.get("uri"), "training", "datasets", index, "uri")
    check_uri(findings, training.get("code", {}).get("repository"), "training", "code", "repository")


def _evaluations(findings: Findings, data: Data) -> None:
    for index, evaluation in enumerate(data.get("evaluations", ())):
        check_uri(findings, evaluation["dataset"].get("uri"), "evaluations", index, "dataset", "uri")


def _base(findings: Findings, data: Data) -> None:
    check_uri(findings, data.get("base", {}).get("uri"), "base", "uri")


def _external(findings: Findings, data: Data) -> None:
    check_uri(findings, data.get("external", {}).get("endpoint"), "external", "endpoint")


_MANIFEST_RULES = (
    Rule(("created",), _created),
    Rule(("artifacts",), _artifacts),
    Rule(("parents", "model", "version"), _parents),
    Rule(("training",), _training),
    Rule(("evaluations",), _evaluations),
    Rule(("base",), _base),
    Rule(("external",), _external),
)
