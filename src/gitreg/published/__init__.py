"""Publish a registry as static files that any web server, CDN or object store hands out, and read it from there."""

from __future__ import annotations

from gitreg.published.files import PublishedFiles
from gitreg.published.site import Site, find_site, open_site

__all__ = ["PublishedFiles", "Site", "find_site", "open_site"]
