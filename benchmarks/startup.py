"""Start a command: its help, and the question that is asked most."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from benchmarks.measure import Row, interleaved, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.setting import Setting

FLOOR = "python -c pass"


def run(setting: Setting) -> Iterator[Row]:
    """Time `gitreg --help` and `gitreg show MODEL@prod` against a Python that does nothing."""
    gitreg = [sys.executable, "-c", "import sys; from gitreg.cli import main; sys.argv[0] = 'gitreg'; main()"]
    cases = {
        "floor": [sys.executable, "-c", "pass"],
        "help": [*gitreg, "--help"],
        **{
            f"show {size}": [*gitreg, "--registry", str(setting.registry(size)), "show", f"{setting.model(size)}@prod"]
            for size in setting.sizes
        },
    }
    taken = interleaved(
        {name: process(command, setting.environment) for name, command in cases.items()}, setting.repeats, warm=2
    )
    floor = taken["floor"]
    yield Row(what="gitreg --help", floor=FLOOR, takes=taken["help"], floor_takes=floor, target=5)
    for size in setting.sizes:
        what = f"gitreg show M@prod, {size:,} versions"
        yield Row(what=what, floor=FLOOR, takes=taken[f"show {size}"], floor_takes=floor, target=9)
    small, large = (taken[f"show {size}"] for size in setting.sizes)
    names = [f"{size:,} versions" for size in setting.sizes]
    yield Row(what=f"gitreg show M@prod, {names[1]}", floor=names[0], takes=large, floor_takes=small, target=1.3)
