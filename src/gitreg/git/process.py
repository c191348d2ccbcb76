"""Run git: the one place that starts its processes and reads its errors."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
from functools import cache
from typing import TYPE_CHECKING

from gitreg.errors import (
    ConflictError,
    DeniedError,
    GitregError,
    IntegrityError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)
from gitreg.git.waiting import check_waiting
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import IO, BinaryIO

OLDEST_GIT = (2, 36)
INSTALL_HINT = "install git 2.36 or newer and put it on PATH"
_SHOWN = 300
_KEPT_BYTES = 16 * 1024
_AT_ONCE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Finished:
    """How a git command ended: its exit code and what it wrote."""

    code: int
    output: bytes
    errors: str


class Runner:
    """Run git in one folder with one environment."""

    __slots__ = ("environment", "folder")

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = dict(environment)

    def run(
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - subprocess's name for it
        codes: Collection[int] | None = None,
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run `git <args>` to its end and tell how it ended.

        Raises the error that fits where the exit code is none of `codes`; without them no exit code is an error.

        `timeout` is in seconds; past it git is killed and UnavailableError raised. `environment` adds variables.
        """
        with self.start(args, stdin=input is not None, environment=environment) as process:
            try:
                output, errors = process.communicate(input, timeout)
            except subprocess.TimeoutExpired as error:
                # Its pipes are not read to their end: a child of git's may hold them open.
                process.kill()
                raise UnavailableError(f"git {args[0]} took longer than {timeout:g} s") from error
            except BaseException:
                process.kill()
                raise
        finished = Finished(process.returncode, output, errors.decode("utf-8", "replace"))
        if codes is not None and finished.code not in codes:
            raise failure(args, finished.code, finished.errors)
        return finished

    def lines(
        self,
        args: Sequence[str],
        *,
        input: bytes | None = None,  # noqa: A002 - subprocess's name for it
        hear: Callable[[str], None] | None = None,
    ) -> Iterator[bytes]:
        """Run `git <args>` and give its output line by line as it comes; git ends when the caller stops early.

        `hear` is told at the end what git wrote to standard error.
        """
        with _as_file(input) as file:
            process = self.start(args, stdin=file or False)
        errors = Drain(process.stderr)
        try:
            rest = b""
            while data := process.stdout.read1(_AT_ONCE):  # type: ignore[union-attr] # it has pipes
                errors.poll()
                *whole, rest = (rest + data).split(b"\n")
                yield from whole
            if rest:
                yield rest
            if process.wait() != 0:
                raise failure(args, process.returncode, errors.text())
            if hear is not None:
                hear(errors.text())
        finally:
            stop(process)
            errors.close()

    def start(
        self,
        args: Sequence[str],
        *,
        stdin: bool | BinaryIO,
        environment: Mapping[str, str] | None = None,
        held: Sequence[int] = (),
    ) -> subprocess.Popen[bytes]:
        """Start `git <args>` with pipes, or with a file as its input; the caller ends it.

        Files that are `held` stay open in it for as long as it runs.
        """
        check_waiting()
        self._check(args)
        try:
            return subprocess.Popen(
                ["git", *args],
                stdin=stdin if not isinstance(stdin, bool) else subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env={**self.environment, **(environment or {})},
                pass_fds=held,
            )
        except OSError as error:
            raise self._not_started(error) from error

    def start_text(self, args: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        """Start `git <args>` with no input and its output as text, in which a carriage return ends a line too."""
        self._check(args)
        try:
            return subprocess.Popen(
                ["git", *args],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.folder,
                env={**self.environment, **(environment or {})},
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise self._not_started(error) from error

    @staticmethod
    def _check(args: Sequence[str]) -> None:
        if any("\0" in arg for arg in args):
            raise InvalidError("a git argument holds a zero byte")

    def _not_started(self, error: OSError) -> GitregError:
        if not self.folder.is_dir():
            return NotFoundError(f"{self.folder} is not a folder")
        if isinstance(error, FileNotFoundError):
            return UnavailableError("git is not installed", hint=INSTALL_HINT)
        return UnavailableError(f"git cannot be started: {error.strerror}")


@contextlib.contextmanager
def _as_file(data: bytes | None) -> Iterator[BinaryIO | None]:
    """Put what a process reads into a file, so that nobody has to write while its output is read."""
    if data is None:
        yield None
        return
    from tempfile import TemporaryFile

    with TemporaryFile() as file:
        file.write(data)
        file.seek(0)
        yield file


class Drain:
    """Keep the last of a process's standard error without waiting for it, so that its pipe never fills up."""

    __slots__ = ("_kept", "_stream")

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._kept = b""
        self._stream = stream
        if stream:
            os.set_blocking(stream.fileno(), False)

    def poll(self) -> None:
        """Take in what is there by now."""
        if self._stream is None or self._stream.closed:
            return
        try:
            while data := os.read(self._stream.fileno(), _KEPT_BYTES):
                self._kept = (self._kept + data)[-_KEPT_BYTES:]
        except BlockingIOError:
            return

    def text(self) -> str:
        """Give what is kept; all of it once the process has ended."""
        self.poll()
        return self._kept.decode("utf-8", "replace")

    def close(self) -> None:
        """Take in the rest and release the pipe."""
        self.poll()
        if self._stream:
            self._stream.close()


class CutOffError(Exception):
    """A process ended, or fell silent, in the middle of an answer."""


class Answers:
    """Read what a process answers, and wait for it only so long: a damaged object may make git fall silent."""

    __slots__ = ("_at", "_data", "_fd", "_patience", "_poll")

    def __init__(self, stream: IO[bytes], patience: float) -> None:
        self._data = b""
        self._at = 0
        self._fd = stream.fileno()
        self._patience = patience
        self._poll = select.poll()
        self._poll.register(self._fd, select.POLLIN)

    def line(self) -> bytes:
        """Take the next line, without its end."""
        while (end := self._data.find(b"\n", self._at)) < 0:
            self._data, self._at = self._data[self._at :] + self._more(), 0
        line, self._at = self._data[self._at : end], end + 1
        return line

    def exactly(self, size: int) -> bytes:
        """Take the next bytes, so many."""
        taken = self._data[self._at : self._at + size]
        self._at += len(taken)
        if len(taken) == size:
            return taken
        parts, missing = [taken], size - len(taken)
        while missing > 0:
            parts.append(self._more())
            missing -= len(parts[-1])
        if missing < 0:
            self._data, self._at = parts[-1], len(parts[-1]) + missing
            parts[-1] = parts[-1][:missing]
        return b"".join(parts)

    def _more(self) -> bytes:
        if not self._poll.poll(self._patience * 1000):
            raise CutOffError(f"no answer within {self._patience:g} s")
        data = os.read(self._fd, 1 << 18)
        if not data:
            raise CutOffError("the process has ended")
        return data


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and release its pipes, standard error excepted; safe to call again."""
    for pipe in (process.stdin, process.stdout):
        if pipe:
            try:
                pipe.close()
            except OSError:  # what was buffered for a dead process cannot be written
                continue
    if process.poll() is None:
        process.kill()
    process.wait()


@cache
def git_version(path: str | None) -> tuple[int, ...]:
    """Give the version of the git that is first on a PATH; raise UnavailableError where it is none or too old."""
    environment = {} if path is None else {"PATH": path}
    try:
        output = subprocess.run(["git", "version"], capture_output=True, check=True, env=environment).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise UnavailableError("git is not installed", hint=INSTALL_HINT) from error
    match = re.search(rb"([0-9]+)\.([0-9]+)(?:\.([0-9]+))?", output)
    version = tuple(int(part or 0) for part in match.groups()) if match else (0,)
    if version < OLDEST_GIT:
        raise UnavailableError(f"git {'.'.join(map(str, version))} is too old", hint=INSTALL_HINT)
    return version


def useful_line(errors: str) -> str:
    """Pick the line of git's standard error that says what went wrong, without its prefix."""
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(("hint:", "warning:", "Warning:", "remote: "))] or lines
    chosen = next(
        (line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))), lines[0] if lines else ""
    )
    return re.sub(r"\A(?:(?:fatal|error|ERROR): )+", "", chosen)[:_SHOWN]


