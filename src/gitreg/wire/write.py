"""Write YAML in one canonical form that humans read well and every parser reads alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from gitreg.errors import InvalidError
from gitreg.wire.limits import MAX_BYTES, MAX_DEPTH, MAX_INTEGER, MAX_KEY, MAX_NODES, MIN_INTEGER
from gitreg.wire.scalars import FORBIDDEN, FORBIDDEN_RAW, means_itself

if TYPE_CHECKING:
    from collections.abc import Iterator

_STEP: Final = "  "
# What may stand without quotes, spelled out, because what Python finds printable grows by the year.
_SHOWN: Final = (
    "[\x20-\x7e\xa1-\xac\xae-\u167f\u1681-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff"
    "\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]+"
)
_UNSAFE: Final = r"[-?:,\[\]{}#&*!|>'\"%@`]|.*(?:: | #|[: ]\Z)| |\.\.\."
# What is escaped: controls, what YAML 1.1 breaks lines at, what cannot be seen, what turns the order of letters.
_HIDDEN: Final = r"\x00-\x1f\x7f-\x9f\xad\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff"
_LINE: Final = f"(?! )[^{_HIDDEN}]+(?<! )"  # of a literal block
_SHORT: Final = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def dump(value: Mapping[str, object], *, header: str | None = None) -> bytes:
    """Write fields in the order given, after comment lines where a header is given.

    Block style, sequences indented by two, text quoted where readers of YAML 1.1 or 1.2 would take it for anything
    else. `load(dump(value)).value == value`. Raises InvalidError for what `load` would refuse, and for types that
    `plain` has to turn first.
    """
    if not isinstance(value, Mapping):
        raise InvalidError(f"found a {type(value).__name__}, want fields")
    writer = _Writer()
    lines = [f"# {_comment(line)}".rstrip() for line in header.splitlines()] if header else []
    lines += writer.block(value, "", 1) if value else ["{}"]
    data = ("\n".join(lines) + "\n").encode()
    if len(data) > MAX_BYTES:
        raise InvalidError(f"the file would have {len(data):,} bytes, and {MAX_BYTES:,} are allowed")
    return data


def _comment(line: str) -> str:
    if found := re.search(FORBIDDEN_RAW, line):
        raise InvalidError(f"a comment holds the character U+{ord(found[0]):04X}", hint="leave it out")
    return line


class _Writer:
    """Count nodes while writing, so that nothing is written that cannot be read."""

    def __init__(self) -> None:
        self._nodes = 1

    def block(
        self, value: Mapping[str, object] | list[object] | tuple[object, ...], pad: str, depth: int
    ) -> Iterator[str]:
        """Write a mapping or a list that is not empty, a line at a time."""
        if depth > MAX_DEPTH:
            raise InvalidError(f"lists and mappings lie more than {MAX_DEPTH} deep in each other", hint="flatten them")
        if isinstance(value, Mapping):
            for key, item in value.items():
                self._count()
                yield from self._entry(f"{pad}{_key(key)}:", item, pad, depth)
        else:
            for item in value:
                yield from self._item(item, pad, depth)

    def _entry(self, lead: str, item: object, pad: str, depth: int) -> Iterator[str]:
        self._count()
        if isinstance(item, (Mapping, list, tuple)) and item:
            yield lead
            yield from self.block(item, pad + _STEP, depth + 1)
        else:
            yield f"{lead} {self._leaf(item, pad + _STEP, depth)}"

    def _item(self, item: object, pad: str, depth: int) -> Iterator[str]:
        self._count()
        if isinstance(item, (Mapping, list, tuple)) and item:
            inner = pad + _STEP
            lines = self.block(item, inner, depth + 1)
            yield f"{pad}- {next(lines).removeprefix(inner)}"
            yield from lines
        else:
            yield f"{pad}- {self._leaf(item, pad + _STEP, depth)}"

    def _leaf(self, value: object, pad: str, depth: int) -> str:
        if isinstance(value, (Mapping, list, tuple)):
            if depth == MAX_DEPTH:
                raise InvalidError(f"lists and mappings lie more than {MAX_DEPTH} deep in each other")
            return "{}" if isinstance(value, Mapping) else "[]"
        return _literal(value, pad) if isinstance(value, str) and _is_literal(value) else _scalar(value)

    def _count(self) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise InvalidError(f"more than {MAX_NODES:,} keys and values", hint="split them over several files")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise InvalidError(f"{key!r} cannot be a key", hint="keys are text")
    if len(key) > MAX_KEY:
        raise InvalidError(f"the key {key[:20]!r}… has {len(key)} characters, and {MAX_KEY} are allowed")
    return _short_text(key)


def _scalar(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise InvalidError("an integer does not fit in 64 bits", hint="write it as text or as a float")
        return int.__repr__(value)
    if isinstance(value, float):
        return _float(value)
    raise InvalidError(f"a {type(value).__name__} cannot be written", hint="use text, numbers, lists and mappings")


def _float(value: float) -> str:
    """Write the shortest digits that read back alike, with the point that YAML 1.1 wants before an exponent."""
    if value - value != 0:
        raise InvalidError(f"{value} is not a finite number")
    digits, exponent, power = float.__repr__(value).partition("e")
    return digits + (".0" if exponent and "." not in digits else "") + exponent + power


def _text(text: str) -> str:
    """Write text without quotes where every reader takes it for that very text, otherwise in double quotes."""
    text = str.__str__(text)
    if means_itself(text) and re.fullmatch(_SHOWN, text) and not re.match(_UNSAFE, text):
        return text
    if found := re.search(FORBIDDEN, text):
        raise InvalidError(f"text holds the control character U+{ord(found[0]):04X}", hint="leave it out")
    return '"' + re.sub(rf'["\\{_HIDDEN}]', _escape, text) + '"'


# Keys are few, and come again and again.
_short_text = lru_cache(maxsize=1024)(_text)


def _escape(match: re.Match[str]) -> str:
    return _SHORT.get(match[0]) or f"\\u{ord(match[0]):04X}"


def _is_literal(text: str) -> bool:
    """Whether several lines can stand as a block: each shown as it is, and none that begins or ends in blanks."""
    if "\n" not in text or text.endswith("\n\n"):
        return False
    lines = text.removesuffix("\n").split("\n")
    return lines[0] != "" and all(line == "" or re.fullmatch(_LINE, line) for line in lines)


def _literal(text: str, pad: str) -> str:
    lines = text.removesuffix("\n").split("\n")
    body = "\n".join(f"{pad}{line}" if line else "" for line in lines)
    return ("|\n" if text.endswith("\n") else "|-\n") + body
