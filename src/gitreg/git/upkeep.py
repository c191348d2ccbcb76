"""Keep a repository quick to read, fetch and clone, beside whoever reads it and pushes to it.

git itself does this after every hundred pushes, and makes the one that is due wait for it; a registry's server is told
not to (`receive.autogc`), and the mirrors of this machine never are. What is done here takes no lock that a push wants.
"""

from __future__ import annotations

import contextlib
import fcntl
import re
import time
from typing import TYPE_CHECKING

from gitreg.errors import ConflictError, GitregError, UnavailableError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from gitreg.git.repository import Repository

GRACE = "2.weeks.ago"  # as git's own gc.pruneExpire
_LIVE = 86_400.0  # seconds for which a push may be under way
# As git's own gc.auto and gc.autoPackLimit: one of 256 folders tells how many loose objects there are.
_LOOSE_IN_ONE, _PACKS = 27, 50
_KIB = 1024
# -n: what a web server without git would want to know of all refs takes seconds to write, and nobody reads it.
_ROLL_UP = ("repack", "--geometric=2", "-d", "-l", "-n", "--quiet", "--no-write-bitmap-index")
_NEW_PART = 0.1  # of the bytes of all packs, from which on the index over all packs is written anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How a repository lies on the disk."""

    loose_objects: int
    packs: int
    bytes: int
    loose_refs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something that was done, in git's words, and how long it took."""

    command: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkept:
    """What became of a repository; `kept` says why what nothing names was left alone, None where it was not."""

    path: Path
    before: Shape
    after: Shape
    steps: tuple[Step, ...]
    kept: str | None


def upkeep(repository: Repository, *, full: bool = False) -> Upkept:
    """Pack refs and objects, index the packs together, write the commit graph with the paths that commits change.

    Cheap where little is new: of the packs only the small ones are rewritten, and nothing is removed. `full` rewrites
    all of them into one and removes what nothing has named for two weeks. ConflictError where another run is under way.
    Interrupted, it leaves what there was, and at most files that a full run removes later.
    """
    with alone(repository.common_dir / "gitreg"):
        before = shape(repository)
        kept = _in_the_way(repository) if full else None
        steps = [_timed(repository, args) for args in _commands(repository, full=full, removes=full and kept is None)]
        repository.close()  # the next read opens the packs that there are now
        return Upkept(path=repository.git_dir, before=before, after=shape(repository), steps=tuple(steps), kept=kept)


def upkeep_when_due(repository: Repository) -> None:
    """Keep up a repository that nobody else does, where much lies loose by now; beside another run it does nothing."""
    objects = repository.common_dir / "objects"
    loose, packs = sum(1 for _ in (objects / "17").glob("*")), sum(1 for _ in (objects / "pack").glob("*.pack"))
    if loose > _LOOSE_IN_ONE or packs > _PACKS:
        with contextlib.suppress(GitregError):  # it was not asked for; the next fetch tries again
            upkeep(repository)


def shape(repository: Repository) -> Shape:
    """Count what lies loose, and what is packed."""
    said = dict(re.findall(r"(\S+): (\d+)", repository.run(["count-objects", "-v"]).decode()))
    refs = repository.common_dir / "refs"
    return Shape(
        loose_objects=int(said["count"]),
        packs=int(said["packs"]),
        bytes=(int(said["size"]) + int(said["size-pack"])) * _KIB,
        loose_refs=sum(1 for path in refs.rglob("*") if path.is_file() and path.suffix != ".lock"),
    )


def _commands(repository: Repository, *, full: bool, removes: bool) -> Iterator[Sequence[str]]:
    yield ["pack-refs", "--all", "--prune"]
    # A bitmap answers which objects a clone needs; it wants every object, and only who serves clones wants it.
    serves = repository.is_bare and repository.promisor is None
    bitmap = "--write-bitmap-index" if serves else "--no-write-bitmap-index"
    common = ["-d", "-l", "-n", "--quiet", "--write-midx", bitmap]
    if full:
        yield ["repack", "-A", *([f"--unpack-unreachable={GRACE}"] if removes else []), *common]
    elif repository.promisor is not None:
        yield ["repack", *common]  # what a server promised stays in packs of its own, which git leaves alone
    else:
        yield _ROLL_UP
        if _is_index_due(repository, bitmap=serves):
            yield ["multi-pack-index", "write", "--bitmap" if serves else "--no-bitmap", "--no-progress"]
    if not repository.is_shallow:  # a graph of a history that is cut off would be wrong once it is not
        yield ["commit-graph", "write", "--reachable", "--changed-paths", "--split", "--no-progress"]
    if removes:
        yield ["prune", f"--expire={GRACE}"]


def _is_index_due(repository: Repository, *, bitmap: bool) -> bool:
    """Tell whether the index over all packs is missing, or much came after it: at a large registry it takes seconds."""
    folder = repository.common_dir / "objects" / "pack"
    try:
        written = (folder / "multi-pack-index").stat().st_mtime
    except FileNotFoundError:
        return True
    if bitmap and not any(folder.glob("multi-pack-index-*.bitmap")):
        return True
    packs = [path.stat() for path in folder.glob("*.pack")]
    new = [each.st_size for each in packs if each.st_mtime > written]
    return len(new) > _PACKS or sum(new) > _NEW_PART * sum(each.st_size for each in packs)


def _timed(repository: Repository, args: Sequence[str]) -> Step:
    started = time.monotonic()
    repository.run(args)
    return Step(command=f"git {' '.join(args[:2])}", seconds=time.monotonic() - started)


def _in_the_way(repository: Repository) -> str | None:
    """Tell why nothing may be removed now: a push whose objects are in quarantine may build on what nothing names."""
    since = time.time() - _LIVE
    for folder in (repository.common_dir / "objects").glob("*incoming-*"):
        with contextlib.suppress(FileNotFoundError):
            if folder.stat().st_mtime > since:
                return "a push is under way"
    return None


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only upkeep of a repository; ConflictError where another is under way."""
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "upkeep.lock").open("w")
    except OSError as error:
        raise UnavailableError(f"{str(folder)!r} cannot be written: {error.strerror}") from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConflictError(
                f"the upkeep of {str(folder.parent)!r} is under way already", hint="let it come to its end"
            ) from error
        yield
