"""Bodies, turns and endings by themselves."""

from __future__ import annotations

import asyncio
import gzip
import os
import subprocess
import sys
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.git.http import RECEIVE, UPLOAD, Asked, Rpc
from gitreg.git.serve import Limits, Served
from gitreg.server.bodies import Body, GoneError, Gunzip, TooLongError
from gitreg.server.githttp import AskedError, Ending, asked_of
from gitreg.server.places import shared
from gitreg.server.turns import Bounds, BusyError, Turns
from tests.gate_hooks.support import run
from tests.server.serving import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

MESSAGES = list[dict[str, Any]]


def _body(messages: MESSAGES, *, most: int = 1 << 20, is_gzip: bool = False) -> Body:
    left = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(left, {"type": "http.disconnect"})

    return Body(receive, most=most, is_gzip=is_gzip)


def _messages(data: bytes, size: int) -> MESSAGES:
    cut = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    return [
        {"type": "http.request", "body": each, "more_body": number < len(cut)} for number, each in enumerate(cut, 1)
    ]


async def _read(body: Body) -> list[bytes]:
    return [piece async for piece in body.pieces()]


@hypothesis.given(data=st.binary(max_size=300), size=st.integers(1, 50))
def test_a_body_comes_out_as_it_was_however_it_is_cut(data: bytes, size: int) -> None:
    assert b"".join(asyncio.run(_read(_body(_messages(data, size))))) == data
    packed = _messages(gzip.compress(data), size)
    assert b"".join(asyncio.run(_read(_body(packed, is_gzip=True)))) == data


@hypothesis.given(data=st.binary(min_size=1, max_size=300), size=st.integers(1, 50), cut=st.integers(1, 20))
def test_of_a_gzip_body_that_is_not_whole_the_last_piece_does_not_come_out(data: bytes, size: int, cut: int) -> None:
    found: list[bytes] = []

    async def read() -> None:
        body = _body(_messages(gzip.compress(data)[:-cut], size), is_gzip=True)
        found.extend([piece async for piece in body.pieces()])

    with pytest.raises(InvalidError):
        asyncio.run(read())
    assert b"".join(found) != data


def test_a_piece_of_gzip_comes_out_in_pieces_that_are_bounded() -> None:
    pieces = list(Gunzip().feed(gzip.compress(bytes(10 << 20))))
    assert sum(map(len, pieces)) == 10 << 20
    assert max(map(len, pieces)) <= 1 << 17


def test_a_body_is_counted_as_it_comes_and_as_it_is_unpacked() -> None:
    for data, is_gzip in ((bytes(1001), False), (gzip.compress(bytes(1001)), True), (os.urandom(2000), False)):
        with pytest.raises(TooLongError):
            asyncio.run(_read(_body(_messages(data, 100), most=1000, is_gzip=is_gzip)))


def test_a_body_that_breaks_off_is_not_taken_for_a_whole_one() -> None:
    with pytest.raises(GoneError):
        asyncio.run(_read(_body([{"type": "http.request", "body": b"a", "more_body": True}])))


# Turns


def test_so_many_at_once_few_of_one_and_the_rest_wait() -> None:
    most = dict[str, int]()

    async def work(turns: Turns, who: str, now: dict[str, int]) -> None:
        async with turns.turn(who):
            for key in (who, "all"):
                now[key] = now.get(key, 0) + 1
                most[key] = max(most.get(key, 0), now[key])
            for _ in range(3):
                await asyncio.sleep(0)
            for key in (who, "all"):
                now[key] -= 1

    async def everybody() -> Turns:
        turns, now = Turns(Bounds(at_once=3, of_one=2)), dict[str, int]()
        await asyncio.gather(*(work(turns, who, now) for who in "aaaaaabbbbcc"))
        return turns

    turns = asyncio.run(everybody())
    assert (most["a"], most["all"]) == (2, 3)
    assert max(most["b"], most["c"]) <= 2
    assert not turns._own
    assert not turns._users


def test_who_waits_too_long_or_behind_too_many_is_told_to_come_again() -> None:
    async def crowd() -> list[type[BaseException] | None]:
        turns = Turns(Bounds(at_once=1, of_one=1, waiting=1, patience=0.05))

        async def late(who: str) -> type[BaseException] | None:
            try:
                async with turns.turn(who):
                    return None
            except BusyError as error:
                return type(error)

        async with turns.turn("a"):
            found = await asyncio.gather(late("b"), late("c"))
        return [*found, await late("d")]

    assert asyncio.run(crowd()) == [BusyError, BusyError, None]


