"""Walk the first-parent chain: the order in which things happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import InvalidError
from gitreg.git.values import Oid, is_oid

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from gitreg.git.repository import Repository
    from gitreg.git.values import Commit

_FEW = 16


def first_parents(
    repository: Repository,
    tip: Oid,
    since: Oid | None = None,
    *,
    limit: int | None = None,
    saying: str | None = None,
) -> Iterator[Oid]:
    """Give the commits of the first-parent chain, newest first, as far as they are not reachable from `since`.

    With `saying` only those whose message has this text somewhere.
    """
    wanted = [] if saying is None else ["--fixed-strings", f"--grep={saying}"]
    args = ["rev-list", "--first-parent", *wanted, *_limit(limit), *_range(tip, since), "--"]
    return (line.decode("ascii") for line in repository.lines(args))


def path_history(
    repository: Repository,
    tip: Oid,
    *paths: str,
    since: Oid | None = None,
    limit: int | None = None,
) -> Iterator[Oid]:
    """Give the commits of the first-parent chain that changed a path or what lies below it, newest first."""
    if not paths or not all(paths):
        raise InvalidError("a path's history needs a path")
    args = ["--literal-pathspecs", "rev-list", "--first-parent", *_limit(limit), *_range(tip, since), "--", *paths]
    return (line.decode("ascii") for line in repository.lines(args))


def changes_below(
    repository: Repository, tip: Oid, folder: str, *, since: Oid | None = None
) -> Iterator[tuple[Oid, list[str]]]:
    """Give the commits of the first-parent chain that changed something in a folder, newest first, with those paths.

    One process tells it all, however long the history is.
    """
    shape = ["--format=%H", "--raw", "-z", "--no-abbrev", "--no-renames", "--diff-merges=first-parent"]
    args = ["--literal-pathspecs", "log", "--first-parent", *shape, *_range(tip, since), "--", folder]
    # Fields end in a zero byte: a commit's id, then for each path `:<modes, ids, status>` and the path itself.
    fields = iter(repository.run(args).split(b"\0"))
    oid, paths = "", list[str]()
    for field in fields:
        if field.lstrip(b"\n").startswith(b":"):
            paths.append(next(fields).decode("utf-8", "surrogateescape"))
        elif field:
            if oid:
                yield oid, paths
            oid, paths = field.decode("ascii"), []
    if oid:
        yield oid, paths


class Written(NamedTuple):
    """A file that a commit put in a folder: when it was committed, in seconds since 1970, its path and its blob."""

    commit: Oid
    time: int
    path: str
    oid: Oid


def files_written(
    repository: Repository, tips: Sequence[Oid], folder: str, *, since: Sequence[Oid] = (), ordered: bool = False
) -> Iterator[Written]:
    """Give every file that a commit below `tips`, and not below `since`, put in a folder.

    Side branches of merges count as well. One process tells it all, and no tree is read whole: what a commit left as
    it was is told with the commit that wrote it. `ordered`: children before their parents, whatever the clocks say,
    for which git holds all commits at once.
    """
    # Tips come through standard input: a server may have 100,000 tags.
    shape = ["--format=%H %ct", "--raw", "--no-abbrev", "--no-renames", "--diff-merges=first-parent"]
    order = ["--topo-order"] if ordered else []
    args = ["--literal-pathspecs", "log", "--full-history", *order, *shape, "--stdin", "--", folder]
    wanted = "".join(f"{line}\n" for line in [*map(_oid, tips), *(f"^{_oid(oid)}" for oid in since)])
    commit, time = "", 0
    for line in repository.lines(args, input=wanted.encode()):
        if not line.startswith(b":"):
            oid, _, seconds = line.decode("ascii").partition(" ")
            commit, time = (oid, int(seconds)) if oid else (commit, time)
            continue
        facts, _, path = line.partition(b"\t")
        _, mode, _, new, _ = facts.split(b" ")
        # git writes a path with unusual characters in quotes: no path of a registry is one.
        if mode.startswith(b"100") and not path.startswith(b'"'):
            yield Written(commit, time, path.decode("utf-8", "surrogateescape"), new.decode("ascii"))


def commit_at(repository: Repository, tip: Oid, time: int) -> Oid | None:
    """Give the newest commit of the first-parent chain committed by `time`, in seconds since 1970."""
    if time < 0:
        return None
    args = ["rev-list", "--first-parent", "--max-count=1", f"--min-age={time}", _oid(tip), "--"]
    return repository.run(args).decode("ascii").strip() or None


def is_on_first_parent_chain(repository: Repository, old: Oid, new: Oid) -> bool:
    """Whether `new` is `old` or follows it along first parents; costs what lies between them."""
    if _oid(old) == _oid(new) or short_chain(repository, old, new):
        return True
    oldest = None
    for oid in first_parents(repository, new, old):
        oldest = oid
    parents = repository.objects.commit(oldest).parents if oldest else ()
    return bool(parents) and parents[0] == old


def short_chain(repository: Repository, old: Oid, new: Oid) -> list[Commit]:
    """Give the few commits that follow `old` along first parents up to `new`, newest first; empty where they are many.

    No process is started, and no date of a commit is trusted: git walks all history where one is too early.
    """
    if repository.is_shallow:  # a commit may name parents that are not there
        return []
    found: list[Commit] = []
    oid = new
    while oid != old:
        if len(found) == _FEW:
            return []
        found.append(repository.objects.commit(oid))
        if not found[-1].parents:
            return []
        oid = found[-1].parents[0]
    return found


def count_commits(repository: Repository, tip: Oid, since: Oid | None = None, *, limit: int | None = None) -> int:
    """Count the commits that can be reached from `tip` and not from `since`, up to `limit`."""
    return int(repository.run(["rev-list", "--count", *_limit(limit), *_range(tip, since), "--"]))


def has_large_blob(repository: Repository, tip: Oid, since: Oid, limit: int) -> bool:
    """Whether a blob of more than `limit` bytes can be reached from `tip` and not from `since`; reads none."""
    args = ["rev-list", "--objects", f"--filter=blob:limit={limit + 1:d}", "--filter-print-omitted"]
    return any(line.startswith(b"~") for line in repository.lines([*args, *_range(tip, since), "--"]))


def merge_base(repository: Repository, one: Oid, other: Oid) -> Oid | None:
    """Give the best common ancestor of two commits; None where they have none."""
    output = repository.run(["merge-base", _oid(one), _oid(other)], codes=(0, 1))
    return output.decode("ascii").strip() or None


def not_below(repository: Repository, oids: Collection[Oid], tips: Collection[Oid]) -> set[Oid]:
    """Name those of some object ids that are no commit below any of the tips, unknown ones included."""
    if not oids:
        return set()
    # Every commit is listed: where the dates are wrong, git leaves out too little of what is below an excluded one.
    wanted, left = "".join(f"{_oid(oid)}\n" for oid in tips), set(oids)
    for line in repository.lines(["rev-list", "--stdin"], input=wanted.encode()):
        left.discard(line.decode("ascii"))
        if not left:
            break
    return left


def _range(tip: Oid, since: Oid | None) -> list[str]:
    return [_oid(tip), *([f"^{_oid(since)}"] if since else [])]


def _limit(limit: int | None) -> list[str]:
    return [] if limit is None else [f"--max-count={limit:d}"]


def _oid(oid: Oid) -> Oid:
    if not is_oid(oid):
        raise InvalidError(f"{oid[:80]!r} is no object id", hint="resolve the ref first")
    return oid
