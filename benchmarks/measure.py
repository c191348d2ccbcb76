"""Time things against each other: in turns, so that what disturbs one disturbs all, and by medians."""

from __future__ import annotations

import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of the results: what was timed against which floor, in seconds, and how many times as long it may take."""

    what: str
    floor: str
    seconds: float
    floor_seconds: float
    target: float | None = None

    @property
    def ratio(self) -> float:
        """How many times as long it takes as its floor."""
        return self.seconds / self.floor_seconds

    @property
    def verdict(self) -> str:
        """Whether it meets its target."""
        if self.target is None:
            return ""
        return "met" if self.ratio <= self.target else "missed"

    def cells(self) -> tuple[str, ...]:
        """Write the cells of its line in a table."""
        target = f"≤ {self.target:g}{TIMES}" if self.target else ""
        took = (_shown(self.seconds), _shown(self.floor_seconds), f"{self.ratio:.2f}{TIMES}")
        return (self.what, self.floor, *took, target, self.verdict)


TIMES = "\N{MULTIPLICATION SIGN}"
HEADERS = ("what", "floor", "takes", "floor takes", "ratio", "target", "")


def _shown(seconds: float) -> str:
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