_WORKER = """
import asyncio, sys
from pathlib import Path
from gitreg.server.places import shared
from gitreg.server.turns import Bounds, Turns

async def work():
    turns = Turns(Bounds(at_once=2, of_one=1), shared(Path(sys.argv[1]), "work"))
    async with turns.turn("a"):
        print("begun", flush=True)
        sys.stdin.read()

asyncio.run(work())
"""


def test_workers_take_the_same_places_and_one_that_is_killed_leaves_them(tmp_path: Path) -> None:
    turns = Turns(Bounds(at_once=2, of_one=1, patience=PATIENCE), shared(tmp_path, "work"))
    hasty = Turns(Bounds(at_once=2, of_one=1, patience=0.05), turns._shared)

    async def takes(turns: Turns, who: str) -> bool:
        try:
            async with turns.turn(who):
                return True
        except BusyError:
            return False

    async def meet(worker: subprocess.Popen[bytes]) -> None:
        assert not await takes(hasty, "a")  # one place of a's own, which the worker has
        async with hasty.turn("b"):
            assert not await takes(hasty, "c")  # two places for all
        assert await takes(hasty, "c")
        worker.kill()
        assert await takes(turns, "a")

    command = [sys.executable, "-c", _WORKER, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == b"begun\n"
        asyncio.run(meet(worker))


def test_who_waits_for_places_of_their_own_keeps_nobody_else_out() -> None:
    async def crowd() -> bool:
        turns = Turns(Bounds(at_once=2, of_one=1, waiting=1, waiting_of_one=3, patience=30))
        end = asyncio.Event()

        async def greedy() -> None:
            async with turns.turn("a"):
                await end.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(greedy())
            await asyncio.sleep(0)
            with pytest.raises(BusyError):
                async with turns.turn("a"):
                    pass
            async with turns.turn("b"):
                end.set()
        return not turns._users

    assert asyncio.run(crowd())


# What is asked for


@pytest.mark.parametrize(
    ("method", "path", "query", "kind", "asked"),
    [
        ("GET", "/info/refs", b"service=git-upload-pack", b"", Asked(UPLOAD, is_advertisement=True)),
        ("GET", "/info/refs", b"x=1&service=git-receive-pack", b"", Asked(RECEIVE, is_advertisement=True)),
        (
            "POST",
            "/git-upload-pack",
            b"",
            b"application/x-git-upload-pack-request",
            Asked(UPLOAD, is_advertisement=False),
        ),
        ("GET", "/git-upload-pack", b"", b"", HTTPStatus.METHOD_NOT_ALLOWED),
        ("POST", "/git-upload-pack", b"", b"text/plain", HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
        ("GET", "/info/refs", b"service=git-upload-pack%00", b"", HTTPStatus.FORBIDDEN),
        ("GET", "/info/refs", b"&" * 5000 + b"service=git-upload-pack", b"", HTTPStatus.FORBIDDEN),
        ("GET", "/info/refs/", b"service=git-upload-pack", b"", HTTPStatus.NOT_FOUND),
        ("GET", "//info/refs", b"service=git-upload-pack", b"", HTTPStatus.NOT_FOUND),
    ],
)
def test_what_is_asked_for(method: str, path: str, query: bytes, kind: bytes, asked: Asked | HTTPStatus) -> None:
    headers = [(b"content-type", kind)]
    scope = {"method": method, "path": f"/registry.git{path}", "query_string": query, "headers": headers}
    if isinstance(asked, Asked):
        assert asked_of(scope) == asked
        return
    with pytest.raises(AskedError) as caught:
        asked_of(scope)
    assert caught.value.status == asked


# Endings


def test_a_fetch_that_git_does_not_finish_in_time_is_ended(tmp_path: Path) -> None:
    run(["git", "init", "--quiet", "--bare", "r.git"], tmp_path)

    async def ask() -> tuple[str, int]:
        limits = Limits(idle=0, total=60)
        rpc = Rpc(tmp_path / "r.git", Asked(UPLOAD, is_advertisement=False), dict(os.environ), limits)
        why = await asyncio.wait_for(rpc.watch(), 30)
        await rpc.end(by_force=True)
        return why, rpc.told(why).code

    why, code = asyncio.run(ask())
    assert why == "no byte for 0 s"
    assert code != 0


@pytest.mark.parametrize(
    ("served", "outcome"),
    [
        (Served(0, (("a", "b", "c"),), "ok", {}, "", None), "accepted"),
        (Served(0, (("a", "b", "c"),), "unpacker error", {}, "", None), "refused"),
        (Served(0, (), None, {}, "", None), "served"),
        (Served(1, (), None, {}, "", None), "failed"),
        (Served(-9, (("a", "b", "c"),), None, {}, "", "gone"), "stopped"),
    ],
)
def test_how_a_request_ended(served: Served, outcome: str) -> None:
    assert Ending(Asked(RECEIVE, is_advertisement=False), served).outcome == outcome
