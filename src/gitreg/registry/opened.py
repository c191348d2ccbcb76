"""Open a registry, wherever it is, and keep it open."""

from __future__ import annotations

from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from gitreg.config import Where, open_published_store, open_registry_store
from gitreg.errors import InvalidError
from gitreg.reader import Snapshot
from gitreg.reader.parsed import Parsed
from gitreg.writer import open_target

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Self

    from gitreg.config import Location
    from gitreg.objects import Progress, Store
    from gitreg.published import Site
    from gitreg.reader import RegistryFiles
    from gitreg.writer import Target


class Opened:
    """A registry that is open: where it is, its newest commit that is known, its store."""

    def __init__(self, location: Location, *, fetch: bool | None = None, trust: str | None = None) -> None:
        self.location = location
        self._fetch = location.where in {Where.URL, Where.INDEX} if fetch is None else fetch
        self._trust = trust
        self._target: Target | None = None
        self._fetched = False
        self._opening = Lock()
        self._parsed = Parsed()

    def __enter__(self) -> Self:
        """Use it for a while."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """End git's processes; the next use starts them again."""
        if self._target is not None:
            self._target.close()
            self._target = None

    @property
    def target(self) -> Target:
        """Where the registry is, opened."""
        found = self._target
        if found is None:
            if self.index is not None:
                raise InvalidError(
                    f"{self.index.uri} is a published index: models, versions, status and lineage can be read from it",
                    hint="to search, to see the past and to write, name the registry itself: --registry ssh://…",
                )
            with self._opening:  # threads share it
                if self._target is None:
                    opened = open_target(self.location)
                    opened.repository.objects.start()
                    self._target = opened
                found = self._target
        return found

    @cached_property
    def index(self) -> Site | None:
        """The published index that the location is; None where it is a git repository."""
        if self.location.where in {Where.BARE, Where.CHECKOUT} and self._trust is None:
            return None
        from gitreg.registry.published import index_of

        return index_of(self.location, self._trust)

    def files(self, at: str | None = None) -> RegistryFiles:
        """Read the registry as `snapshot` does, or as it was published."""
        if self.index is None:
            return self.snapshot(at)
        if at is not None:
            raise InvalidError(
                f"{self.index.uri} is a published index, which knows what is there now and not the past",
                hint="name the registry itself: --registry ssh://host/registry.git",
            )
        found = self.index.files(fetch=self._fetch and not self._fetched)
        self._fetched = True
        return found

    def snapshot(self, at: str | None = None) -> Snapshot:
        """Read the registry as it is, or as it was at a time (RFC 3339, or a date for its end).

        It is of the newest commit that is known here, and costs no process: who asks each time reads what is.
        """
        target, tip = self.target, self.tip()
        if at is not None:
            from gitreg.reader import commit_before

            tip = commit_before(target.repository, tip, at)
        return Snapshot(target.repository, tip, self._parsed)

    def at_commit(self, commit: str) -> RegistryFiles | None:
        """Read the registry as it was at a commit; None where main never was there."""
        from gitreg.git.history import is_on_first_parent_chain

        target = self.target
        objects = target.repository.objects
        # A registry that was never fetched has no tip to ask for.
        tip = target.tip() if objects.info(commit) is not None else target.refresh()
        if objects.info(commit) is None or not is_on_first_parent_chain(target.repository, commit, tip):
            return None
        return Snapshot(target.repository, commit)

    @property
    def address(self) -> str:
        """Where the registry is, as others may read it: a path, or a URL without credentials."""
        from gitreg.git.checkout import without_credentials

        url = self.target.url if self.index is None else None
        return without_credentials(url or self.location.text)

    def tip(self) -> str:
        """Name the newest commit of main that is known here; a URL is asked once, and by `refresh`.

        It takes some microseconds: a file of git's is read, and nothing that could be out of date is remembered.
        """
        if self._fetch and not self._fetched:
            tip = self.target.refresh()
            self._fetched = True
            return tip
        return self.target.tip()

    def refresh(self) -> None:
        """Fetch main now, so that the next reads see it."""
        if self.index is not None:
            self.index.refresh()
        else:
            self.target.refresh()

    @property
    def store(self) -> Store:
        """The object store; UnavailableError where it cannot be found from here."""
        settings = self.files().settings
        if self.index is not None:
            return open_published_store(settings.store, settings.mirrors)
        return open_registry_store(self.target.repository, settings.store, self.target.store_base, settings.mirrors)


def counting(progress: Progress | None, name: str) -> Callable[[int], None]:
    """Tell of bytes that belong to no file; from any thread, one at a time."""
    from threading import Lock

    lock = Lock()

    def moved(count: int) -> None:
        if progress is not None:
            with lock:
                progress(name, count)

    return moved
