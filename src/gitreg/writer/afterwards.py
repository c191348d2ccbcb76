"""Do what follows from a group once its answers are given: deploy tags, the static index, the repository's upkeep."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from gitreg.errors import GitregError
from gitreg.gate_hooks.marks import server_marks, write_marks
from gitreg.gate_hooks.publishing import TO, publish_index
from gitreg.git import Repository
from gitreg.git.rolling import free_packs, roll_up

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_PACKS = 50
"""So many packs are rolled up: each group adds one, and git looks for an object in one after the other."""

_log = logging.getLogger("gitreg.writer")


class Afterwards:
    """A thread that catches up with what landed: once for all groups that landed meanwhile.

    Nobody waits for it. What is cut off by a kill is made good at the next start, what fails by the next group.
    """

    def __init__(self, git_dir: Path) -> None:
        self._git_dir = git_dir
        self._wake = threading.Condition()
        self._marks_due = self._landed = True  # an earlier process may have been killed
        self._is_closing = self._is_renewed = False
        self._packs = MOST_PACKS  # not known yet: they are counted at the start
        self._thread = threading.Thread(target=self._run, name="gitreg-afterwards", daemon=True)

    def start(self) -> None:
        """Start, by looking for what an earlier process left undone."""
        self._thread.start()

    def landed(self, *, pointers: bool) -> None:
        """Tell that a group is on main, and whether it changed deployments."""
        with self._wake:
            self._landed = True
            self._packs += 1
            self._marks_due |= pointers
            self._wake.notify()

    def renewed(self) -> bool:
        """Whether packs were rolled up since this was asked last: who holds some open should open them anew."""
        with self._wake:
            found, self._is_renewed = self._is_renewed, False
        return found

    def close(self) -> None:
        """Finish what is due, and end."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        with Repository.open(self._git_dir) as repository:
            while (marks := self._next()) is not None:
                if marks and server_marks(repository):
                    self._try("deploy tags are not written yet", lambda: write_marks(repository))
                if repository.config(TO):
                    self._try("the static index is not published yet", lambda: publish_index(repository))
                self._try("packs are not rolled up yet", lambda: self._roll_up(repository))

    def _next(self) -> bool | None:
        """Wait for what landed, and tell whether deployments changed; None at the end."""
        with self._wake:
            while not (self._landed or self._is_closing):
                self._wake.wait()
            if not self._landed:
                return None
            marks, self._marks_due, self._landed = self._marks_due, False, False
        return marks

    def _try(self, what: str, deed: Callable[[], object]) -> None:
        try:
            deed()
        except GitregError as error:
            _log.warning("%s: %s", what, error)
        except Exception:  # noqa: BLE001 - the thread's boundary: a bug here must not end the next run
            _log.exception(what)

    def _roll_up(self, repository: Repository) -> None:
        """Bring the packs together where there are too many: those of pushes are seen when they are counted next."""
        if self._packs < MOST_PACKS:
            return
        packs = len(free_packs(repository.common_dir / "objects" / "pack"))
        if is_time := packs >= MOST_PACKS:
            repository.close()
            roll_up(repository)
        with self._wake:
            self._packs = 0 if is_time else packs
            self._is_renewed |= is_time
