"""Hold what the pages of one server share, and what one request knows."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Protocol, TypeVar

from gitreg.access import Action, who_may
from gitreg.errors import DeniedError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.git import Signature
from gitreg.git.history import short_chain
from gitreg.git.values import is_oid
from gitreg.names import EnvironmentName, ModelName, Selector
from gitreg.reader import indexing
from gitreg.records import dataclass, field
from gitreg.registry.reads import known_environment
from gitreg.server.auth.callers import Readers, permission
from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.operations.metrics import outcome_of
from gitreg.server.pages import listing
from gitreg.writer.staging import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future
    from pathlib import Path
    from sqlite3 import Connection

    from starlette.requests import Request

    from gitreg.reader import Snapshot, VersionFile
    from gitreg.registry import Registry
    from gitreg.server.auth.authenticator import Authenticator
    from gitreg.server.auth.callers import Caller, Readable
    from gitreg.settings import EnvironmentRule
    from gitreg.writer.plan import Planner, Written

T = TypeVar("T")

PATIENCE = 90.0
MOST_NAMED = 12


class Writer(Protocol):
    """Whoever commits changes: the group writer, and a test's own."""

    def submit(self, change: Change) -> Future[Written]:
        """Hand a change in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What the pages of one server are made of. `heard` is told how each write ended, and by which codes."""

    registry: Registry
    git_dir: Path
    authenticator: Authenticator
    writer: Writer
    readers: Readers = field(default_factory=Readers)
    heard: Callable[[str, Sequence[str]], object] = lambda outcome, codes: None  # noqa: ARG005 - nobody counts


