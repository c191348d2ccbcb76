"""Say what is wrong with text that no YAML parser takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NoReturn

from gitreg.errors import InvalidError, Problem

if TYPE_CHECKING:
    import yaml

# What libyaml and the pure parser say, in part; what it mostly means; what to do.
_MEANINGS: Final = (
    ("mapping values are not allowed", "found ': ' where no field can begin", "put text that holds ': ' in quotes"),
    ("could not find expected ':'", "a field wants a ':' and a space after its name", "write it as `name: value`"),
    ("unknown escape", "found an unknown escape after a backslash", "write \\\\ for a backslash, or use single quotes"),
    ("expected escape sequence", "found a broken escape", "write \\\\ for a backslash, or use single quotes"),
    ("unexpected end of stream", "text opened with a quote is never closed", "close the quote"),
    ("expected ',' or ']'", "a list that opened with [ wants a comma or ] here", "close it"),
    ("expected ',' or '}'", "a mapping that opened with { wants a comma or } here", "close it"),
    ("block end", "the indentation does not fit the lines above", "indent what belongs together alike"),
    ("expected key", "the indentation does not fit the lines above", "indent what belongs together alike"),
    ("expected '-' indicator", "the indentation does not fit the lines above", "indent what belongs together alike"),
)


def fail(problem: Problem, hint: str | None = None) -> NoReturn:
    """Raise one problem, with its way out."""
    if hint:
        problem = Problem(f"{problem.message}; {hint}", problem.path, problem.line, problem.column, problem.field)
    raise InvalidError(f"{problem.path or 'the text'} cannot be read", problems=[problem])


def explain_syntax(error: yaml.MarkedYAMLError, text: str, path: str | None) -> NoReturn:
    """Raise what a parser found, in words that tell what to do."""
    words = f"{error.context or ''} {error.problem or ''}"
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    message, hint = _explanation(words, _character_at(text, line, column))
    if "quoted scalar" in words and "end of stream" in words and error.context_mark:
        line, column = error.context_mark.line + 1, error.context_mark.column + 1
    raise_from = Problem(message, path, line, column)
    fail(raise_from, hint)


def _character_at(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line)
    return lines[line - 1][column - 1 : column] if line <= len(lines) else ""


def _explanation(words: str, found: str) -> tuple[str, str]:
    """Choose the words for a parser's complaint and the character it stands at."""
    if found == "\t" and "scanning" in words:
        return "found a tab", "indent and separate with spaces"
    if "cannot start any token" in words:
        return f"text cannot begin with {found!r}", "put it in quotes"
    for part, meaning, way_out in _MEANINGS:
        if part in words:
            return meaning, way_out
    return words.strip(), "check the indentation, and that quotes and brackets are closed"
