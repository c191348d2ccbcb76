"""Decide whether a value keeps to a schema, by the part of JSON Schema (draft 2020-12) that gitreg's schemas use."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence, Sized

Check = Callable[[Any], bool]
_Schema = Mapping[str, Any]

# What only describes. `patternErrorMessage` is for editors, and for the words of `gitreg.schema.words`.
_ANNOTATIONS: Final = frozenset(
    {"$schema", "$defs", "title", "description", "examples", "default", "patternErrorMessage"}
)
_DEFINITIONS: Final = "#/$defs/"


def decider(schema: _Schema) -> Check:
    """Make the function that tells whether a value is valid; ValueError for a schema that says what is not known here.

    Only what a question needs is made: a definition when a value first meets it, and so its patterns.
    """
    return _check(schema, _Definitions(schema))


class _Definitions:
    """The `$defs` of a schema, each made into a check when it is first asked for."""

    def __init__(self, root: _Schema) -> None:
        self._schemas: _Schema = root.get("$defs", {})
        self._checks: dict[str, Check] = {}

    def check(self, name: str, value: object) -> bool:
        found = self._checks.get(name)
        if found is None:
            found = self._checks[name] = _check(self._schemas[name], self)
        return found(value)

    def knows(self, name: str) -> bool:
        return name in self._schemas


def _check(schema: _Schema, definitions: _Definitions) -> Check:
    """Make one check of a schema: everything that it says holds."""
    if not isinstance(schema, Mapping):
        raise TypeError(f"{schema!r} is no schema with keywords, and nothing else is known here")
    checks = []
    for keyword, want in schema.items():
        if keyword in _ANNOTATIONS:
            continue
        make = _KEYWORDS.get(keyword)
        if make is None:
            raise ValueError(f"the keyword {keyword!r} is not known here")
        checks.append(make(want, schema, definitions))
    if len(checks) == 1:
        return checks[0]
    every = tuple(checks)

    def check(value: object) -> bool:
        for each in every:  # noqa: SIM110 - all() would make a generator for every value of every file
            if not each(value):
                return False
        return True

    return check


# Values of JSON as Python has them. A text with half a surrogate pair, a key that is no text, a number that is not
# finite are none.


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        return False
    return value.isascii() or not re.search("[\ud800-\udfff]", value)


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return value - value == 0
    return isinstance(value, int) and not isinstance(value, bool)


def _is_integer(value: object) -> bool:
    if isinstance(value, float):
        return value.is_integer()
    return isinstance(value, int) and not isinstance(value, bool)


def _is_object(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value))


_TYPES: Final[Mapping[str, Check]] = {
    "string": _is_text,
    "number": _is_number,
    "integer": _is_integer,
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": _is_object,
}


def _type(want: str | Sequence[str], _schema: _Schema, _definitions: _Definitions) -> Check:
    if isinstance(want, str):
        return _TYPES[want]
    checks = tuple(_TYPES[name] for name in want)
    return lambda value: any(check(value) for check in checks)


def _reference(want: str, _schema: _Schema, definitions: _Definitions) -> Check:
    name = want.removeprefix(_DEFINITIONS)
    if name == want or not definitions.knows(name):
        raise ValueError(f"{want!r} names no definition of the schema")
    return partial(definitions.check, name)


def _word(want: str, _schema: _Schema, _definitions: _Definitions) -> Check:
    _only_texts([want])
    return lambda value: isinstance(value, str) and value == want


def _words(want: Sequence[str], _schema: _Schema, _definitions: _Definitions) -> Check:
    _only_texts(want)
    words = frozenset(want)
    return lambda value: isinstance(value, str) and value in words


def _only_texts(want: Sequence[object]) -> None:
    if not all(map(_is_text, want)):
        raise ValueError(f"{want!r} holds what is no text, which is not known here")


def _pattern(want: str, _schema: _Schema, _definitions: _Definitions) -> Check:
    return lambda value: not isinstance(value, str) or re.search(want, value) is not None


def _at_least(kind: type[Sized], want: int, _schema: _Schema, _definitions: _Definitions) -> Check:
    return lambda value: not isinstance(value, kind) or len(value) >= want


def _at_most(kind: type[Sized], want: int, _schema: _Schema, _definitions: _Definitions) -> Check:
    return lambda value: not isinstance(value, kind) or len(value) <= want


def _minimum(want: float, _schema: _Schema, _definitions: _Definitions) -> Check:
    return lambda value: not _is_number(value) or value >= want


def _maximum(want: float, _schema: _Schema, _definitions: _Definitions) -> Check:
    return lambda value: not _is_number(value) or value <= want


def _required(want: Sequence[str], _schema: _Schema, _definitions: _Definitions) -> Check:
    names = frozenset(want)
    return lambda value: not isinstance(value, dict) or names <= value.keys()


def _together(want: Mapping[str, Sequence[str]], _schema: _Schema, _definitions: _Definitions) -> Check:
    def check(value: object) -> bool:
        if not isinstance(value, dict):
            return True
        return all(other in value for name, others in want.items() if name in value for other in others)

    return check


def _properties(want: Mapping[str, _Schema], _schema: _Schema, definitions: _Definitions) -> Check:
    checks = {name: _check(schema, definitions) for name, schema in want.items()}

    def check(value: object) -> bool:
        if not isinstance(value, dict):
            return True
        return all(checks[name](item) for name, item in value.items() if name in checks)

    return check


def _others(want: bool | _Schema, schema: _Schema, definitions: _Definitions) -> Check:  # noqa: FBT001 - false is a schema
    known = frozenset(schema.get("properties", {}))
    if isinstance(want, bool):
        if want:
            raise ValueError("additionalProperties: true says nothing, and is not known here")
        return lambda value: not isinstance(value, dict) or value.keys() <= known
    inner = _check(want, definitions)

    def check(value: object) -> bool:
        if not isinstance(value, dict):
            return True
        return all(inner(item) for name, item in value.items() if name not in known)

    return check


def _names(want: _Schema, _schema: _Schema, definitions: _Definitions) -> Check:
    inner = _check(want, definitions)
    return lambda value: not isinstance(value, dict) or all(map(inner, value))


def _items(want: _Schema, _schema: _Schema, definitions: _Definitions) -> Check:
    inner = _check(want, definitions)
    return lambda value: not isinstance(value, list) or all(map(inner, value))


def _unique(want: bool, _schema: _Schema, _definitions: _Definitions) -> Check:  # noqa: FBT001 - the keyword's value
    if not want:
        return lambda _value: True
    return lambda value: not isinstance(value, list) or len(set(map(_identity, value))) == len(value)


def _identity(value: object) -> Hashable:
    """Make equal what JSON Schema takes for equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return (list, *map(_identity, value))
    if isinstance(value, dict):
        return (dict, frozenset((name, _identity(item)) for name, item in value.items()))
    found: Hashable = value  # text, number or None
    return found


def _one_of(want: Sequence[_Schema], _schema: _Schema, definitions: _Definitions) -> Check:
    checks = tuple(_check(each, definitions) for each in want)
    return lambda value: sum(check(value) for check in checks) == 1


_KEYWORDS: Final[Mapping[str, Callable[[Any, _Schema, _Definitions], Check]]] = {
    "$ref": _reference,
    "additionalProperties": _others,
    "const": _word,
    "dependentRequired": _together,
    "enum": _words,
    "items": _items,
    "maxItems": partial(_at_most, list),
    "maxLength": partial(_at_most, str),
    "maxProperties": partial(_at_most, dict),
    "maximum": _maximum,
    "minItems": partial(_at_least, list),
    "minLength": partial(_at_least, str),
    "minimum": _minimum,
    "oneOf": _one_of,
    "pattern": _pattern,
    "properties": _properties,
    "propertyNames": _names,
    "required": _required,
    "type": _type,
    "uniqueItems": _unique,
}
