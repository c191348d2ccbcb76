"""Make and revoke the tokens of a registry, on its server, and write into the audit log that it was done."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from gitreg.access import known_users
from gitreg.errors import InvalidError
from gitreg.names import UserName
from gitreg.records import dataclass
from gitreg.server.auth.token_file import TokenFile
from gitreg.server.auth.tokens import Token, lifetime, note_of, scopes_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from gitreg.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRequest:
    """What a token shall be: for whom, for how long (`90d`), for which actions, and what stands in its commits."""

    user: str
    expires: str = "90d"
    scopes: tuple[str, ...] = ()
    note: str = ""
    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A token as it is listed; times in RFC 3339, `scopes` None where it may do whatever its user may."""

    id: str
    user: str
    scopes: tuple[str, ...] | None
    created: str
    expires: str
    state: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A new token: its text, which is shown this once, and whether access.yaml grants its user anything."""

    token: str
    user_known: bool
    listed: Listed


def create(registry: Registry, wanted: TokenRequest, now: int | None = None) -> Issued:
    """Make a token; InvalidError where it cannot be as it shall be, UnavailableError where it cannot be kept."""
    now = int(time.time()) if now is None else now
    user, expires, scopes = UserName(wanted.user), now + lifetime(wanted.expires), scopes_of(wanted.scopes)
    texts = {what: note_of(getattr(wanted, what), what) for what in ("note", "name", "email")}

    def made(identifier: str, digest: str) -> Token:
        return Token(
            id=identifier, user=user, created=now, expires=expires, digest=digest, scopes=scopes, **texts, revoked=None
        )

    git_dir = git_dir_of(registry)
    access = registry.snapshot().access
    file = TokenFile(git_dir)
    try:
        token, text = file.create(made, now, lambda token: _log(git_dir, now, f"created {_named(token)}"))
    finally:
        file.close()
    return Issued(token=text, user_known=user in known_users(access), listed=listed(token, now))


def tokens(registry: Registry, *, ended: bool = False, user: str | None = None) -> list[Listed]:
    """List tokens, oldest first: those that count, or those as well that have ended, for 90 days."""
    now = time.time()
    file = TokenFile(git_dir_of(registry))
    try:
        found = sorted(file.tokens().values(), key=lambda token: (token.created, token.id))
    finally:
        file.close()
    kept = (each for each in found if (ended or each.counts_at(now)) and user in {None, each.user})
    return [listed(each, now) for each in kept]


def revoke(registry: Registry, identifiers: Sequence[str], user: str | None = None) -> list[Listed]:
    """Let tokens, or all of a user's, count no more, at once; NotFoundError where there is none of an id."""
    if not identifiers and user is None:
        raise InvalidError("no token is named", hint="name ids as `gitreg server token list` shows them, or --user")
    git_dir, now = git_dir_of(registry), int(time.time())
    file = TokenFile(git_dir)
    try:
        counting = (each for each in file.tokens().values() if each.user == user and each.counts_at(now))
        wanted: Iterable[str] = [*identifiers, *(each.id for each in counting)]
        ended = [
            file.revoke(each, now, lambda token: _log(git_dir, now, f"revoked {_named(token)}"))
            for each in dict.fromkeys(wanted)
        ]
    finally:
        file.close()
    return [listed(each, now) for each in ended]


def git_dir_of(registry: Registry) -> Path:
    """Give the registry's own repository; InvalidError where that is on another machine."""
    path = registry.target.registry_path
    if path is None:
        raise InvalidError(
            "tokens lie on the registry's server", hint="run it there: gitreg --registry /srv/models.git server token …"
        )
    return path


def listed(token: Token, now: float) -> Listed:
    """Show a token, without its digest."""
    from gitreg.reader.history import iso

    return Listed(
        id=token.id,
        user=str(token.user),
        scopes=None if token.scopes is None else tuple(sorted(token.scopes)),
        created=iso(token.created),
        expires=iso(token.expires),
        state=token.state_at(now),
        note=token.note,
    )


def _named(token: Token) -> str:
    from gitreg.reader.history import iso

    made_for = "" if token.scopes is None else f" for {', '.join(sorted(token.scopes))}"
    return f"{token.id} of {token.user}{made_for} until {iso(token.expires)}"


def _log(git_dir: Path, now: int, what: str) -> None:
    """Say in the audit log what is done; where that cannot be said it is not done."""
    from gitreg.gate_hooks import audit
    from gitreg.reader.history import iso

    audit.append(git_dir, audit.Entry(iso(now), _account(), (), (), source={"identity": "account", "token": what}))


def _account() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
