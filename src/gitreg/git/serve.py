"""Serve a fetch or a push to a client at the other end of standard input and output."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import select
import shutil
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple, NoReturn, Self

from gitreg.errors import UnavailableError
from gitreg.git.process import INSTALL_HINT
from gitreg.git.protocol import Commands, MalformedError, Report
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import FrameType

_BLOCK = 1 << 18
_PIPE = 1 << 20
_KEPT = 8 << 10
_TICK = 1.0
_DRAIN = 2.0
_POLLED = select.POLLIN | select.POLLHUP | select.POLLERR
_UNDER_LIMITS = 'ulimit -S -t "$1" && ulimit -S -d "$2" && ulimit -S -c 0 && shift 2 && exec "$@"'
_ENDINGS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a push, or a fetch, may take.

    `seconds` of processor time and `memory` (bytes) count for each process. An object that would need more than
    `allocation` bytes at once (0: any) is not unpacked at all. `idle` and `total` are seconds by the clock: without a
    byte either way, and altogether.
    """

    seconds: int = 30
    memory: int = 512 << 20
    allocation: int = 64 << 20
    idle: int = 150
    total: int = 3600

    def environment(self) -> dict[str, str]:
        """Tell git of them: whatever is larger is refused by its size, and so nothing needs to be streamed."""
        pairs = {"core.bigFileThreshold": "1024g", "core.deltaBaseCacheLimit": "16m"}
        found = {"GIT_ALLOC_LIMIT": str(self.allocation), "GIT_CONFIG_COUNT": str(len(pairs))}
        for index, (key, value) in enumerate(pairs.items()):
            found |= {f"GIT_CONFIG_KEY_{index}": key, f"GIT_CONFIG_VALUE_{index}": value}
        return found


class Client(NamedTuple):
    """The client's three files; by default this process's own."""

    input: int = 0
    output: int = 1
    errors: int = 2


@dataclass(frozen=True, slots=True)
class Served:
    """How a push ended.

    `updates` are the old and new value and the ref, as the client asked for them; `stopped` says why it was ended from
    here; `said` is the last of what git said.
    """

    code: int
    updates: tuple[tuple[str, str, str], ...]
    unpacked: str | None
    rejected: Mapping[str, str]
    said: str
    stopped: str | None


def upload(git_dir: Path, environment: Mapping[str, str], *, idle: int) -> NoReturn:
    """Become `git upload-pack`, which answers a fetch; it gives up on a client that is silent for `idle` seconds."""
    args = ["git", "upload-pack", "--strict", f"--timeout={idle}", str(git_dir)]
    try:
        os.execvpe("git", args, dict(environment))  # noqa: S606 - no shell is wanted
    except OSError as error:
        raise UnavailableError("git cannot be started", hint=INSTALL_HINT) from error


def receive(git_dir: Path, environment: Mapping[str, str], limits: Limits, client: Client | None = None) -> Served:
    """Run `git receive-pack` for a client under limits, and tell how it ended."""
    client = client or Client()
    with _Push(git_dir, {**environment, **limits.environment()}, limits) as push:
        push.relay(client)
    return push.told()


class _EndedError(Exception):
    """This process was asked to end."""


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Turn a signal that asks to end into an exception, so that what was begun is ended and told."""

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise _EndedError(f"ended by {signal.Signals(number).name}")

    before = {number: signal.signal(number, end) for number in _ENDINGS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def program(environment: Mapping[str, str]) -> str:
    """Find git on the PATH of an environment."""
    git = shutil.which("git", path=environment.get("PATH", os.defpath))
    if git is None:
        raise UnavailableError("git cannot be started", hint=INSTALL_HINT)
    return git


def limited(limits: Limits, args: Sequence[str]) -> list[str]:
    """Wrap a command so that it runs under the limits: a shell sets them and becomes the command.

    So this process keeps its own, whatever else it does meanwhile. What is tighter already stays as it is.
    """

    def least(kind: int, value: int) -> int:
        return min([value, *(each for each in resource.getrlimit(kind) if each != resource.RLIM_INFINITY)])

    seconds, memory = least(resource.RLIMIT_CPU, limits.seconds), least(resource.RLIMIT_DATA, limits.memory)
    return ["/bin/sh", "-c", _UNDER_LIMITS, "sh", str(seconds), str(memory >> 10), *args]


def widen(pipe: int) -> None:
    """Let a pipe hold more at once, where the system can."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)


