"""Use a gitreg server over HTTP, without git."""

from __future__ import annotations

from gitreg.client.finding import find_server, is_server
from gitreg.client.http import Http
from gitreg.client.served import ServedFiles

__all__ = ["Http", "ServedFiles", "find_server", "is_server"]
