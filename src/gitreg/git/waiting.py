"""Forbid a thread to wait for git, for as long as it has others to answer: an event loop's."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_thread = threading.local()


class NotAtHandError(Exception):
    """Git would have to be asked, where nobody may wait for it: ask again in a thread that may.

    `wanted` are the expressions that it would have been asked for; none for a command of another kind.
    """

    def __init__(self, wanted: tuple[str, ...]) -> None:
        super().__init__(*wanted)
        self.wanted = wanted


@contextlib.contextmanager
def at_hand() -> Iterator[None]:
    """Let this thread know of repositories only what was read before; NotAtHandError where that is not enough."""
    _thread.is_busy = True
    try:
        yield
    finally:
        _thread.is_busy = False


def check_waiting(wanted: Iterable[str] = ()) -> None:
    """Raise NotAtHandError where this thread may not wait for what is wanted of git."""
    if getattr(_thread, "is_busy", False):
        raise NotAtHandError(tuple(wanted))
