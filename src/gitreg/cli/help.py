"""Write the help of `gitreg` itself from its tables alone: no command and no click is imported for it."""

from __future__ import annotations

import os
import sys
from textwrap import wrap
from typing import NamedTuple

from gitreg.cli.commands import COMMANDS
from gitreg.cli.ending import PIPE_CLOSED, drop_output

SUMMARY = "Keep machine-learning models in a registry that lives in git."
_USAGE = "Usage: gitreg [OPTIONS] COMMAND [ARGS]..."
_EPILOG = (
    "`gitreg COMMAND --help` says more. MODEL is project/name; after @ comes a version, latest, a range such as ^1.4, "
    "an environment or an alias."
)
_LONGEST = max(len(name) for name, entry in COMMANDS.items() if entry.section)
_MAX_WIDTH = 110
_MIN_WIDTH = 50


class GlobalOption(NamedTuple):
    """An option that stands before the command: how it is written, and its help."""

    spelling: str
    help: str


REGISTRY = GlobalOption(
    "--registry PATH|URL",
    "The registry; else $GITREG_REGISTRY, the checkout you stand in, or what `gitreg config registry` says.",
)
FETCH = GlobalOption("--fetch / --no-fetch", "Ask the registry's server first, or answer from what this machine has.")
TRUST = GlobalOption("--trust FILE", "Read a published index only where one of these allowed signers signed it.")
VERSION = GlobalOption("--version", "Show gitreg's version.")
HELP = GlobalOption("-h, --help", "Show this help; after a command, the command's.")


def help_text(width: int | None = None) -> str:
    """Lay the help out for a terminal of a width in characters, by default this one's."""
    width = max(_MIN_WIDTH, min(_MAX_WIDTH, width or _terminal_width()))
    sections: dict[str, list[tuple[str, str]]] = {"Options": [REGISTRY, FETCH, TRUST, VERSION, HELP]}
    for name, entry in COMMANDS.items():
        if entry.section:
            sections.setdefault(entry.section, []).append((name, entry.help))
    lines = [_USAGE, "", *wrap(SUMMARY, width, initial_indent="  ", subsequent_indent="  ")]
    for title, rows in sections.items():
        lines += ["", f"{title}:", *_rows(rows, width)]
    return "\n".join([*lines, "", *wrap(_EPILOG, width, initial_indent="  ", subsequent_indent="  ")])


def _rows(rows: list[tuple[str, str]], width: int) -> list[str]:
    column = max(*(len(name) for name, _ in rows), _LONGEST) + 4
    found: list[str] = []
    for name, text in rows:
        found += wrap(text, width, initial_indent=f"  {name}".ljust(column), subsequent_indent=" " * column)
    return found


def _terminal_width() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or os.get_terminal_size().columns
    except (ValueError, OSError):
        return 100


def print_help() -> int:
    """Print the help and return the exit code."""
    try:
        sys.stdout.write(help_text() + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        drop_output()
        return PIPE_CLOSED
    return 0
