"""Tell what happened: the commits of main, and the gate's decisions."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from gitreg.access import Action
from gitreg.errors import InvalidError
from gitreg.git.history import first_parents
from gitreg.registry import reads
from gitreg.server.answers import COMMIT, encoded, page, untagged
from gitreg.server.auth.callers import require
from gitreg.server.rest.asking import (
    COMMIT_ID,
    LONG,
    MODEL_NAME,
    SOME,
    TIME,
    Asking,
    At,
    Counted,
    Cursor,
    Limit,
    number,
)
from gitreg.server.rest.routes import StrictRoute
from gitreg.wire import plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from gitreg.gate_hooks.audit.result import Verified
    from gitreg.git import Oid
    from gitreg.reader import LogEntry

router = APIRouter(tags=["events"], dependencies=LONG, route_class=StrictRoute)
_MOST_LOOKED_AT = 2000  # commits, of which the caller may hear perhaps of none
_SIGN_OF_LIFE = 10.0  # seconds
_MOST_BYTES = 8 << 20  # of a page of the audit log, and one entry more


@router.get("/events", summary="What happened on main")
def list_events(
    request: Request,
    after: Annotated[
        str | None, Query(max_length=64, description="The commit that was read up to.", json_schema_extra=COMMIT_ID)
    ] = None,
    limit: Limit = SOME,
) -> Response:
    """List the commits of main after one, oldest first, each with what it changed; `next` is the commit to go on from.

    Without `after` it begins with the first commit. Who may not read every model hears of those that they may, and an
    answer may be empty with more behind it: `next` is not the tip then.
    """
    from gitreg.git.values import is_oid

    asking = Asking(request)
    look = limit if _may_tell(asking) is None else _MOST_LOOKED_AT
    repository, tip = asking.at.repository, asking.at.commit
    is_known = after is None or is_oid(after)
    chosen = asking.serving.chain.after(repository, tip, after, look) if is_known else None
    if chosen is None:
        raise InvalidError(f"{str(after)[:64]!r} is no commit of main", hint="begin anew, without `after`")
    entries, end = _told(asking, chosen, limit)
    return page(entries, end or after, tip)


@router.get("/log", summary="What changed lately")
def list_log(
    request: Request,
    model: Annotated[str | None, Query(min_length=1, max_length=130, json_schema_extra=MODEL_NAME)] = None,
    limit: Limit = SOME,
    cursor: Annotated[Cursor, Query(json_schema_extra=COMMIT_ID)] = None,
    at: At = None,
) -> Response:
    """List the newest commits of main, or those about one model, newest first, each with what it changed.

    Who may not read every model hears of those that they may.
    """
    asking = Asking(request, at)
    name = asking.named(model) if model else None
    behind = asking.at_commit(cursor).commit if cursor is not None else None
    may_tell = _may_tell(asking)
    if name is None and may_tell is not None:
        chain = first_parents(asking.at.repository, behind or asking.at.commit, limit=_MOST_LOOKED_AT + 1)
        chosen = [each for each in chain if each != behind]
        entries, end = _told(asking, chosen[:_MOST_LOOKED_AT], limit)
        return page(entries, end if end and end != chosen[-1] else None, asking.at.commit)
    entries = reads.log(asking.at, name, limit, behind, may_tell)
    return page(entries, entries[-1].commit if len(entries) == limit else None, asking.at.commit)


def _may_tell(asking: Asking) -> Callable[[str], bool] | None:
    """Say of which paths the caller may hear; None where of all. Who may read nothing at all is refused."""
    if asking.readable.everything:
        return None
    if asking.readable.nothing:
        require(asking.now.access, asking.caller, Action.ADMIN, None)
    return asking.readable.of_path


def _told(asking: Asking, commits: Iterable[Oid], limit: int) -> tuple[list[LogEntry], Oid | None]:
    """Tell of commits what the caller may hear; and which was the last that was looked at."""
    from gitreg.reader.history import log_of

    may_tell = _may_tell(asking)
    entries: list[LogEntry] = []
    entry = None
    for entry in log_of(asking.at.repository, commits, may_tell=may_tell):
        if entry.changes or may_tell is None:
            entries.append(entry)
        if len(entries) == limit:
            break
    return entries, entry.commit if entry else None


@router.get("/audit", summary="The gate's decisions")
def list_audit(
    request: Request,
    since: Annotated[str | None, Query(min_length=1, max_length=40, json_schema_extra=TIME)] = None,
    until: Annotated[str | None, Query(min_length=1, max_length=40, json_schema_extra=TIME)] = None,
    actor: Annotated[str | None, Query(max_length=128)] = None,
    model: Annotated[
        str | None,
        Query(
            max_length=130,
            description="`project/name`; `*` stands for any part of either.",
            json_schema_extra={"pattern": "^[^/]+/[^/]+$", "examples": ["risk/*"]},
        ),
    ] = None,
    verdict: Annotated[str | None, Query(pattern="^(accepted|refused)$")] = None,
    limit: Limit = SOME,
    cursor: Counted = None,
) -> Response:
    """List the gate's decisions, refused ones included, oldest first; for admins. The ETag is the newest one's hash."""
    from gitreg.gate_hooks.audit import export, head
    from gitreg.reader.history import parse_time

    asking = Asking(request)
    require(asking.now.access, asking.caller, Action.ADMIN, None)
    wanted = export.Wanted(
        since=export.since(since) if since else None,
        until=parse_time(until) if until else None,
        actor=actor,
        model=export.pattern(model) if model else None,
        verdict=verdict,
    )
    tag = head(asking.serving.git_dir)
    found, size = list[dict[str, Any]](), 0
    for each in export.placed(asking.serving.git_dir, wanted, number(cursor)):
        found.append(each.members)
        size += len(each.line)
        if len(found) == limit or size > _MOST_BYTES:
            return page(found, str(each.end), asking.at.commit, tag=tag)
    return page(found, None, asking.at.commit, tag=tag)


@router.get("/audit/verify", summary="Prove the audit log")
async def verify_audit(request: Request) -> Response:
    """Check that no decision was altered, left out or put in, and that main is what they made it; for admins.

    One is proved at a time. Where it takes long, spaces come before the answer, of which JSON takes no notice; they
    keep the line open.
    """
    asking = Asking(request)
    require(asking.now.access, asking.caller, Action.ADMIN, None)
    proving = asyncio.create_task(_proved(asking))
    done, _ = await asyncio.wait({proving}, timeout=_SIGN_OF_LIFE)
    if done:
        return untagged(proving.result(), asking.at.commit)
    return StreamingResponse(_as_it_comes(proving), headers={COMMIT: asking.at.commit}, media_type="application/json")


async def _proved(asking: Asking) -> Verified:
    from gitreg.gate_hooks.audit import proof

    async with asking.serving.proving:
        return await run_in_threadpool(proof.verify, asking.at.repository)


async def _as_it_comes(proving: asyncio.Task[Verified]) -> AsyncIterator[bytes]:
    """Give a space now and then, and the answer; where there is none the answer is cut off, and the log has why."""
    try:
        while not proving.done():
            yield b" "
            await asyncio.wait({proving}, timeout=_SIGN_OF_LIFE)
        yield encoded(plain(proving.result()))
    finally:
        proving.cancel()
