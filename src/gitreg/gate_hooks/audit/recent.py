"""Give the newest decisions of the audit log a page at a time, whatever the length of the log."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from gitreg.errors import IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.gate_hooks.audit.entry import read
from gitreg.gate_hooks.audit.log import audit_path, backwards

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.gate_hooks.audit.export import Wanted

MOST_READ = 1 << 20
"""Bytes that are looked through for one page; where fewer entries fit, the next page goes on there."""


def recent(
    git_dir: Path, wanted: Wanted, *, limit: int, before: int | None = None
) -> tuple[list[dict[str, Any]], int | None]:
    """Give the newest entries that are wanted, newest first, and what the next page is `before`; None at the end.

    Entries never move, so a page stays what it is. Raises IntegrityError at a line that is no entry.
    """
    found: list[dict[str, Any]] = []
    try:
        fd = os.open(audit_path(git_dir), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise NotFoundError("the registry has no audit log", hint="gitreg audit verify says more") from error
    except OSError as error:
        raise UnavailableError(f"the audit log cannot be read: {error.strerror}") from error
    try:
        first = None
        for line, end in backwards(fd, before):
            first = end if first is None else first
            if len(found) == limit or first - end > MOST_READ:
                return found, end
            members = _entry(line, end)
            if wanted.fits(members):
                found.append(members)
    finally:
        os.close(fd)
    return found, None


def _entry(line: bytes, end: int) -> dict[str, Any]:
    try:
        return read(line)
    except (ValueError, InvalidError) as error:
        raise IntegrityError(
            f"what ends at byte {end} of the audit log is no entry", hint="gitreg audit verify says more"
        ) from error
