"""Write from several threads until killed, and tell each write once it is answered: `python -m … REGISTRY ROUND`."""

from __future__ import annotations

import os
import sys
import threading
from itertools import count

from gitreg.errors import UnavailableError
from gitreg.writer.group import GroupWriter
from tests.writer.grouping import change, deploying, registering

THREADS = 4
_tell = threading.Lock()


def main() -> None:
    path, turn = sys.argv[1:]
    writer = GroupWriter(path)
    for thread in range(THREADS):
        threading.Thread(target=_write, args=(writer, f"{turn}.{thread}"), daemon=True).start()
    sys.stdin.read()  # until whoever started it is gone


def _write(writer: GroupWriter, series: str) -> None:
    model = f"risk/m{series.partition('.')[2]}"
    for number in count():
        planner = registering(f"{series}.{number}", model)
        if number % 5 == 4:
            planner = deploying(f"{model}@{series}.{number - 1}", "staging")
        try:
            written = writer.submit(change(planner)).result()
        except UnavailableError as error:
            _say(f"unavailable {error}")
        else:
            _say(f"{written.commit} {written.subject}")


def _say(text: str) -> None:
    """Say it at once, in one piece."""
    with _tell:
        os.write(1, " ".join(text.split()).encode() + b"\n")


if __name__ == "__main__":
    main()
