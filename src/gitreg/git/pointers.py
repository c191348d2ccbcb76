"""Follow the first-parent chain, and what it changed in one folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.git.compare import changed_paths
from gitreg.git.history import short_chain
from gitreg.git.values import Oid, is_oid

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gitreg.git.objects import Objects
    from gitreg.git.repository import Repository
    from gitreg.git.trees import TreeEntry
    from gitreg.git.values import Commit


class Step(NamedTuple):
    """A commit of the chain: when it was committed (seconds since 1970), and the blobs that it put at which paths."""

    commit: Oid
    time: int
    written: dict[str, Oid | None]


def steps(repository: Repository, tip: Oid, folder: str, since: Oid | None = None) -> Iterator[Step]:
    """Give every commit of the first-parent chain, newest first, with what it wrote in (None: took out of) a folder.

    `since`, where it is given, is on the chain, and what comes before the end. Few commits are told without a process,
    many by one, line by line.
    """
    few = short_chain(repository, since, tip) if since else []
    try:
        found = [_step(repository.objects, commit, folder) for commit in few]
    except InvalidError:  # git itself reads what is no good tree
        found = []
    yield from found or _logged(repository, tip, folder, since)


def _step(objects: Objects, commit: Commit, folder: str) -> Step:
    trees = [(objects.at(oid, folder) if oid else None) for oid in (commit.parents[0], commit.oid)]
    before, after = (tree.oid if tree and tree.type == "tree" else None for tree in trees)
    changes = changed_paths(objects, before, after) if before != after else []
    sides = {f"{folder}/{each.path}": each.after for each in changes}
    written = {path: side.oid if side else None for path, side in sides.items() if _is_file(side)}
    return Step(commit.oid, commit.committer.time, written)


def _is_file(side: TreeEntry | None) -> bool:
    return side is None or side.mode.startswith("100")


def _logged(repository: Repository, tip: Oid, folder: str, since: Oid | None) -> Iterator[Step]:
    # Not `^since`: for a commit with too early a date git would walk all history first.
    shape = ["--format=%H %ct", "--raw", "--no-abbrev", "--no-renames", "--diff-merges=first-parent", "--sparse"]
    found: Step | None = None
    args = ["--literal-pathspecs", "log", "--first-parent", *shape, tip, "--", folder]
    for line in repository.lines(args):
        if line.startswith(b":"):
            facts, _, path = line.partition(b"\t")
            _, mode, _, new, status = facts.split(b" ")
            # git writes a path with unusual characters in quotes: no path of a registry is one.
            if found and not path.startswith(b'"') and (mode.startswith(b"100") or status == b"D"):
                blob = None if status == b"D" else new.decode("ascii")
                found.written[path.decode("utf-8", "surrogateescape")] = blob
        elif line:
            if found:
                yield found
            oid, _, seconds = line.decode("ascii").partition(" ")
            assert is_oid(oid)  # noqa: S101 - git's own
            if oid == since:
                return
            found = Step(oid, int(seconds), {})
    if found:
        yield found
