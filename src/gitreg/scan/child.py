"""Inspect the files that are named on standard input, in a process that can do nothing else."""

from __future__ import annotations

import gc
import json
import sys

from gitreg.scan.confine import confine
from gitreg.scan.inspection import inspect_file


def main() -> None:
    """Answer each line, a JSON list of a path and a name: with the format, then with an inspection or an error."""
    sys.dont_write_bytecode = True
    gc.disable()  # in the middle of a file it would look at everything again and again
    gc.freeze()
    confine()
    for line in sys.stdin.buffer:
        path, name = json.loads(line)
        _say(_answer(path, name))
        gc.collect()  # the next file has the memory that this one had


def _answer(path: str, name: str) -> dict[str, object]:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - nothing else of pathlib is needed here
            return inspect_file(file, name, lambda found: _say({"told": found})).to_data()
    except OSError as error:
        return {"error": str(error.strerror)}
    except MemoryError:
        return {"error": "memory"}


def _say(data: dict[str, object]) -> None:
    sys.stdout.buffer.write(json.dumps(data).encode() + b"\n")
    sys.stdout.buffer.flush()
