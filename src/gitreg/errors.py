"""Every error that gitreg raises, with the exit code and the HTTP status of its class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where: file, line and column (from 1), field."""

    message: str
    path: str | None = None
    line: int | None = None
    column: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        """Render as `file:line: field: message`, leaving out what is not known."""
        place = self.path or ""
        if self.line is not None:
            place = f"{place}:{self.line}" if place else f"line {self.line}"
        return ": ".join(part for part in (place, self.field, self.message) if part)


class GitregError(Exception):
    """The root of all errors: what is wrong, where, and what to do next.

    `hint` is the next step for the reader; `problems` lists everything that is wrong where there is more than one
    thing to say. `violations` are those of the gate, where it was the gate that refused.
    """

    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500
    violations: tuple[Any, ...] = ()

    def __init__(self, message: str, *, hint: str | None = None, problems: Iterable[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)

    def within(self, place: str) -> Self:
        """Say where it happened: an error collects that on its way out."""
        self.message = f"{place}: {self.message}"
        return self

    def __str__(self) -> str:
        """Render message, problems and hint; one line unless there are several problems."""
        lines = [self.message, *(f"  {line}" for problem in self.problems for line in str(problem).split("\n"))]
        if self.hint:
            if self.problems:
                lines.append(f"  {self.hint}")
            else:
                lines[0] = f"{self.message}; {self.hint}"
        return "\n".join(lines)


class InvalidError(GitregError):
    """What was given breaks a rule of form."""

    exit_code = 2
    http_status = 422


class NotFoundError(GitregError):
    """What was asked for does not exist.

    Where that is the model that was `sought`, `hint` may name one that it `resembles`: not everybody may hear of it.
    """

    exit_code = 3
    http_status = 404
    sought: str | None = None
    resembles: str | None = None


class ConflictError(GitregError):
    """It collides with what is there: a version that exists, a state that moved on."""

    exit_code = 4
    http_status = 409


class PreconditionError(ConflictError):
    """What was read before the write has changed since."""

    http_status = 412


class DeniedError(GitregError):
    """The actor may not do this."""

    exit_code = 5
    http_status = 403


class IntegrityError(GitregError):
    """Stored bytes are not what they should be."""

    exit_code = 6
    http_status = 500


class UnavailableError(GitregError):
    """Something needed cannot be reached now; trying again later may work."""

    exit_code = 7
    http_status = 503
