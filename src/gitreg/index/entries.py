"""Tell which comparisons are about one and the same entry of a list, such as one evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.index.fields import PATHS, WITHIN, field_named
from gitreg.index.language import Compare, Expression, Not, Several, Some

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitreg.index.fields import Field

# Of a number there may be two bounds, but who asks for two names means two entries.
_NAMES = frozenset({"=", "==", "in", "~", "like", "ilike"})


def of_one_entry(expression: Expression) -> Expression:
    """Put together what is joined by `and` and is about one list: one entry of it has to meet all that.

    What is asked by `!=`, `not` or `is null` is about all entries, and stays apart. InvalidError where a field is asked
    for twice, so that two entries are meant, and it is not clear which of the two something else is about.
    """
    if isinstance(expression, Some):
        return Some(expression.entries, _inside(expression.entries, expression.term), expression.spot)
    if isinstance(expression, Not):
        return Not(of_one_entry(expression.term))
    if not isinstance(expression, Several):
        return expression
    if not expression.every:
        return Several(every=False, terms=tuple(map(of_one_entry, expression.terms)))
    terms, lists = list[Expression](), dict[str, list[Expression]]()
    for term in _flat(expression):
        entries = _list_of(term)
        if entries is None:
            terms.append(of_one_entry(term))
        else:
            lists.setdefault(entries, []).append(term)
    for entries, found in lists.items():
        terms += _together(entries, found)
    return Several(every=True, terms=tuple(terms))


def _flat(expression: Expression) -> Iterator[Expression]:
    """Give the terms that must all hold; brackets among them mean nothing."""
    if isinstance(expression, Several) and expression.every:
        for term in expression.terms:
            yield from _flat(term)
    else:
        yield expression


def _list_of(expression: Expression) -> str | None:
    """Name the list of which some entry meets a term; None where the term is about more, or about all entries."""
    if isinstance(expression, Compare):
        field = field_named(expression.field)
        return WITHIN[field.table][0] if field and field.table in WITHIN and expression.operator != "!=" else None
    if isinstance(expression, Several):
        first, *others = {_list_of(term) for term in expression.terms}
        return None if others else first
    return None


def _together(entries: str, terms: Sequence[Expression]) -> Sequence[Expression]:
    compared = [each for term in terms for each in _comparisons(term)]
    twice = _asked_twice(terms)
    if len(terms) == 1 or (twice and len({field_named(each.field) for each in compared}) == 1):
        return terms
    if twice:
        name = twice.field.removeprefix(f"{entries}.")
        raise twice.spot.refusal(
            "asked for again",
            f"write each as {entries}({name} = … and …), and join these by and",
            what=f"{twice.field} is asked for twice, and it is not clear which of the two the rest is about",
        )
    return [Some(entries, Several(every=True, terms=tuple(terms)), compared[0].spot)]


def _comparisons(expression: Expression) -> Iterator[Compare]:
    if isinstance(expression, Compare):
        yield expression
    elif isinstance(expression, Several):
        for term in expression.terms:
            yield from _comparisons(term)


def _asked_twice(terms: Sequence[Expression]) -> Compare | None:
    asked: dict[Field | None, Compare] = {}
    for term in terms:
        if isinstance(term, Compare) and term.operator in _NAMES:
            before = asked.setdefault(field_named(term.field), term)
            if (before.operator, before.texts) != (term.operator, term.texts):
                return term
    return None


def _inside(entries: str, expression: Expression) -> Expression:
    """Complete the names of fields, which may be written as they stand below the list; refuse what is of no entry."""
    if isinstance(expression, Several):
        return Several(expression.every, tuple(_inside(entries, term) for term in expression.terms))
    if isinstance(expression, Not):
        return Not(_inside(entries, expression.term))
    if isinstance(expression, Compare):
        for name in (f"{PATHS[entries]}.{expression.field}", expression.field):
            field = field_named(name)
            if field and field.table in WITHIN and WITHIN[field.table][0] == entries:
                return Compare(name, expression.operator, expression.values, expression.spot)
    what = f"{expression.field!r}" if isinstance(expression, Compare) else "this"
    raise expression.spot.refusal(
        "not of an entry",
        f"put it outside of {entries}(…), joined by and",
        what=f"{entries}(…) asks of one entry, and {what} is not part of one",
    )
