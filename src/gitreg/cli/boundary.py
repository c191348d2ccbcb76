"""The one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

import click

from gitreg.cli.ending import PIPE_CLOSED, drop_output
from gitreg.cli.group import gitreg
from gitreg.errors import GitregError

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130  # 128 + SIGINT, as shells count
_CANNOT_WRITE = 7  # UnavailableError's
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def run(args: Sequence[str]) -> int:
    """Run the command line and return its exit code.

    Errors of gitreg's and mistyped commands become one message on stderr, as JSON where the answer was to be JSON; a
    bug keeps its traceback.
    """
    _never_fail_on_characters()
    as_json = "--json" in args
    try:
        code = _run(list(args))
        sys.stdout.flush()
    except GitregError as error:
        code = _fail(error, as_json=as_json)
    except click.ClickException as error:
        code = _misused(error, as_json=as_json)
    except (click.Abort, KeyboardInterrupt):
        click.echo("gitreg: interrupted", err=True)
        code = INTERRUPTED
    except BrokenPipeError:
        drop_output()
        code = PIPE_CLOSED
    except OSError as error:
        if error.errno not in _DISK:
            raise
        drop_output()
        click.echo(f"gitreg: cannot write: {error.strerror}; nothing more was done", err=True)
        code = _CANNOT_WRITE
    return code


def _run(args: list[str]) -> int:
    instruction = os.environ.get("_GITREG_COMPLETE")
    if instruction:
        from gitreg.cli.complete import complete

        return complete(gitreg, instruction)
    try:
        with gitreg.make_context("gitreg", args) as context:
            gitreg.invoke(context)
    except click.exceptions.Exit as request:
        return request.exit_code
    return 0


def _never_fail_on_characters() -> None:
    """Escape what the terminal's encoding cannot say, rather than end in the middle of an answer."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _fail(error: GitregError, *, as_json: bool) -> int:
    if as_json:
        _report(type(error).__name__, error.message, error.hint, error.problems)
    else:
        from gitreg.cli.text import clean

        click.echo(f"gitreg: {clean(error, lines=True)}", err=True)
    return error.exit_code


def _misused(error: click.ClickException, *, as_json: bool) -> int:
    context = getattr(error, "ctx", None)
    from gitreg.cli.text import one_line

    message = one_line(error.format_message()).rstrip(".")
    hint = None
    if not message.endswith("?"):  # it says already what may have been meant
        hint = f"`{context.command_path if context else 'gitreg'} --help` says how it is used"
    if as_json:
        _report("UsageError", message, hint, ())
    else:
        click.echo(f"gitreg: {message}; {hint}" if hint else f"gitreg: {message}", err=True)
    return error.exit_code


def _report(kind: str, message: str, hint: str | None, problems: Sequence[object]) -> None:
    from gitreg.cli.text import json_text

    body = {"class": kind, "message": message, "hint": hint, "problems": problems}
    click.echo(json_text({"error": body}), err=True)
