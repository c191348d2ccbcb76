from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from gitreg.errors import UnavailableError
from gitreg.objects import LocalStore
from gitreg.server.idempotency import Remembered
from gitreg.server.operations.metrics import Meters
from gitreg.server.operations.readiness import Check, Readiness, probes
from gitreg.server.operations.routes import routes
from tests.gate_hooks.support import run
from tests.server.githttp.site import make_registry

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="module")
def made(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_registry(folder / "models.git")
    return folder


@pytest.fixture
def git_dir(made: Path, tmp_path: Path) -> Path:
    run(["cp", "-a", str(made), str(tmp_path / "srv")], tmp_path)
    return tmp_path / "srv" / "models.git"


def _found(git_dir: Path, *, is_replica: bool = False) -> dict[str, str]:
    """Look, and give what is wrong with each thing that is."""
    store = LocalStore(git_dir.parent / "store")
    looked = asyncio.run(Readiness(probes(git_dir, lambda: store, is_replica=is_replica)).checks())
    return {each.name: each.message for each in looked if not each.fine}


def test_a_registry_in_order_is_ready(git_dir: Path) -> None:
    assert _found(git_dir) == {}


def test_each_thing_that_is_wrong_is_named(git_dir: Path) -> None:
    (git_dir / "hooks" / "pre-receive").chmod(0o644)
    (git_dir / "gitreg" / "audit.jsonl").write_bytes(b"")
    found = _found(git_dir)
    assert set(found) == {"gate", "log"}
    assert "not executable" in found["gate"]
    assert "cut off" in found["log"] or "audit" in found["log"]


def test_a_registry_of_before_a_setting_was_asked_for_is_ready(git_dir: Path) -> None:
    """Its pushes are judged and logged as they were; `serve` says so at its start, and the doctor."""
    run(["git", "config", "--unset", "core.fsync"], git_dir)
    assert _found(git_dir) == {}
    run(["git", "config", "receive.fsckObjects", "false"], git_dir)
    assert "receive.fsckObjects" in _found(git_dir)["gate"]
    run(["git", "config", "receive.fsckObjects", "true"], git_dir)
    run(["git", "config", "--unset", "gitreg.identity"], git_dir)
    assert "gitreg.identity" in _found(git_dir)["gate"]


@pytest.mark.parametrize(("age", "is_ready"), [(-3600, True), (60, False), (3600, True)])
def test_a_lock_that_keeps_main_from_being_written_is_told_and_an_old_one_taken_away(
    git_dir: Path, age: int, *, is_ready: bool
) -> None:
    lock = git_dir / "refs" / "heads" / "main.lock"
    lock.touch()
    then = time.time() - age
    os.utime(lock, (then, then))
    found = _found(git_dir)
    assert ("main.lock" not in found.get("writes", "")) == is_ready
    assert found.keys() <= {"writes"}
    assert lock.exists() == (age < 3600)


def test_a_server_that_can_note_no_request_is_not_ready(git_dir: Path) -> None:
    remembered = Remembered(git_dir)
    looked = Readiness(
        probes(git_dir, lambda: LocalStore(git_dir.parent / "store"), remembers=remembered.check), kept=-1
    )

    async def writes() -> Check:
        return next(each for each in await looked.checks() if each.name == "writes")

    with contextlib.closing(remembered):
        assert asyncio.run(writes()).fine
        remembered.opened().execute("PRAGMA query_only = ON")
        assert "cannot be looked up" in asyncio.run(writes()).message
        remembered.opened().execute("PRAGMA query_only = OFF")
        assert asyncio.run(writes()).fine


def test_without_main_or_repository_nothing_is_ready(git_dir: Path) -> None:
    run(["git", "update-ref", "-d", "refs/heads/main"], git_dir)
    assert "no branch main" in _found(git_dir)["repository"]
    git_dir.rename(git_dir.with_name("elsewhere"))
    assert {"repository", "gate", "log"} <= set(_found(git_dir))


def test_a_replica_needs_neither_gate_nor_log(git_dir: Path, tmp_path: Path) -> None:
    mirror = tmp_path / "mirror.git"
    run(["git", "clone", "--quiet", "--mirror", str(git_dir), str(mirror)], tmp_path)
    store = LocalStore(git_dir.parent / "store")
    looked = asyncio.run(Readiness(probes(mirror, lambda: store, is_replica=True)).checks())
    assert [(each.name, each.fine) for each in looked] == [("repository", True), ("store", True)]


def test_a_store_that_does_not_answer_is_not_waited_for_and_not_asked_twice(
    caplog: pytest.LogCaptureFixture,
) -> None:
    release, asked = threading.Event(), list[int]()

    def hangs() -> None:
        asked.append(1)
        release.wait(60)

    async def look() -> None:
        readiness = Readiness({"store": hangs, "other": lambda: None}, kept=0, patience=0.05)
        for _ in range(3):
            checks = {each.name: each for each in await readiness.checks()}
            assert checks["other"].fine
            assert "no answer within 0.05 s" in checks["store"].message
        release.set()

    asyncio.run(look())
    assert asked == [1]
    assert [record.message for record in caplog.records if "not ready" in record.message] == [
        "not ready: store: no answer within 0.05 s"
    ]


def test_what_was_found_is_kept_for_a_while_and_asked_anew_after_it() -> None:
    asked: list[int] = []

    async def look(kept: float) -> None:
        readiness = Readiness({"x": lambda: asked.append(1)}, kept=kept)
        await asyncio.gather(*(readiness.checks() for _ in range(5)))

    asyncio.run(look(3600))
    assert len(asked) == 1
    asyncio.run(look(-1))
    assert len(asked) == 6


def _client(*probe: tuple[str, Callable[[], object]]) -> TestClient:
    return TestClient(Starlette(routes=routes(Readiness(dict(probe)), Meters())))


def _broken() -> None:
    raise UnavailableError("s3://secret-bucket does not answer")


def test_strangers_are_told_yes_and_no_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    client = _client(("repository", lambda: None), ("store", _broken))
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()) == (
        503,
        {"ready": False, "checks": {"repository": True, "store": False}},
    )
    assert "secret-bucket" in caplog.text
    assert client.get("/healthz").text == "ok\n"


def test_a_check_can_be_left_out(caplog: pytest.LogCaptureFixture) -> None:
    client = _client(("repository", lambda: None), ("store", _broken))
    assert client.get("/readyz?exclude=store").json() == {"ready": True, "checks": {"repository": True}}
    assert client.get("/readyz?exclude=everything").status_code == 400


def test_metrics_are_in_prometheus_format() -> None:
    answer = _client(("x", lambda: None)).get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert "# TYPE gitreg_http_requests_total counter" in answer.text
