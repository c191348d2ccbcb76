"""Turn a file of the registry into the rows that the index keeps of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from gitreg.errors import InvalidError
from gitreg.wire import load_plain

VERSION, MODEL, CARD, POINTER = "version", "model", "card", "pointer"
MAX_CARD = 200_000  # characters of a card that full text finds
MAX_WHOLE = 2**63 - 1
_MAX_EXACT = 2**53
SCALARS = (
    "deleted",
    "created",
    "author",
    "email",
    "description",
    "license",
    "lifecycle",
    "base",
    "size",
    "framework",
    "framework_version",
    "repository",
    "code",
    "provider",
    "reason",
)
LISTS: Mapping[str, tuple[str, ...]] = {
    "metrics": ("key", "value"),
    "hyperparameters": ("key", "number", "text"),
    "labels": ("key", "value"),
    "artifacts": ("path", "digest", "size", "format"),
    "datasets": ("name", "version", "digest", "uri"),
    "parents": ("model", "version", "relation"),
    "evaluations": ("entry", "name", "version", "digest", "uri", "split"),
    "evaluation_metrics": ("entry", "key", "value"),
}

_DATASET = ("name", "version", "digest", "uri")

Row = tuple[Any, ...]
Rows = tuple[Row, dict[str, list[Row]]]
"""The columns of the file's own row, and the rows of the tables that belong to it."""

# What gitreg itself writes; whatever else a person wrote goes through the parser.
_PLAIN_POINTER = re.compile(
    rb"(?:api_version: gitreg/v1\n)?kind: Deployment\nenvironment: [a-z][a-z0-9_-]*\nmodel: [a-z][a-z0-9._/-]*\n"
    rb"version: ([0-9]+\.[0-9]+\.[0-9]+(?:-[a-z0-9.-]+)?)\n"
)


def rows_of(kind: str, data: bytes) -> Rows:
    """Read one file strictly; InvalidError where it is not what the gate would have let in."""
    try:
        return _READERS[kind](data)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise InvalidError(f"a {kind} file is not of the form that the gate lets in") from error


def _version(data: bytes) -> Rows:
    value = load_plain(data)
    if value["kind"] == "Tombstone":
        row = {"deleted": 1, "lifecycle": "deleted", "size": 0, "reason": _text(value["reason"])}
        return tuple(row.get(name) for name in SCALARS), {}
    training = _mapping(value.get("training"))
    author, framework, code = value["author"], _mapping(training.get("framework")), _mapping(training.get("code"))
    parameters = _mapping(training.get("hyperparameters"))
    artifacts = [_artifact(each) for each in value.get("artifacts", ())]
    row = {
        "deleted": 0,
        "created": _word(value["created"]),
        "author": _text(author["name"]),
        "email": _text(author["email"]),
        "description": _text(value.get("description")),
        "license": _text(value.get("license")),
        "lifecycle": _text(value.get("lifecycle", "active")),
        "base": _text(_mapping(value.get("base")).get("uri")),
        "size": _whole(sum(each[2] for each in artifacts)),
        "framework": _text(framework.get("name")),
        "framework_version": _text(framework.get("version")),
        "repository": _text(code.get("repository")),
        "code": _text(code.get("commit")),
        "provider": _text(_mapping(value.get("external")).get("provider")),
    }
    evaluations = value.get("evaluations", ())
    lists: dict[str, list[Row]] = {
        "metrics": [(_word(key), _real(number)) for key, number in value.get("metrics", {}).items()],
        "hyperparameters": [(_word(key), *_any(each)) for key, each in parameters.items()],
        "labels": [(_word(key), _text(each)) for key, each in value.get("labels", {}).items()],
        "artifacts": artifacts,
        "datasets": [_columns(each, *_DATASET) for each in training.get("datasets", ())],
        "parents": [_columns(each, "model", "version", "relation") for each in value.get("parents", ())],
        "evaluations": [
            (entry, *_columns(each["dataset"], *_DATASET), _text(each.get("split")))
            for entry, each in enumerate(evaluations)
        ],
        "evaluation_metrics": [
            (entry, _word(key), _real(number))
            for entry, each in enumerate(evaluations)
            for key, number in each["metrics"].items()
        ],
    }
    return tuple(row.get(name) for name in SCALARS), {name: found for name, found in lists.items() if found}


def _artifact(value: Mapping[str, Any]) -> Row:
    return _text(value["path"]), _text(value["digest"]), _whole(value["size"]), _text(value.get("format"))


def _model(data: bytes) -> Rows:
    value = load_plain(data)
    lists: dict[str, list[Row]] = {
        "owners": [(_word(each),) for each in value.get("owners", ())],
        "model_labels": [(_word(key), _text(each)) for key, each in value.get("labels", {}).items()],
        "aliases": [(_word(key), _word(each)) for key, each in value.get("aliases", {}).items()],
    }
    return (_text(value.get("description")), _text(value.get("task"))), lists


def _card(data: bytes) -> Rows:
    return (data.decode("utf-8", "replace")[:MAX_CARD],), {}


def _pointer(data: bytes) -> Rows:
    match = _PLAIN_POINTER.fullmatch(data)
    if match:
        return (match[1].decode("ascii"), None, None), {}
    value = load_plain(data)
    percent = value.get("canary_percent")
    return (_text(value["version"]), _text(value.get("canary_version")), percent and _whole(percent)), {}


_READERS = {VERSION: _version, MODEL: _model, CARD: _card, POINTER: _pointer}


def _mapping(value: object) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, Mapping):
        return value
    raise TypeError("not a mapping")


def _columns(value: Mapping[str, Any], *names: str) -> Row:
    return tuple(_text(value.get(name)) for name in names)


def _text(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError("not text")
    if not value.isascii():
        value.encode()  # SQLite takes no lone surrogates
    return value


def _word(value: object) -> str:
    """Read a text that has to be there, as keys have to."""
    found = _text(value)
    if found is None:
        raise TypeError("no text")
    return found


def _whole(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_WHOLE:
        raise TypeError("not a whole number that the index can hold")
    return value


def _real(value: object) -> float:
    """Read a number; one that was written without a point stays so, where both are the same."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError("not a number")
    return value if -_MAX_EXACT <= value <= _MAX_EXACT else float(value)


def _any(value: object) -> tuple[float | None, str | None]:
    """Give a parameter as a number, where it is one, and as text: true and false as YAML writes them."""
    if isinstance(value, str):
        return None, _text(value)
    if isinstance(value, (bool, Mapping, Sequence)) or value is None:
        return None, _text(json.dumps(value, ensure_ascii=False, sort_keys=True))
    return _real(value), str(value)
