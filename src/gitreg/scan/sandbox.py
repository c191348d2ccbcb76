"""Inspect files in a process of its own, with limits: a file that nobody vouches for may exploit what reads it."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from gitreg.errors import UnavailableError
from gitreg.scan.content import detect, unreadable
from gitreg.scan.inspection import Inspection

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable
    from pathlib import Path

SECONDS = 120  # for one file
_MAX_ANSWER = 64 * 1024 * 1024  # bytes
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
            if not self._child.lives:
                self._child = _Child()
            found.append(_inspected(self._child, path, name, seconds))
        return tuple(found)


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


def _inspected(child: _Child, path: Path, name: str, seconds: float) -> Inspection:
    answer = child.ask(path, name, seconds)
    if "format" in answer:
        return Inspection.from_data(answer)
    if answer.get("error") not in {"memory", "time", "ended"}:
        raise UnavailableError(f"cannot read {str(path)!r}: {answer.get('error')}")
    problems = {
        "memory": "its headers take more memory than they may",
        "time": f"its headers take more than {seconds:g} s to read",
        "ended": f"the process that read it was ended by {child.ended_by()}",
    }
    size = path.stat().st_size
    return Inspection(path=name, format=detect(path), size=size, problem=problems[answer["error"]])


class _Child:
    """A process that inspects files until one of them is too much for it."""

    def __init__(self) -> None:
        import os
        from subprocess import DEVNULL, PIPE, Popen

        # Isolated, and without site-packages of its own: it imports from where we do.
        command = [sys.executable, "-I", "-S", "-c", _START, *map(os.path.abspath, sys.path)]
        self.lives = True
        try:
            self._process: subprocess.Popen[bytes] = Popen(
                command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, cwd="/", env={"LC_ALL": "C.UTF-8"}, close_fds=True
            )
        except OSError as error:
            raise UnavailableError(f"cannot start the process that inspects files: {error.strerror}") from error

    def ask(self, path: Path, name: str, seconds: float) -> dict[str, Any]:
        """Have one file inspected; where that does not end well the process is over."""
        process = self._process
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        try:
            process.stdin.write(json.dumps([str(path.absolute()), name]).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return self._over("ended")
        line = self._line(seconds)
        if not isinstance(line, bytes):
            return self._over(line)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            return self._over("ended")
        return answer

    def _line(self, seconds: float) -> bytes | str:
        """Read one answer before the time is up; else the word for what happened."""
        import os
        import select
        import time

        assert self._process.stdout is not None  # noqa: S101 - it is a pipe
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + seconds
        parts: list[bytes] = []
        size = 0
        while True:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return "time"
            part = os.read(descriptor, 1 << 20)
            parts.append(part)
            size += len(part)
            if not part or size > _MAX_ANSWER:
                return "ended" if not part else "memory"
            if part.endswith(b"\n"):
                return b"".join(parts)

    def _over(self, why: str) -> dict[str, Any]:
        self.stop()
        return {"error": why}

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
