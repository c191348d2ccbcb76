"""Who calls, how that is known, and what they may."""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import lru_cache
from typing import TYPE_CHECKING

from gitreg.access import Access, Action, actions_of, may, outside
from gitreg.errors import DeniedError, InvalidError
from gitreg.layout import place
from gitreg.records import dataclass, replace
from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.auth.peers import site_of

if TYPE_CHECKING:
    from gitreg.access import Decision, Grant
    from gitreg.names import EnvironmentName, ModelName, UserName

ANONYMOUS = "anonymous"
SESSION = "session"
PROXY = "proxy"
READING = frozenset({Action.READ})
_KEPT = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sends a request.

    `user` is None for an anonymous one, who reads as `reader`. `how` says how it is known: `token:<id>`,
    `oidc:<issuer>`, `proxy`, `session:<how it began>`, `anonymous`. `name` and `email` are those of the commits they
    make. `scopes` are the actions that a token was made for; None leaves it to access.yaml alone. `expires`, in
    seconds since 1970, is when this stops being so. `binding` is what forms of theirs are bound to, where a browser
    would say who they are on its own account.
    """

    user: UserName | None
    how: str
    reader: UserName
    name: str = ""
    email: str = ""
    scopes: frozenset[Action] | None = None
    address: str = ""
    expires: float | None = None
    binding: str = ""

    @property
    def is_session(self) -> bool:
        """Whether a browser's cookie named them, which a browser sends whoever made it."""
        return self.how.partition(":")[0] == SESSION

    @property
    def key(self) -> str:
        """What requests are counted by, for limits and Idempotency-Key: the user, and an anonymous one's site."""
        return f"user:{self.user}" if self.user is not None else f"address:{site_of(self.address)}"

    def require_user(self) -> UserName:
        """Give the user; UnauthenticatedError for an anonymous caller."""
        if self.user is None:
            raise UnauthenticatedError(
                "this needs to know who you are", hint="send a token: Authorization: Bearer gitreg_…"
            )
        return self.user

    def source(self) -> dict[str, str]:
        """Say from where a write comes, for the audit log."""
        return {"identity": self.how, "address": self.address}

    def environment(self) -> dict[str, str]:
        """Give the variables by which git's hooks know them, where `gitreg.identity` is GITREG_USER."""
        known = {"GITREG_USER": str(self.require_user()), "GITREG_CALLER": self.how}
        known |= {"REMOTE_ADDR": self.address} if self.address else {}
        return known if self.scopes is None else {**known, "GITREG_SCOPES": " ".join(sorted(self.scopes))}


def permission(
    access: Access,
    caller: Caller,
    action: Action,
    model: ModelName | None,
    environment: EnvironmentName | None = None,
) -> Decision:
    """Decide whether a caller may: access.yaml grants it to the user, and the token was made for it."""
    user = caller.reader if action is Action.READ else caller.require_user()
    return outside(caller.scopes, action) or may(access, user, action, model, environment)


def require(
    access: Access,
    caller: Caller,
    action: Action,
    model: ModelName | None,
    environment: EnvironmentName | None = None,
) -> None:
    """Raise DeniedError, with the rule that decided, where a caller may not.

    The answer does not depend on whether the model exists. Who could yet say who they are is told to:
    UnauthenticatedError.
    """
    decision = permission(access, caller, action, model, environment)
    if decision.allowed:
        return
    if caller.user is None:
        raise UnauthenticatedError(
            f"nobody may {action} {model or 'this registry'} without a token",
            hint="send one: Authorization: Bearer gitreg_…",
        )
    place = f" in {environment}" if environment else ""
    raise DeniedError(
        f"{caller.user} may not {action} {model or 'this registry'}{place}: {decision.reason}",
        hint="ask an admin for a grant in access.yaml" if decision.rule != "scopes" else "use another token",
    )


def may_read(access: Access, caller: Caller, model: ModelName) -> bool:
    """Whether a caller may read a model. For many models at once: `readable`."""
    return permission(access, caller, Action.READ, model).allowed


class Readable:
    """Which models a caller may read, with the rules of that one caller at hand."""

    def __init__(self, access: Access, caller: Caller) -> None:
        self._caller = replace(caller, address="")
        self._own = _own_rules(access, caller.reader)
        grants = [rule for rule in self._own.grants if rule.names(Action.READ)]
        whole = any("*/*" in rule.models or (Action.ADMIN in rule.actions and not rule.models) for rule in grants)
        denied = any(rule.names(Action.READ) for rule in self._own.deny)
        in_scope = caller.scopes is None or bool(caller.scopes & {Action.READ, Action.ADMIN})
        self.everything = whole and not denied and in_scope
        self.nothing = not grants or not in_scope

    def __call__(self, model: ModelName) -> bool:
        """Whether the caller may read this model."""
        return self.everything or (not self.nothing and may_read(self._own, self._caller, model))

    def of_path(self, path: str) -> bool:
        """Whether the caller may hear of a file: of a model's as of the model, of others who may read everything."""
        if self.everything:
            return True
        with suppress(InvalidError):
            model = place(path).model
            return model is not None and self(model)
        return False


class Readers:
    """What callers may read, remembered for as long as the rules stay the same object."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[int, str, frozenset[Action] | None], tuple[Access, Readable]] = {}

    def readable(self, access: Access, caller: Caller) -> Readable:
        """Tell which models a caller may read by these rules."""
        # The rules are kept beside the answer, so that no others can get their id.
        key = (id(access), str(caller.reader), caller.scopes)
        found = self._known.get(key)
        if found is None:
            found = (access, Readable(access, caller))
            with self._lock:
                while len(self._known) >= _KEPT:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = found
        return found[1]


def _own_rules(access: Access, user: UserName) -> Access:
    """Cut the rules down to those that speak of one user, who stands in them by name."""
    grants: list[Grant] = []
    deny: list[Grant] = []
    for each in actions_of(access, user):
        (grants if each.allows else deny).append(replace(each.grant, to=(str(user),)))
    return Access(grants=tuple(grants), deny=tuple(deny))


@lru_cache(maxsize=_KEPT)
def person(user: UserName, name: str | None = None, email: str | None = None) -> tuple[str, str]:
    """Give what stands in a user's commits; an address that is nobody's (RFC 2606) where none is known."""
    own = str(user) if "@" in user else f"{user}@users.gitreg.invalid"
    return _one_line(name) or str(user), _one_line(email) or own


def _one_line(text: str | None) -> str:
    """Keep of a claim what git takes in a commit's author."""
    kept = "".join(mark for mark in text or "" if mark.isprintable() and mark not in "<>")
    return kept.strip(" .,:;\"'\\")[:200]
