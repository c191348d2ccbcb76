"""Judge what a file says by the JSON Schema of its kind, and explain what is wrong in words.

Two validators share the work: `decide` says yes or no at once; jsonschema, the reference, explains a no.
"""

from __future__ import annotations

import json
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError, Problem
from gitreg.resources import resource

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.wire import Document


class Kind(StrEnum):
    """A kind of file that has a schema; the value is the schema's name."""

    MANIFEST = "manifest"
    TOMBSTONE = "tombstone"
    MODEL = "model"
    DEPLOYMENT = "deployment"
    APPROVAL = "approval"
    STATUS = "status"
    ACCESS = "access"
    REGISTRY = "registry"


@cache
def schema(kind: Kind) -> dict[str, Any]:
    """Read the JSON Schema (draft 2020-12) of a kind of file."""
    loaded: dict[str, Any] = json.loads((resource("schemas") / f"{kind}.schema.json").read_bytes())
    return loaded


def is_valid(kind: Kind, value: object) -> bool:
    """Decide whether a value, as `wire.load` or `wire.plain` made it, keeps to the schema of its kind."""
    return _decider(kind)(value)


def explain(kind: Kind, document: Document) -> tuple[Problem, ...]:
    """List everything that is wrong with a document, in the order of its lines; empty where it is valid."""
    from gitreg.schema.words import problems

    return problems(schema(kind), document)


def check(kind: Kind, document: Document) -> None:
    """Raise InvalidError with every problem unless a document keeps to the schema of its kind."""
    if is_valid(kind, document.value):
        return
    found = explain(kind, document) or [Problem("holds a value that JSON does not have", document.path)]
    raise InvalidError(f"{document.path or 'the text'} is not a valid {kind}", problems=found)


@cache
def _decider(kind: Kind) -> Callable[[Any], bool]:
    from gitreg.schema.decide import decider

    return decider(schema(kind))
