"""Be one of several workers: end when whoever started this process has ended, however it has."""

from __future__ import annotations

import logging
import os
import signal
import threading
from multiprocessing import connection, parent_process

_log = logging.getLogger(__name__)


def end_with_parent() -> None:
    """Have this process stop as by SIGTERM once the one that started it is gone; nothing where none of ours did."""
    parent = parent_process()
    if parent is not None:
        threading.Thread(target=_await, args=(parent.sentinel,), name="parent", daemon=True).start()


def _await(sentinel: int) -> None:
    """Wait for the end of a pipe that the parent alone keeps open; the system closes it whatever becomes of it."""
    connection.wait([sentinel])
    _log.error("the process that supervises the workers is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)
