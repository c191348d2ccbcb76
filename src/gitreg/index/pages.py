"""Run a search page by page; a page begins after the last row of the one before, whatever came in between."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError
from gitreg.index.compile import MAY_READ, Compiler, Sql, Start, Surroundings, field_at
from gitreg.index.entries import of_one_entry
from gitreg.index.fields import BELONGS, Field, Kind, field_named
from gitreg.index.language import Several, Spot, check, check_together, fields_of, parse
from gitreg.index.precedence import precedence
from gitreg.names import Version, did_you_mean
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

MAX_CURSOR = 8_192
MAX_ORDER = 5
_ORDER = re.compile(r"\s*(?P<field>(?:[^\s,`\"]|`[^`]*`|\"[^\"]*\")+)(?:\s+(?P<way>asc|desc))?\s*", re.IGNORECASE)
_FEW = 500
_SHARE = 8
_MANY = 4_000  # more than this are not put in order one by one where an index has the order
_KEYS = 10_000  # names that are looked at for one that is meant
_MOST = 2**63  # SQLite's integers


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What to search for: conditions that must all hold (none: all versions), an order, how many, after which row."""

    conditions: tuple[str, ...]
    order_by: str | None = None
    limit: int | None = None
    cursor: str | None = None

    @property
    def fingerprint(self) -> str:
        """Tell one search from another, whatever page of it is asked for."""
        text = json.dumps([self.conditions, self.order_by])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Hit:
    """A version that was found: its model, its text, the id of its manifest's row, and what it was ordered by."""

    model: str
    version: str
    manifest: int
    keys: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class _Order:
    field: Field
    expression: Sql
    descending: bool
    walked: bool = False


# What SQLite can walk through in the order of a field, by the index of this name; `created` every version has.
_WALKED = {("metrics", "value"): "metrics_value", ("manifests", "created"): "manifests_created"}


