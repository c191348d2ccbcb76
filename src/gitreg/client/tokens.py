"""Find the token that is for one server, and no other: in the environment, or in a file that nobody else may read."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from gitreg.config import REGISTRY_VARIABLE, SERVER_FILES, is_url, place_of, user_section
from gitreg.errors import DeniedError, GitregError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN, TOKEN_FILE = "GITREG_TOKEN", "GITREG_TOKEN_FILE"
_MOST = 16 << 10
_PORTS = {"https": 443, "http": 80}


class Token(NamedTuple):
    """What tells a server who one is, or None; `advice` is for whom that server does not know all the same."""

    text: str | None = None
    advice: str = "send it a token"


def token_for(url: str, environ: Mapping[str, str] | None = None) -> Token:
    """Give the token for a server.

    GITREG_TOKEN, or the file that GITREG_TOKEN_FILE names, is for the server of GITREG_REGISTRY or `gitreg.registry`,
    and only where neither names a server for whichever is asked. Another has a file of its own,
    `gitreg.<url>.tokenfile`. `gitreg.tokenfile` is for the server of `gitreg.registry` alone.
    """
    environ = os.environ if environ is None else environ
    server = origin(url)
    said = next((name for name in (TOKEN, TOKEN_FILE) if environ.get(name)), None)
    named = environ.get(REGISTRY_VARIABLE)
    if said and server == _server(named):  # which needs no question to git
        return _taken(said, environ)
    settings = user_section(rf"^gitreg\.registry$|{SERVER_FILES}")
    default = _server(settings.get("gitreg.registry"))
    home = _server(named) or default
    if said and (home is None or home == server):
        return _taken(said, environ)
    if own := _own_file(url, settings):
        return _of_file(own)
    plain = settings.get("gitreg.tokenfile")
    if plain and default == server:
        return _of_file(plain)
    there = f"{said} is for {home}" if said else _unbound(default) if plain else "there is none"
    own = f"gitreg config {server}.tokenfile FILE, or {REGISTRY_VARIABLE}={server} beside {TOKEN}"
    return Token(None, f"no token is sent to {server}, because {there}; for this server: {own}")


def origin(url: str) -> str:
    """Give what tokens are bound to: scheme, host and port of a URL."""
    parts = urlsplit(url)
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in {None, _PORTS.get(parts.scheme)} else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _server(registry: str | None) -> str | None:
    """Give the origin of a registry that is at a web address; None for any other, and for a name that nobody gave."""
    if not registry:
        return None
    with suppress(GitregError, ValueError):
        place = registry if is_url(registry) else place_of(registry)
        return origin(place) if place.startswith(("http://", "https://")) else None
    return None


def _own_file(url: str, settings: Mapping[str, str]) -> str | None:
    """Choose the file that `gitreg.<url>.tokenfile` names, by the longest path that a URL lies below."""
    found = {}
    for key, file in settings.items():
        bound = key.removeprefix("gitreg.").removesuffix(".tokenfile")
        with suppress(ValueError):  # a port that there is not
            if "://" in bound and origin(bound) == origin(url) and _path(url).startswith(_path(bound)):
                found[len(_path(bound))] = file
    return found[max(found)] if found else None


def _path(url: str) -> str:
    return urlsplit(url).path.rstrip("/") + "/"


def _unbound(default: str | None) -> str:
    return f"gitreg.tokenfile is for {default or 'the server of gitreg.registry, which names none'}"


def _taken(name: str, environ: Mapping[str, str]) -> Token:
    return Token(_checked(environ[TOKEN], TOKEN), _wrong(TOKEN)) if name == TOKEN else _of_file(environ[TOKEN_FILE])


def _of_file(named: str) -> Token:
    return Token(_checked(_read(Path(named).expanduser()), named), _wrong(f"the file {named}"))


def _wrong(where: str) -> str:
    return f"is the token of {where} for this server, and not expired?"


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(_MOST)
    except OSError as error:
        raise NotFoundError(f"the token file {str(path)!r} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise DeniedError(f"others may read the token file {str(path)!r}", hint=f"chmod 600 {path}")
    return data.decode("ascii", "replace")


def _checked(text: str, where: str) -> str:
    found = text.strip()
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise InvalidError(f"{where} holds no token", hint="make one on the server: gitreg server token create")
    return found
