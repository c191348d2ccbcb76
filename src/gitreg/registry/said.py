"""Read what a server says as JSON into the values that a registry answers with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from gitreg.client.problems import violation
from gitreg.errors import GitregError, IntegrityError
from gitreg.gate_hooks.audit.entry import canonical, read
from gitreg.gate_hooks.audit.result import Finding
from gitreg.gate_hooks.audit.result import Verified as Audited
from gitreg.manifest import Lifecycle, Manifest
from gitreg.names import AliasName, EnvironmentName, ModelName, Version
from gitreg.reader import DeploymentRecord, LogEntry
from gitreg.registry.results import LineageNode, ModelSummary, Recommendation, VersionSummary
from gitreg.writer import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitreg.recommend.advice import Recommended

T = TypeVar("T")
_DEEPEST = 150


def accepted(read: Callable[[Mapping[str, Any]], T], row: object) -> T:
    """Read a row; IntegrityError where it is not what it has to be."""
    try:
        if isinstance(row, dict):
            return read(row)
    except (KeyError, TypeError, ValueError, AttributeError, GitregError) as error:
        raise IntegrityError("the server's answer is not what gitreg's server answers") from error
    raise IntegrityError("the server's answer is not what gitreg's server answers")


def model_summary(row: Mapping[str, Any]) -> ModelSummary:
    """Read a row of the models."""
    return ModelSummary(
        model=ModelName.parse(row["model"]),
        description=_text(row.get("description")),
        task=_text(row.get("task")),
        versions=int(row["versions"]),
        latest=_version(row.get("latest")),
        aliases={AliasName(name): Version(each) for name, each in row["aliases"].items()},
        deployed={EnvironmentName(name): Version(each) for name, each in row["deployed"].items()},
    )


def version_summary(row: Mapping[str, Any]) -> VersionSummary:
    """Read a row of the versions, or of a search."""
    return VersionSummary(
        model=ModelName.parse(row["model"]),
        version=Version(row["version"]),
        created=_text(row.get("created")),
        author=_text(row.get("author")),
        lifecycle="deleted" if row["lifecycle"] == "deleted" else Lifecycle(row["lifecycle"]),
        metrics=_numbers(row["metrics"]),
        labels={str(name): str(each) for name, each in row["labels"].items()},
        size=int(row["size"]),
        aliases=tuple(map(AliasName, row["aliases"])),
        deployed=tuple(map(EnvironmentName, row["deployed"])),
        reason=_text(row.get("reason")),
    )


def log_entry(row: Mapping[str, Any]) -> LogEntry:
    """Read a commit."""
    return LogEntry(
        commit=str(row["commit"]),
        time=str(row["time"]),
        author=str(row["author"]),
        subject=str(row["subject"]),
        changes=_texts(row["changes"]),
    )


def deployment(row: Mapping[str, Any]) -> DeploymentRecord:
    """Read a deployment of the past."""
    return DeploymentRecord(
        environment=EnvironmentName(row["environment"]),
        model=ModelName.parse(row["model"]),
        number=int(row["number"]),
        action=str(row["action"]),
        version=_version(row.get("version")),
        previous=_version(row.get("previous")),
        canary_version=_version(row.get("canary_version")),
        canary_percent=row.get("canary_percent"),
        commit=str(row["commit"]),
        time=str(row["time"]),
        author=str(row["author"]),
        actor=_text(row.get("actor")),
        reason=_text(row.get("reason")),
        marked=row.get("marked") is True,
    )


def lineage(row: Mapping[str, Any], depth: int = 0) -> LineageNode:
    """Read a tree of versions."""
    if depth > _DEEPEST:
        raise ValueError("too deep")
    return LineageNode(
        name=str(row["name"]),
        relation=_text(row.get("relation")),
        state=_text(row.get("state")),
        parents=tuple(lineage(each, depth + 1) for each in row["parents"]),
        children=tuple(lineage(each, depth + 1) for each in row.get("children", ())),
    )


def recommendation(row: Mapping[str, Any]) -> Recommendation:
    """Read what suits a need."""
    return Recommendation(
        need=str(row["need"]),
        model=_text(row.get("model")),
        aims=_texts(row["aims"]),
        considered=int(row["considered"]),
        places=tuple(map(_place, row["places"])),
        notes=_texts(row["notes"]),
    )


def _place(row: Mapping[str, Any]) -> Recommended:
    from gitreg.recommend.advice import Recommended

    return Recommended(
        key=str(row["key"]),
        relevance=float(row["relevance"]),
        similarity=float(row["similarity"]) if "similarity" in row else None,
        shared=_texts(row["shared"]),
        measures=_numbers(row["measures"]),
        front=row["front"] is True if "front" in row else None,
        reasons=_texts(row["reasons"]),
    )


def written(row: Mapping[str, Any]) -> Written:
    """Read what became of a write."""
    about = row.get("about")
    return Written(
        commit=_text(row.get("commit")),
        ref=str(row["ref"]),
        subject=str(row["subject"]),
        paths=_texts(row["paths"]),
        dry_run=row.get("dry_run") is True,
        diff=_text(row.get("diff")),
        violations=tuple(map(violation, row.get("violations", ()))),
        notes=_texts(row.get("notes", ())),
        about=Manifest.from_data(about) if isinstance(about, dict) and "author" in about else None,
    )


def notes(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Read what is said beside an answer."""
    return _texts(row.get("notes", ()))


def decision(row: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
    """Read an entry of the audit log, and give its line as it stands there."""
    line = canonical(row)
    return line + b"\n", read(line)


def audited(row: Mapping[str, Any]) -> Audited:
    """Read what the proof of an audit log found."""
    counts = ("entries", "accepted", "refused", "landed", "superseded", "commits", "older", "anchors", "damage")
    return Audited(
        **{name: int(row[name]) for name in counts},
        head=_text(row.get("head")),
        findings=tuple(map(_finding, row["findings"])),
        notes=_texts(row["notes"]),
    )


def _finding(row: Mapping[str, Any]) -> Finding:
    line = row.get("line")
    return Finding(line=line if isinstance(line, int) else None, message=str(row["message"]), remedy=str(row["remedy"]))


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    raise TypeError("that is no text")


def _texts(value: Any) -> tuple[str, ...]:  # noqa: ANN401 - JSON
    if not isinstance(value, list | tuple) or not all(isinstance(each, str) for each in value):
        raise TypeError("that is no list of text")
    return tuple(value)


def _version(value: object) -> Version | None:
    return None if value is None else Version(_text(value) or "")


def _numbers(value: Mapping[str, Any]) -> dict[str, float]:
    for each in value.values():
        if isinstance(each, bool) or not isinstance(each, int | float):
            raise TypeError("that is no number")
    return dict(value)