class Search:
    """A search, ready to run on an index; of the models that may be read, as if there were no others."""

    def __init__(self, query: Query, around: Surroundings) -> None:
        self.query = query
        self._around = around
        check_together(query.conditions)
        self._compiler = Compiler(around)
        terms = tuple(parse(each) for each in query.conditions if each.strip())
        self._expression = of_one_entry(Several(every=True, terms=terms))
        self._order = self._orders()
        self._after = self._read_cursor() if query.cursor is not None else None

    def run(self, connection: Connection, commit: str) -> tuple[list[Hit], str | None]:
        """Give a page of what is found, and the cursor of the next one, None after the last."""
        limit = self.query.limit
        sql = self.sql(connection)
        if self._around.may_read:
            connection.create_function(MAY_READ, 1, cache(self._around.may_read), deterministic=True)
        rows = connection.execute(sql.text, sql.values).fetchall()
        hits = [Hit(row[0], row[1], row[2], tuple(row[3:])) for row in rows]
        if limit is None or len(hits) <= limit:
            return hits, None
        return hits[:limit], self._cursor(hits[limit - 1], commit)

    def sql(self, connection: Connection) -> Sql:
        """Compile to one SELECT of model, version, manifest and the values of the order."""
        start, found = self._start(connection)
        walk = self._walk() if self.query.limit is not None and (start is None or found > _MANY) else None
        order, source, bounds = walk or (self._order, *_begun(start))
        columns = [Sql("v.model, v.version, v.manifest"), *(each.expression for each in order)]
        where = [
            *bounds,
            Sql("v.deleted = 0"),
            self._compiler.where(self._expression),
            *([self._later(order)] if self._after else []),
            *([self._around.readable("v.model")] if self._around.may_read else []),
        ]
        sql = Sql("SELECT ") + _listed(columns, ", ") + Sql(" FROM ") + source + Sql(" WHERE ")
        sql += _listed(where, " AND ") + Sql(" ORDER BY ") + _order_by(order)
        return sql if self.query.limit is None else sql + Sql(" LIMIT ?", (self.query.limit + 1,))

    def plan(self, connection: Connection) -> list[str]:
        """Tell how SQLite goes about it."""
        sql = self.sql(connection)
        return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql.text}", sql.values)]

    def unknown(self, connection: Connection) -> list[str]:
        """Say of each metric, hyperparameter and label named here that nothing has, what may have been meant."""
        named = dict.fromkeys(fields_of(self._expression))
        fields = [*map(field_named, named), *(each.field for each in self._order)]
        found = {field for field in fields if field is not None and field.key is not None}
        said = []
        for table in sorted({field.table for field in found}):
            known = [key for (key,) in connection.execute(f"SELECT DISTINCT key FROM {table} LIMIT ?", (_KEYS,))]
            for field in sorted((each for each in found if each.table == table), key=lambda each: str(each.key)):
                if len(known) < _KEYS and field.key not in known:
                    near = did_you_mean(str(field.key), known)
                    meant = f"; did you mean {field.group}.{near}?" if near else ""
                    said.append(f"nothing has {field.group}.{field.key}{meant}")
        return said

    # Where to begin

    def _start(self, connection: Connection) -> tuple[Start | None, int]:
        """Choose the term that the fewest versions meet, and how many do, as far as it pays to count; None: all."""
        total = connection.execute("SELECT coalesce(max(id), 0) FROM versions").fetchone()[0]
        most = max(_FEW, total // _SHARE)
        best: Start | None = None
        for start in self._compiler.starts(self._expression):
            counted = Sql("SELECT count(*) FROM (") + start.rows + Sql(" LIMIT ?)", (most,))
            found = connection.execute(counted.text, counted.values).fetchone()[0]
            if found < most:
                best, most = start, found
        return best, most

    def _walk(self) -> tuple[list[_Order], Sql, list[Sql]] | None:
        """Go through the versions in the order of its first field, where every one that is found has a value of it."""
        if not self._order:
            return None
        first, *others = self._order
        field = first.field
        index = _WALKED.get((field.table, field.column))
        bounds = list(self._compiler.bounds(self._expression, field))
        if index is None or (field.key is not None and not bounds):
            return None
        column = Sql(f"x.{field.column}")
        if self._after and (key := self._after[0][0]) is not None:
            bounds.append(column + Sql(f" {'<=' if first.descending else '>='} ?", (key,)))
        source = Sql(f"{field.table} x INDEXED BY {index} CROSS JOIN versions v ON {BELONGS[field.table][0]}")
        return [_Order(field, column, first.descending, walked=True), *others], source, bounds

    # The order, and pages of it

    def _orders(self) -> list[_Order]:
        text = self.query.order_by
        if text is None:
            return []
        check(text, "the order")
        found, at = list[_Order](), 0
        while at <= len(text):
            match = _ORDER.match(text, at)
            if not match or text[match.end() : match.end() + 1] not in {"", ","} or len(found) == MAX_ORDER:
                hint = "write FIELD [asc|desc], as in metrics.auc desc, created"
                raise Spot(text, at).refusal("here", hint, what=_NO_ORDER)
            spot = Spot(text, match.start("field"))
            field = field_at(match["field"], spot)
            if not field.single:
                hint = "order by a metric, a parameter, a label, or what a version has one of"
                raise spot.refusal("may be several", hint, what=f"{field.group} has no one value")
            found.append(_Order(field, _value(field), (match["way"] or "").lower() == "desc"))
            at = match.end() + 1
        return found

    def _later(self, order: Sequence[_Order]) -> Sql:
        """Compile "comes after the last row of the page before": what has no value comes last, and by name."""
        keys, model, version = self._after or ((), "", "")
        steps: list[tuple[Sql, Sql]] = []
        for each, key in zip(order, keys, strict=True):
            sign = "<" if each.descending else ">"
            beyond = Sql("0") if key is None else Sql("(") + each.expression + Sql(f" {sign} ? OR ", (key,))
            if key is not None:
                beyond += each.expression + Sql(" IS NULL)")
            steps.append((beyond, each.expression + Sql(" IS ?", (key,))))
        steps.append((Sql("v.model > ?", (model,)), Sql("v.model = ?", (model,))))
        steps.append((Sql("v.precedence < ?", (precedence(version),)), Sql("1")))
        later = Sql("0")
        for beyond, same in reversed(steps):
            later = Sql("(") + beyond + Sql(" OR (") + same + Sql(" AND ") + later + Sql("))")
        return later

    def _cursor(self, last: Hit, commit: str) -> str:
        value = [self.query.fingerprint, commit, last.model, last.version, *last.keys]
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode("ascii").rstrip("=")

    def _read_cursor(self) -> tuple[tuple[Any, ...], str, str]:
        text = self.query.cursor or ""
        try:
            fingerprint, model, version, keys = _decoded(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidError(f"{text[:40]!r} is not a cursor", hint=_CURSOR_HINT) from error
        if fingerprint != self.query.fingerprint or len(keys) != len(self._order):
            raise InvalidError("the cursor is of another search", hint=_CURSOR_HINT)
        return keys, model, version


_CURSOR_HINT = "give the one that the page before ended with, and the same conditions and order"
_NO_ORDER = "the order is none that there is"


def _decoded(text: str) -> tuple[str, str, str, tuple[Any, ...]]:
    """Read a cursor: which search, the model and version of the last row, and what that was ordered by."""
    if len(text) > MAX_CURSOR:
        raise ValueError(len(text))
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    fingerprint, _, model, version, *keys = value = json.loads(data)
    json.dumps(value, ensure_ascii=False).encode()  # SQLite takes no lone surrogates
    if not isinstance(model, str) or not isinstance(version, str) or not all(map(_is_key, keys)):
        raise TypeError(model)
    try:
        return fingerprint, model, Version(version).text, tuple(keys)
    except InvalidError as error:
        raise ValueError(version) from error


def _is_key(value: object) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and -_MOST <= value < _MOST
    return value is None or isinstance(value, (str, float))


def _value(field: Field) -> Sql:
    """Compile the one value of a field that a version may have."""
    # In hexadecimal a precedence keeps its order, and a cursor can name it.
    special = {Kind.VERSION: "hex(x.precedence)", Kind.PARAMETER: "coalesce(x.number, x.text)"}
    column = special.get(field.kind, f"x.{field.column}")
    key = Sql(" AND x.key = ?", (field.key,)) if field.key is not None else Sql("")
    return Sql(f"(SELECT {column} FROM {field.table} x WHERE {BELONGS[field.table][0]}") + key + Sql(")")


def _order_by(order: Sequence[_Order]) -> Sql:
    parts = []
    for number, each in enumerate(order, 4):
        if not each.walked:
            parts.append(each.expression + Sql(" IS NULL"))
        parts.append(Sql(f"{number} {'DESC' if each.descending else 'ASC'}"))
    return _listed([*parts, Sql("v.model"), Sql("v.precedence DESC")], ", ")


def _begun(start: Start | None) -> tuple[Sql, list[Sql]]:
    """Give where the versions come from, and the conditions on that."""
    if start is None:
        return Sql("versions v INDEXED BY versions_order"), []
    if start.table and start.condition:
        return Sql(f"{start.table} x CROSS JOIN versions v ON {BELONGS[start.table][0]}"), [start.condition]
    ids = Sql("(SELECT DISTINCT id FROM (") + start.ids + Sql(")) s CROSS JOIN versions v ON v.id = s.id")
    return ids, []


def _listed(parts: Sequence[Sql], between: str) -> Sql:
    return Sql(between.join(part.text for part in parts), tuple(value for part in parts for value in part.values))
