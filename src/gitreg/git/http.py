"""Answer one request of git's smart HTTP protocol, by git's own process, with nobody waiting in a thread.

The protocol is gitprotocol-http(5). Each request is a run of `git upload-pack` or `git receive-pack`, with the options
that `git http-backend` gives them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import UnavailableError
from gitreg.git.process import INSTALL_HINT
from gitreg.git.protocol import Commands, Report
from gitreg.git.serve import Served, limited, program, widen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from typing import IO

    from gitreg.git.serve import Limits

RECEIVE, UPLOAD = "receive-pack", "upload-pack"
_BLOCK = 1 << 17
_KEPT = 8 << 10
_TICK = 1.0
_BREATH = 0.001
_DRAIN = 2.0
_GONE = 5.0
_PAUSES = (0.001, 0.05)


class Asked(NamedTuple):
    """What is asked of git: a service, and whether only to name its refs and what it can do."""

    service: str
    is_advertisement: bool

    @property
    def path(self) -> str:
        """Where it is asked, below the repository's URL."""
        return "/info/refs" if self.is_advertisement else f"/git-{self.service}"

    @property
    def is_push(self) -> bool:
        """Whether it is the part of a push that changes something."""
        return self.service == RECEIVE and not self.is_advertisement

    def command(self, limits: Limits) -> list[str]:
        """Give git's arguments, but the repository."""
        found = [self.service, "--stateless-rpc"]
        if self.is_advertisement:
            found.append("--http-backend-info-refs")
        return [*found, "--strict", f"--timeout={limits.idle}"] if self.service == UPLOAD else found


