"""Show how a transfer gets on: on a terminal only, on stderr, and gone when it is over."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitreg.cli.text import one_line
from gitreg.quantities import human_size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress as Bar

    from gitreg.objects import Progress


@contextmanager
def progress(verb: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Give what hears of moved bytes, and shows rate and time left; None where nobody watches."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar
    from rich.text import Text

    class Speed(ProgressColumn):
        """Rich's own counts in thousands, and the sizes beside it are in powers of 1024."""

        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("?" if speed is None else f"{human_size(int(speed))}/s", style="progress.data.speed")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        DownloadColumn(binary_units=True),
        Speed(),
        TimeRemainingColumn(compact=True),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        yield _Moved(bar, verb)


class _Moved:
    """What a bar is moved by."""

    def __init__(self, bar: Bar, verb: str) -> None:
        self._bar = bar
        self._verb = verb
        self._task = bar.add_task(verb, total=None)

    def __call__(self, path: str, count: int, /) -> None:
        """Note that bytes of a file were moved."""
        self._bar.update(self._task, advance=count, description=f"{self._verb} {one_line(path)}")

    def expect(self, size: int, /) -> None:
        """Note how many bytes there are in all."""
        self._bar.update(self._task, total=size)