class _Flow:
    """One direction: from a file to another, one block at a time, with somebody who listens."""

    __slots__ = ("_block", "_hear", "is_open", "is_sunk", "sink", "source")

    def __init__(self, source: int, sink: int, hear: Callable[[bytes], None]) -> None:
        self.source = source
        self.sink = sink
        self.is_open = True
        self.is_sunk = False
        self._block = memoryview(b"")
        self._hear = hear

    @property
    def is_live(self) -> bool:
        """Whether something is still to come, or to be passed on."""
        return self.is_open or bool(self._block)

    def wants(self) -> tuple[int, int]:
        """Name the file that is waited for, and what for."""
        return (self.sink, select.POLLOUT) if self._block else (self.source, _POLLED)

    def move(self) -> None:
        """Read a block, or write what is left of the last; at the end of the source it closes."""
        if not self._block:
            try:
                data = os.read(self.source, _BLOCK)
            except BlockingIOError:
                return
            except OSError:  # the client is gone
                data = b""
            self._hear(data)
            self.is_open = bool(data)
            self._block = memoryview(data)
        if self.is_sunk:
            self._block = memoryview(b"")
        elif self._block:
            self._write()

    def _write(self) -> None:
        try:
            self._block = self._block[os.write(self.sink, self._block) :]
        except BlockingIOError:
            return
        except OSError:  # nobody reads any more: what still comes is dropped, so that the source can end
            self.is_sunk = True
            self._block = memoryview(b"")


class _Push:
    """A running `git receive-pack` and what is known of it."""

    def __init__(self, git_dir: Path, environment: Mapping[str, str], limits: Limits) -> None:
        self._limits = limits
        self._commands = Commands()
        self._report = Report(self._commands)
        self._errors = b""
        self._stopped: str | None = None
        self._process = subprocess.Popen(
            limited(limits, [program(environment), "receive-pack", str(git_dir)]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """Use it for one push."""
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Wait for its end; where it was stopped, end it and its hooks, which are of the same group."""
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._stopped or kind:
            self._signal(signal.SIGTERM)  # so that a hook can log it
        try:
            self._process.wait(_DRAIN)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
        if self._stopped or kind:
            self._signal(signal.SIGKILL)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def relay(self, client: Client) -> None:
        """Pass everything on until git has ended, or has to."""
        incoming, *outgoing = self._flows(client)
        own = (incoming.sink, *(flow.source for flow in outgoing))
        files = (client.output, client.errors, *own)
        blocking = {fd: os.get_blocking(fd) for fd in files}
        try:
            with _ending():
                for fd in files:
                    os.set_blocking(fd, False)
                self._stopped = self._pass_on(incoming, outgoing)
        except (_EndedError, MalformedError) as error:
            self._stopped = str(error)
        finally:
            for fd in (client.output, client.errors):
                os.set_blocking(fd, blocking[fd])

    def _flows(self, client: Client) -> tuple[_Flow, _Flow, _Flow]:
        process = self._process
        if not process.stdin or not process.stdout or not process.stderr:
            raise UnavailableError("git was started without pipes")
        stdin = process.stdin.fileno()
        widen(stdin)
        return (
            _Flow(client.input, stdin, self._commands.feed),
            _Flow(process.stdout.fileno(), client.output, self._report.feed),
            _Flow(process.stderr.fileno(), client.errors, self._hear_errors),
        )

    def _hear_errors(self, data: bytes) -> None:
        self._errors = (self._errors + data)[-_KEPT:]

    def _pass_on(self, incoming: _Flow, outgoing: list[_Flow]) -> str | None:
        begun = active = time.monotonic()
        ended: float | None = None
        while any(flow.is_live for flow in outgoing):
            now = time.monotonic()
            if ended is None and self._process.poll() is not None:
                ended = now
            if ended is not None and now - ended > _DRAIN:
                return None  # somebody whom a hook left behind holds its files
            if now - active > self._limits.idle:
                return f"no byte for {self._limits.idle} s"
            if now - begun > self._limits.total:
                return f"not done in {self._limits.total} s"
            if self._move(incoming, outgoing):
                active = time.monotonic()
        return None

    def _move(self, incoming: _Flow, outgoing: list[_Flow]) -> bool:
        """Wait a moment and move what can be moved; whether anything was."""
        waiting = {flow.wants()[0]: flow for flow in (incoming, *outgoing) if flow.is_live}
        poll = select.poll()
        for fd, flow in waiting.items():
            poll.register(fd, flow.wants()[1])
        ready = poll.poll(_TICK * 1000)
        for fd, _ in ready:
            waiting[fd].move()
        if not incoming.is_live and self._process.stdin:
            with contextlib.suppress(OSError):
                self._process.stdin.close()
        return bool(ready)

    def told(self) -> Served:
        """Say how it ended."""
        return Served(
            code=self._process.returncode,
            updates=tuple(self._commands.updates),
            unpacked=self._report.unpacked,
            rejected=self._report.rejected,
            said=self._report.said + self._errors.decode("utf-8", "replace"),
            stopped=self._stopped,
        )
