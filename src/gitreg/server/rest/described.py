"""Say what each request is answered with, and give an example of what it takes."""

from __future__ import annotations

from typing import Any

from gitreg.deployment import Approval
from gitreg.gate_hooks.audit.result import Verified
from gitreg.manifest import Comparison, ManifestDiff, Model
from gitreg.reader import DeploymentRecord, LogEntry
from gitreg.registry.results import (
    LineageNode,
    ModelSummary,
    Recommendation,
    StatusRow,
    VersionDetails,
    VersionSummary,
)
from gitreg.server.rest.examples import COMING, EXAMPLES, OF_PATHS
from gitreg.server.rest.schemas import PLACE, Schema, Schemas, record
from gitreg.settings import EnvironmentRule
from gitreg.writer import Written

_JSON, _BYTES = "application/json", "application/octet-stream"
_ANYTHING: Schema = {"type": "object"}
_TEXT: Schema = {"type": "string"}
_FLAG: Schema = {"type": "boolean"}
_COUNT: Schema = {"type": "integer"}
_MODEL = "/models/{project}/{model}"
_VERSION = f"{_MODEL}/versions/{{version}}"
_FILE, _DEPLOYMENT = f"{_VERSION}/files/{{path}}", "/deployments/{environment}/{project}/{model}"
_VALUES = {
    "/models/version": VersionDetails,
    _VERSION: VersionDetails,
    f"{_MODEL}/aliases/{{alias}}": VersionDetails,
    f"{_VERSION}/lineage": LineageNode,
    f"{_VERSION}/diff": ManifestDiff,
    _DEPLOYMENT: StatusRow,
    "/compare": Comparison,
    "/recommend": Recommendation,
    "/audit/verify": Verified,
}
_PAGES = {
    "/models": ModelSummary,
    f"{_MODEL}/versions": VersionSummary,
    f"{_VERSION}/approvals": Approval,
    "/environments": EnvironmentRule,
    "/search": VersionSummary,
    "/deployments": StatusRow,
    f"{_DEPLOYMENT}/history": DeploymentRecord,
    "/events": LogEntry,
    "/log": LogEntry,
}
_OTHERS = {_FILE: _BYTES, "/files/{path}": _BYTES, f"{_MODEL}/card": "text/markdown", "/docs": "text/html"}
_UPLOADS, _UPLOAD = "/uploads", "/uploads/sha256/{hex}"
_UNTAGGED = {"/docs", "/openapi.json", "/audit/verify", _UPLOAD}
_STORED = record({"present": _FLAG, "digest": _TEXT, "size": _COUNT})
_COMING = record({"present": _FLAG, "received": _COUNT, "size": _COUNT})
_OFFERED = record(
    {
        "present": _FLAG,
        "received": _COUNT,
        "url": _TEXT,
        "method": _TEXT,
        "headers": {"type": "object", "additionalProperties": _TEXT},
    }
)
_ABOUT = record(
    {"service": _TEXT, "version": _TEXT, "git": _TEXT, "registry": _TEXT, "commit": _TEXT}, ("registry", "commit")
)
_OID: Schema = {"type": ["string", "null"]}
_ENTRY = record({"name": _TEXT, "type": {"enum": ["tree", "blob"]}, "oid": _OID})
_TREE = record({"commit": _TEXT, "oid": _OID, "entries": {"type": "array", "items": _ENTRY}})
_IF_NONE_MATCH = {"name": "If-None-Match", "in": "header", "schema": _TEXT, "description": "The ETag of what one has."}
# More than one way to be right.
_ALSO: dict[tuple[str, str], dict[str, str]] = {
    ("get", _FILE): {"206": "A range of the file.", "307": "The store has it, at this address."},
    ("get", "/"): {"303": "A browser is sent to the pages."},
}
_MORE_PROBLEMS: dict[tuple[str, str], dict[str, str]] = {
    ("get", _FILE): {"416": "The file has no such range."},
    ("put", _UPLOAD): {"411": "There is no Content-Length."},
}


