"""Keep a registry's weights: hold its stores against its versions, mend them, take out what is unneeded."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gitreg.config import locate
from gitreg.errors import ConflictError, GitregError, NotFoundError, UnavailableError
from gitreg.git import Repository, refs
from gitreg.git.history import not_below
from gitreg.keep import left_behind
from gitreg.keep.claims import begin, check_alone, check_mirrors_begun, is_empty_folder, renew
from gitreg.keep.collect import Collected, Collector
from gitreg.keep.fsck import Checked, Checker
from gitreg.keep.mend import Source
from gitreg.keep.retention import Terms
from gitreg.layout import MAIN
from gitreg.reader import Snapshot
from gitreg.reader.reachable import Reachable, added, present, reachable
from gitreg.writer import open_target

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects import Store
    from gitreg.objects.bucket import Bucket
    from gitreg.objects.sync import Synced
    from gitreg.settings import Settings
    from gitreg.writer import Target

    Moved = Callable[[int], None]

SEEN = "refs/gitreg/seen/"
_LOOKS = 5  # at a registry that moves on while it is looked at


# Checking


def fsck(snapshot: Snapshot, opened: Store, *, deep: bool, repair: bool, moved: Moved) -> tuple[Checked, ...]:
    """Hold every store of a registry against what main needs; with `repair`, mend it from the others and the cache."""
    found = present(snapshot.repository, snapshot.commit)
    left = left_behind.read(snapshot.repository.common_dir)
    stores = _stores(opened)
    checked = []
    for store in stores:
        checker = Checker(store.bucket, found.needs, moved)
        try:
            sources = _sources(store, stores) if repair else None
            checked.append(checker.run(found.versions, deep=deep, sources=sources, left_behind=left))
        except GitregError as error:
            if len(stores) == 1:
                raise
            checked.append(checker.unchecked(found.versions, error.message, deep=deep))
    # What has come by whatever way has to stay from now on.
    left_behind.write(snapshot.repository.common_dir, left.difference(checked[0].arrived))
    return tuple(checked)


def _stores(opened: Store) -> list[Store]:
    """Open the primary store and its mirrors."""
    return list(getattr(opened, "all", (opened,)))


def _sources(store: Store, stores: Sequence[Store]) -> list[Source]:
    from gitreg.objects import Cache

    cache = Cache.of_user(os.environ)

    def cached(digest: Digest) -> Path:
        return cache.path_of(digest)

    others = [Source(f"the store {each.uri!r}", each.open) for each in stores if each is not store]
    return [*others, Source("the cache of this machine", lambda digest: _file(cached(digest)))]


def _file(path: Path) -> io.RawIOBase:
    try:
        return path.open("rb", buffering=0)
    except OSError as error:
        raise NotFoundError(f"{str(path)!r} is not there") from error


# Mirrors


def sync_stores(opened: Store, *, dry_run: bool, moved: Moved) -> tuple[Synced, ...]:
    """Copy to each mirror what it lacks; UnavailableError for one in an empty folder: its disk may not be mounted."""
    from gitreg.objects.sync import sync

    primary, *mirrors = _stores(opened)
    for each in mirrors:
        if is_empty_folder(each):
            raise UnavailableError(
                f"the mirror {each.uri!r} is an empty folder",
                hint="nothing was copied: mount its disk; to begin a mirror there, remove the folder",
            )
    return tuple(sync(primary.bucket, each.bucket, dry_run=dry_run, moved=moved) for each in mirrors)


# Collecting


def gc(  # noqa: PLR0913 - a registry and its store, and what the user asks for
    target: Target,
    settings: Settings,
    opened: Store,
    *,
    dry_run: bool = True,
    grace: str | None = None,
    trash: str | None = None,
    also: Sequence[str] = (),
) -> tuple[Collected, ...]:
    """Take out of every store what no version needs; see `keep.collect`. `also` are registries that share the store."""
    terms = Terms.of(settings.retention, grace=grace, trash=trash)
    now = time.time()
    buckets = [store.bucket for store in _stores(opened)]
    with ExitStack() as stack:
        own = _Watched(target, terms, now)
        watched = [own]
        for location in also:
            other = stack.enter_context(open_target(locate(location)))
            watched.append(_Watched(other, None, now))
        names = {each.name for each in watched}
        needed = _together([each.look() for each in watched])
        commit = own.refs[MAIN]
        check_mirrors_begun(opened, own.snapshot())
        for bucket in buckets:
            check_alone(bucket, names, lambda commits: _unknown(watched, commits))
        if not dry_run:
            _claim_first(buckets, own.name, commit)
        provenance = {"registry": own.name, "commit": commit}
        done = []
        for bucket in buckets:
            collector = Collector(bucket, needed, terms, now, lambda: _new(watched))
            done.append(collector.run(provenance, dry_run=dry_run))
            if not dry_run:
                renew(bucket, own.name, commit, own.unknown)
        return tuple(done)


def _claim_first(buckets: Sequence[Bucket], registry: str, commit: str) -> None:
    """Claim each store; ConflictError, once, where the registry never did before."""
    fresh = [bucket.uri for bucket in buckets if not begin(bucket, registry, commit)]
    if fresh:
        raise ConflictError(
            f"the registry {registry!r} had not claimed the store {fresh[0]!r}, and has now; nothing was taken",
            hint="if no other registry keeps weights there, or --also names all that do, run it again",
        )


def _unknown(watched: Sequence[_Watched], commits: Iterable[str]) -> set[str]:
    """Name the commits that none of the registries has."""
    left = set(commits)
    for each in watched:
        left = each.unknown(left)
    return left


def _new(watched: Sequence[_Watched]) -> set[str]:
    return {digest for each in watched for digest in each.added()}


def _together(found: Sequence[Reachable]) -> Reachable:
    """Join what several registries need; what one of them frees, another may need."""
    needs = {digest: needs for each in found for digest, needs in each.needs.items()}
    released = {digest: freed for each in found for digest, freed in each.released.items() if digest not in needs}
    return Reachable(needs, released, sum(each.versions for each in found))


class _Watched:
    """A registry whose refs are looked at, and looked at again; what was added since the first look stays known."""

    def __init__(self, target: Target, terms: Terms | None, now: float) -> None:
        self._target = target
        self._release = terms.release(now) if terms else None
        self._seen: dict[str, str] = {}
        self._added: set[str] = set()
        self.refs: Mapping[str, str] = {}
        own = target.registry_path
        # A clone knows its own branches and tags; what is open is what the registry itself says.
        self._repository = Repository.open(own) if own is not None else target.repository
        self._is_here = own is not None

    @property
    def name(self) -> str:
        """The registry's name."""
        return self.snapshot().settings.name

    def snapshot(self) -> Snapshot:
        """Read what main said when it was looked at, or says now."""
        return Snapshot(self._repository, (self.refs or self._now())[MAIN])

    def look(self) -> Reachable:
        """Find everything that is needed."""
        self.refs = self._now()
        self._seen = dict(self.refs)
        return reachable(self._repository, self.refs, self._release)

    def added(self) -> Collection[str]:
        """Find what came to be needed since the first look."""
        now = self._now()
        known = set(self._seen.values())
        fresh = {ref: oid for ref, oid in now.items() if oid not in known}
        if fresh:
            self._added |= added(self._repository, fresh, known)
            self._seen.update(now)
        return self._added

    def unknown(self, commits: Iterable[str]) -> set[str]:
        """Name the commits that this registry does not have below its refs, as they are now."""
        left = not_below(self._repository, set(commits), self._seen.values())
        return not_below(self._repository, left, self._now().values()) if left else left

    def _now(self) -> dict[str, str]:
        """Read main, and every ref of the registry that leads to more than main does, wherever it is."""
        if self._is_here:
            tip = refs.resolve(self._repository, MAIN)
            found = {MAIN: tip, **dict(refs.list_beside(self._repository, tip))} if tip else {}
        else:
            found = self._fetched()
        if MAIN not in found:
            raise NotFoundError("the registry has no branch main", hint="its owner makes the first state: gitreg init")
        return found

    def _fetched(self) -> dict[str, str]:
        from gitreg.git import remote

        url = self._target.url or ""
        for _ in range(_LOOKS):
            remote.fetch(self._repository, url, [f"+refs/*:{SEEN}*"])
            there = remote.ls_remote(url, repository=self._repository)
            if all(info is not None for info in self._repository.objects.infos(list(there.values()))):
                return there
        raise ConflictError("the registry changed while it was read, again and again", hint="try again")
