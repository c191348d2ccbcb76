"""Find out whether the server can do its work, in bounded time and not for each who asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from functools import partial
from typing import TYPE_CHECKING

from gitreg.digest import Digest
from gitreg.errors import GitregError, IntegrityError, NotFoundError, UnavailableError
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.examine import hindrances
from gitreg.git import Repository, refs
from gitreg.git.refs import long_held
from gitreg.layout import MAIN
from gitreg.records import dataclass
from gitreg.writer.locks import Locks

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from gitreg.objects import Store

KEPT = 5.0
PATIENCE = 10.0
_OF_WRITES = frozenset({"gate", "log", "writes"})
_SOME_BLOB = Digest("0" * 64)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: whether it is in order, and what is wrong otherwise."""

    name: str
    fine: bool
    message: str = ""


class Readiness:
    """Look at what the server needs; once in some seconds, and one look at a time.

    `probes` are what is looked at, by name: each raises GitregError or OSError, and runs in a thread.
    """

    def __init__(
        self, probes: Mapping[str, Callable[[], object]], *, kept: float = KEPT, patience: float = PATIENCE
    ) -> None:
        self._probes = dict(probes)
        self._kept = kept
        self._patience = patience
        self._known: dict[str, Check] = {}
        self._at = float("-inf")
        self._lock = asyncio.Lock()
        self._running: dict[str, asyncio.Task[Check]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What is looked at."""
        return tuple(self._probes)

    async def checks(self) -> tuple[Check, ...]:
        """Give what was found a few seconds ago, or look anew."""
        async with self._lock:
            if time.monotonic() - self._at > self._kept:
                found = await asyncio.gather(*map(self._check, self._probes))
                self._note(found)
                self._at = time.monotonic()
            return tuple(self._known.values())

    async def _check(self, name: str) -> Check:
        """Look at one thing. What takes too long goes on in its thread, and is not begun a second time."""
        task = self._running.get(name)
        if task is None:
            task = self._running[name] = asyncio.create_task(asyncio.to_thread(_look, name, self._probes[name]))
        try:
            found = await asyncio.wait_for(asyncio.shield(task), self._patience)
        except TimeoutError:
            return Check(name=name, fine=False, message=f"no answer within {self._patience:g} s")
        del self._running[name]
        return found

    def _note(self, found: tuple[Check, ...] | list[Check]) -> None:
        """Remember, and log what has changed."""
        for each in found:
            before = self._known.get(each.name)
            if not each.fine and (before is None or before.fine):
                _log.error("not ready: %s: %s", each.name, each.message)
            elif each.fine and before is not None and not before.fine:
                _log.warning("ready again: %s", each.name)
            self._known[each.name] = each


def _look(name: str, probe: Callable[[], object]) -> Check:
    try:
        probe()
    except GitregError as error:
        return Check(name=name, fine=False, message=str(error))
    except OSError as error:
        return Check(name=name, fine=False, message=error.strerror or str(error))
    return Check(name=name, fine=True)


def probes(
    git_dir: Path,
    store: Callable[[], Store],
    *,
    remembers: Callable[[], object] = lambda: None,
    is_replica: bool = False,
) -> dict[str, Callable[[], object]]:
    """Name what a server needs: a replica, which takes no writes, needs neither gate nor log, nor what writes need.

    `remembers` raises where what is asked cannot be remembered.
    """

    def writes() -> None:
        remembers()
        _check_locks(git_dir)

    found: dict[str, Callable[[], object]] = {
        "repository": partial(_check_repository, git_dir),
        "gate": partial(_check_gate, git_dir),
        "log": partial(_check_log, git_dir),
        "writes": writes,
        "store": lambda: store().size_of(_SOME_BLOB),
    }
    return {name: probe for name, probe in found.items() if not is_replica or name not in _OF_WRITES}


def _check_repository(git_dir: Path) -> None:
    with Repository.open(git_dir) as opened:
        tip = refs.resolve(opened, MAIN)
        if tip is None:
            raise NotFoundError("there is no branch main", hint="gitreg init")
        opened.objects.commit(tip)


def _check_gate(git_dir: Path) -> None:
    with Repository.open(git_dir) as opened:
        found = next(hindrances(opened), None)
    if found:
        raise IntegrityError(f"{found.subject}: {found.message}", hint="gitreg doctor --fix")


def _check_log(git_dir: Path) -> None:
    audit.check(git_dir)
    for path in (audit.audit_path(git_dir), audit.head_path(git_dir)):
        if not os.access(path, os.W_OK):
            raise UnavailableError(f"{path.name} cannot be written")
    place = os.statvfs(git_dir)
    if not place.f_bavail or (place.f_files and not place.f_favail):
        raise UnavailableError("the disk of the repository is full")


def _check_locks(git_dir: Path) -> None:
    """Raise where a lock of main is held for long; one that a killed git has left is taken away, as a write would."""
    if not any(long_held(git_dir, MAIN)):
        return
    with contextlib.closing(Locks(git_dir, git_dir)) as locks:
        locks.break_left()
    for name, age in long_held(git_dir, MAIN):
        raise UnavailableError(
            f"{name} is there since {age:.0f} s: nothing can be written",
            hint="it is taken away after some minutes; or take it away where no git is at work",
        )
