"""The REST interface: resources as JSON, and the writes of the façade; see docs/rest.md."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastapi import APIRouter


@cache
def routers() -> tuple[APIRouter, ...]:
    """Give the routers of every part; the order matters where one path fits two of them."""
    from gitreg.server.rest.about import router as about
    from gitreg.server.rest.files import router as files
    from gitreg.server.rest.finding import router as finding
    from gitreg.server.rest.happening import router as happening
    from gitreg.server.rest.reading import router as reading
    from gitreg.server.rest.routes import heads
    from gitreg.server.rest.writing import router as writing

    found = (about, writing, files, reading, finding, happening)
    return (*found, heads(found))
