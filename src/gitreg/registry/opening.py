"""Open whatever a location names: a repository, a published index, a registry behind a server."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from gitreg.config import Where, locate
from gitreg.registry.facade import Registry

if TYPE_CHECKING:
    from gitreg.client.http import Http
    from gitreg.config import Location


def open_registry(
    location: str | os.PathLike[str] | None = None, *, fetch: bool | None = None, trust: str | None = None
) -> Registry:
    """Open a registry: a path, a URL, a name, or what GITREG_REGISTRY, the folder or git's configuration names.

    `fetch` says whether reads fetch main first: by default they do from a URL, and do not in a checkout, which shows
    what it last fetched as git itself does. Writes always fetch. Raises NotFoundError where there is no registry.

    A URL may be that of a gitreg server, which needs no git here; or that of a published index, which only answers
    reads. `trust` is a file of allowed signers, one of whom must have signed it.
    """
    found = locate(os.fspath(location) if location is not None else None)
    server = _server_at(found) if trust is None else None
    if server is not None:
        from gitreg.registry.connected import Connected

        return Connected(found, server)
    return Registry(found, fetch=fetch, trust=trust)


def _server_at(location: Location) -> Http | None:
    """Find the gitreg server at a URL; what is known to be something else is not asked."""
    if location.where is not Where.URL or not location.text.startswith(("http://", "https://")):
        return None
    from gitreg.client import find_server
    from gitreg.published.cache import IndexCache
    from gitreg.writer.target import has_mirror

    if has_mirror(location) or IndexCache(location.text.rstrip("/")).head() is not None:
        return None
    return find_server(location.text)
