"""Compare scanners of pickles: `python -m benchmarks.scanners [FOLDER of harmless files]`.

On the known-bad and the harmless files of `tests/scan/test_pickles.py`. Scanners that are not installed are left out.
They want an environment of their own: `pip install picklescan modelscan fickling`.
"""

from __future__ import annotations

import logging
import pickle
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.scan import inspect_file
from tests.scan.test_pickles import ARRAYS, BAD, NAMES, PLAIN, TRICKS, called, saved

if TYPE_CHECKING:
    from collections.abc import Callable

REPORTED, UNREAD, PASSED = "reported", "not read", "passed"


def files() -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Give the bad and the harmless files by name."""
    bad = dict(BAD) | {f"trick-{number}-{name}": data for number, (name, data) in enumerate(TRICKS)}
    bad |= {f"{name}.pkl": called(*name.rsplit(".", 1)) for name in NAMES}
    good = {f"plain-{number}.pkl": pickle.dumps(PLAIN, number) for number in range(6)}
    for number, compress in enumerate((0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3))):
        good[f"arrays-{number}.joblib"] = saved(ARRAYS, compress=compress)
    for each in map(Path, sys.argv[1:]):
        good |= {path.name: path.read_bytes() for path in sorted(each.iterdir())}
    return bad, good


def by_gitreg(path: Path) -> str:
    with path.open("rb") as file:
        found = inspect_file(file, path.name)
    return UNREAD if found.problem else REPORTED if found.dangers else PASSED


def by_picklescan(path: Path) -> str:
    from picklescan.scanner import scan_file_path  # type: ignore[import-untyped] # it has no types

    found = scan_file_path(str(path))
    return REPORTED if found.infected_files else UNREAD if found.scan_err else PASSED


def by_modelscan(path: Path) -> str:
    from modelscan.modelscan import ModelScan  # type: ignore[import-not-found] # as it says above

    found = ModelScan().scan(str(path))
    scanned = found["summary"]["scanned"]["total_scanned"] and not found["errors"]
    return REPORTED if found["summary"]["total_issues"] else PASSED if scanned else UNREAD


def by_fickling(path: Path) -> str:
    from fickling.analysis import Severity, check_safety  # type: ignore[import-not-found] # as it says above
    from fickling.fickle import StackedPickle  # type: ignore[import-not-found] # as it says above

    with path.open("rb") as file:
        severities = [check_safety(each).severity for each in StackedPickle.load(file)]
    if not severities:
        return UNREAD
    return REPORTED if any(each >= Severity.LIKELY_UNSAFE for each in severities) else PASSED


def judged(scanner: Callable[[Path], str], folder: Path, samples: dict[str, bytes]) -> Counter[str]:
    """Count what a scanner says about each file; whatever it raises, it has not read it."""
    found: Counter[str] = Counter()
    for name, data in samples.items():
        path = folder / name
        path.write_bytes(data)
        verdict = UNREAD
        with suppress(Exception):
            verdict = scanner(path)
        found[verdict] += 1
    return found


def main() -> None:
    logging.disable(logging.CRITICAL)
    bad, good = files()
    print(f"{len(bad)} files that run something, {len(good)} that do not\n")
    print("| scanner | bad: reported | not read | passed | good: reported | not read | passed |")
    print("|---|---|---|---|---|---|---|")
    scanners = {"picklescan": by_picklescan, "modelscan": by_modelscan, "fickling": by_fickling, "gitreg": by_gitreg}
    for name, scanner in scanners.items():
        with suppress(ImportError), tempfile.TemporaryDirectory() as folder:
            if name != "gitreg":
                __import__(name)
            counts = [judged(scanner, Path(folder), samples) for samples in (bad, good)]
            cells = [str(each[word]) for each in counts for word in (REPORTED, UNREAD, PASSED)]
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
