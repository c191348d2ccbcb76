"""Carry out a write: who may, under which condition, once however often it is sent; and answer with its commit."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

from starlette.responses import Response

from gitreg.access import Action
from gitreg.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    PreconditionError,
)
from gitreg.git.values import is_oid
from gitreg.layout import Kind, place
from gitreg.records import dataclass, replace
from gitreg.server import idempotency
from gitreg.server.answers import COMMIT, answer
from gitreg.server.auth.callers import may_read, permission, require
from gitreg.server.auth.errors import UnauthenticatedError
from gitreg.server.serving import UnfinishedError, Wanted
from gitreg.writer.once import LandedError, once

if TYPE_CHECKING:
    from starlette.requests import Request

    from gitreg.names import EnvironmentName, ModelName
    from gitreg.reader import Snapshot
    from gitreg.server.auth.callers import Caller
    from gitreg.server.serving import Serving
    from gitreg.writer.plan import Planner, Written

_CREATED = 201
_TAG = re.compile(r'"([0-9a-f]{40}(?:[0-9a-f]{24})?)"')
# What these say is certain; whatever else goes wrong may do so after main has moved.
_NOTHING_CHANGED = (InvalidError, NotFoundError, ConflictError, DeniedError, UnauthenticatedError)
# A longer answer is kept without what it tells of the version or the model.
_MOST_KEPT = 16 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """A write of one model: its plan, and the actions any one of which allows it.

    It `refers` to other models, as to parents: the caller has to be allowed to read them, for what is said of the plan
    tells what there is.
    """

    model: ModelName
    planner: Planner
    actions: tuple[Action, ...]
    environment: EnvironmentName | None = None
    creates: bool = False
    refers: tuple[ModelName, ...] = ()


class _Sent:
    """The request that carries a write."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.serving: Serving = request.app.state.serving
        caller: Caller | None = request.scope.get("state", {}).get("caller")
        if caller is None:
            raise UnauthenticatedError("this needs to know who you are", hint="send a token: Authorization: Bearer …")
        self.caller = caller
        self.at: Snapshot = self.serving.registry.snapshot()

    @property
    def expected(self) -> str | None:
        """The commit that was read, of If-Match; None where nothing is demanded."""
        said = self.request.headers.get("if-match")
        if said is None or said.strip() == "*":
            return None
        found = _TAG.fullmatch(said.strip())
        if found is None or not is_oid(found[1]):
            raise PreconditionError(
                "If-Match is no ETag of a commit", hint='send one strong ETag, that of what was read: "…"; or *'
            )
        return found[1]

    @property
    def dry_run(self) -> bool:
        """Whether nothing shall be written."""
        said = self.request.query_params.get("dry_run", "false")
        if said not in {"true", "false"}:
            raise InvalidError(f"dry_run is {said[:20]!r}", hint="true or false")
        return said == "true"

    def allow(self, write: Write) -> None:
        """Refuse, before anything is planned, who may not: the answer must not tell what is there.

        The gate has the last word: it knows which of the actions the change really needs.
        """
        access = self.at.access
        self.caller.require_user()
        for name in dict.fromkeys(write.refers):
            if name != write.model:
                require(access, self.caller, Action.READ, name)
        if any(
            permission(access, self.caller, action, write.model, write.environment).allowed for action in write.actions
        ):
            return
        require(access, self.caller, write.actions[0], write.model, write.environment)

    def may_read(self, write: Write) -> bool:
        """Whether they may be told of the model that they write to."""
        return may_read(self.at.access, self.caller, write.model)

    def told(self, written: Written, write: Write) -> Written:
        """Leave out what a write shows of a model that the caller may not read; what they register they brought."""
        if write.creates or self.may_read(write):
            return written
        note = f"what it changes is not shown: you may not read {write.model}"
        return replace(written, about=None, diff=None, notes=(*written.notes, note))

    async def once(self) -> idempotency.Request | None:
        """Name the request by its Idempotency-Key, where it has one that counts."""
        key = self.request.headers.get("idempotency-key")
        if key is None:
            return None
        url = f"{self.request.method} {self.request.url.path}?{self.request.url.query}\n"
        said = url.encode() + await self.request.body()
        found = idempotency.named(self.caller.key, key, said, self.at.commit)
        return None if self.dry_run else found


async def perform(request: Request, write: Write) -> Response:
    """Have a write judged and committed, and answer once it is on the disk."""
    sent = _Sent(request)
    sent.allow(write)
    name = await sent.once()
    if name is None:
        return _answered(await _written(sent, write), sent, write)
    before = await asyncio.to_thread(sent.serving.remembered.begin, name)
    if isinstance(before, idempotency.Answer):
        return _repeated(before)
    return await _first(sent, write, name, before)


async def _first(
    sent: _Sent, write: Write, name: idempotency.Request, before: idempotency.Abandoned | None
) -> Response:
    """Answer a request with a key that was not answered yet; it may have landed all the same."""
    remembered = sent.serving.remembered
    planner = once(write.planner, name.id, before.tip if before else name.tip, is_first=before is None)
    # Whoever began it before may be at work still: then nobody can say that nothing was changed.
    failed = remembered.undecided if before else remembered.failed
    try:
        written = await _written(sent, replace(write, planner=planner))
    except LandedError as error:
        written = error.written
    except UnfinishedError as error:
        error.future.add_done_callback(lambda _: remembered.undecided(name))
        raise
    except _NOTHING_CHANGED:
        await asyncio.to_thread(failed, name)
        raise
    except Exception:
        await asyncio.to_thread(remembered.undecided, name)
        raise
    response = _answered(written, sent, write)
    kept = bytes(response.body)
    if len(kept) > _MOST_KEPT:
        kept = bytes(_answered(replace(written, about=None, diff=None), sent, write).body)
    said = idempotency.Answer(status=response.status_code, body=kept, location=response.headers.get("location"))
    await asyncio.to_thread(remembered.done, name, said)
    return response


async def _written(sent: _Sent, write: Write) -> Written:
    wanted = Wanted(
        planner=write.planner,
        caller=sent.caller,
        expected=sent.expected,
        dry_run=sent.dry_run,
        models=(write.model,),
    )
    try:
        return await sent.serving.write(wanted)
    except NotFoundError as error:  # it tells what there is instead, and why what was there is gone
        if sent.may_read(write):
            raise
        hint = f"look at what you named; who may read {write.model} is told more"
        raise NotFoundError(f"there is nothing of {write.model} to do this to", hint=hint) from error


def _answered(written: Written, sent: _Sent, write: Write) -> Response:
    written = sent.told(written, write)
    commit = written.commit or sent.at.commit
    is_new = write.creates and written.commit is not None and not written.dry_run
    location = _location(written) if is_new else None
    return answer(
        written, commit, status=_CREATED if is_new else 200, headers={"Location": location} if location else {}
    )


def _location(written: Written) -> str | None:
    """Give the path of the version that was registered."""
    for path in written.paths:
        where = place(path)
        if where.kind is Kind.VERSION:
            return f"/models/{where.model}/versions/{where.version}"
    return None


def _repeated(before: idempotency.Answer) -> Response:
    """Give the answer that was given before, word for word."""
    import json

    commit = json.loads(before.body).get("commit")
    headers = {"Idempotency-Replayed": "true"}
    if commit:
        headers |= {"ETag": f'"{commit}"', COMMIT: commit}
    if before.location:
        headers["Location"] = before.location
    return Response(before.body, before.status, headers, media_type="application/json")
