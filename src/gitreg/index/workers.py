"""Read many files into rows, over as many processes as there are cores."""

from __future__ import annotations

import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from queue import SimpleQueue
from typing import TYPE_CHECKING

from gitreg.errors import UnavailableError
from gitreg.index.worker import Answer, Task, answer, receive, send

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Generator, Iterable, Iterator
    from concurrent.futures import Future

# Below this one process is done before others have started.
FEW = 2_000
PORTION = 250
_START = "import sys; sys.path[:] = sys.argv[1:]; from gitreg.index.worker import main; main()"


class _Worker:
    """One process that reads files into rows."""

    def __init__(self) -> None:
        from subprocess import PIPE, Popen

        command = [sys.executable, "-I", "-S", "-c", _START, *map(os.path.abspath, sys.path)]
        try:
            self._process: subprocess.Popen[bytes] = Popen(command, stdin=PIPE, stdout=PIPE, close_fds=True)
        except OSError as error:
            raise UnavailableError(f"cannot start a process that reads files: {error.strerror}") from error

    def ask(self, tasks: list[Task]) -> list[Answer]:
        process = self._process
        if process.stdin is None or process.stdout is None:
            raise UnavailableError("the process that reads files has no pipes")
        try:
            send(process.stdin, tasks)  # type: ignore[arg-type] # a pipe is a binary stream
            found = receive(process.stdout)  # type: ignore[arg-type]
        except OSError:
            found = None
        if found is None:
            raise UnavailableError("a process that reads files has ended", hint="try again; it may lack memory")
        return found  # type: ignore[return-value] # our own child's

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


def read_all(tasks: Iterable[Task], count: int, processes: int | None = None) -> Generator[Answer, None, None]:
    """Give the rows of each file in their order; `count` is about how many there are."""
    processes = (os.cpu_count() or 1) if processes is None else processes
    portions = _portions(tasks)
    if count < FEW or processes < 2:  # noqa: PLR2004 - one process is this one
        for portion in portions:
            yield from answer(portion)
        return
    yield from _over(portions, processes)


def _portions(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    iterator = iter(tasks)
    while portion := list(islice(iterator, PORTION)):
        yield portion


def _over(portions: Iterator[list[Task]], processes: int) -> Generator[Answer, None, None]:
    workers = [_Worker() for _ in range(processes)]
    free: SimpleQueue[_Worker] = SimpleQueue()
    for worker in workers:
        free.put(worker)

    def ask(portion: list[Task]) -> list[Answer]:
        worker = free.get()
        found = worker.ask(portion)
        free.put(worker)
        return found

    waiting: deque[Future[list[Answer]]] = deque()
    pool = ThreadPoolExecutor(processes)
    try:
        for portion in portions:
            waiting.append(pool.submit(ask, portion))
            if len(waiting) > 2 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()
        for worker in workers:
            worker.close()
        pool.shutdown(wait=False, cancel_futures=True)
