"""What one caller may not learn of others' models, and may not take from other callers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import resource
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from starlette.requests import Request

from gitreg.cli import serve as cli_serve
from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from gitreg.git import Repository
from gitreg.git.history import first_parents
from gitreg.objects import LocalStore
from gitreg.server import chain
from gitreg.server.arriving import SlowError
from gitreg.server.rest import finding
from gitreg.server.turns import Bounds, Turns
from gitreg.server.uploads import Uploads
from tests.server.githttp.site import ACCESS, make_registry
from tests.server.rest.client import problem, registering, serve
from tests.server.serving import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from tests.server.rest.client import Rest


def test_the_past_is_read_by_the_rules_of_now(tmp_path: Path) -> None:
    make_registry(tmp_path / "models.git")
    with serve(tmp_path / "models.git") as rest:
        file = {"path": "w.bin", **rest.store(b"weights of then"), "format": "safetensors"}
        name = rest.model("1.0.0", artifacts=[file])
        deploy = {"model": name, "version": "1.0.0", "environment": "dev", "reason": "A test."}
        rest.ask("POST", "/models/deploy", json=deploy)
        with Repository.open(rest.path) as repository:
            then = int(repository.run(["log", "-1", "--format=%ct", "main"]))
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(then))
        wait_for(lambda: time.time() >= then + 1)
        version = f"/models/{name}/versions/1.0.0"
        paths = [f"/models/{name}", version, f"{version}/lineage", f"{version}/files/w.bin", f"/models/{name}/versions"]
        paths += [f"/models/{name}/card", f"/models/version?model={name}", f"/log?model={name}", "/log"]
        paths += [f"/deployments?model={name}", f"/deployments/dev/{name}"]
        allowed = {rest.ask("GET", path, "alice", params=params(path, at)).status_code for path in paths}
        assert allowed <= {200, 404}
        rest.put("access.yaml", type(ACCESS)(grants=ACCESS.grants[-1:]).to_bytes())
        for path in paths:
            problem(rest.ask("GET", path, "alice", params=params(path, at)), 403)
        for path in ("/models", "/deployments"):
            assert rest.ask("GET", path, "alice", params={"at": at}).json()["items"] == []
            assert rest.ask("GET", path, params={"at": at}).status_code == 200


def params(path: str, at: str) -> dict[str, str]:
    """Add the time to the questions that a path has."""
    return {**dict(each.split("=") for each in path.partition("?")[2].split("&") if each), "at": at}


def test_the_cursor_of_a_search_tells_nothing_of_rows_that_one_may_not_read(rest: Rest) -> None:
    scores = {"risk/light1": 0.5, "risk/light2": 0.1, "audio/dark1": 0.987654, "audio/dark2": 0.3, "risk/light3": 0.05}
    for model, score in scores.items():
        body = registering(model, "1.0.0", metrics={"hushed": score})
        assert rest.ask("POST", "/models/register", json=body).status_code == 201
    query = {"q": "metrics.hushed > 0", "order_by": "metrics.hushed DESC", "limit": "1"}
    found, cursor = [], None
    for _ in range(10):
        answer = rest.ask("GET", "/search", "mole", params={**query, **({"cursor": cursor} if cursor else {})}).json()
        found += [row["model"] for row in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
        said = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        assert b"dark" not in said
        assert b"0.987654" not in said
    assert found == ["risk/light1", "risk/light2", "risk/light3"]


def test_what_may_take_long_is_bounded_for_each_caller(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go_on = threading.Event(), threading.Event()
    real: Callable[..., Any] = finding._search

    def slow(asking: Any, wanted: Any) -> Any:  # noqa: ANN401
        if wanted.limit == 7:
            asked.set()
            assert go_on.wait(PATIENCE)
        return real(asking, wanted)

    monkeypatch.setattr(finding, "_search", slow)
    bounds = Turns(Bounds(at_once=2, of_one=1, waiting_of_one=0))
    before = rest.serving.questions
    object.__setattr__(rest.serving, "questions", bounds)
    query = {"q": "model = 'risk/fraud'"}
    try:
        with rest.client("alice") as client, ThreadPoolExecutor(1) as pool:
            first = pool.submit(client.get, "/search", params={**query, "limit": 7})
            try:
                assert asked.wait(PATIENCE)
                busy = rest.ask("GET", "/search", "alice", params=query)
                problem(busy, 503)
                assert int(busy.headers["retry-after"]) > 0
                assert rest.ask("GET", "/search", "bob", params=query).status_code == 200
                assert rest.ask("GET", "/models", "alice").status_code == 200
            finally:
                go_on.set()
            assert first.result(PATIENCE).status_code == 200
    finally:
        object.__setattr__(rest.serving, "questions", before)


def test_there_are_fewer_connections_than_files_and_as_many_files_as_there_may_be() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(before[0], 512), before[1]))
        most = cli_serve._most_connections()
        now = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert 64 <= most <= 4096
    assert now == (8192 if before[1] == resource.RLIM_INFINITY else min(8192, before[1]))


def test_events_are_read_from_the_beginning_without_walking_again(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[str] = []

    def walk(repository: Repository, tip: str, since: str | None = None) -> Iterator[str]:
        walks.append(tip)
        return first_parents(repository, tip, since)

    monkeypatch.setattr(chain, "first_parents", walk)
    rest.model("1.0.0")
    with Repository.open(rest.path) as repository:
        expected = repository.run(["rev-list", "--first-parent", "--reverse", "main"]).decode().split()
        kept, found, after = chain.Chain(), list[str](), None
        while part := kept.after(repository, expected[-2], after, 3):
            found += part
            after = part[-1]
        assert found == expected[:-1]
        assert len(walks) == 1
        assert kept.after(repository, expected[-1], after, 3) == expected[-1:]
        assert kept.after(repository, expected[0], None, 3) == expected[:1]
        assert kept.after(repository, expected[0], expected[1], 3) is None
        assert kept.after(repository, expected[-1], "0" * 40, 3) is None
        assert walks == expected[-2:]


def test_the_order_of_events_outlives_the_process_and_damage(
    rest: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain, "_WORTH", 1)
    rest.model("1.0.0")
    path = tmp_path / "gitreg" / chain.NAME
    with Repository.open(rest.path) as repository:
        expected = repository.run(["rev-list", "--first-parent", "--reverse", "main"]).decode().split()
        tip, many = expected[-1], len(expected) + 1
        assert chain.Chain(path).after(repository, expected[-2], None, many) == expected[:-1]
        wait_for(path.exists)
        monkeypatch.setattr(chain, "_WORTH", 1 << 40)
        whole = path.read_bytes()
        walks: list[str | None] = []

        def walk(repository: Repository, tip: str, since: str | None = None) -> Iterator[str]:
            walks.append(since)
            return first_parents(repository, tip, since)

        monkeypatch.setattr(chain, "first_parents", walk)
        assert chain.Chain(path).after(repository, tip, None, many) == expected
        assert walks.pop() == expected[-2]
        foreign = hashlib.sha256(b"1" * 20).digest() + b"1" * 20
        for damaged in (whole[:-1], whole[:-20], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:], b"", foreign):
            path.write_bytes(damaged)
            assert chain.Chain(path).after(repository, tip, None, many) == expected
            assert walks.pop() is None
        assert not walks


def test_whoever_follows_events_waits_for_no_long_history(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    def slow(repository: Repository, tip: str, since: str | None = None) -> Iterator[str]:
        assert go_on.wait(PATIENCE)
        return first_parents(repository, tip, since)

    monkeypatch.setattr(chain, "first_parents", slow)
    rest.model("1.0.0")
    with Repository.open(rest.path) as repository:
        expected = repository.run(["rev-list", "--first-parent", "--reverse", "main"]).decode().split()
        hasty = chain.Chain(patience=0.05)
        with pytest.raises(UnavailableError, match="for the first time"):
            hasty.after(repository, expected[-1], None, 3)
        assert hasty.after(repository, expected[-1], expected[-3], 3) == expected[-2:]
        assert hasty.after(repository, expected[-1], expected[-1], 3) == []
        go_on.set()
        wait_for(lambda: hasty._tip is not None)
        assert hasty.after(repository, expected[-1], None, 3) == expected[:3]


# Uploads


def sending(pieces: AsyncIterator[bytes], size: int) -> Request:
    """Make a request whose body comes piece by piece."""

    async def receive() -> dict[str, Any]:
        async for piece in pieces:
            return {"type": "http.request", "body": piece, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "method": "PUT", "headers": [(b"content-length", str(size).encode())]}
    return Request(scope, receive)


def test_uploads_take_no_threads_from_others(tmp_path: Path) -> None:
    data = b"at last"

    async def run() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def pieces() -> AsyncIterator[bytes]:
            begun.set()
            await go_on.wait()
            yield data

        uploads = Uploads()
        digest = Digest(hashlib.sha256(data).hexdigest())
        task = asyncio.create_task(uploads.take(sending(pieces(), len(data)), LocalStore(tmp_path), digest, "alice"))
        try:
            await asyncio.wait_for(begun.wait(), PATIENCE)
            assert await asyncio.wait_for(asyncio.to_thread(lambda: 1), PATIENCE) == 1
        finally:
            go_on.set()
            assert await task == len(data)
            uploads.close()

    asyncio.run(run())


def test_an_upload_that_trickles_is_ended(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(2000):
            await asyncio.sleep(0.01)
            yield b"x"

    async def run() -> None:
        uploads = Uploads(patience=0.2, least=1e9)
        digest = Digest(hashlib.sha256(b"x" * 2000).hexdigest())
        with pytest.raises(SlowError):
            await uploads.take(sending(pieces(), 2000), LocalStore(tmp_path), digest, "alice")
        uploads.close()

    asyncio.run(run())
