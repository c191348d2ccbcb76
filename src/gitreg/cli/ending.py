"""End quietly when nobody reads the output any more."""

from __future__ import annotations

import os
import sys

PIPE_CLOSED = 141  # 128 + SIGPIPE, as shells count


def drop_output() -> None:
    """Let the interpreter's last flush go nowhere: https://docs.python.org/3/library/signal.html#note-on-sigpipe."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        return
