"""Keep a registry's weights: hold its stores against its versions, mend them, take out what is unneeded."""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from gitreg.config import locate
from gitreg.errors import ConflictError, NotFoundError
from gitreg.git import Repository, refs
from gitreg.keep.claims import check_alone
from gitreg.keep.collect import Collected, Collector
from gitreg.keep.fsck import Checked, Checker, Source
from gitreg.keep.retention import Terms
from gitreg.layout import MAIN
from gitreg.reader import Snapshot
from gitreg.reader.reachable import Reachable, added, present, reachable
from gitreg.writer import open_target

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from gitreg.digest import Digest
    from gitreg.objects import Store
    from gitreg.settings import Settings
    from gitreg.writer import Target

    Moved = Callable[[int], None]

SEEN = "refs/gitreg/seen/"


# Checking


def fsck(snapshot: Snapshot, opened: Store, *, deep: bool, repair: bool, moved: Moved) -> tuple[Checked, ...]:
    """Hold every store of a registry against what main needs; with `repair`, mend it from the others and the cache."""
    found = present(snapshot.repository, snapshot.commit)
    stores = _stores(opened)
    return tuple(
        Checker(store.bucket, found.needs, moved).run(
            found.versions, deep=deep, sources=_sources(store, stores) if repair else ()
        )
        for store in stores
    )


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
    with ExitStack() as stack:
        watched = [_Watched(target, terms, now)]
        for location in also:
            other = stack.enter_context(open_target(locate(location)))
            watched.append(_Watched(other, None, now))
        names = {settings.name, *(each.name for each in watched)}
        needed = _together([each.look() for each in watched])
        provenance = {"registry": settings.name, "commit": watched[0].refs[MAIN]}
        done = []
        for store in _stores(opened):
            check_alone(store.bucket, names)
            collector = Collector(store.bucket, needed, terms, now, lambda: _new(watched))
            done.append(collector.run(provenance, dry_run=dry_run))
        return tuple(done)


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
        return Snapshot(self._repository, self._now()[MAIN]).settings.name

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

    def _now(self) -> dict[str, str]:
        """Read every ref of the registry, wherever it is."""
        found = dict(refs.list_refs(self._repository, "refs/")) if self._is_here else self._fetched()
        if MAIN not in found:
            raise NotFoundError("the registry has no branch main", hint="its owner makes the first state: gitreg init")
        return found

    def _fetched(self) -> dict[str, str]:
        from gitreg.git import remote

        url = self._target.url or ""
        remote.fetch(self._repository, url, [f"+refs/*:{SEEN}*"])
        there = remote.ls_remote(url, repository=self._repository)
        missing = [ref for ref, oid in there.items() if self._repository.objects.info(oid) is None]
        if missing:
            raise ConflictError("the registry changed while it was read", hint="try again")
        return there
