"""Make one commit of a request, however often it is sent: the commit names the request, and is looked for in doubt."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gitreg.git import history
from gitreg.git.compare import changed_paths
from gitreg.layout import MAIN
from gitreg.records import dataclass, replace
from gitreg.writer.plan import Planned, Written

if TYPE_CHECKING:
    from gitreg.git import Oid
    from gitreg.reader import Snapshot
    from gitreg.writer.plan import Plan, Planner

TRAILER = "Request"

SURE = 30.0
"""Seconds after which a request counts as one that somebody else may have taken over; that takes them longer."""


class LandedError(Exception):
    """What a request asked for is done: an earlier try of it has landed, or one that took it over."""

    def __init__(self, written: Written) -> None:
        super().__init__(written)
        self.written = written


@dataclass(frozen=True, slots=True, kw_only=True)
class _Try:
    """One try of a request: main's tip when it first came, and until when nobody else can be at it."""

    request: str
    since: Oid
    sure_until: float


def once(planner: Planner, request: str, since: Oid, *, is_first: bool) -> Planner:
    """Let the commit say of which request it is, and plan nothing where there is such a commit: LandedError.

    It is looked for on the very state that is planned upon. So main's compare-and-swap decides between two tries as
    well, whichever processes make them.
    """
    until = time.time() + SURE if is_first else 0.0
    return Planned(_plan, planner, _Try(request=request, since=since, sure_until=until))


def _plan(at: Snapshot, planner: Planner, this: _Try) -> Plan:
    if time.time() >= this.sure_until and (written := _landed(at, this)):
        raise LandedError(written)
    plan = planner(at)
    return replace(plan, trailers={**plan.trailers, TRAILER: this.request})


def _landed(at: Snapshot, this: _Try) -> Written | None:
    repository = at.repository
    for oid in history.first_parents(repository, at.commit, this.since, saying=f"{TRAILER}: {this.request}"):
        commit = repository.objects.commit(oid)
        if commit.trailers.get(TRAILER) == this.request:
            parent = commit.parents[0] if commit.parents else None
            paths = sorted(each.path for each in changed_paths(repository.objects, parent, oid))
            return Written(commit=oid, ref=MAIN, subject=commit.subject, paths=tuple(paths))
    return None
