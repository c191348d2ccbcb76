"""Read the search language into a tree; errors point at the column."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError, Problem
from gitreg.index.fields import ENTRIES
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lark import Lark, Token, Tree

MAX_LENGTH = 10_000
MAX_COMPARISONS = 100
MAX_DEPTH = 50
_AROUND = 200  # characters shown on both sides of a place

# FIELD may quote what is odd in a key: metrics.`val auc`, as MLflow does. A bare value may be several words.
GRAMMAR = rf"""
start: _either
_either: any | _both
any: _both ("or"i _both)+
_both: all | _one
all: _one ("and"i _one)+
_one: negation | some | "(" _either ")" | call | comparison
negation: "not"i _one
some: ENTRIES _either ")"

call: FIELD "(" item (","? _AT item)? ")"
comparison: FIELD OPERATOR value
          | FIELD LIKE value
          | FIELD "not"i LIKE value -> unlike
          | FIELD "in"i "(" item ("," item)* ")" -> among
          | FIELD "not"i "in"i "(" item ("," item)* ")" -> not_among
          | FIELD "is"i "null"i -> absent
          | FIELD "is"i "not"i "null"i -> present
value: STRING | WORD MORE*
item: STRING | ITEM+

ENTRIES.2: /(?:{"|".join(map(re.escape, ENTRIES))})\s*\(/i
OPERATOR: "==" | "!=" | "<=" | ">=" | "=" | "<" | ">" | "~"
LIKE.2: /i?like(?![\w.])/i
_AT.2: /at(?!\w)/i
FIELD: /[A-Za-z_](?:[^\s<>=!~()'"`,]|`[^`]*`|"[^"]*")*/
STRING: /'(?:[^']|'')*'|"(?:[^"]|"")*"/
WORD: /[^\s()'"`<>=!~][^\s()]*/
MORE: /[^\s()'"`<>=!~][^\s()<>=!~]*/
ITEM: /[^\s(),'"`<>=!~][^\s(),]*/
%ignore /\s+/
"""

_EXPECTED = {
    "FIELD": "a field",
    "OPERATOR": "an operator",
    "STRING": "a value",
    "WORD": "a value",
    "ITEM": "a value",
    "LPAR": "(",
    "AND": "and",
    "OR": "or",
    "RPAR": ")",
    "$END": "the end",
}
_HINT = (
    "write FIELD OPERATOR VALUE, as in metrics.auc>0.95, joined by and, or, not; quote a value: 'as this'; "
    "for words: text('fraud card')"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A place in what was typed; `column` counts from 0."""

    text: str
    column: int

    def refusal(self, message: str, hint: str | None, *, what: str | None = None) -> InvalidError:
        """Make the error that shows this place, with a caret under it."""
        start, end = max(0, self.column - _AROUND), self.column + _AROUND
        line = ("…" if start else "") + self.text[start:end] + ("…" if end < len(self.text) else "")
        line = "".join(mark if mark.isprintable() else " " for mark in line)
        place = self.column - start + bool(start)
        problem = Problem(f"{line}\n{' ' * place}^ {message}", column=self.column + 1)
        shown = self.text if len(self.text) <= len(_HINT) else f"{self.text[: len(_HINT)]}…"
        return InvalidError(what or f"{shown!r} is not a condition", hint=hint, problems=[problem])


@dataclass(frozen=True, slots=True)
class Value:
    """What something is compared with or asked about, as it was typed, and where."""

    text: str
    spot: Spot


@dataclass(frozen=True, slots=True)
class Compare:
    """A field and what it is compared with: `in` has several values, `is null` none."""

    field: str
    operator: str
    values: tuple[Value, ...]
    spot: Spot

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as they were typed, wherever that was."""
        return tuple(value.text for value in self.values)


@dataclass(frozen=True, slots=True)
class Call:
    """A question with a name, such as deployed('prod', at '2026-01-01')."""

    name: str
    argument: Value
    at: Value | None
    spot: Spot


@dataclass(frozen=True, slots=True)
class Some:
    """A term that one and the same entry of a list meets, such as evaluations(dataset = x and metrics.auc > 0.9)."""

    entries: str
    term: Expression
    spot: Spot


@dataclass(frozen=True, slots=True)
class Several:
    """Terms of which all, or any, must hold."""

    every: bool
    terms: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """A term that must not hold."""

    term: Expression


Expression = Compare | Call | Several | Not | Some


def fields_of(expression: Expression) -> Iterator[str]:
    """Name the fields that are compared, as they were typed."""
    if isinstance(expression, Compare):
        yield expression.field
    elif isinstance(expression, (Not, Some)):
        yield from fields_of(expression.term)
    elif isinstance(expression, Several):
        for term in expression.terms:
            yield from fields_of(term)


def parse(text: str) -> Expression:
    """Read a condition; InvalidError shows where it is none, and what was expected there."""
    from lark.exceptions import UnexpectedInput

    check(text, "the condition")
    try:
        tree: Any = _parser().parse(text)
    except UnexpectedInput as error:
        at: int | None = error.pos_in_stream
        expected: set[str] = getattr(error, "expected", None) or getattr(error, "allowed", None) or set()
        if at is None or getattr(getattr(error, "token", None), "type", None) == "$END":
            at = len(text.rstrip())
        closable = expected if "(" in text else expected - {"RPAR"}
        words = sorted({_EXPECTED[name] for name in closable if name in _EXPECTED})
        raise Spot(text, at).refusal(f"expected {', '.join(words) or 'something else'}", _HINT) from error
    return _Reader(text).read(tree.children[0], 0)


def check(text: str, what: str) -> None:
    """Refuse what is too long, or what SQLite takes as no text; InvalidError."""
    if len(text) > MAX_LENGTH:
        raise InvalidError(f"{what} has {len(text):,} characters, and {MAX_LENGTH:,} are allowed")
    if "\0" in text:
        raise InvalidError(f"{what} holds a zero byte")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidError(f"{what} is not UTF-8, from character {error.start + 1} on") from error


def check_together(conditions: Sequence[str]) -> None:
    """Refuse conditions that are too many, or too long together."""
    if len(conditions) > MAX_COMPARISONS:
        raise InvalidError(f"there are {len(conditions):,} conditions, and {MAX_COMPARISONS} are allowed")
    length = sum(map(len, conditions))
    if length > MAX_LENGTH:
        raise InvalidError(f"the conditions have {length:,} characters together, and {MAX_LENGTH:,} are allowed")


@cache
def _parser() -> Lark:
    from lark import Lark

    return Lark(GRAMMAR, parser="lalr", lexer="contextual", propagate_positions=False)


class _Reader:
    """Turn lark's tree into ours, and count."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.comparisons = 0

    def read(self, tree: Tree[Token], depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise InvalidError(f"the condition is nested deeper than {MAX_DEPTH} levels")
        if tree.data in {"any", "all"}:
            return Several(tree.data == "all", tuple(self.read(each, depth + 1) for each in _trees(tree)))
        if tree.data == "negation":
            return Not(self.read(_trees(tree)[0], depth + 1))
        if tree.data == "some":
            word: Any = tree.children[0]
            return Some(
                ENTRIES[str(word)[:-1].strip().lower()],
                self.read(_trees(tree)[0], depth + 1),
                Spot(self.text, int(word.start_pos)),
            )
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise InvalidError(f"the condition has more than {MAX_COMPARISONS} comparisons")
        return self._leaf(tree)

    def _leaf(self, tree: Tree[Token]) -> Expression:
        tokens = [each for each in tree.children if not hasattr(each, "data")]
        field: Any = tokens[0]
        values = tuple(self._value(each) for each in _trees(tree))
        name, spot, kind = str(field), Spot(self.text, int(field.start_pos)), str(tree.data)
        if kind == "call":
            return Call(name.lower(), values[0], values[1] if len(values) > 1 else None, spot)
        if kind in {"comparison", "unlike"}:
            found = Compare(name, str(tokens[1]).lower(), values, spot)
            return Not(found) if kind == "unlike" else found
        if kind in {"among", "not_among"}:
            found = Compare(name, "in", values, spot)
            return Not(found) if kind == "not_among" else found
        present = Compare(name, "present", (), spot)
        return present if kind == "present" else Not(present)

    def _value(self, tree: Tree[Token]) -> Value:
        first: Any = tree.children[0]
        last: Any = tree.children[-1]
        text = self.text[first.start_pos : last.end_pos]
        if first.type == "STRING":
            quote = first[0]
            text = str(first[1:-1]).replace(quote * 2, quote)
        return Value(text, Spot(self.text, int(first.start_pos)))


def quoted(text: str) -> str:
    """Write any text as the value that a condition compares with."""
    return "'" + text.replace("'", "''") + "'"


def _trees(tree: Tree[Token]) -> list[Any]:
    return [each for each in tree.children if hasattr(each, "data")]
