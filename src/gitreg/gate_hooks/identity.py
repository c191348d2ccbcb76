"""Find out who pushes, from what the server says and never from what is pushed."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from gitreg.access import Action
from gitreg.errors import DeniedError, InvalidError
from gitreg.names import UserName, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gitreg.git import Repository

CONFIG = "gitreg.identity"
ACCOUNT = "account"
# Who sets each: gitolite, a web server before git-http-backend, Gitea and Forgejo, GitLab, gitreg's own ssh shell.
VARIABLES = ("GL_USER", "REMOTE_USER", "GITEA_PUSHER_NAME", "GL_USERNAME", "GITREG_USER")
# The server names nobody: who signed is the actor, where registry.yaml says so.
SIGNATURE = "signature"
SOURCES = (*VARIABLES, ACCOUNT, SIGNATURE)
# The actions that a token was made for, which gitreg's own server says beside GITREG_USER.
SCOPES = "GITREG_SCOPES"


def check_source(source: str) -> str:
    """Check the name of an identity source; InvalidError names those that there are."""
    if source in SOURCES:
        return source
    near = did_you_mean(source, SOURCES)
    raise InvalidError(
        f"{CONFIG}: found {source!r}, allowed: {', '.join(SOURCES)}",
        hint=f"did you mean {near}?" if near else None,
    )


def actor(repository: Repository, environ: Mapping[str, str]) -> UserName | None:
    """Name the actor; None where signatures tell it, DeniedError where the server does not say who it is."""
    source = repository.config(CONFIG)
    if source is None:
        raise DeniedError(
            f"{CONFIG} is not set, so nobody can be told apart",
            hint=f"git config {CONFIG} SOURCE, with SOURCE one of {', '.join(SOURCES)}",
        )
    return None if check_source(source) == SIGNATURE else actor_by(source, environ)


def actor_by(source: str, environ: Mapping[str, str]) -> UserName:
    """Name the actor by one source."""
    name = _account() if source == ACCOUNT else environ.get(source, "")
    if not name:
        raise DeniedError(f"{source} is empty: the server does not say who pushes", hint=f"see {CONFIG}")
    try:
        return UserName(name)
    except InvalidError as error:
        raise DeniedError(f"{source}: {error.message}", hint=error.hint) from error


def scopes_of(environ: Mapping[str, str]) -> frozenset[Action] | None:
    """Give the scopes of the token that a push came with, as the server says; None where it is bound to none."""
    text = environ.get(SCOPES)
    if text is None:
        return None
    try:
        return frozenset(map(Action, text.split()))
    except ValueError as error:
        raise DeniedError(f"{SCOPES} names what is no action", hint="tell the server's owner") from error


def _account() -> str:
    """Name the account that runs the hook; DeniedError where the machine has no name for it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError as error:
        raise DeniedError(f"the account {os.getuid()} has no name on this machine", hint=f"see {CONFIG}") from error
