"""Inspect files in a process of its own, with limits: a file that nobody vouches for may exploit what reads it."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from gitreg.errors import UnavailableError
from gitreg.records import replace
from gitreg.scan.content import unreadable
from gitreg.scan.formats import Format
from gitreg.scan.inspection import Inspection

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

SECONDS = 120  # for one file
FILES = 500  # for one process
BUSY_SECONDS = 600  # of one process: then the next file gets another, long before it has used up its own limit
_MAX_ANSWER = 16 * 1024 * 1024  # bytes
_MAX_PARTS = 300_000  # lists and mappings in an answer
_GRACE = 0.2  # seconds, from the end of its input to its own end
_START = "import sys; sys.path[:] = sys.argv[1:]; from gitreg.scan.child import main; main()"


def inspect_files(
    files: Iterable[tuple[Path, str]], *, seconds: float = SECONDS, told: Callable[[str], None] | None = None
) -> tuple[Inspection, ...]:
    """Inspect files, each a path and the name that a report gives it; see `Inspector.inspect`."""
    with Inspector() as inspector:
        return inspector.inspect(files, seconds=seconds, told=told)


class Inspector:
    """A process that inspects files: it starts at once, and is ended with the `with` block."""

    def __init__(self) -> None:
        self._child = _Child()

    def __enter__(self) -> Self:
        """Be ready."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the process."""
        self._child.stop()

    def inspect(
        self,
        files: Iterable[tuple[Path, str]],
        *,
        seconds: float = SECONDS,
        told: Callable[[str], None] | None = None,
    ) -> tuple[Inspection, ...]:
        """Inspect files, each a path and the name that a report gives it.

        What is wrong with a file is in its inspection's `problem`, also where its inspection had to be stopped.
        NotFoundError, UnavailableError, InvalidError: it cannot be read or is no regular file. `told` hears each name
        before its turn.
        """
        found = []
        for path, name in files:
            _check_readable(path)
            if told is not None:
                told(name)
            found.append(self._inspected(path, name, seconds))
        return tuple(found)

    def _inspected(self, path: Path, name: str, seconds: float) -> Inspection:
        answer = self._asked(path, name, seconds)
        if isinstance(answer, str) and answer != "time" and self._child.asked > 1:
            # What the files before it left behind may be to blame: it gets a process for itself.
            answer = self._asked(path, name, seconds)
        if isinstance(answer, Inspection):
            return replace(answer, path=name)
        problems = {
            "memory": "its headers take more memory than they may",
            "time": f"its headers take more than {seconds:g} s to read",
            "nonsense": "the process that read it did not say what it found",
            "ended": f"the process that read it was ended by {self._child.ended_by()}",
        }
        return Inspection(path=name, format=self._child.told, size=path.stat().st_size, problem=problems[answer])

    def _asked(self, path: Path, name: str, seconds: float) -> Inspection | str:
        if not self._child.lives or self._child.is_spent:
            self._child.stop()
            self._child = _Child()
        return self._child.ask(path, name, seconds)


def _check_readable(path: Path) -> None:
    import os
    import stat

    from gitreg.errors import InvalidError

    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InvalidError(f"{str(path)!r} is not a regular file")
        os.close(os.open(path, os.O_RDONLY))
    except OSError as error:
        raise unreadable(path, error) from error


class _NoAnswerError(Exception):
    """The process gives no answer; the message is the word for why."""


class _Child:
    """A process that inspects files until one of them is too much for it."""

    def __init__(self) -> None:
        import os
        import time
        from subprocess import DEVNULL, PIPE, Popen

        # Isolated, and without site-packages of its own: it imports from where we do. In a session of its own: it has
        # no terminal to read from, or to type into.
        command = [sys.executable, "-I", "-S", "-c", _START, *map(os.path.abspath, sys.path)]
        self.lives = True
        self.asked = 0
        self.told = Format.OTHER  # the format of the file in hand, as far as it has been told
        self._rest = b""
        self._started = time.monotonic()
        try:
            self._process: subprocess.Popen[bytes] = Popen(
                command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                cwd="/",
                env={"LC_ALL": "C.UTF-8"},
                close_fds=True,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"cannot start the process that inspects files: {error.strerror}") from error

    @property
    def is_spent(self) -> bool:
        """Whether it has done so much that its limits, which are for all files, come near."""
        import time

        return self.asked >= FILES or time.monotonic() - self._started > BUSY_SECONDS

    def ask(self, path: Path, name: str, seconds: float) -> Inspection | str:
        """Have one file inspected; where that does not end well the process is over, and a word says how."""
        process = self._process
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        self.asked += 1
        self.told = Format.OTHER
        try:
            process.stdin.write(json.dumps([str(path.absolute()), name]).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return self._over("ended")
        try:
            answer = self._answer(seconds)
            found = Inspection.from_data(answer) if "error" not in answer else None
        except _NoAnswerError as error:
            return self._over(str(error))
        except (ValueError, RecursionError):  # what reads a hostile file may have become hostile
            return self._over("nonsense")
        if found is None and answer["error"] == "memory":
            return self._over("memory")
        if found is None:
            raise UnavailableError(f"cannot read {str(path)!r}: {str(answer['error'])[:200]}")
        return found

    def _answer(self, seconds: float) -> dict[str, Any]:
        """Hear the format, then the answer."""
        import time

        deadline = time.monotonic() + seconds
        while True:
            line = self._line(deadline)
            if line.count(b"[") + line.count(b"{") > _MAX_PARTS:
                raise ValueError("more than an inspection has")
            answer = json.loads(line)
            if not isinstance(answer, dict):
                raise ValueError("no answer")  # noqa: TRY004 - of a file, not of ours
            if answer.keys() != {"told"}:
                return answer
            self.told = Format(answer["told"])

    def _line(self, deadline: float) -> bytes:
        """Read one line before the time is up; else a word for what happened."""
        import os
        import select
        import time

        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor = self._process.stdout.fileno()
        parts, size = [self._rest], len(self._rest)
        while b"\n" not in parts[-1]:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise _NoAnswerError("time")
            part = os.read(descriptor, 1 << 20)
            parts.append(part)
            size += len(part)
            if not part or size > _MAX_ANSWER:
                raise _NoAnswerError("memory" if part else "ended")
        line, _, self._rest = b"".join(parts).partition(b"\n")
        return line

    def _over(self, why: str) -> str:
        self.stop()
        return why

    def ended_by(self) -> str:
        """Say how it ended, in the words of the platform."""
        import signal

        code = self._process.returncode or 0
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"an error (exit {code})"

    def stop(self) -> None:
        """End it, and wait for that."""
        from subprocess import TimeoutExpired

        self.lives = False
        process = self._process
        if process.stdin is not None:
            with suppress(OSError):  # it may be gone already
                process.stdin.close()
        with suppress(TimeoutExpired):
            process.wait(timeout=_GRACE)
        if process.returncode is None:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
