"""Accept a file of the registry: strict YAML, then its schema, then the rules that a schema cannot say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from gitreg.errors import InvalidError, Problem
from gitreg.wire import field_name

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gitreg.schema import Kind
    from gitreg.wire import Document

API_VERSION = "gitreg/v1"

Data = Mapping[str, Any]
MOST_FINDINGS = 100


class EnoughError(Exception):
    """More is wrong in a document than anybody reads."""


class Findings:
    """What is wrong in one document, collected with file, line and field: the first hundred things."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []

    def add(self, message: str, *path: str | int) -> None:
        """Note what is wrong at a place inside the document; raise EnoughError where the list is full."""
        if len(self.problems) >= MOST_FINDINGS:
            self.problems.append(Problem("and more; mend these first", self.document.path))
            raise EnoughError
        mark = self.document.mark(path)
        line, column = (mark.line, mark.column) if mark else (None, None)
        self.problems.append(Problem(message, self.document.path, line, column, field_name(path) or None))

    def refusal(self, kind: Kind) -> InvalidError:
        """Make the one error of everything found, in the order of the lines."""
        ordered = sorted(self.problems, key=lambda problem: (problem.line or 0, problem.column or 0))
        return InvalidError(f"{self.document.path or 'the text'} is not a valid {kind}", problems=ordered)


class Rule(NamedTuple):
    """A rule beyond the schema; it runs unless the schema refused one of the top-level fields that it looks at."""

    fields: tuple[str, ...]
    check: Callable[[Findings, Data], None]


def accept(kind: Kind, document: Document, rules: Iterable[Rule]) -> Document:
    """Give a document back that meets its schema and every rule; raise InvalidError with all problems of both."""
    from gitreg.schema import explain, is_valid

    findings = Findings(document)
    if not is_valid(kind, document.value):
        findings.problems += explain(kind, document) or (Problem("does not match its schema", document.path),)
    refused = {_top_level(problem.field) for problem in findings.problems}
    with suppress(EnoughError):
        for rule in rules:
            if refused.isdisjoint(rule.fields):
                rule.check(findings, document.value)
    if findings.problems:
        raise findings.refusal(kind)
    return document


def _top_level(field: str | None) -> str:
    return (field or "").partition(".")[0].partition("[")[0]


def without_empty(data: Data) -> dict[str, Any]:
    """Leave out what says nothing: None, and empty lists and mappings."""
    return {key: value for key, value in data.items() if value is not None and not _is_empty(value)}


def _is_empty(value: object) -> bool:
    return isinstance(value, (list, tuple, Mapping)) and not value


def in_order(mapping: Mapping[Any, Any]) -> dict[str, Any]:
    """Copy a mapping with its keys sorted, which is the canonical form of one whose order means nothing."""
    return {str(key): mapping[key] for key in sorted(mapping)}


def check_moment(findings: Findings, text: str, *path: str | int) -> None:
    """Note a time that matches its pattern and is none, such as 30 February."""
    from datetime import datetime

    try:
        datetime.fromisoformat(text)
    except ValueError as error:
        findings.add(f"{text!r} is not a time: {error}", *path)


def check_uri(findings: Findings, uri: str | None, *path: str | int) -> None:
    """Note a URI that carries a password or a token: a registry never forgets."""
    if uri is not None and carries_credentials(uri):
        findings.add("found credentials in the URI; leave them out, git keeps what is pushed for ever", *path)


def carries_credentials(uri: str) -> bool:
    """Whether a URI names a user with a password, or any user where the web puts tokens (RFC 3986, 3.2.1)."""
    scheme, _, rest = uri.partition("://")
    authority = re.split(r"[/?#\\]", rest, maxsplit=1)[0]
    user, at, _ = authority.rpartition("@")
    return bool(at) and (":" in user or scheme.lower() in {"http", "https"})
