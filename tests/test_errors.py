"""Errors say what is wrong, where, and what to do."""

from __future__ import annotations

import pytest

from gitreg.errors import (
    ConflictError,
    DeniedError,
    GitregError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    Problem,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("kind", "exit_code", "http_status"),
    [
        (InvalidError, 2, 422),
        (NotFoundError, 3, 404),
        (ConflictError, 4, 409),
        (DeniedError, 5, 403),
        (IntegrityError, 6, 500),
        (UnavailableError, 7, 503),
    ],
)
def test_every_class_has_its_exit_code_and_status(kind: type[GitregError], exit_code: int, http_status: int) -> None:
    assert issubclass(kind, GitregError)
    assert (kind.exit_code, kind.http_status) == (exit_code, http_status)


def test_one_thing_is_said_on_one_line() -> None:
    assert str(InvalidError("x is wrong")) == "x is wrong"
    assert str(InvalidError("x is wrong", hint="write y")) == "x is wrong; write y"


def test_several_things_are_said_on_lines_of_their_own_with_the_hint_last() -> None:
    error = InvalidError("the file is wrong", hint="see the manual", problems=[Problem("a"), Problem("b", "f.yaml", 3)])
    assert str(error) == "the file is wrong\n  a\n  f.yaml:3: b\n  see the manual"
    assert error.args == ("the file is wrong",)
    assert len(error.problems) == 2


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("m"), "m"),
        (Problem("m", "f.yaml"), "f.yaml: m"),
        (Problem("m", "f.yaml", 3, 7, "a.b"), "f.yaml:3: a.b: m"),
        (Problem("m", None, 3), "line 3: m"),
        (Problem("m", field="a.b"), "a.b: m"),
    ],
)
def test_a_problem_names_as_much_of_its_place_as_is_known(problem: Problem, text: str) -> None:
    assert str(problem) == text
