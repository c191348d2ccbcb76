"""Remember in a browser's cookie who signed in to the pages, and bind its forms to that."""

from __future__ import annotations

import hmac
import json
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from gitreg.access import Action
from gitreg.errors import DeniedError, IntegrityError
from gitreg.names import UserName
from gitreg.server.auth import private
from gitreg.server.auth.callers import SESSION, Caller

if TYPE_CHECKING:
    from pathlib import Path

KEY = "session.key"
_KEY_BYTES = 32
_MAX_COOKIE = 4096
# A cookie of this name is taken by browsers only with Secure, for this very host, so no neighbour can set it.
_SECURE, _PLAIN = "__Host-gitreg", "gitreg"
_MARK = 8


class Sessions:
    """Make and read the cookies of one registry; the key is the same for all of its processes."""

    def __init__(self, git_dir: Path, hours: int = 12) -> None:
        self._key = _key_of(git_dir)
        self._seconds = hours * 3600
        # Browsers send a host's cookies to all of its ports: each registry's has a name of its own.
        self._mark = sha256(b"name\0" + self._key).hexdigest()[:_MARK]

    def start(self, caller: Caller, now: float, *, secure: bool) -> str:
        """Give the Set-Cookie of a session; it ends with what let the caller in."""
        user = caller.require_user()
        ends = min(now + self._seconds, caller.expires or float("inf"))
        said = {
            "user": user,
            "how": caller.how,
            "name": caller.name,
            "email": caller.email,
            "scopes": None if caller.scopes is None else sorted(caller.scopes),
            "ends": int(ends),
            "nonce": os.urandom(16).hex(),
        }
        body = urlsafe_b64encode(json.dumps(said, separators=(",", ":")).encode()).decode()
        value = f"{body}.{self._seal('session', body)}"
        return f"{self._name(secure=secure)}={value}; Max-Age={max(0, int(ends - now))}; {_attributes(secure=secure)}"

    def end(self, *, secure: bool) -> str:
        """Give the Set-Cookie that ends a session."""
        return f"{self._name(secure=secure)}=; Max-Age=0; {_attributes(secure=secure)}"

    def read(self, cookies: list[str], now: float, address: str, *, secure: bool) -> Caller | None:
        """Find who signed in, by the Cookie headers of a request; None where nobody did, or the session ended.

        Whether the token still counts by which it began is not known here.
        """
        value = _cookie(cookies, self._name(secure=secure))
        body, _, seal = value.partition(".")
        if not seal or not hmac.compare_digest(seal.encode(), self._seal("session", body).encode()):
            return None
        said: dict[str, Any] = json.loads(urlsafe_b64decode(body))
        if now >= said["ends"]:
            return None
        user, scopes = UserName(said["user"]), said["scopes"]
        return Caller(
            user=user,
            reader=user,
            how=f"{SESSION}:{said['how']}",
            name=said["name"],
            email=said["email"],
            scopes=None if scopes is None else frozenset(map(Action, scopes)),
            expires=said["ends"],
            address=address,
            binding=said["nonce"],
        )

    def form_token(self, caller: Caller) -> str:
        """Give what a form of this caller's has to bring back: other sites can send a form, and do not know it."""
        return self._seal("form", f"{caller.user} {caller.binding}")

    def check_form(self, caller: Caller, token: object) -> None:
        """Raise DeniedError where a form is not one that this server gave to this caller."""
        given = token if isinstance(token, str) else ""
        if not hmac.compare_digest(given.encode("utf-8", "replace"), self.form_token(caller).encode()):
            raise DeniedError("this form is not from here, or its session ended", hint="load the page again")

    def _name(self, *, secure: bool) -> str:
        return f"{_SECURE if secure else _PLAIN}-{self._mark}"

    def _seal(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}\0{text}".encode("utf-8", "surrogatepass"), sha256).hexdigest()


def _key_of(git_dir: Path) -> bytes:
    """Read the key, made where there is none: who takes the file away ends every session."""
    with private.held(git_dir) as folder:
        path = folder / KEY
        fd = private.open_own(path)
        if fd is None:
            private.write(path, os.urandom(_KEY_BYTES))
            fd = private.open_own(path)
    if fd is None:
        raise IntegrityError(f"{path} went away", hint="start the server again")
    with os.fdopen(fd, "rb") as file:
        key = file.read(_KEY_BYTES + 1)
    if len(key) != _KEY_BYTES:
        raise IntegrityError(f"{path} is damaged", hint="take it away: a new one is made, and everybody signs in again")
    return key


def _attributes(*, secure: bool) -> str:
    # Lax: a link from a chat leads in, and a form of another site's does not.
    return "Path=/; HttpOnly; SameSite=Lax" + ("; Secure" if secure else "")


def _cookie(headers: list[str], name: str) -> str:
    """Find one cookie; none where a request brings two of its name, as somebody must have slipped one in."""
    found = []
    for header in headers:
        for part in header[: 4 * _MAX_COOKIE].split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                found.append(value)
    return found[0] if len(found) == 1 and len(found[0]) <= _MAX_COOKIE else ""