_OWNER = r"(git config --global --add safe\.directory .+)"
_RULES: tuple[tuple[str, type[GitregError]], ...] = (
    (r"not a git repository", NotFoundError),
    (r"No space left|[Uu]nable to create|[Pp]ermission denied|Read-only file system|quota", UnavailableError),
    (
        r"bad object|[Nn]ot a valid (?:object|commit)|not a tree object|loose object|corrupt|unable to read|inflate",
        IntegrityError,
    ),
    (
        r"bad tree|nonexistent object|[Cc]ould not read|missing (?:blob|tree|object)|cannot be read",
        IntegrityError,
    ),
    (r"invalid ref|bad revision|not a valid ref|unsupported|bad name", InvalidError),
    (r"already exists|but expected|reference is missing|cannot lock ref", ConflictError),
)


def failure(args: Sequence[str], code: int, errors: str) -> GitregError:
    """Make the error that fits what git said."""
    if "dubious ownership" in errors:
        match = re.search(_OWNER, errors)
        return DeniedError(
            useful_line(errors),
            hint=f"if you trust its owner: {match[1].strip()}" if match else "see safe.directory in `git help config`",
        )
    said = useful_line(errors) or (f"ended by signal {-code}" if code < 0 else f"exit code {code}")
    command = next((arg for arg, before in zip(args, ("", *args), strict=False) if _names_command(arg, before)), "")
    kind = next((kind for pattern, kind in _RULES if re.search(pattern, errors)), UnavailableError)
    return kind(f"git {command} failed: {said}")


def _names_command(arg: str, before: str) -> bool:
    """Whether an argument is git's command, and neither an option nor the value of the one before it."""
    return not arg.startswith("-") and before not in {"-c", "-C"}
