"""Take the bearer tokens of OpenID providers: JWTs that one of them signed, for this server, about a user."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError
from gitreg.names import UserName
from gitreg.server.auth.callers import Caller, person
from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.auth.jwks import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gitreg.server.auth.jwks import Key
    from gitreg.server.auth.settings import IssuerSettings

MAX_TOKEN = 16 << 10
_MAX_GROUPS = 10_000
_NEVER = 1 << 40
_TYPES = frozenset({None, "jwt", "at+jwt", "application/at+jwt"})


class Unproven:
    """What a token says of itself, which chooses the issuer and the key to hold it against, and nothing else."""

    def __init__(self, text: str) -> None:
        parts = text.split(".")
        if len(text) > MAX_TOKEN or len(parts) != 3 or not all(parts):  # noqa: PLR2004 - RFC 7515, section 3.1
            raise _refused("it is no signed JWT, or too large")
        self.text = text
        self.header = _object(parts[0])
        self.issuer = _object(parts[1]).get("iss")

    @property
    def kid(self) -> str | None:
        """The id of the key that it claims to be signed with."""
        kid = self.header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise _refused("its kid is no text")
        return kid


def _object(part: str) -> dict[str, Any]:
    try:
        found = json.loads(urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError) as error:
        raise _refused("it is no JWT") from error
    if not isinstance(found, dict):
        raise _refused("it is no JWT")
    return found


def _refused(reason: str) -> UnauthenticatedError:
    return UnauthenticatedError("the token does not count here", hint="get a new one", reason=reason)


class Provider:
    """One issuer whose tokens count."""

    def __init__(self, settings: IssuerSettings, fetch: Callable[[str], Any] | None = None) -> None:
        self.settings = settings
        self.keys = Keys(settings, fetch)

    def caller(self, token: Unproven, key: Key | None, address: str) -> Caller:
        """Prove a token by the key that it names, and tell who has it; UnauthenticatedError where it does not count."""
        header = token.header
        algorithm, kind = header.get("alg"), header.get("typ")
        if algorithm not in self.settings.algorithms:
            raise _refused(f"signed by {str(algorithm)[:40]!r}")
        if "crit" in header or not isinstance(kind, str | None) or (kind and kind.lower()) not in _TYPES:
            raise _refused("its header asks for what is not known here")
        if key is None or not key.suits(algorithm):
            raise _refused(f"its issuer has no such key for {algorithm}: {str(token.kid)[:80]!r}")
        return self._caller(self._claims(token, key), address)

    def _claims(self, token: Unproven, key: Key) -> Mapping[str, Any]:
        import jwt

        try:
            return jwt.decode(
                token.text,
                key.public,
                algorithms=[token.header["alg"]],  # one of the settings', and the key is of its kind
                audience=list(self.settings.audiences),
                issuer=self.settings.issuer,
                leeway=self.settings.leeway,
                options={"require": ["exp", "iss", "aud", self.settings.user_claim]},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _refused(f"{type(error).__name__}: {error}") from error

    def _caller(self, claims: Mapping[str, Any], address: str) -> Caller:
        self._admit(claims)
        user = self._user(claims)
        said = {name: value for name in ("name", "email") if isinstance(value := claims.get(name), str)}
        if claims.get("email_verified") is False:
            said.pop("email", None)
        name, email = person(user, said.get("name"), said.get("email"))
        return Caller(
            user=user,
            reader=user,
            how=f"oidc:{self.settings.issuer}",
            address=address,
            expires=min(int(claims["exp"]), _NEVER),
            name=name,
            email=email,
        )

    def _user(self, claims: Mapping[str, Any]) -> UserName:
        claim = self.settings.user_claim
        value = claims[claim]
        if not isinstance(value, str) or (claim == "email" and claims.get("email_verified") is not True):
            raise _refused(f"its {claim} is no text, or not verified")
        # Not lower-cased: two names of an issuer's must not become one of the registry's.
        try:
            return UserName(self.settings.prefix + value)
        except InvalidError as error:
            raise _refused(f"its {claim} is no user name: {error.message}") from error

    def _admit(self, claims: Mapping[str, Any]) -> None:
        """Let only members of the groups in that the settings name, where they name any."""
        wanted = self.settings.required_groups
        if not wanted:
            return
        found = claims.get(self.settings.groups_claim)
        groups = [found] if isinstance(found, str) else found
        if not isinstance(groups, list) or len(groups) > _MAX_GROUPS or not any(each in wanted for each in groups):
            raise _refused(f"its {self.settings.groups_claim} hold none of those that are let in")
