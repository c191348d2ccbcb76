"""Describe the interface as OpenAPI 3.1: what FastAPI knows of the routes, and what is common to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from gitreg import __version__
from gitreg.server.auth.guard import OPEN
from gitreg.server.problems import KIND
from gitreg.server.rest.described import Answers, add_examples, problems_of
from gitreg.server.rest.schemas import PLACE

if TYPE_CHECKING:
    from fastapi import FastAPI

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "description": "Problem details (RFC 9457); `violations` are the gate's, or the fields that are not right.",
    "required": ["type", "title", "status", "detail", "violations"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "hint": {"type": ["string", "null"]},
        "violations": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["code", "message"],
                "properties": {
                    "code": {"type": "string"},
                    "message": {"type": "string"},
                    "path": {"type": "string"},
                    "line": {"type": "integer"},
                    "field": {"type": "string"},
                    "commit": {"type": "string"},
                    "remedy": {"type": "string"},
                },
            },
        },
        "request_id": {"type": ["string", "null"]},
    },
    "examples": [
        {
            "type": "about:blank",
            "title": "Conflict",
            "status": 409,
            "detail": "risk/fraud@1.4.0 exists, registered 2026-01-31T12:00:00Z by Alice Doe",
            "hint": "the next one is 1.4.1 (bump patch)",
            "violations": [],
            "request_id": "f3b1c9d2a04e4b7e9a51d7c6a2b8e0f4",
        }
    ],
}
_PROBLEMS = {
    "400": "Not HTTP's or JSON's form.",
    "401": "Nobody is known behind the request.",
    "403": "The caller may not.",
    "404": "There is no such thing.",
    "405": "There is no such method here.",
    "408": "The body did not come in time.",
    "409": "It collides with what is there.",
    "412": "What was read has changed since.",
    "413": "The body is too large.",
    "422": "Something in the request breaks a rule.",
    "429": "Too many requests; Retry-After says when to come again.",
    "503": "Something cannot be reached now; Retry-After says when to come again.",
}
_TAGS = [
    {"name": "about", "description": "This server."},
    {"name": "models", "description": "Models and their versions."},
    {"name": "search", "description": "Questions over every model."},
    {"name": "deployments", "description": "What runs where, and what ran."},
    {"name": "writes", "description": "Changes, each a commit that the gate has judged."},
    {"name": "files", "description": "Weights, and the registry's own files."},
    {"name": "events", "description": "What happened, and what was decided."},
]


def document(app: FastAPI) -> dict[str, Any]:
    """Make the document, once."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    found: dict[str, Any] = get_openapi(
        title="gitreg",
        version=__version__,
        openapi_version="3.1.0",
        summary="A model registry that lives in git.",
        description="Every write is a commit on `main` that the gate has judged. See docs/rest.md.",
        routes=app.routes,
        tags=_TAGS,
    )
    schemas = found.setdefault("components", {}).setdefault("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = _PROBLEM
    answers = Answers(set(schemas))
    schemas |= answers.named
    add_examples(schemas)
    found["components"]["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "`gitreg server token create` makes one."},
    }
    found["security"] = [{"token": []}]
    found["servers"] = [{"url": app.state.serving.authenticator.settings.url or "/"}]
    for path, operations in found["paths"].items():
        for method, operation in operations.items():
            answers.describe(method, path, operation)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])
            if path in OPEN:
                operation["security"] = []
            _add_problems(operation, _PROBLEMS | problems_of(method, path))
    return found


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Describe what a parameter may be where it is there: an address and a header have no null."""
    kinds = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) != 1:
        return schema
    return {**kinds[0], **{name: value for name, value in schema.items() if name != "anyOf"}}


def _add_problems(operation: dict[str, Any], problems: dict[str, str]) -> None:
    """Add the problems that an operation may answer with."""
    content = {KIND: {"schema": {"$ref": f"{PLACE}Problem"}}}
    for status, words in sorted(problems.items()):
        operation["responses"][status] = {"description": words, "content": content}
