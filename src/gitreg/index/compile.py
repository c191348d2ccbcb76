"""Compile a search into SQL; every value is a parameter."""

from __future__ import annotations

import re
from math import isfinite, nan
from typing import TYPE_CHECKING, Any

from gitreg.errors import DeniedError, InvalidError
from gitreg.index.fields import BELONGS, FOUND_BY, WITHIN, Field, Kind, field_named, nearest
from gitreg.index.language import Call, Compare, Expression, Not, Several, Some, Spot, Value
from gitreg.index.precedence import precedence
from gitreg.manifest import Lifecycle
from gitreg.names import Selector, Version, did_you_mean
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_TIME = re.compile(r"([0-9]{4}(?:-[0-9]{2}(?:-[0-9]{2}(?:T[0-9]{2}(?::[0-9]{2}(?::[0-9]{2})?)?)?)?)?)Z?", re.ASCII)
_SIZE = re.compile(r"([0-9.]+) ?([kmgt])(i?)b", re.ASCII | re.IGNORECASE)
_WORDS = re.compile(r"\w+", re.UNICODE)
_SIMPLE = {"=": "=", "==": "=", "!=": "=", "<": "<", ">": ">", "<=": "<=", ">=": ">="}
_ORDERS = frozenset({"<", ">", "<=", ">="})
_EQUAL = frozenset({"=", "==", "!=", "in"})
_DESCRIBED = "manifest_texts t CROSS JOIN versions w ON w.manifest = t.rowid WHERE manifest_texts MATCH ?"
MAY_READ = "may_read"
_OF_MODEL = "model_texts t CROSS JOIN models m ON m.id = t.rowid CROSS JOIN versions w ON w.model = m.model"


@dataclass(frozen=True, slots=True)
class Sql:
    """A piece of SQL and its parameters."""

    text: str
    values: tuple[Any, ...] = ()

    def __add__(self, other: Sql) -> Sql:
        """Write one after the other."""
        return Sql(self.text + other.text, self.values + other.values)

    @classmethod
    def joined(cls, terms: Sequence[Sql], word: str) -> Sql:
        """Join terms by AND or OR, in halves: SQLite takes no expression that is 1,000 deep; no term at all is true."""
        if len(terms) < 2:  # noqa: PLR2004
            return terms[0] if terms else cls("1")
        half = len(terms) // 2
        return cls("(") + cls.joined(terms[:half], word) + cls(word) + cls.joined(terms[half:], word) + cls(")")