class Answers:
    """What is answered, by method and path; `named` are the schemas that others refer to."""

    def __init__(self, taken: set[str]) -> None:
        self._schemas = Schemas(taken)
        self._written = self._schemas.of(Written)
        self._read = {path: self._schemas.of(kind) for path, kind in _VALUES.items()}
        self._read |= {path: self._schemas.page_of(kind) for path, kind in _PAGES.items()}
        self._read["/search"]["properties"]["notes"] = {"type": "array", "items": _TEXT}
        self._read["/audit"] = self._schemas.page_of(dict[str, Any])
        self._read |= {_MODEL: self._model(), "/": _ABOUT, "/openapi.json": _ANYTHING, _UPLOAD: _COMING}
        self._read |= {"/trees/": _TREE, "/trees/{path}": _TREE}

    @property
    def named(self) -> dict[str, Schema]:
        """Give the schemas of the classes, by their names."""
        return self._schemas.named

    def _model(self) -> Schema:
        latest: Schema = {"type": ["string", "null"]}
        more = {"versions": _COUNT, "latest": latest, "deployed": {"type": "object", "additionalProperties": _TEXT}}
        known = self._schemas.named[self._schemas.of(Model)["$ref"].removeprefix(PLACE)]
        return {**known, "properties": known["properties"] | more, "required": [*known["required"], *more]}

    def describe(self, method: str, path: str, operation: dict[str, Any]) -> None:
        """Put in what an operation is answered with."""
        responses = operation["responses"]
        for status, schema in self._of(method, path).items():
            kind = _OTHERS.get(path, _JSON) if method == "get" else _JSON
            shown = _example(path, schema) if kind == _JSON else None
            content = {kind: {"schema": schema} | ({"example": shown} if shown else {})}
            responses[status] = {"description": "Done.", **responses.get(status, {}), "content": content}
        for status, words in _ALSO.get((method, path), {}).items():
            content = {_BYTES: {"schema": {}}} if status == "206" else {}
            responses[status] = {"description": words, **({"content": content} if content else {})}
        if method == "get" and path not in _UNTAGGED:
            responses["304"] = {"description": "It is as the client has it."}
            operation.setdefault("parameters", []).append(_IF_NONE_MATCH)

    def _of(self, method: str, path: str) -> dict[str, Schema]:
        """Give the schemas of what is answered, by status."""
        if method == "get":
            return {"200": _TEXT if path.endswith("/card") or path == "/docs" else self._read.get(path, {})}
        if path == _UPLOADS:
            return {"200": {"anyOf": [_STORED, _OFFERED]}}
        if path == _UPLOAD:
            return {"201": _STORED, "202": _COMING}
        creates = path in {"/models/register", "/models/version", "/models/import"}
        return {"200": self._written} | ({"201": self._written} if creates else {})


def _example(path: str, schema: Schema) -> Any:  # noqa: ANN401 - JSON
    """Find an example of an answer: that of its schema, a page of one, or the path's own."""
    if schema == _COMING:
        return COMING
    name = schema.get("$ref", "").removeprefix(PLACE)
    if name:
        return EXAMPLES.get(name.removeprefix("Answered"))
    if path in OF_PATHS:
        return OF_PATHS[path]
    fields = schema.get("properties", {})
    if "items" not in fields:
        return None
    return {
        "items": [_example(path, fields["items"]["items"])],
        "next": None,
        **{name: [] for name in fields.keys() - {"items", "next"}},
    }


def problems_of(method: str, path: str) -> dict[str, str]:
    """Name the problems that not every operation has."""
    found = _MORE_PROBLEMS.get((method, path), {})
    return found | ({"415": "The body is not said to be JSON."} if method in {"post", "patch", "put"} else {})


def add_examples(schemas: dict[str, Schema]) -> None:
    """Give each schema that has none an example, of those of its fields."""
    for name, example in EXAMPLES.items():
        schemas[name]["examples"] = [example]
    for schema in schemas.values():
        fields = schema.get("properties", {})
        shown = {name: each["examples"][0] for name, each in fields.items() if each.get("examples")}
        if shown and "examples" not in schema and set(schema.get("required", ())) <= shown.keys():
            schema["examples"] = [shown]