class Page:
    """One request: who asks, for what, of the registry at which commit."""

    def __init__(self, site: Site, request: Request, form: Mapping[str, str]) -> None:
        self.site = site
        self.request = request
        self.form = form
        self.caller: Caller | None = request.scope["state"]["caller"]
        self.at: Snapshot = site.registry.snapshot()

    # What was asked

    @cached_property
    def query(self) -> dict[str, str]:
        """The query's fields; of one that stands twice the last, and none that is empty."""
        return {key: value.strip() for key, value in self.request.query_params.items() if value.strip()}

    @property
    def here(self) -> str:
        """The address of this page, to come back to."""
        url = self.request.url
        return f"{url.path}?{url.query}" if url.query else url.path

    @property
    def name(self) -> ModelName:
        """The model that the address names, which the caller may read; it may not exist."""
        return self.readable_name("/".join(self.request.path_params[each] for each in ("project", "model")))

    def readable_name(self, text: str) -> ModelName:
        """Check the name of a model, and that the caller may read it; the answer says nothing of whether it exists."""
        try:
            name = ModelName.parse(text)
        except InvalidError as error:
            raise NotFoundError(f"{text[:80]!r} is no model", hint=error.hint) from error
        if not self.readable(name):
            self._deny(Action.READ, name, None)
        return name

    def selector(self, text: str) -> Selector:
        """Read `project/name@what`, of a model that the caller may read."""
        found = Selector.parse(text)
        self.readable_name(str(found.model))
        return found

    def version(self, selector: Selector) -> VersionFile:
        """Read a version."""
        self.known(selector.model)
        return self.at.version(selector.model, self.at.resolve(selector))

    def known(self, name: ModelName) -> None:
        """Raise NotFoundError where there is no such model, with the nearest names that the caller may read."""
        if self.at.names(f"models/{name}"):
            return
        near = self.ask(lambda connection: listing.nearest(connection, name, self.readable))
        raise NearError(f"there is no model {name}", near)

    def environment(self, text: str) -> EnvironmentName:
        """Check the name of an environment."""
        return known_environment(self.at, text)

    @property
    def rules(self) -> tuple[EnvironmentRule, ...]:
        """The environments, in the settings' order."""
        return self.at.settings.environments

    # Who asks

    @property
    def who(self) -> Caller:
        """The caller; UnauthenticatedError where nobody is known."""
        if self.caller is None:
            raise UnauthenticatedError("these pages need to know who you are")
        return self.caller

    @cached_property
    def readable(self) -> Readable:
        """Which models the caller may read."""
        return self.site.readers.readable(self.at.access, self.who)

    def may(self, action: Action, name: ModelName | None, environment: EnvironmentName | None = None) -> bool:
        """Whether the caller may do something."""
        if self.who.user is None and action is not Action.READ:
            return False
        return permission(self.at.access, self.who, action, name, environment).allowed

    def require(
        self, action: Action, name: ModelName | None = None, environment: EnvironmentName | None = None
    ) -> None:
        """Raise MayError, which says who may, where the caller may not."""
        if not self.may(action, name, environment):
            self._deny(action, name, environment)

    def _deny(self, action: Action, name: ModelName | None, environment: EnvironmentName | None) -> None:
        if self.who.user is None:
            raise UnauthenticatedError("this needs to know who you are")
        reason = permission(self.at.access, self.who, action, name, environment).reason
        where = f" in {environment}" if environment else ""
        raise MayError(
            f"{self.who.user} may not {action} {name or 'this registry'}{where}: {reason}",
            sorted(who_may(self.at.access, action, name, environment)),
        )

    @property
    def done(self) -> tuple[str, str] | None:
        """The commit that the caller has just made, and its subject, for the page that follows; of others nothing.

        So a link cannot claim what was never done, a proposal for one, and tells nobody what they may not read.
        """
        oid = self.query.get("done", "")
        if not is_oid(oid) or (oid != self.at.commit and not short_chain(self.at.repository, oid, self.at.commit)):
            return None
        commit, caller = self.at.repository.objects.commit(oid), self.who
        is_own = caller.user is not None and (commit.author.name, commit.author.email) == (caller.name, caller.email)
        return (oid, commit.subject) if is_own else None

    @property
    def binding(self) -> str:
        """What a form of the caller's has to bring back."""
        caller = self.caller
        return self.site.authenticator.sessions.form_token(caller) if caller and caller.user else ""

    # Answers

    def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask the index, brought up to this page's commit."""
        return indexing.ask(self.at, question, now=True)[0]

    def submit(self, planner: Planner, *, expected: str | None = None, dry_run: bool = False) -> Written:
        """Have a change judged, and committed unless it is a dry run; raises what the gate's verdict is classed as."""
        caller = self.who
        author = Signature.now(caller.name or str(caller.user), caller.email)
        change = Change(
            planner=planner,
            actor=caller.require_user(),
            author=author,
            source=caller.source(),
            expected=expected,
            dry_run=dry_run,
            scopes=caller.scopes,
        )
        future = self.site.writer.submit(change)
        try:
            written = future.result(PATIENCE)
        except GitregError as error:
            if not dry_run:
                self.site.heard(outcome_of(error), _codes(error))
            raise
        except TimeoutError as error:
            if not dry_run:
                self.site.heard("failed", ())
            if dry_run or future.cancel():
                raise UnavailableError(
                    f"the gate had no time for this within {PATIENCE:g} s; nothing was changed",
                    hint="try again in a while",
                ) from error
            raise UnavailableError(
                f"the change was not made within {PATIENCE:g} s, and may still be",
                hint="look whether it is there before you try again",
            ) from error
        if written.commit is not None and not dry_run:
            self.site.heard("accepted", ())
        return written


def _codes(error: GitregError) -> list[str]:
    return [str(getattr(each, "code", "")) for each in error.violations]


class NearError(NotFoundError):
    """What was asked for does not exist; these models have a name like it."""

    def __init__(self, message: str, near: list[str]) -> None:
        super().__init__(message, hint=None if near else "the list of models shows what there is")
        self.near = near


class MayError(DeniedError):
    """The caller may not; these users may."""

    def __init__(self, message: str, users: list[str]) -> None:
        super().__init__(message, hint="ask one of those who may, or an admin for a grant in access.yaml")
        self.users = users[:MOST_NAMED]
        self.more = len(users) - len(self.users)
