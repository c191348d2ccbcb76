"""Follow what git says while it talks to another repository; imports GitPython, so import it late."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import git

if TYPE_CHECKING:
    from collections.abc import Callable

    Report = Callable[[str, int, int | None], None]
    """Told of progress: what git is doing, how much is done, of how much (None where it is not known)."""

_MAX_LINES = 500
_MAX_LENGTH = 2000
_STAGES = {
    git.RemoteProgress.COUNTING: "counting",
    git.RemoteProgress.COMPRESSING: "compressing",
    git.RemoteProgress.WRITING: "sending",
    git.RemoteProgress.RECEIVING: "receiving",
    git.RemoteProgress.RESOLVING: "resolving",
    git.RemoteProgress.FINDING_SOURCES: "finding",
    git.RemoteProgress.CHECKING_OUT: "checking out",
}


class Listener(git.RemoteProgress):
    """Tell progress from what people should read: the server's lines, and git's own."""

    def __init__(self, report: Report | None = None) -> None:
        super().__init__()
        self.remote: list[str] = []
        self.errors: list[str] = []
        self._report = report

    def new_message_handler(self) -> Callable[[str], None]:
        """Give the function that takes one line."""
        parse = super().new_message_handler()

        def handle(line: str) -> None:
            text = printable(line.rstrip())[:_MAX_LENGTH]
            del self.other_lines[:]
            if text.startswith(("error:", "fatal:")):
                self.errors.append(text)
            else:
                parse(text)

        return handle

    def line_dropped(self, line: str) -> None:
        """Keep a line that is no progress; a hook's line with a number in it is none either."""
        unpacking = re.match(r"Unpacking objects: +[0-9]+% \(([0-9]+)/([0-9]+)\)", line)
        if unpacking:
            if self._report:
                self._report("unpacking", int(unpacking[1]), int(unpacking[2]))
            return
        if line.startswith("remote:"):
            kept, text = self.remote, line.removeprefix("remote:").removeprefix(" ")
        else:
            kept, text = self.errors, line
        if len(kept) < _MAX_LINES:
            kept.append(text)

    def update(
        self,
        op_code: int,
        cur_count: str | float,
        max_count: str | float | None = None,
        message: str = "",  # noqa: ARG002 - the base class's parameter
    ) -> None:
        """Pass progress on."""
        if self._report:
            total = int(float(max_count)) if max_count else None
            self._report(_STAGES.get(op_code & self.OP_MASK, "working"), int(float(cur_count or 0)), total)


def printable(line: str) -> str:
    """Take out what could drive a terminal: the other side decides what its lines say."""
    return "".join(mark for mark in line if mark.isprintable() or mark == "\t")
