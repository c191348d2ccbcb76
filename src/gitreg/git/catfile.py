"""Ask one long-lived `git cat-file`."""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

from gitreg.errors import IntegrityError, InvalidError, UnavailableError
from gitreg.git.process import Answers, CutOffError, Drain, git_version, stop, useful_line
from gitreg.git.values import Object, ObjectInfo
from gitreg.git.waiting import check_waiting

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterable, Sequence

    from gitreg.git.process import Runner
    from gitreg.git.values import Oid

# Of a clone whose server has to be asked for what it lacks.
PARTIAL = "this clone is partial, and its server did not give what it lacks"
WHOLE = "try again when the server can be reached, or make a whole clone: gitreg clone"
SMALL = 16 * 1024
_PORTION = 8 * 1024 * 1024
# Seconds without a byte from git: a partial clone may be fetching an object.
_PATIENCE = 60.0
_MOST_ASKED = 5000


class CatFile:
    """A `git cat-file --batch-command`, started when it is asked first and again after it ended; threads take turns."""

    __slots__ = ("__weakref__", "_answers", "_asked", "_drain", "_end", "_lock", "_process", "_runner")

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._drain: Drain | None = None
        self._answers: Answers | None = None
        self._end: Callable[[], object] | None = None
        self._asked = 0

    def start(self) -> None:
        """Start the process ahead of the first question, so that nobody waits for it then."""
        with self._lock:
            self.started()

    def close(self) -> None:
        """End the process; the next question starts another."""
        end, self._end = self._end, None
        self._process = self._drain = None
        if end:
            end()

    def infos(self, expressions: Sequence[str]) -> list[ObjectInfo | None]:
        """Give id, type and size of objects; None for each that is not there."""
        check_waiting(expressions)
        with self._lock, _Exchange(self) as stream:
            self._send(f"info {expression}\n" for expression in expressions)
            return [_read_header(stream, expression) for expression in expressions]

    def contents(self, infos: Sequence[ObjectInfo]) -> list[Object]:
        """Read objects that are known to be there."""
        found = []
        check_waiting(info.oid for info in infos)
        with self._lock, _Exchange(self) as stream:
            self._send(f"contents {info.oid}\n" for info in infos)
            for info in infos:
                if _read_header(stream, info.oid) != info:
                    raise IntegrityError(f"the object {info.oid} changed while it was read")
                found.append(Object(info.oid, info.type, _read_contents(stream, info)))
        return found

    def small(self, oids: Sequence[Oid], limit: int) -> list[bytes | None]:
        """Read many objects in one round trip; None for one that is large, or missing, and so is read by itself."""
        found: list[bytes | None] = []
        check_waiting(oids)
        with self._lock, _Exchange(self) as stream:
            self._send(f"contents {oid}\n" for oid in oids)
            for oid in oids:
                told, _, rest = stream.line().partition(b" ")
                size = int(rest.rpartition(b" ")[2]) if rest[-1:].isdigit() else None
                if told != oid.encode() or (size is None and rest != b"missing"):
                    raise IntegrityError(f"git answered {told + rest[:40]!r} where it was asked for {oid!r}")
                if size is not None and size > limit:
                    raise InvalidError(f"{oid} has {size} bytes; at most {limit} are read")
                found.append(_small_contents(stream, size) if size is not None else None)
        return found

    def _send(self, commands: Iterable[str]) -> None:
        """Ask several things at once: git reads them all before it answers any, so neither blocks the other."""
        process = self._process
        if process and process.stdin:
            process.stdin.write("".join([*commands, "flush\n"]).encode("utf-8", "surrogateescape"))
            process.stdin.flush()
        if self._drain:
            self._drain.poll()

    def started(self) -> Answers:
        """Give the answers' stream of the running process, started where there is none, and anew now and then."""
        self._asked += 1
        if self._asked % _MOST_ASKED == 0:
            self.close()  # packs that it has met and that are gone by now, it would look into for ever
        if self._process is None:
            self._process = self._runner.start(["cat-file", "--batch-command", "--buffer"], stdin=True)
            self._drain = Drain(self._process.stderr)
            self._answers = None
            # Nobody has to close: a `__del__` would come after that of the process where both are part of a cycle.
            self._end = weakref.finalize(self, _end, self._process, self._drain)
        if self._answers is None:
            if self._process.stdout is None:
                raise CutOffError("it has no output")
            self._answers = Answers(self._process.stdout, _PATIENCE)
        return self._answers

    def died(self, how: Exception) -> IntegrityError | UnavailableError:
        """End the process after it broke off, and say why it did."""
        if self._process:
            stop(self._process)
        text = self._drain.text() if self._drain else ""
        said = useful_line(text)
        self.close()
        if "promisor remote" in text:
            return UnavailableError(f"{PARTIAL}: {said}", hint=WHOLE)
        if "unknown option" in said:
            git_version(self._runner.environment.get("PATH"))
        if said:
            return IntegrityError(f"git could not read an object: {said}", hint="run `git fsck`")
        return UnavailableError(f"git cat-file did not answer: {how}", hint="try again, or run `git fsck`")


class _Exchange:
    """One question and its answer; whatever interrupts it ends the process, since the rest would answer others."""

    __slots__ = ("_git",)

    def __init__(self, git: CatFile) -> None:
        self._git = git

    def __enter__(self) -> Answers:
        return self._git.started()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, (CutOffError, BrokenPipeError)):
            raise self._git.died(error) from error
        if error is not None:
            self._git.close()


def _end(process: subprocess.Popen[bytes], drain: Drain) -> None:
    stop(process)
    drain.close()


def _read_header(stream: Answers, expression: str) -> ObjectInfo | None:
    line = stream.line()
    if line == f"{expression} missing".encode("utf-8", "surrogateescape"):
        return None
    try:
        oid, kind, size = line.decode("ascii").split()
        return ObjectInfo(oid, kind, int(size))
    except ValueError as error:
        raise IntegrityError(f"git answered {line[:80]!r} where it was asked for {expression!r}") from error


def _read_contents(stream: Answers, info: ObjectInfo) -> bytes:
    data = stream.exactly(info.size)
    if stream.exactly(1) != b"\n":
        raise IntegrityError(f"the object {info.oid} is not as long as git said", hint="run `git fsck`")
    return data


def _small_contents(stream: Answers, size: int) -> bytes | None:
    """Read what follows a header; None, and nothing kept, where that is much."""
    if size <= SMALL:
        return stream.exactly(size + 1)[:-1]
    left = size + 1
    while left > 0:
        left -= len(stream.exactly(min(left, _PORTION)))
    return None
