"""Count what the server does, for Prometheus.

Several workers of one server count together: each writes into files of a folder that all of them share, and whichever
is asked adds them up (prometheus_client's multiprocess mode). That is decided before the first import of
prometheus_client: `share_counts` is called by the process that starts the workers.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from gitreg.errors import GitregError
    from gitreg.server.githttp import Ending

SHARED = "PROMETHEUS_MULTIPROC_DIR"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_PAUSE = 1.0  # seconds
_FAULT = 500
_GROUPS = (1, 2, 4, 8, 16, 32, 64, 128)


def share_counts(folder: Path, environ: MutableMapping[str, str] | None = None) -> None:
    """Let this process, and those that it starts from now on, count into a new folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("*.db"):
        left.unlink()
    (os.environ if environ is None else environ)[SHARED] = str(folder)


def outcome_of(error: GitregError) -> str:
    """Say of a write that was not done whether it was `refused`, or `failed` by a fault of the server's."""
    return "failed" if error.http_status >= _FAULT and not error.violations else "refused"


class Meters:
    """What is counted, in a registry of its own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._own = own = CollectorRegistry()
        self._requests = Counter(
            "gitreg_http_requests", "Requests answered.", ("method", "route", "status"), registry=own
        )
        self._seconds = Histogram(
            "gitreg_http_request_seconds",
            "From the first byte of a request to the last of its answer.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=own,
        )
        self._running = Gauge(
            "gitreg_http_requests_running",
            "Requests that are being answered.",
            registry=own,
            multiprocess_mode="livesum",
        )
        self._writes = Counter("gitreg_writes", "Changes asked for by REST and the pages.", ("outcome",), registry=own)
        self._groups = Histogram(
            "gitreg_write_group_size", "Changes that went into one move of main.", buckets=_GROUPS, registry=own
        )
        self._refusals = Counter("gitreg_refusals", "Violations told, by their code.", ("code",), registry=own)
        self._git = Counter("gitreg_git_requests", "What git answered.", ("service", "outcome"), registry=own)
        self._uploaded = Counter("gitreg_upload_bytes", "Bytes of weights taken in.", registry=own)
        self._memory = Gauge(
            "gitreg_resident_memory_bytes",
            "Memory of a server process.",
            registry=own,
            multiprocess_mode="liveall",
        )

        self._look_at = 0.0

    # What happens

    def begun(self) -> None:
        """Note that a request came."""
        self._running.inc()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note that a request was answered; `route` is the template of its path, never the path."""
        self._running.dec()
        known = method if method in METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)
        if (now := time.monotonic()) >= self._look_at:  # for the others, where one worker tells of all
            self._look_at = now + _PAUSE
            self._memory.set(resident_bytes())

    def wrote(self, outcome: str, codes: Iterable[str] = ()) -> None:
        """Note that a change was `accepted`, `refused` by these codes, or `failed` for another reason."""
        self._writes.labels(outcome).inc()
        for code in codes:
            self._refusals.labels(code).inc()

    def grouped(self, size: int) -> None:
        """Note how many changes went into one move of main."""
        self._groups.observe(size)

    def uploaded(self, size: int) -> None:
        """Note how many bytes of weights came."""
        self._uploaded.inc(size)

    def git_ended(self, ending: Ending) -> None:
        """Note how git answered a request."""
        self._git.labels(ending.asked.service, ending.outcome).inc()

    # What is told

    def text(self) -> tuple[bytes, str]:
        """Give all of it in Prometheus' text format, with its Content-Type; of all workers where there are several."""
        from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

        self._memory.set(resident_bytes())
        found = self._own
        if folder := os.environ.get(SHARED):
            forget_ended(Path(folder))
            from prometheus_client.multiprocess import MultiProcessCollector

            found = CollectorRegistry()
            MultiProcessCollector(found)  # type: ignore[no-untyped-call]
        return generate_latest(found), CONTENT_TYPE_LATEST


def forget_ended(folder: Path) -> None:
    """Forget the gauges of workers that have ended; what they counted stays."""
    from prometheus_client.multiprocess import mark_process_dead

    for process in {int(each.stem.rpartition("_")[2]) for each in folder.glob("gauge_live*_*.db")}:
        if not Path(f"/proc/{process}").exists() and Path("/proc/self").exists():
            mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


def resident_bytes() -> int:
    """Give how much memory this process has, in bytes; 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_bytes().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
