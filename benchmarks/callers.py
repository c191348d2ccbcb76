"""Call a server from several connections at once, for so many seconds: `python -m benchmarks.callers`.

It reads JSON: `{"port", "clients", "seconds", "headers", "calls": [[method, path, body, kind], …]}`. Each client makes
the calls in turn, with `{n}` made a number that comes once and `{c}` the client's own. It writes the milliseconds by
kind, and what failed.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import time
from typing import Any

_PATIENCE = 60
_GOOD = range(200, 300)


class Caller:
    """One connection that makes one call after the other."""

    def __init__(self, asked: dict[str, Any], number: int, numbers: itertools.count[int], until: float) -> None:
        self.asked, self.number, self.numbers, self.until = asked, number, numbers, until
        self.taken: dict[str, list[float]] = {}
        self.failed: list[str] = []

    def run(self) -> None:
        """Call until the time is over."""
        connection = http.client.HTTPConnection("127.0.0.1", self.asked["port"], timeout=_PATIENCE)
        headers = {"Content-Type": "application/json", **self.asked["headers"]}
        for method, path, body, kind in itertools.cycle(self.asked["calls"]):
            if time.monotonic() > self.until:
                break
            marks = {"{n}": str(next(self.numbers)), "{c}": str(self.number)}
            began = time.perf_counter()
            connection.request(method, filled(path, marks), filled(body, marks) if body else None, headers)
            answer = connection.getresponse()
            said = answer.read()
            self.taken.setdefault(kind, []).append((time.perf_counter() - began) * 1000)
            if answer.status not in _GOOD:
                self.failed.append(f"{answer.status} {said[:300].decode('utf-8', 'replace')}")
        connection.close()


def filled(text: str, marks: dict[str, str]) -> str:
    """Put the numbers in."""
    for mark, value in marks.items():
        text = text.replace(mark, value)
    return text


def main() -> None:
    asked = json.load(sys.stdin)
    began = time.monotonic()
    numbers = itertools.count(time.time_ns() // 1_000_000)
    callers = [Caller(asked, each, numbers, began + asked["seconds"]) for each in range(asked["clients"])]
    threads = [threading.Thread(target=caller.run) for caller in callers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, taken = time.monotonic() - began, dict[str, list[float]]()
    for caller in callers:
        for kind, each in caller.taken.items():
            taken.setdefault(kind, []).extend(each)
    print(
        json.dumps({"seconds": seconds, "taken": taken, "failed": [text for each in callers for text in each.failed]})
    )


if __name__ == "__main__":
    main()
