"""Turn problem details (RFC 9457) back into the errors that they were made of."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gitreg.errors import (
    ConflictError,
    DeniedError,
    GitregError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    Problem,
    UnavailableError,
)
from gitreg.gate import Code, Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

_CLASSES: Mapping[int, type[GitregError]] = {
    401: DeniedError,
    403: DeniedError,
    404: NotFoundError,
    408: UnavailableError,
    409: ConflictError,
    412: PreconditionError,
    416: IntegrityError,  # no range is asked for but one that the manifest has
    429: UnavailableError,
    500: IntegrityError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}
_CODES = frozenset(map(str, Code))
_MOST = 1000
_LONGEST = 4000


def error_of(status: int, said: Mapping[str, Any], where: str) -> GitregError:
    """Make the error that an answer tells of; what is no problem of gitreg's is one of the place itself."""
    detail, hint = text(said.get("detail")), text(said.get("hint"))
    found = said.get("violations")
    rows = [row for row in found[:_MOST] if isinstance(row, dict)] if isinstance(found, list) else []
    violations = [violation(row) for row in rows if text(row.get("code")) in _CODES]
    kind = _CLASSES.get(status, InvalidError if status < 500 else UnavailableError)  # noqa: PLR2004
    error = kind(
        detail or f"{where} answers {status}",
        hint=hint,
        problems=[Problem(str(each)) for each in violations] or [_problem(row) for row in rows],
    )
    error.violations = tuple(violations)
    return error


def violation(row: Mapping[str, Any]) -> Violation:
    """Read one finding of the gate."""
    line = row.get("line")
    return Violation(
        Code(row["code"]),
        text(row.get("message")) or "",
        remedy=text(row.get("remedy")),
        commit=text(row.get("commit")),
        path=text(row.get("path")),
        line=line if isinstance(line, int) else None,
        field=text(row.get("field")),
    )


def text(value: object) -> str | None:
    """Take text as such, and nothing else; what somebody says elsewhere is of bounded length."""
    return value[:_LONGEST] if isinstance(value, str) else None


def _problem(row: Mapping[str, Any]) -> Problem:
    return Problem(text(row.get("message")) or "")
