"""Show how a transfer gets on: on a terminal only, on stderr, and gone when it is over."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gitreg.cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.objects import Progress


@contextmanager
def progress(verb: str, *, quiet: bool = False) -> Iterator[Progress | None]:
    """Give what hears of moved bytes; None where nobody watches."""
    if quiet or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
        yield None
        return
    from rich.console import Console
    from rich.progress import DownloadColumn, SpinnerColumn, TextColumn, TimeElapsedColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeElapsedColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(verb, total=None)

        def moved(path: str, count: int) -> None:
            bar.update(task, advance=count, description=f"{verb} {one_line(path)}")

        yield moved
