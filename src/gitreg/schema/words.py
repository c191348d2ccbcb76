"""Put what a JSON Schema validator finds into words: where, what was found, what is allowed, what to do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from gitreg.errors import Problem
from gitreg.names import did_you_mean
from gitreg.wire.document import field_name
from gitreg.wire.scalars import resolve
from gitreg.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from gitreg.wire.document import Document, Path

_SHOWN: Final = 60
_TYPES: Final = {
    "string": "text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "null": "null",
    "array": "a list",
    "object": "fields",
}


def reference(schema: Mapping[str, Any]) -> Validator:
    """Make the reference validator, which like the fast one takes no number for a number unless it is finite."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    checker = Draft202012Validator.TYPE_CHECKER.redefine(
        "number", lambda _, value: not isinstance(value, bool) and isinstance(value, (int, float)) and _finite(value)
    )
    return extend(Draft202012Validator, type_checker=checker)(schema)


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def problems(schema: Mapping[str, Any], document: Document) -> tuple[Problem, ...]:
    """Explain every error of a document, each once, in the order of its lines."""
    found: dict[Problem, None] = {}
    for error in reference(schema).iter_errors(document.value):
        found |= dict.fromkeys(_explain(error, document))
    return tuple(sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0)))


def _explain(error: ValidationError, document: Document) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    if "propertyNames" in error.absolute_schema_path:
        key = str(error.instance)
        yield _problem(document, path, f"the name {_shown(key)} is not allowed; {_wanted(error)}", at=(*path, key))
        return
    explain = _EXPLAIN.get(str(error.validator))
    if explain is None:
        yield _problem(document, path, error.message)
        return
    for message, key in explain(error, document.sources.get(path)):
        yield _problem(document, path, message, at=(*path, key) if key else path)


def _problem(document: Document, path: Path, message: str, *, at: Path | None = None) -> Problem:
    mark = document.mark(path if at is None else at)
    line, column = mark or (None, None)
    return Problem(message, document.path, line, column, field_name(path) or None)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def _found(value: object, source: str | None) -> str:
    """Name a value as its author wrote it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return source or str(value).lower()
    if isinstance(value, (int, float)):
        return f"the number {source or value}"
    if isinstance(value, str):
        return f"the text {_shown(value)}"
    return "a list" if isinstance(value, (list, tuple)) else "fields"


_Messages = "Iterator[tuple[str, str | None]]"


def _type(error: ValidationError, source: str | None) -> Iterator[tuple[str, str | None]]:
    value, want = error.instance, error.validator_value
    wanted = [want] if isinstance(want, str) else list(want)
    if isinstance(value, float) and not math.isfinite(value):
        yield f"found {value}, want a finite number", None
        return
    names = [_TYPES[name] for name in wanted]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
    yield f"found {_found(value, source)}, want {listed}{_way_out(value, source, wanted)}", None


def _way_out(value: object, source: str | None, wanted: list[str]) -> str:
    if "string" in wanted and isinstance(value, (bool, int, float)):
        return f'; write it in quotes: "{source or value}"'
    if isinstance(value, str) and {"number", "integer", "boolean"} & {*wanted} and not isinstance(_read(value), str):
        return f"; write it without quotes: {value}"
    if isinstance(value, str) and wanted == ["array"]:
        return f"; write it as a list: [{value}]" if len(value) <= _SHOWN else "; put it in [ ]"
    return ""


def _read(text: str) -> object:
    try:
        return resolve(text)
    except InvalidError:
        return text


def _required(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    # One error for each missing field; the library says which only in its message.
    for name in error.validator_value:
        if error.message.startswith(f"{name!r} is"):
            const = error.schema.get("properties", {}).get(name, {}).get("const")
            yield f"missing field {name!r}" + (f"; write {name}: {const}" if const else ""), None


def _unknown(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    known = error.schema.get("properties", {})
    for name in error.instance:
        if name not in known:
            near = did_you_mean(name, known)
            way_out = f"did you mean {near!r}?" if near else f"allowed: {', '.join(known)}"
            yield f"unknown field {_shown(name)}; {way_out}", name


def _enum(error: ValidationError, source: str | None) -> Iterator[tuple[str, str | None]]:
    value, allowed = error.instance, error.validator_value
    near = did_you_mean(value.lower(), allowed) if isinstance(value, str) else None
    found = _shown(value) if isinstance(value, str) else _found(value, source)
    yield f"found {found}, allowed: {', '.join(allowed)}" + (f"; did you mean {near!r}?" if near else ""), None


def _const(error: ValidationError, source: str | None) -> Iterator[tuple[str, str | None]]:
    value = error.instance
    found = _shown(value) if isinstance(value, str) else _found(value, source)
    yield f"found {found}, want {error.validator_value}", None


def _wanted(error: ValidationError) -> str:
    if error.validator == "pattern":
        return str(error.schema.get("patternErrorMessage", f"want {error.validator_value}"))
    return f"it has {len(error.instance)} characters, and {error.validator_value} are allowed"


def _pattern(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    yield f"found {_shown(error.instance)}, {_wanted(error)}", None


def _length(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    if error.validator == "minLength":
        yield "found an empty text, want some; leave the field out or fill it", None
    else:
        yield f"the text has {len(error.instance):,} characters, and {error.validator_value:,} are allowed", None


def _count(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    if not error.instance:
        yield "found nothing in it, want at least one; leave the field out or fill it", None
    else:
        yield f"found {len(error.instance):,} entries, and {error.validator_value:,} are allowed", None


def _range(error: ValidationError, source: str | None) -> Iterator[tuple[str, str | None]]:
    bound = "at least" if error.validator == "minimum" else "at most"
    yield f"found {source or error.instance}, want {bound} {error.validator_value}", None


def _unique(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    twice = sorted({str(item) for item in error.instance if error.instance.count(item) > 1})
    yield f"holds {', '.join(map(_shown, twice))} more than once; name each once", None


def _together(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    for name, others in error.validator_value.items():
        for other in others:
            if name in error.instance and other not in error.instance:
                yield f"{name!r} needs {other!r} beside it", name


def _one_of(error: ValidationError, _source: str | None) -> Iterator[tuple[str, str | None]]:
    names = [name for choice in error.validator_value for name in choice["required"]]
    listed = " and ".join(map(repr, names))
    found = [name for name in names if name in error.instance]
    yield f"exactly one of {listed} is wanted, found {'both' if found else 'neither'}", found[-1] if found else None


_EXPLAIN: Final[Mapping[str, Callable[[ValidationError, str | None], Iterator[tuple[str, str | None]]]]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _unknown,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": _length,
    "maxLength": _length,
    "minItems": _count,
    "maxItems": _count,
    "maxProperties": _count,
    "minimum": _range,
    "maximum": _range,
    "uniqueItems": _unique,
    "dependentRequired": _together,
    "oneOf": _one_of,
}
