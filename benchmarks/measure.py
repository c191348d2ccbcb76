"""Time things against each other: in turns, so that what disturbs one disturbs all, and by medians."""

from __future__ import annotations

import contextlib
import re
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the results: what was measured against which floor, and how many times as much it may take.

    `unit` is `s` or `B`, for seconds or bytes.
    """

    what: str
    floor: str
    takes: float
    floor_takes: float
    target: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float:
        """How many times as much it takes as its floor."""
        return self.takes / self.floor_takes

    @property
    def verdict(self) -> str:
        """Whether it meets its target."""
        if self.target is None:
            return ""
        return "met" if self.ratio <= self.target else "missed"

    def cells(self) -> tuple[str, ...]:
        """Write the cells of its line in a table."""
        target = f"≤ {self.target:g}{TIMES}" if self.target else ""
        took = (_shown(self.takes, self.unit), _shown(self.floor_takes, self.unit), f"{self.ratio:.2f}{TIMES}")
        return (self.what, self.floor, *took, target, self.verdict)


TIMES = "\N{MULTIPLICATION SIGN}"
HEADERS = ("what", "floor", "takes", "floor takes", "ratio", "target", "")


def _shown(number: float, unit: str) -> str:
    return f"{number / 1e6:.0f} MB" if unit == "B" else _time(number)


def _time(seconds: float) -> str:
    if seconds >= 1:
        return f"{seconds:.2f} s"
    return f"{seconds * 1000:.1f} ms" if seconds >= 0.001 else f"{seconds * 1_000_000:.1f} µs"


def interleaved(cases: Mapping[str, Callable[[], float | None]], repeats: int, *, warm: int = 1) -> dict[str, float]:
    """Run the cases in turns and give the median seconds of each; a case may return the seconds that count."""
    taken: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(warm + repeats):
        for name, case in cases.items():
            began = time.perf_counter()
            told = case()
            seconds = time.perf_counter() - began if told is None else told
            if turn >= warm:
                taken[name].append(seconds)
    return {name: statistics.median(each) for name, each in taken.items()}


class Peak:
    """The most memory that a process below another takes, with all that it starts: resident bytes, looked at often.

    It is the first whose command line holds `words`. 0 where there is no /proc, or it ended too soon to be seen.
    """

    def __init__(self, above: int, words: bytes) -> None:
        self.bytes = 0
        self._above = above
        self._words = words
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        """Look from now on."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Look no more."""
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(0.01):
            wanted = next((each for each in below(self._above) if self._words in _read(each, "cmdline")), None)
            if wanted is not None:
                self.bytes = max(self.bytes, resident(wanted))


def below(process: int) -> list[int]:
    """Name a process and all that it started, from whichever thread, as far as they still run."""
    tasks = Path(f"/proc/{process}/task")
    with contextlib.suppress(OSError):
        children = [child for task in tasks.iterdir() for child in _read(process, f"task/{task.name}/children").split()]
        return [process, *(each for child in children for each in below(int(child)))]
    return []


def resident(process: int) -> int:
    """Give the resident bytes of a process and of all that it started."""
    return sum(map(_resident, below(process)))


def _resident(process: int) -> int:
    found = re.search(rb"VmRSS:\s+([0-9]+) kB", _read(process, "status"))
    return int(found[1]) * 1024 if found else 0


def _read(process: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{process}/{name}").read_bytes()
    except OSError:
        return b""


def process(command: Sequence[str], environment: Mapping[str, str], cwd: Path | None = None) -> Callable[[], None]:
    """Make a case of a command that has to succeed."""

    def run() -> None:
        done = subprocess.run(command, env=environment, cwd=cwd, capture_output=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr.decode('utf-8', 'replace')}")

    return run


def table(rows: Sequence[Row], *, markdown: bool = False) -> str:
    """Lay the rows out as a table, for a terminal or in Markdown."""
    cells = [HEADERS, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * width for width in widths]
    return "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
