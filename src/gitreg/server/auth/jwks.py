"""Fetch the public keys of an OpenID provider, and keep them: bounded in size, time and number of questions."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from gitreg.errors import UnavailableError
from gitreg.records import dataclass
from gitreg.server.auth.settings import web_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

    from gitreg.server.auth.settings import IssuerSettings

FRESH = 3600.0  # seconds for which keys are taken as they were read
LATE = 2 * FRESH  # and for which they count while the issuer is being asked again
STALE = 24 * 3600.0  # and where it cannot be reached
PAUSE = 30.0  # at least between two questions: tokens with made-up key ids must not make the server ask and ask
MAX_BYTES = 256 << 10
MAX_KEYS = 100
TIMEOUT = 5.0
_CHUNK = 1 << 14
_KINDS = frozenset({"RSA", "EC", "OKP"})
_LEAST_RSA = 2048
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A public key of an issuer: what kind it is, for which algorithm where it says so, and the key itself."""

    kind: str
    curve: str | None
    algorithm: str | None
    public: Any

    def suits(self, algorithm: str) -> bool:
        """Whether a signature by this algorithm can be this key's."""
        kind, curve = _SUITED.get(algorithm, ("", None))
        return self.kind == kind and self.curve == curve and self.algorithm in {None, algorithm}


_SUITED = {
    **dict.fromkeys(("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"), ("RSA", None)),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", "Ed25519"),
}


class Keys:
    """The keys of one issuer by their `kid`. It is asked in a thread of its own, for which nobody else waits."""

    def __init__(self, settings: IssuerSettings, fetch: Callable[[str], Any] | None = None) -> None:
        self._settings = settings
        self._fetch = fetch or fetch_json
        self._lock = threading.Lock()
        self._keys: Mapping[str | None, Key] = {}
        self._read_at = self._asked_at = float("-inf")
        self._has_failed = False
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gitreg-keys")
        self._renewing: Future[Key | None] | None = None

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def known(self, kid: str | None) -> Key | None:
        """Give a key without waiting for anybody; None where the issuer has to be asked first.

        One that was read some time ago counts while the issuer is asked behind it.
        """
        key, now = self._keys.get(kid), time.monotonic()
        age = now - self._read_at
        if key is None or age < FRESH:
            return key
        if age >= (STALE if self._has_failed else LATE):
            return None
        if now - self._asked_at >= PAUSE and (self._renewing is None or self._renewing.done()):
            self._renewing = self._thread.submit(self.find, kid)
        return key

    async def ask(self, kid: str | None) -> Key | None:
        """Do what `find` does, in the thread that asks."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.find, kid)

    def find(self, kid: str | None) -> Key | None:
        """Give a key, having asked the issuer where it is not known or was read long ago; None where it has none such.

        Raises UnavailableError where the issuer cannot be reached and nothing that was read still counts.
        """
        with self._lock:
            now = time.monotonic()
            is_fresh = kid in self._keys and now - self._read_at < FRESH
            if not is_fresh and now - self._asked_at >= PAUSE:
                self._asked_at = now
                self._read(now)
            if now - self._read_at < STALE:
                return self._keys.get(kid)
        raise UnavailableError(
            "who signed the token cannot be found out now: its issuer does not answer", hint="try again in a minute"
        )

    def _read(self, now: float) -> None:
        try:
            where = self._settings.jwks or self._discovered()
            self._keys = keys_of(self._fetch(where))
            self._read_at = now
            self._has_failed = False
        except (OSError, ValueError, HTTPException) as error:
            self._has_failed = True
            _log.warning("the keys of %s cannot be read: %s", self._settings.issuer, error)

    def _discovered(self) -> str:
        """Ask the issuer where its keys are (OpenID Connect Discovery 1.0, section 4)."""
        about = self._fetch(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(about, dict) or about.get("issuer") != self._settings.issuer:
            raise ValueError("what is there says that it is another issuer's")
        return web_url(str(about.get("jwks_uri")))


def keys_of(document: Any) -> dict[str | None, Key]:  # noqa: ANN401 - JSON
    """Take the keys for signatures out of a JWK set (RFC 7517); those of other kinds are left out."""
    from jwt import PyJWK
    from jwt.exceptions import PyJWTError

    rows = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(rows, list) or len(rows) > MAX_KEYS:
        raise ValueError(f"it is no set of at most {MAX_KEYS} keys")
    found: dict[str | None, Key] = {}
    for row in rows:
        # A private key that an issuer gives away is nobody's proof.
        if not isinstance(row, dict) or row.get("kty") not in _KINDS or row.get("use", "sig") != "sig" or "d" in row:
            continue
        try:
            public = PyJWK(row).key
        except (PyJWTError, ValueError, TypeError, KeyError):
            continue
        if row["kty"] == "RSA" and public.key_size < _LEAST_RSA:
            continue
        kid = row.get("kid")
        found[kid if isinstance(kid, str) else None] = Key(
            kind=row["kty"], curve=row.get("crv"), algorithm=row.get("alg"), public=public
        )
    if len(found) == 1:  # an issuer of one key need not name it
        found.setdefault(None, next(iter(found.values())))
    return found


def fetch_json(url: str) -> Any:  # noqa: ANN401 - JSON
    """Read a small JSON document within some seconds; redirects are not followed. OSError, ValueError where not."""
    deadline = time.monotonic() + TIMEOUT
    request = Request(url, headers={"Accept": "application/json", "User-Agent": "gitreg"})  # noqa: S310 - https, checked
    if urlsplit(url).scheme not in {"https", "http"}:
        raise ValueError("no address of a web server")
    with _opener().open(request, timeout=TIMEOUT) as answer:
        if answer.status != 200:  # noqa: PLR2004 - OK, and what leads elsewhere is not
            raise ValueError(f"the server answered {answer.status}")
        data = b""
        while piece := answer.read1(_CHUNK):
            data += piece
            if len(data) > MAX_BYTES:
                raise ValueError(f"more than {MAX_BYTES} bytes")
            if time.monotonic() > deadline:
                raise ValueError(f"it took longer than {TIMEOUT:g} s")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _opener() -> OpenerDirector:
    """Open https and http, through the machine's proxies, and do nothing else: no files, no redirects."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(), HTTPHandler(), HTTPSHandler()):
        opener.add_handler(handler)
    return opener