class Rpc:
    """A running git, which answers one request. Whatever it starts is of its process group.

    Read and write it in two tasks; `end` it in any case.
    """

    def __init__(self, git_dir: Path, asked: Asked, environment: Mapping[str, str], limits: Limits) -> None:
        self._asked = asked
        self._limits = limits
        self._commands = Commands()
        self._report = Report(self._commands, is_named=True)
        self._errors = b""
        self._begun = self._active = time.monotonic()
        self._ended: float | None = None
        args = [program(environment), *asked.command(limits), str(git_dir)]
        try:
            self._process = subprocess.Popen(
                limited(limits, args),
                stdin=subprocess.DEVNULL if asked.is_advertisement else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env={**environment, **(limits.environment() if asked.service == RECEIVE else {})},
                cwd=git_dir,
                start_new_session=True,
            )
        except OSError as error:
            raise UnavailableError(f"git cannot be started: {error.strerror}", hint=INSTALL_HINT) from error
        for pipe in self._pipes():
            os.set_blocking(pipe.fileno(), False)
            widen(pipe.fileno())
        if self._process.stderr:
            self._said = self._process.stderr.fileno()
            asyncio.get_running_loop().add_reader(self._said, self._hear)

    def _pipes(self) -> list[IO[bytes]]:
        found = (self._process.stdin, self._process.stdout, self._process.stderr)
        return [each for each in found if each and not each.closed]

    def _hear(self) -> None:
        """Keep the last of git's standard error, so that it never waits to be rid of it."""
        try:
            data = os.read(self._said, _KEPT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._errors = (self._errors + data)[-_KEPT:]
        if not data:
            asyncio.get_running_loop().remove_reader(self._said)

    async def write(self, data: bytes) -> None:
        """Hand git a piece of the request, as fast as it takes it; what it does not want any more is dropped.

        Raises MalformedError where a push does not begin with ref updates.
        """
        self._active = time.monotonic()
        if self._asked.is_push:
            self._commands.feed(data)
        stdin, rest = self._process.stdin, memoryview(data)
        while rest and stdin and not stdin.closed:
            try:
                rest = rest[os.write(stdin.fileno(), rest) :]
            except BlockingIOError:
                await asyncio.sleep(_BREATH)  # so that git has made room for more than a page
                await _ready(stdin.fileno(), writing=True)
            except OSError:
                self.no_more()

    def no_more(self) -> None:
        """Tell git that the request is whole."""
        stdin = self._process.stdin
        if stdin and not stdin.closed:
            with contextlib.suppress(OSError):
                stdin.close()

    async def read(self) -> bytes:
        """Give a piece of the answer; nothing at its end."""
        stdout = self._process.stdout
        self._active = time.monotonic()
        data = b""
        while stdout and not stdout.closed:
            try:
                data = os.read(stdout.fileno(), _BLOCK)
                break
            except BlockingIOError:
                if not await _ready(stdout.fileno()) and self._is_left_behind():
                    break  # somebody whom a hook left behind holds its files
        self._active = time.monotonic()
        if self._asked.is_push:
            self._report.feed(data)
        return data

    async def watch(self) -> str:
        """Return once it has to be stopped, and say why."""
        while True:
            now = time.monotonic()
            if now - self._active > self._limits.idle:
                return f"no byte for {self._limits.idle} s"
            if now - self._begun > self._limits.total:
                return f"not done in {self._limits.total} s"
            await asyncio.sleep(_TICK)

    async def end(self, *, by_force: bool) -> None:
        """Wait for its end; by force, or where that takes long, end it and everything that it started.

        Where the request is not whole its end is enough: git sees it, and puts its things away.
        """
        is_whole = not self._process.stdin or self._process.stdin.closed
        self.no_more()
        loop = asyncio.get_running_loop()
        if self._process.stdout:
            loop.add_reader(self._process.stdout.fileno(), self._drop)
        try:
            if by_force and is_whole:
                self._signal(signal.SIGTERM)  # so that a hook can log it
            is_over = await _until(self._has_ended, _DRAIN)
            if not is_over:
                self._signal(signal.SIGTERM)
                await _until(self._has_ended, _DRAIN)
        except BaseException:
            self._signal(signal.SIGKILL)
            raise
        finally:
            self._close()
        # Not waited for yet: until then the group's number is nobody else's.
        if by_force or not is_over:
            self._signal(signal.SIGKILL)
            await _until(self._has_ended, _GONE)
        self._process.wait()
        if by_force or not is_over:
            await _until(self._is_alone, _GONE)

    def _drop(self) -> None:
        """Take in what nobody is told any more, so that git does not wait to be rid of it."""
        stdout = self._process.stdout
        try:
            data = os.read(stdout.fileno(), _BLOCK) if stdout else b""
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data and stdout:
            asyncio.get_running_loop().remove_reader(stdout.fileno())

    def _close(self) -> None:
        """Let go of the pipes."""
        loop = asyncio.get_running_loop()
        self._hear_the_rest()
        for pipe in self._pipes():
            loop.remove_reader(pipe.fileno())
            with contextlib.suppress(OSError):
                pipe.close()

    def _hear_the_rest(self) -> None:
        with contextlib.suppress(OSError):
            while data := os.read(self._said, _KEPT):
                self._errors = (self._errors + data)[-_KEPT:]

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _has_ended(self) -> bool:
        """Whether git has ended, without taking note of it as `wait` does."""
        try:
            return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    def _is_left_behind(self) -> bool:
        if self._ended is None and self._has_ended():
            self._ended = time.monotonic()
        return self._ended is not None and time.monotonic() - self._ended > _DRAIN

    def _is_alone(self) -> bool:
        """Whether nobody of its group is left."""
        try:
            os.killpg(self._process.pid, 0)
        except (ProcessLookupError, PermissionError):
            return True
        return False

    def told(self, stopped: str | None) -> Served:
        """Say how it ended; `stopped` is why it was ended from here."""
        return Served(
            code=self._process.returncode,
            updates=tuple(self._commands.updates),
            unpacked=self._report.unpacked,
            rejected=self._report.rejected,
            said=self._report.said + self._errors.decode("utf-8", "replace"),
            stopped=stopped,
        )


async def _ready(fd: int, *, writing: bool = False) -> bool:
    """Wait until a pipe can be read or written, at most for a moment; whether it can be."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def note() -> None:
        if not ready.done():
            ready.set_result(None)

    add, remove = (loop.add_writer, loop.remove_writer) if writing else (loop.add_reader, loop.remove_reader)
    add(fd, note)
    try:
        async with asyncio.timeout(_TICK):
            await ready
    except TimeoutError:
        return False
    finally:
        remove(fd)
    return True


async def _until(is_so: Callable[[], bool], patience: float) -> bool:
    """Wait until something is so, at most for so many seconds; whether it is."""
    end = time.monotonic() + patience
    pause, longest = _PAUSES
    while not is_so():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(pause)
        pause = min(longest, pause * 2)
    return True
