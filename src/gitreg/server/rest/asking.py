"""Hold what one request knows: who asks, of the registry at which commit, and what they may."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Path, Query
from starlette.requests import Request

from gitreg.access import Action, actions_of
from gitreg.errors import DeniedError, InvalidError
from gitreg.git.history import is_on_first_parent_chain
from gitreg.git.values import is_oid
from gitreg.layout import ACCESS, APPROVALS, DEPLOYMENTS, MODELS, SETTINGS, STATUS, deployment_path, status_path
from gitreg.names import ModelName, Selector
from gitreg.reader import Snapshot
from gitreg.registry import reads
from gitreg.server.answers import answer, tags_of, unchanged
from gitreg.server.auth.callers import require
from gitreg.server.auth.errors import UnauthenticatedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from starlette.responses import Response

    from gitreg.server.auth.callers import Caller, Readable
    from gitreg.server.serving import Serving

MOST = 1000
SOME = 100
_MOST_TAGS = 4  # of If-None-Match, that are looked into

# The names' own grammar is a little stricter; this is for who reads, or tries out, the description.
NAME = "^[a-z0-9][a-z0-9._-]*$"
PLAIN_NAME = "^[a-z0-9][a-z0-9_-]*$"
OID = "^([0-9a-f]{40}|[0-9a-f]{64})$"
# What the rest is held to by those who read it, whose words say more than a pattern's do: for the description alone.
COMMIT_ID = {"pattern": OID, "examples": ["8c1f0a6f2d9be1c77d1c5d3b6a0e4f2b9d8c7a61"]}
NAMED = "[a-z0-9][a-z0-9_-]{0,62}/[a-z0-9][a-z0-9_-]{0,62}([.][a-z0-9_-]+)*"
MODEL_NAME = {"pattern": f"^{NAMED}$", "examples": ["risk/fraud"]}
SELECTING = {"pattern": r"^[^\s@,]+$", "examples": ["1.4.0"]}
TIME = {
    "pattern": "^[12][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "(T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9]))?$",
    "examples": ["2026-01-31T12:00:00Z"],
}
# What stands in addresses and queries, with its bounds.
Project = Annotated[
    str, Path(description="The project of the model.", max_length=63, pattern=PLAIN_NAME, examples=["risk"])
]
Model = Annotated[
    str, Path(description="The model's name in its project.", max_length=63, pattern=NAME, examples=["fraud"])
]
Which = Annotated[
    str,
    Path(
        description="A version, `latest`, a range such as `^1.4`, an alias or an environment.",
        max_length=128,
        json_schema_extra=SELECTING,
    ),
]
Environment = Annotated[
    str, Path(description="An environment of registry.yaml.", max_length=63, pattern=PLAIN_NAME, examples=["prod"])
]
Alias = Annotated[
    str, Path(description="An alias of the model.", max_length=63, pattern=PLAIN_NAME, examples=["champion"])
]
At = Annotated[
    str | None,
    Query(
        description="As it was at this time (RFC 3339, or a date for its end).", max_length=40, json_schema_extra=TIME
    ),
]
Text = Annotated[str | None, Query(max_length=4000)]
Limit = Annotated[int, Query(description="How many at most.", ge=1, le=MOST)]
Cursor = Annotated[str | None, Query(description="`next` of the answer before.", max_length=4096)]
Counted = Annotated[
    str | None,
    Query(description="`next` of the answer before.", max_length=12, json_schema_extra={"pattern": "^[0-9]{1,12}$"}),
]


class Asking:
    """One request: what it reads is `at` a time, and whoever asks may read what the rules of `now` allow."""

    def __init__(self, request: Request, at: str | None = None) -> None:
        self.request = request
        self.serving: Serving = request.app.state.serving
        self._caller: Caller | None = request.scope.get("state", {}).get("caller")
        self.now: Snapshot = self.serving.registry.snapshot()
        self.at: Snapshot = self.serving.registry.snapshot(at) if at is not None else self.now

    @property
    def is_now(self) -> bool:
        """Whether what is read is what main says now, at whatever time it was asked for."""
        return self.at.commit == self.now.commit

    def at_commit(self, commit: str | None) -> Snapshot:
        """Read the registry at a commit, which must be one that main was at; at the newest where none is named."""
        if commit is None or commit == self.now.commit:
            return self.now
        repository = self.now.repository
        info = repository.objects.info(commit) if is_oid(commit) else None
        if info is None or info.type != "commit" or not is_on_first_parent_chain(repository, commit, self.now.commit):
            raise InvalidError(
                f"{commit[:64]!r} is no commit of main", hint="send a Gitreg-Commit, or an event's commit"
            )
        return Snapshot(repository, commit)

    @property
    def caller(self) -> Caller:
        """Who asks; UnauthenticatedError where nobody is known."""
        if self._caller is None:
            raise UnauthenticatedError("this needs to know who you are", hint="send a token: Authorization: Bearer …")
        return self._caller

    @cached_property
    def readable(self) -> Readable:
        """Which models they may read."""
        return self.serving.readers.readable(self.now.access, self.caller)

    def model(self, project: str, model: str) -> ModelName:
        """Check a model's name, and that they may read it; the answer says nothing of whether it exists."""
        return self.named(f"{project}/{model}")

    def named(self, text: str) -> ModelName:
        """Check a model's name as `project/name`, and that they may read it."""
        name = ModelName.parse(text)
        if not self.readable(name):
            require(self.now.access, self.caller, Action.READ, name)
        return name

    def selector(self, project: str, model: str, which: str) -> Selector:
        """Check what names a version, and that they may read its model."""
        return Selector.parse(f"{self.model(project, model)}@{which}")

    def parsed(self, text: str) -> Selector:
        """Check `project/name@which`, and that they may read the model."""
        found = Selector.parse(text)
        self.named(str(found.model))
        return found

    def unchanged(self, about: ModelName | Selector | None = None) -> Response | None:
        """Answer 304 where all that is told is as it was at the commit that the client has its answer of.

        It is told of a model, of a version, or of all there are. NotFoundError where that is not there.
        """
        found = self._unchanged(about.model if isinstance(about, Selector) else about)
        if found is None:
            return None
        if isinstance(about, Selector):
            reads.found(self.at, about)
        elif about is not None:
            self.at.model(about)
        return found

    def told(self, value: object) -> Response:
        """Answer with what is told of any of all models; or 304, where the client has it."""
        return self.unchanged() or answer(value, self.at.commit)

    def _unchanged(self, name: ModelName | None) -> Response | None:
        commit = self.at.commit
        if found := unchanged(self.request, commit):
            return found
        if name is None and not self.readable.everything:
            return None  # it would tell whether it was models that changed, which may be others
        for tag in sorted(filter(is_oid, tags_of(self.request)))[:_MOST_TAGS]:
            info = self.at.repository.objects.info(tag)
            if info is not None and info.type == "commit" and self._is_same(name, tag):
                return unchanged(self.request, tag, commit)
        return None

    def _is_same(self, name: ModelName | None, commit: str) -> bool:
        """Compare git's ids of what the answers are made of."""
        objects, now = self.at.repository.objects, self.at.commit
        return all(objects.at(commit, path) == objects.at(now, path) for path in self._about(name))

    def _about(self, name: ModelName | None) -> Iterator[str]:
        yield from (SETTINGS, ACCESS)
        if name is None:
            yield from (MODELS, APPROVALS, DEPLOYMENTS, STATUS)
            return
        yield from (f"{MODELS}/{name}", f"{APPROVALS}/{name}")
        for environment in self.at.environments():
            yield from (deployment_path(environment, name), status_path(environment, name))

    def may_register(self) -> None:
        """Raise DeniedError where they may register nothing at all, and so need to store no files."""
        user = self.caller.require_user()
        scopes = self.caller.scopes
        wanted = {Action.REGISTER, Action.ADMIN}
        in_scope = scopes is None or bool(scopes & wanted)
        if in_scope and any(
            each.allows and wanted & {*each.grant.actions} for each in actions_of(self.now.access, user)
        ):
            return
        raise DeniedError(f"{user} may register nothing here", hint="ask an admin for a grant in access.yaml")


async def questioning(request: Request) -> AsyncIterator[None]:
    """Let one caller ask only so much at once of what takes long; the rest waits its turn, or is told to come again."""
    caller: Caller | None = request.scope.get("state", {}).get("caller")
    serving: Serving = request.app.state.serving
    async with serving.questions.turn(caller.key if caller else ""):
        yield


LONG = [Depends(questioning)]
"""What may take its time."""


def after(cursor: str | None, names: list[str]) -> int:
    """Find where a sorted list of models goes on behind a cursor, the last name given out; InvalidError for another."""
    from bisect import bisect_right

    if cursor is None:
        return 0
    try:
        ModelName.parse(cursor)
    except InvalidError as error:
        raise _no_cursor(cursor) from error
    return bisect_right(names, cursor)


def number(cursor: str | None) -> int:
    """Read a cursor that counts; InvalidError for any other."""
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 12):  # noqa: PLR2004
        raise _no_cursor(cursor)
    return int(cursor)


def _no_cursor(text: str) -> InvalidError:
    return InvalidError(f"{text[:40]!r} is no cursor of this list", hint="send `next` of the answer before")