@dataclass(frozen=True, slots=True)
class Start:
    """Where a search may begin: the ids of the versions that meet one of its terms, and the rows that are counted.

    Where no version has two of the rows, they can be gone through as they are: `table` x, as far as `condition` holds.
    """

    ids: Sql
    rows: Sql
    table: str | None = None
    condition: Sql | None = None


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a search is compiled against: the registry's environments, how a time is read, which models may be.

    Without `may_read` all may be read; SQL knows it as a function of that name.
    """

    environments: Sequence[str]
    moment: Callable[[str], int]
    may_read: Callable[[str], bool] | None = None

    def readable(self, column: str) -> Sql:
        """Compile the condition that a model may be read."""
        return Sql(f"{MAY_READ}({column})" if self.may_read else "1")


class Compiler:
    """Compile conditions as they were typed."""

    def __init__(self, around: Surroundings) -> None:
        self.around = around

    def where(self, expression: Expression, *, entry: bool = False) -> Sql:
        """Compile to a condition on versions v, or on an entry e of one of their lists."""
        if isinstance(expression, Several):
            word = " AND " if expression.every else " OR "
            return Sql.joined([self.where(each, entry=entry) for each in expression.terms], word)
        if isinstance(expression, Not):
            return Sql("NOT ") + self.where(expression.term, entry=entry)
        if isinstance(expression, Call):
            return self._call(expression)
        if isinstance(expression, Some):
            found = Sql(f"EXISTS (SELECT 1 FROM {expression.entries} e WHERE e.manifest = v.manifest AND ")
            return found + self.where(expression.term, entry=True) + Sql(")")
        field, condition = self._condition(expression)
        belongs = WITHIN[field.table][1] if entry else BELONGS[field.table][0]
        by = " INDEXED BY deployments_now" if field.table == "deployments" else ""
        found = Sql(f"EXISTS (SELECT 1 FROM {field.table} x{by} WHERE {belongs} AND ") + condition + Sql(")")
        return Sql("NOT ") + found if expression.operator == "!=" else found

    def starts(self, expression: Expression) -> Iterator[Start]:
        """Give where the search may begin, instead of with every version."""
        if isinstance(expression, Several) and expression.every:
            for each in expression.terms:
                yield from self.starts(each)
        elif isinstance(expression, Some):
            yield from self.starts(expression.term)
        elif isinstance(expression, Call):
            yield from self._starts_of_call(expression)
        elif isinstance(expression, Several):
            found = [next(self.starts(each), None) for each in expression.terms]
            if None not in found:
                some = [each for each in found if each]
                yield Start(_one_after_other(each.ids for each in some), _one_after_other(each.rows for each in some))
        elif isinstance(expression, Compare) and expression.operator in {"=", "==", "in", *_ORDERS}:
            field, condition = self._condition(expression)
            if (field.table, field.column) in FOUND_BY and "substr" not in condition.text:
                by = " INDEXED BY deployments_where" if field.table == "deployments" else ""
                rows = Sql(f"SELECT 1 FROM {field.table} x{by} WHERE ")
                belongs = BELONGS[field.table][1]
                joined = Sql(f"SELECT w.id FROM {field.table} x{by} CROSS JOIN versions w ON {belongs} WHERE ")
                table = field.table if field.single and field.table != "models" else None
                yield Start(joined + condition, rows + condition, table, condition)

    def _starts_of_call(self, call: Call) -> Iterator[Start]:
        if call.name == "deployed":
            yield from [self._ran(call.argument.text, call.at)] if call.at else self.starts(_deployed_now(call))
        elif call.name == "text":
            wanted = self._wanted(call)
            ids = Sql(
                f"SELECT w.id FROM {_DESCRIBED} UNION ALL SELECT w.id FROM {_OF_MODEL} WHERE model_texts MATCH ?",
                (wanted, wanted),
            )
            yield Start(ids, ids)

    # Comparisons

    def _condition(self, compare: Compare) -> tuple[Field, Sql]:
        field = field_at(compare.field, compare.spot)
        key = Sql("x.key = ? AND ", (field.key,)) if field.key is not None else Sql("")
        now = Sql("x.until IS NULL AND ") if field.table == "deployments" else Sql("")
        return field, now + key + self._test(field, compare)

    def _test(self, field: Field, compare: Compare) -> Sql:
        operator, values, column = compare.operator, compare.values, f"x.{field.column}"
        if operator == "present":
            return Sql(f"{column} IS NOT NULL")
        if operator in {"~", "like", "ilike"}:
            return _matches(column, operator, values[0].text)
        if operator in _EQUAL:
            self._check_names(field, compare)
        if operator in _ORDERS and field.kind is Kind.TEXT:
            raise compare.spot.refusal("no order", "allowed with it: = != ~", what=f"{field.group} has no order")
        if operator == "in" and field.kind is Kind.TEXT:
            return Sql(f"{column} IN ({', '.join('?' * len(values))})", compare.texts)
        tests = [self._one(field, "=" if operator == "in" else operator, value) for value in values]
        return Sql.joined(tests, " OR ")

    def _one(self, field: Field, operator: str, value: Value) -> Sql:
        column, sign, kind = f"x.{field.column}", _SIMPLE[operator], field.kind
        if kind is Kind.NUMBER:
            return Sql(f"{column} {sign} ?", (_number(field, value),))
        if kind is Kind.PARAMETER:
            if operator in _ORDERS:
                return Sql(f"x.number {sign} ?", (_number(field, value),))
            return Sql("(x.text = ? OR x.number = ?)", (value.text, _float(value.text)))
        if kind is Kind.VERSION:
            if operator in _ORDERS:
                return Sql(f"x.precedence {sign} ?", (_precedence(value),))
            return Sql(f"{column} = ?", (value.text,))
        if kind is Kind.TIME:
            time = _time(value)
            # As precise as what was typed: 2026-01-31 is the whole day. RFC 3339 in UTC orders as text does.
            return Sql(f"substr({column}, 1, {len(time)}) {sign} ?", (time,))
        if kind is Kind.MILLISECONDS:
            number = _number(field, value)
            return Sql(f"CAST(strftime('%s', {column}) AS INTEGER) * 1000 {sign} ?", (number,))
        return Sql(f"{column} = ?", (value.text,))

    def _check_names(self, field: Field, compare: Compare) -> None:
        """Refuse what no version can have, such as a lifecycle that there is not."""
        for value in compare.values:
            if field.kind is Kind.VERSION:
                _precedence(value)
            elif field.table == "deployments":
                _check_one_of(value, "environment", self.around.environments)
            elif field.group == "lifecycle":
                _check_one_of(value, "lifecycle", list(Lifecycle))
            elif field.group == "format":
                from gitreg.scan.formats import Format

                _check_one_of(value, "format", list(Format))

    # Calls

    def _call(self, call: Call) -> Sql:
        calls = {
            "deployed": self._deployed,
            "text": self._text,
            "descends_from": self._descends_from,
            "ancestor_of": self._ancestor_of,
        }
        if call.name not in calls:
            near = did_you_mean(call.name, calls)
            hint = f"did you mean {near}(…)?" if near else f"allowed: {', '.join(f'{name}(…)' for name in calls)}"
            raise call.spot.refusal("no such question", hint, what=f"there is no {call.name!r} to ask")
        if call.at is not None and call.name != "deployed":
            raise call.spot.refusal("takes no time", "only deployed(…, at …) does")
        return calls[call.name](call)

    def _deployed(self, call: Call) -> Sql:
        _check_one_of(call.argument, "environment", self.around.environments)
        if call.at is None:
            return self.where(_deployed_now(call))
        return Sql("v.id IN (") + self._ran(call.argument.text, call.at).ids + Sql(")")

    def _ran(self, environment: str, at: Value) -> Start:
        """Find what ran somewhere at a time, of all that ever ran there."""
        try:
            moment = self.around.moment(at.text)
        except InvalidError as error:
            raise at.spot.refusal("a time", error.hint, what=error.message) from error
        rows = Sql(
            "FROM deployments x INDEXED BY deployments_when {} WHERE x.environment = ? AND x.since <= ? "
            "AND (x.until IS NULL OR x.until > ?)",
            (environment, moment, moment),
        )
        join = "CROSS JOIN versions w ON w.model = x.model AND w.version IN (x.version, x.canary_version)"
        ids = Sql(f"SELECT w.id {rows.text.format(join)}", rows.values)
        return Start(ids, Sql(f"SELECT 1 {rows.text.format('')}", rows.values))

    def bounds(self, expression: Expression, field: Field) -> Iterator[Sql]:
        """Give what every version that is found says of its rows x of a field, of which there is one each then."""
        if isinstance(expression, Several) and expression.every:
            for each in expression.terms:
                yield from self.bounds(each, field)
        elif isinstance(expression, Compare) and expression.operator in {"=", "==", "in", "present", *_ORDERS}:
            found, condition = self._condition(expression)
            if found == field:
                yield condition

    def _wanted(self, call: Call) -> str:
        words = _WORDS.findall(call.argument.text)
        if not words:
            raise call.argument.spot.refusal("no words", "write the words to look for: text('fraud detection')")
        return " ".join(f'"{word}"' for word in words) + ("*" if call.argument.text.rstrip().endswith("*") else "")

    def _text(self, call: Call) -> Sql:
        wanted = self._wanted(call)
        return Sql(
            "(v.manifest IN (SELECT rowid FROM manifest_texts WHERE manifest_texts MATCH ?) OR v.model IN "
            "(SELECT model FROM models WHERE id IN (SELECT rowid FROM model_texts WHERE model_texts MATCH ?)))",
            (wanted, wanted),
        )

    def _descends_from(self, call: Call) -> Sql:
        step = Sql(
            "SELECT c.model, c.version FROM family f JOIN parents p ON p.model = f.model AND p.version = f.version "
            "JOIN versions c ON c.manifest = p.manifest WHERE "
        )
        return self._family(call, step + self.around.readable("c.model"))

    def _ancestor_of(self, call: Call) -> Sql:
        step = Sql(
            "SELECT p.model, p.version FROM family f JOIN versions c ON c.model = f.model AND c.version = f.version "
            "JOIN parents p ON p.manifest = c.manifest WHERE "
        )
        return self._family(call, step + self.around.readable("p.model"))

    def _family(self, call: Call, step: Sql) -> Sql:
        """Follow parents to the end, or to what may not be read; what was met once is not met again: a circle ends."""
        text, spot = call.argument.text, call.argument.spot
        try:
            selector = Selector.parse(text)
        except InvalidError as error:
            raise spot.refusal("a version", error.hint, what=error.message) from error
        if selector.version is None:
            raise spot.refusal("a version", "write project/name@1.4.0", what=f"{text!r} is no version")
        model, version = str(selector.model), str(selector.version)
        if self.around.may_read and not self.around.may_read(model):
            raise DeniedError(f"you may not read {model}", hint="ask an admin for a grant in access.yaml")
        return Sql(
            f"(v.id IN (WITH RECURSIVE family (model, version) AS (VALUES (?, ?) UNION {step.text}) "
            "SELECT w.id FROM family f JOIN versions w ON w.model = f.model AND w.version = f.version) "
            "AND NOT (v.model = ? AND v.version = ?))",
            (model, version, model, version),
        )


def field_at(name: str, spot: Spot) -> Field:
    """Find a field; InvalidError names the nearest."""
    field = field_named(name)
    if field is None:
        raise spot.refusal("no such field", nearest(name), what=f"there is no field {name!r} to search by")
    return field


def _check_one_of(value: Value, what: str, names: Sequence[str]) -> None:
    if value.text not in names:
        near = did_you_mean(value.text, names)
        hint = f"did you mean {near}?" if near else f"there are {', '.join(names) or 'none'}"
        raise value.spot.refusal(f"no such {what}", hint, what=f"there is no {what} {value.text!r}")


def _number(field: Field, value: Value) -> float:
    number = _float(value.text)
    if field.column == "size" and (size := _SIZE.fullmatch(value.text)) and (count := _float(size[1])) is not None:
        number = count * (1024 if size[3] else 1000) ** (1 + "kmgt".index(size[2].lower()))
    if number is None:
        hint = f"{field.group} are compared as numbers" if field.key else f"{field.group} is compared as a number"
        raise value.spot.refusal("compared as a number", hint, what=f"{value.text!r} is not a number")
    return number


def _precedence(value: Value) -> bytes:
    try:
        return precedence(Version(value.text).text)
    except InvalidError as error:
        raise value.spot.refusal("a version", error.hint, what=error.message) from error


def _time(value: Value) -> str:
    match = _TIME.fullmatch(value.text)
    if match:
        return match[1]
    hint = "write 2026, 2026-01, 2026-01-31 or 2026-01-31T12:00:00Z"
    raise value.spot.refusal("a time", hint, what=f"{value.text!r} is not a time")


def _deployed_now(call: Call) -> Compare:
    return Compare("deployed", "=", (call.argument,), call.spot)


def _one_after_other(parts: Iterable[Sql]) -> Sql:
    found = list(parts)
    values = tuple(value for part in found for value in part.values)
    return Sql(" UNION ALL ".join(f"SELECT * FROM ({part.text})" for part in found), values)


def _float(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        number = nan
    return number if isfinite(number) else None


def _matches(column: str, operator: str, value: str) -> Sql:
    """Compile what looks into a text: ~ and ilike do not mind the case of ASCII letters, like does."""
    if operator == "~":
        escaped = re.sub(r"([%_\\])", r"\\\1", value)
        return Sql(f"{column} LIKE ? ESCAPE '\\'", (f"%{escaped}%",))
    if operator == "ilike":
        return Sql(f"{column} LIKE ?", (value,))
    glob = "".join({"%": "*", "_": "?", "*": "[*]", "?": "[?]", "[": "[[]"}.get(mark, mark) for mark in value)
    return Sql(f"{column} GLOB ?", (glob,))
