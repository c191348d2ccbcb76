"""Say what is wrong with text that no YAML parser takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from gitreg.errors import InvalidError, Problem

if TYPE_CHECKING:
    import yaml

_INDENT: Final = ("the indentation does not fit the lines above", "indent what belongs together alike")
_ESCAPE: Final = ("found an unknown escape", "write \\\\ for a backslash, or use single quotes")
_UNICODE: Final = ("found an escape that is no character", "write the character itself")
_QUOTE: Final = ("a quote that opened here is never closed", "close it")
_COLON: Final = ("a field wants a ':' and a space after its name", "write it as `name: value`")
_LATER: Final = ("found something after the end of the fields", "indent it as the other fields are, or quote it")

# Parts of what libyaml and the pure parser say, what they mostly mean, and what to do. The first that fits is taken.
_MEANINGS: Final = (
    ("mapping values are not allowed", ("found ': ' where no field can begin", "put text that holds ': ' in quotes")),
    ("sequence entries are not allowed", ("found '- ' where no list can begin", "begin the list on a line of its own")),
    ("mapping keys are not allowed", ("found '? ' where no field can begin", "put text that begins with ? in quotes")),
    ("expected ':'", _COLON),
    ("unexpected ':'", ("found ':' without a space after it inside [ ] or { }", "add the space, or quote the text")),
    ("invalid Unicode", _UNICODE),
    ("unknown escape", _ESCAPE),
    ("hexdecimal", _ESCAPE),
    ("hexadecimal", _ESCAPE),
    ("quoted scalar found unexpected", _QUOTE),
    (
        "or ']'",
        ("a list that opened with [ wants a comma or ] here", "close it, and quote text that holds [ ] { } ? ,"),
    ),
    (
        "or '}'",
        ("fields that opened with { want a comma or } here", "close them, and quote text that holds [ ] { } ? ,"),
    ),
    ("scanning a block scalar", ("text begins right after | or >", "begin it on the next line, indented")),
    ("an alias", ("found a * that begins an alias", "put text that begins with * in quotes")),
    ("an anchor", ("found a & that begins an anchor", "put text that begins with & in quotes")),
    ("a tag", ("found a ! that begins a tag", "put text that begins with ! in quotes")),
    ("a directive", ("found a % that begins a directive", "put text that begins with % in quotes, or indent it")),
    ("block end", _INDENT),
    ("expected key", _INDENT),
    ("'-' indicator", _INDENT),
    ("document start", _LATER),
    ("node content", ("found no value where one has to be", "put text that begins with , ] } - or ? in quotes")),
)


def refusal(problem: Problem, hint: str | None = None) -> InvalidError:
    """Make the error for one problem, with its way out."""
    if hint:
        problem = Problem(f"{problem.message}; {hint}", problem.path, problem.line, problem.column, problem.field)
    return InvalidError(f"{problem.path or 'the text'} cannot be read", problems=[problem])


def explain_syntax(error: yaml.YAMLError, text: str, path: str | None) -> InvalidError:
    """Put what a parser found into words that tell what to do."""
    words = " ".join(filter(None, (getattr(error, "context", None), getattr(error, "problem", None))))
    explained = _explanation(words)
    began = getattr(error, "context_mark", None) if explained in {_QUOTE, _COLON} else None
    mark = began or getattr(error, "problem_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
    line = min(line, text.rstrip("\n").count("\n") + 1)  # libyaml ends in a line after the last
    if "cannot start any token" in words:
        explained = _first_character(_character_at(text, line, column))
    message, way_out = explained or (words or str(error), "put text with special characters in quotes")
    return refusal(Problem(message, path, line, column), way_out)


def _explanation(words: str) -> tuple[str, str] | None:
    return next((explained for part, explained in _MEANINGS if part in words), None)


def _character_at(text: str, line: int, column: int) -> str:
    return text.split("\n", line)[line - 1][column - 1 : column]


def _first_character(character: str) -> tuple[str, str]:
    if character == "\t":
        return "found a tab", "indent and separate with spaces"
    return f"text cannot begin with {character!r}", "put it in quotes"
