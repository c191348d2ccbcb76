"""Find out who sends a request: by a token, an OpenID provider's token, a session, a proxy, or as nobody."""

from __future__ import annotations

import base64
import binascii
import logging
import time
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gitreg.errors import IntegrityError, UnavailableError
from gitreg.names import UserName
from gitreg.records import replace
from gitreg.server.auth.callers import ANONYMOUS, PROXY, READING, SESSION, Caller, person
from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.auth.oidc import MAX_TOKEN, Provider, Unproven
from gitreg.server.auth.peers import address_of, header_values, is_proxy, is_secure
from gitreg.server.auth.sessions import Sessions
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import PREFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from gitreg.server.auth.peers import Scope
    from gitreg.server.auth.settings import AuthSettings

TOKEN = "token"  # noqa: S105 - how a caller is known
_PASSWORD_ONLY = frozenset({"", "token", "x-access-token", "oauth2"})
_log = logging.getLogger(__name__)


@contextmanager
def _readable() -> Iterator[None]:
    """Tell who calls that the server's files cannot be read, and only the log where they are and why."""
    try:
        yield
    except (IntegrityError, UnavailableError) as error:
        _log.error("%s", error)
        raise UnavailableError("nobody can be told apart now", hint="tell the server's owner") from error


class Authenticator:
    """Who calls one registry's server. For one event loop; the files are read anew when they change."""

    def __init__(
        self,
        git_dir: Path,
        settings: AuthSettings,
        *,
        fetch: Callable[[str], Any] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self.tokens = TokenFile(git_dir)
        self.providers = {issuer: Provider(each, fetch) for issuer, each in settings.issuers.items()}
        self._git_dir = git_dir
        self._clock = clock

    def close(self) -> None:
        """Close the file of tokens, and ask no provider any more."""
        self.tokens.close()
        for provider in self.providers.values():
            provider.keys.close()

    @cached_property
    def sessions(self) -> Sessions:
        """The sessions of browsers; their key is made when the first one is needed."""
        return Sessions(self._git_dir, self.settings.session_hours)

    async def caller(self, scope: Scope) -> Caller | None:
        """Find out who sends a request; None where nobody says who it is, and strangers are not let in.

        What is in the Authorization header decides, where there is one: nobody goes on as somebody else because it was
        wrong. Raises UnauthenticatedError, which does not say what was, and UnavailableError where it cannot be known
        now.
        """
        address = address_of(scope, self.settings)
        authorization = header_values(scope, "authorization")
        if authorization:
            return await self._authorized(authorization, address)
        return self._of_proxy(scope, address) or self._of_cookie(scope, address) or self._stranger(address)

    async def by_token(self, text: str, address: str) -> Caller:
        """Find out whose a token is, gitreg's or an OpenID provider's; UnauthenticatedError where it does not count."""
        if text.startswith(PREFIX):
            return self._of_token(text, address)
        if self.providers:
            return await self._of_provider(Unproven(text), address)
        raise UnauthenticatedError(
            "that is no token of gitreg's", hint="a token begins with gitreg_; `gitreg server token create` makes one"
        )

    async def _authorized(self, headers: list[str], address: str) -> Caller:
        if len(headers) > 1 or len(headers[0]) > 2 * MAX_TOKEN:
            raise UnauthenticatedError("one Authorization header, and not a large one, is what counts")
        scheme, _, rest = headers[0].partition(" ")
        match scheme.lower():
            case "bearer":
                return await self.by_token(rest.strip(), address)
            case "basic":
                return await self._of_password(rest.strip(), address)
        raise UnauthenticatedError("Authorization is not of a known scheme", hint="Bearer, or Basic with a token")

    async def _of_password(self, encoded: str, address: str) -> Caller:
        """Take a token as a password, as git's clients send it; a user name beside it has to be its user's."""
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, ValueError):
            user = colon = password = ""
        if not colon or not password:
            raise UnauthenticatedError("these are no credentials", hint="the password is a token")
        caller = await self.by_token(password, address)
        if user not in _PASSWORD_ONLY and user != caller.user:
            raise UnauthenticatedError(
                "the token does not count here",
                hint="beside a token the user name is its user's, or `token`",
                reason=f"{user[:80]!r} came with a token of {caller.user}",
            )
        return replace(caller, binding="basic")

    def _of_token(self, text: str, address: str) -> Caller:
        with _readable():
            token, reason = self.tokens.find(text, self._clock())
        if token is None and reason.startswith("no token:"):
            raise UnauthenticatedError("that is no whole token", hint="it was cut off or mistyped: copy it again")
        if token is None:
            raise UnauthenticatedError(
                "the token does not count here",
                hint="`gitreg server token list` on the server says more",
                reason=reason,
            )
        name, email = person(token.user, token.name, token.email)
        return Caller(
            user=token.user,
            reader=token.user,
            how=f"{TOKEN}:{token.id}",
            scopes=token.scopes,
            address=address,
            expires=token.expires,
            name=name,
            email=email,
        )

    async def _of_provider(self, token: Unproven, address: str) -> Caller:
        provider = self.providers.get(token.issuer) if isinstance(token.issuer, str) else None
        if provider is None:
            raise UnauthenticatedError(
                "the token does not count here", hint="get a new one", reason="its issuer is none"
            )
        key = provider.keys.known(token.kid)
        if key is None:
            key = await provider.keys.ask(token.kid)
        return provider.caller(token, key, address)

    def _of_proxy(self, scope: Scope, address: str) -> Caller | None:
        """Believe a proxy that is listed; what anybody else says in its header is nothing."""
        if self.settings.proxy_header is None or not is_proxy(scope, self.settings):
            return None
        said = header_values(scope, self.settings.proxy_header)
        if not said or said == [""]:
            return None
        if len(said) > 1 or not UserName.is_one(said[0]):
            raise UnauthenticatedError(
                "the proxy does not say who you are in a way that counts",
                hint="tell the server's owner",
                reason=f"{self.settings.proxy_header} is {', '.join(said)[:200]!r}",
            )
        user = UserName(said[0])
        name, email = person(user)
        return Caller(user=user, reader=user, how=PROXY, address=address, binding=PROXY, name=name, email=email)

    def _of_cookie(self, scope: Scope, address: str) -> Caller | None:
        cookies = header_values(scope, "cookie")
        if not any("gitreg-" in each for each in cookies):
            return None
        now = self._clock()
        with _readable():
            caller = self.sessions.read(cookies, now, address, secure=is_secure(scope, self.settings))
            if caller is None or not self._still_counts(caller.how.removeprefix(f"{SESSION}:"), now):
                return None
        return caller

    def _still_counts(self, how: str, now: float) -> bool:
        """Whether what a session began with has not been taken back since."""
        kind, _, which = how.partition(":")
        if kind != TOKEN:
            return which in self.providers
        return self.tokens.counts(which, now)

    def _stranger(self, address: str) -> Caller | None:
        reader = self.settings.anonymous
        if reader is None:
            return None
        return Caller(user=None, reader=reader, how=ANONYMOUS, scopes=READING, address=address)
