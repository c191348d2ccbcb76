"""Put one push before the gate and before the oracle."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from gitreg.access import Access
from gitreg.changes import FileEntry, PathEdit
from gitreg.deployment import Deployment
from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from gitreg.gate import Commit, Policy, judge, judge_mixture
from gitreg.layout import ACCESS, SETTINGS
from gitreg.names import EnvironmentName, ModelName, UserName
from gitreg.settings import Settings
from tests.differential import oracle
from tests.differential.pushes import push
from tests.differential.worlds import start
from tests.gate.support import MemoryState

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.differential.oracle import File, World
    from tests.differential.pushes import Push


class WorldFacts:
    """Tell the gate what the server of a world knows."""

    def __init__(self, world: World) -> None:
        self._world = world

    @property
    def now(self) -> int:
        return int(self._world.now.timestamp())

    def earlier(self, environment: EnvironmentName, model: ModelName) -> Sequence[Deployment | None]:
        states = self._world.pointers.get((environment, str(model)), [])
        return [None if each is None else Deployment.from_data(each) for each in states]

    def blob_size(self, digest: Digest) -> int | None:
        if self._world.blobs is None:
            raise UnavailableError("no route to the store")
        return self._world.blobs.get(str(digest))


def gate_codes(world: World, push: Push) -> set[str]:
    """Judge each commit as the hook does: by the rules from before the push, each upon the one before."""
    policy = policy_of(world.files[ACCESS], world.files[SETTINGS])
    violations = judge_mixture({path for edits in push.commits for path in edits})
    for edits in push.commits:
        after = oracle.advance(world, edits)
        changed = tuple(PathEdit(path, entry(world, path), to_entry(edits[path])) for path in sorted(edits))
        commit = Commit("c" * 40, changed, MemoryState(dict(world.files)), MemoryState(after.files))
        violations += judge(commit, policy, UserName(push.actor), WorldFacts(world))
        world = after
    return {str(each.code) for each in violations}


@lru_cache(256)
def policy_of(access: bytes, settings: bytes) -> Policy:
    return Policy(Access.parse(access, ACCESS), Settings.parse(settings, SETTINGS))


def entry(world: World, path: str) -> FileEntry | None:
    return to_entry(oracle.File(world.files[path])) if path in world.files else None


def to_entry(file: File | None) -> FileEntry | None:
    return None if file is None else FileEntry(file.mode, Digest.of(file.data).hex[:40], len(file.data))


@dataclass
class Tally:
    """What came out of a run: how many pushes, how many accepted, how often each code, and every disagreement."""

    pushes: int = 0
    accepted: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    disagreements: list[str] = field(default_factory=list)


PUSHES = 40


def run(seeds: Iterable[int]) -> Tally:
    """Push to a registry a seed, each push onto what the accepted ones before it have made."""
    tally = Tally()
    for seed in seeds:
        random = Random(seed)
        world = start(random)
        for number in range(PUSHES):
            made = push(world, random)
            expected, found = oracle.judge(world, made.commits, made.actor), gate_codes(world, made)
            tally.pushes += 1
            tally.codes.update(found)
            if bool(expected) != bool(found) or (expected and not expected & found):
                where = f"seed {seed}, push {number}"
                tally.disagreements.append(
                    f"{where}: oracle {sorted(expected)}, gate {sorted(found)}\n{told(world, made)}"
                )
            elif not found:
                tally.accepted += 1
                for edits in made.commits:
                    world = oracle.advance(world, edits)
    return tally


def told(world: World, made: Push) -> str:
    """Write a push down for whoever has to find out why."""
    lines = [f"  by {made.actor}"]
    for edits in made.commits:
        lines.append("  a commit")
        for path, file in edits.items():
            lines.append(f"    {path}: {file.mode if file else 'removed'}")
            lines.append(f"      before: {world.files.get(path, b'')[:2000]!r}")
            lines.append(f"      after:  {file.data[:2000] if file else None!r}")
    return "\n".join(lines)
