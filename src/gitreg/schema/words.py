"""Put what a JSON Schema validator finds into words: where, what was found, what is allowed, what to do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, cast

from gitreg.errors import InvalidError, Problem
from gitreg.names import did_you_mean
from gitreg.wire.document import field_name
from gitreg.wire.scalars import resolve

if TYPE_CHECKING:
    from jsonschema import ValidationError
    from jsonschema.protocols import Validator

    from gitreg.wire.document import Document, Path

_MOST: Final = 100
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


class _Error(NamedTuple):
    """What a validator found: the keyword of the schema that failed and the value that failed it."""

    keyword: str
    want: Any
    value: Any
    schema: Mapping[str, Any]
    source: str | None  # the value as it is written in the file, where it is no text

    def found(self) -> str:
        """Name the value as its author wrote it."""
        if self.value is None:
            return "nothing"
        if isinstance(self.value, bool):
            return self.source or str(self.value).lower()
        if isinstance(self.value, (int, float)):
            return f"the number {self.source or self.value}"
        if isinstance(self.value, str):
            return f"the text {_shown(self.value)}"
        return "a list" if isinstance(self.value, (list, tuple)) else "fields"


_Messages: TypeAlias = Iterator[tuple[str, str | None]]
"""Messages, each with the key that it is about where it is not about the value as a whole."""


def reference(schema: Mapping[str, Any]) -> Validator:
    """Make the reference validator; like the fast one it takes no number that is not finite."""
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    checker = Draft202012Validator.TYPE_CHECKER.redefine("number", lambda _, value: _is_number(value))
    kind = cast("type[Validator]", extend(Draft202012Validator, type_checker=checker))  # type: ignore[no-untyped-call]
    return kind(schema)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, int) and not isinstance(value, bool)


def problems(schema: Mapping[str, Any], document: Document) -> tuple[Problem, ...]:
    """Explain every error of a document, each once, in the order of its lines; a hundred are enough."""
    errors = reference(schema).iter_errors(document.value)
    found = list(dict.fromkeys(islice(chain.from_iterable(_explain(error, document) for error in errors), _MOST + 1)))
    ordered = sorted(found[:_MOST], key=lambda problem: (problem.line or 0, problem.column or 0))
    if len(found) > _MOST:
        ordered.append(Problem(f"more is wrong than these {_MOST}", document.path))
    return tuple(ordered)


def _explain(error: ValidationError, document: Document) -> Iterator[Problem]:
    path: Path = tuple(error.absolute_path)
    about_key = "propertyNames" in error.absolute_schema_path
    source = None if about_key else document.sources.get(path)
    schema = cast("Mapping[str, Any]", error.schema)
    seen = _Error(str(error.validator), error.validator_value, error.instance, schema, source)
    if about_key:
        key = str(seen.value)
        yield _problem(document, path, (*path, key), f"the name {_shown(key)} is not allowed; {_name_rule(seen)}")
        return
    for message, about in _EXPLAIN.get(seen.keyword, _other)(seen):
        yield _problem(document, path, path if about is None else (*path, about), message)


def _problem(document: Document, path: Path, at: Path, message: str) -> Problem:
    line, column = document.mark(at) or (None, None)
    return Problem(message, document.path, line, column, field_name(path) or None)


def _shown(value: str) -> str:
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")


def _found(error: _Error) -> str:
    return _shown(error.value) if isinstance(error.value, str) else error.found()


def _other(error: _Error) -> _Messages:
    yield f"found {_found(error)}, which breaks the rule {error.keyword}: {error.want}", None


def _type(error: _Error) -> _Messages:
    if isinstance(error.value, float) and not math.isfinite(error.value):
        yield f"found {error.value}, want a finite number", None
        return
    wanted = [error.want] if isinstance(error.want, str) else list(error.want)
    *others, last = (_TYPES[name] for name in wanted)
    listed = f"{', '.join(others)} or {last}" if others else last
    yield f"found {error.found()}, want {listed}{_way_out(error, wanted)}", None


def _way_out(error: _Error, wanted: list[str]) -> str:
    value = error.value
    if value is None:
        return "; fill it or leave the field out"
    if "string" in wanted and isinstance(value, (bool, int, float)):
        return f'; write it in quotes: "{error.source or value}"'
    if not isinstance(value, str):
        return ""
    if {"number", "integer", "boolean"} & {*wanted} and not isinstance(_unquoted(value), str):
        return f"; write it without quotes: {value}"
    return f"; write it as a list: [{value}]" if wanted == ["array"] and value.isalnum() else ""


def _unquoted(text: str) -> object:
    try:
        return resolve(text)
    except InvalidError:
        return text


def _required(error: _Error) -> _Messages:
    for name in error.want:
        if name not in error.value:
            const = error.schema.get("properties", {}).get(name, {}).get("const")
            yield f"missing field {name!r}" + (f"; write {name}: {const}" if const else ""), None


def _unknown(error: _Error) -> _Messages:
    known = error.schema.get("properties", {})
    for name in error.value:
        if name not in known:
            near = did_you_mean(name.lower(), known)
            way_out = f"did you mean {near!r}?" if near else f"allowed: {', '.join(known)}"
            yield f"unknown field {_shown(name)}; {way_out}", name


def _enum(error: _Error) -> _Messages:
    near = did_you_mean(error.value.lower(), error.want) if isinstance(error.value, str) else None
    question = f"; did you mean {near!r}?" if near else ""
    yield f"found {_found(error)}, allowed: {', '.join(error.want)}{question}", None


def _const(error: _Error) -> _Messages:
    yield f"found {_found(error)}, want {error.want}", None


def _pattern(error: _Error) -> _Messages:
    yield f"found {_shown(error.value)}, {error.schema.get('patternErrorMessage', error.want)}", None


def _name_rule(error: _Error) -> str:
    if error.keyword == "maxLength":
        return f"it has {len(error.value):,} characters, and {error.want:,} are allowed"
    return str(error.schema.get("patternErrorMessage", error.want))


def _length(error: _Error) -> _Messages:
    yield f"the text has {len(error.value):,} characters, and {error.want:,} are allowed", None


def _empty(_error: _Error) -> _Messages:
    yield "found nothing in it; fill it or leave the field out", None


def _count(error: _Error) -> _Messages:
    yield f"found {len(error.value):,} entries, and {error.want:,} are allowed", None


def _range(error: _Error) -> _Messages:
    bound = "at least" if error.keyword == "minimum" else "at most"
    yield f"found {error.source or error.value}, want {bound} {error.want}", None


def _unique(error: _Error) -> _Messages:
    counts = Counter(item for item in error.value if isinstance(item, str))
    twice = [_shown(item) for item, count in counts.most_common(_MOST) if count > 1]
    yield f"found {', '.join(twice) or 'an item'} more than once; name each once", None


def _together(error: _Error) -> _Messages:
    for name, others in error.want.items():
        for other in others:
            if name in error.value and other not in error.value:
                yield f"{name!r} needs {other!r} beside it", name


def _one_of(error: _Error) -> _Messages:
    names = [name for choice in error.want for name in choice["required"]]
    found = [name for name in names if name in error.value]
    listed = " and ".join(map(repr, names))
    yield f"exactly one of {listed} is wanted, found {'both' if found else 'neither'}", found[-1] if found else None


_EXPLAIN: Final[Mapping[str, Callable[[_Error], _Messages]]] = {
    "type": _type,
    "required": _required,
    "additionalProperties": _unknown,
    "enum": _enum,
    "const": _const,
    "pattern": _pattern,
    "minLength": _empty,
    "maxLength": _length,
    "minItems": _empty,
    "maxItems": _count,
    "maxProperties": _count,
    "minimum": _range,
    "maximum": _range,
    "uniqueItems": _unique,
    "dependentRequired": _together,
    "oneOf": _one_of,
}
