"""Tell a gitreg server from other places on the web, by one question that is asked once."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from functools import cache
from shutil import which
from typing import TYPE_CHECKING

from gitreg.client.http import Http
from gitreg.client.tokens import token_for
from gitreg.config import cache_folder
from gitreg.errors import GitregError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

_MOST = 1 << 16
_KNOWN = b"gitreg\n"


def find_server(url: str) -> Http | None:
    """Give the gitreg server at a URL; None where there is none, such as a git repository.

    The question carries no token. That it is one is remembered; another place is asked again.
    """
    if not is_server(url):
        return None
    token = cache(lambda: token_for(url))  # looked up when it is first needed
    return Http(url, token, plain=os.environ.get("GITREG_PLAIN_HTTP") == "1")


def is_server(url: str) -> bool:
    """Whether a gitreg server is at a URL, by its own word; UnavailableError where nothing else could be there."""
    if "@" in url or "?" in url or "#" in url or url.rstrip("/").endswith(".git"):
        return False
    known = cache_folder() / "servers" / hashlib.sha256(url.rstrip("/").encode()).hexdigest()[:32]
    if _is_known(known):
        return True
    asking = Http(url)
    try:
        if asking.get("/", limit=_MOST).data.get("service") != "gitreg":
            return False
    except GitregError as error:
        if isinstance(error, UnavailableError) and which("git") is None:
            raise  # nothing else could be tried
        return False
    finally:
        asking.close()
    _remember(known)
    return True


def _is_known(path: Path) -> bool:
    with suppress(OSError), path.open("rb") as file:
        return file.read(len(_KNOWN) + 1) == _KNOWN
    return False


def _remember(path: Path) -> None:
    """Note a server; who cannot keep it asks again."""
    from gitreg.objects.local import LocalBucket

    with suppress(GitregError, OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        LocalBucket(path.parent).put(path.name, _KNOWN, replace=True)
