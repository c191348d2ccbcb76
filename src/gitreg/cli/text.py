"""Make text fit to be shown: no control characters of a terminal, readable values, JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeVar

from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

K = TypeVar("K", bound=object)

# Zero-width joiners belong to emoji and to several scripts, and move nothing.
_HARMLESS = frozenset("\u200c\u200d")


def clean(text: object, *, lines: bool = False) -> str:
    """Make text harmless for a terminal; everything that people wrote goes through here before it is shown.

    Control characters, direction marks and what cannot be printed become escapes, white space becomes spaces; line
    ends are kept with `lines`.
    """
    string = str(text)
    if string.isprintable():
        return string
    return "".join(_shown(character, lines=lines) for character in string)


def _shown(character: str, *, lines: bool) -> str:
    if character.isprintable() or character in _HARMLESS or (lines and character == "\n"):
        return character
    if character.isspace():
        return " "
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def one_line(text: object) -> str:
    """Put text on one line, with single spaces, so that two spaces always end a column."""
    return " ".join(clean(text).split())


def number(value: object) -> str:
    """Write a number shortly, without losing what tells two of them apart."""
    return f"{value:.6g}" if isinstance(value, float) else clean(value)


def pairs(mapping: Mapping[K, object], limit: int | None = None) -> str:
    """Write a mapping as `key=value key=value`, cut after `limit` pairs."""
    items = list(mapping.items())
    shown = [f"{clean(key)}={number(value)}" for key, value in items[:limit]]
    return " ".join([*shown, *(["…"] if len(shown) < len(items) else [])])


def listed(values: Iterable[object]) -> str:
    """Write values as `a, b`."""
    return ", ".join(clean(value) for value in values)


def value_line(value: object) -> str | None:
    """Write one side on one line: digests short, sizes readable, mappings as pairs."""
    if value is None:
        return None
    if isinstance(value, dict):
        return pairs({key: _member(str(key), item) for key, item in value.items() if key not in {"path", "name"}})
    if isinstance(value, list):
        return ", ".join(value_line(item) or "" for item in value)
    return number(value)


def _member(key: str, value: object) -> object:
    if key == "digest":
        return str(value).removeprefix("sha256:")[:12]
    return human_size(value).replace(" ", "") if key == "size" and isinstance(value, int) else value


def json_text(value: object) -> str:
    """Write a value of gitreg's as a JSON document that is safe to show on a terminal."""
    import json

    from gitreg.wire import plain

    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda match: json.dumps(match[0])[1:-1], text)


# DEL and the second set of controls, separators, marks of direction, halves of surrogate pairs, and invisible fillers.
_UNSAFE = re.compile(
    "[\x7f-\x9f\xad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\uffff]"
)
