"""Publish the static index of a registry, and open one."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import Where, index_trust
from gitreg.errors import DeniedError, NotFoundError
from gitreg.records import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable

    from gitreg.config import Location
    from gitreg.objects import Store
    from gitreg.published import Site
    from gitreg.published.publish import Publication
    from gitreg.reader import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a published index stands to main: the commit of each, and when it was published."""

    at: str
    current: bool
    commit: str
    published: str
    main: str


def index_of(location: Location, trust: str | None) -> Site | None:
    """Open the published index that a location is; None for a git repository.

    DeniedError where one that is signed was asked for by `trust`, and there is none.
    """
    from gitreg.writer.target import has_mirror

    site = None
    if location.where is Where.INDEX:
        from gitreg.published import open_site

        site = open_site(location.text, trust=trust or index_trust())
    elif location.where is Where.URL and location.text.startswith(("http://", "https://")) and not has_mirror(location):
        from gitreg.published import find_site

        site = find_site(location.text, trust=trust or index_trust())
    if site is None and trust is not None:
        raise DeniedError(
            "--trust asks for a signed index, and that is none", hint="leave it out to read a git repository"
        )
    return site


def publish_index(
    snapshot: Callable[[], Snapshot],
    to: str | None,
    store: Callable[[], Store],
    *,
    key: Path | None = None,
    anew: bool = False,
) -> Publication:
    """Publish main to a folder or a URI, or below `index/` in the store."""
    from gitreg.published.publish import IN_STORE, destination, publish

    return publish(snapshot, destination(to or IN_STORE, Path.cwd(), store), key=key, anew=anew)


def standing(snapshot: Snapshot, to: str | None, store: Callable[[], Store]) -> Standing:
    """Tell whether what is published is what main says."""
    from gitreg.published.publish import IN_STORE, destination
    from gitreg.published.shape import HEAD, MAX_HEAD, Head

    place = destination(to or IN_STORE, Path.cwd(), store)
    data = None
    with suppress(NotFoundError):  # not even a place
        data = place.bucket.get(place.prefix + HEAD, limit=MAX_HEAD)
    if data is None:
        raise NotFoundError(f"no index is published in {place.uri}", hint="gitreg index publish")
    head = Head.parse(data)
    return Standing(
        at=place.uri,
        current=head.commit == snapshot.commit,
        commit=head.commit,
        published=head.published,
        main=snapshot.commit,
    )
