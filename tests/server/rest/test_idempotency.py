from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import GitregError, IntegrityError, InvalidError, UnavailableError
from gitreg.server import idempotency, serving
from gitreg.server.idempotency import Abandoned, Answer, Remembered, named
from gitreg.server.problems import UnderwayError
from gitreg.server.rest import performing
from gitreg.writer import once
from tests.server.rest.client import problem, registering, serve
from tests.server.serving import PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from gitreg.writer.group import GroupWriter
    from gitreg.writer.plan import Written
    from gitreg.writer.staging import Change
    from tests.server.rest.client import Rest

TIP = "0" * 40
DONE = Answer(status=201, body=b"{}", location="/models/risk/m/versions/1.0.0")


@pytest.fixture
def remembered(tmp_path: Path) -> Iterator[Remembered]:
    with closing(Remembered(tmp_path)) as opened:
        yield opened


def test_a_request_is_begun_once_and_answered_ever_after(remembered: Remembered, tmp_path: Path) -> None:
    request = named("user:alice", "key", b"body", TIP)
    assert remembered.begin(request) is None
    with closing(Remembered(tmp_path)) as other:  # another process of the server
        with pytest.raises(UnderwayError):
            other.begin(request)
        remembered.done(request, DONE)
        assert other.begin(request) == DONE
        with pytest.raises(InvalidError, match="another request"):
            other.begin(named("user:alice", "key", b"other", TIP))
        assert other.begin(named("user:bob", "key", b"other", TIP)) is None


def test_what_changed_nothing_may_be_begun_again(remembered: Remembered) -> None:
    request = named("user:alice", "key", b"body", TIP)
    remembered.begin(request)
    remembered.failed(request)
    assert remembered.begin(request) is None


def test_what_may_have_landed_is_looked_for_from_where_main_was(remembered: Remembered) -> None:
    request = named("user:alice", "key", b"body", TIP)
    remembered.begin(request)
    remembered.undecided(request)
    assert remembered.begin(named("user:alice", "key", b"body", "1" * 40)) == Abandoned(tip=TIP)
    with pytest.raises(UnderwayError):
        remembered.begin(request)


def test_a_day_later_a_key_is_new(remembered: Remembered, monkeypatch: pytest.MonkeyPatch) -> None:
    request = named("user:alice", "key", b"body", TIP)
    remembered.begin(request)
    remembered.done(request, DONE)
    monkeypatch.setattr(idempotency, "KEPT", -1.0)
    assert remembered.begin(request) is None


def test_one_caller_cannot_fill_the_file(remembered: Remembered, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "MOST_OF_ONE", 3)
    own = named("user:bob", "key", b"body", TIP)
    remembered.begin(own)
    remembered.done(own, DONE)
    requests = [named("user:alice", f"key{number}", b"body", TIP) for number in range(5)]
    for each in requests:
        remembered.begin(each)
        remembered.done(each, DONE)
    assert remembered.begin(own) == DONE
    assert remembered.begin(requests[-1]) == DONE
    assert remembered.begin(requests[0]) is None


def test_a_damaged_file_is_made_anew(remembered: Remembered, tmp_path: Path) -> None:
    (tmp_path / "gitreg").mkdir()
    (tmp_path / "gitreg" / idempotency.NAME).write_bytes(b"this is no database" * 100)
    assert remembered.begin(named("user:alice", "key", b"body", TIP)) is None


def test_a_file_that_is_damaged_while_it_is_used_is_put_aside(tmp_path: Path) -> None:
    request, file = named("user:alice", "key", b"body", TIP), tmp_path / "gitreg" / idempotency.NAME
    with closing(Remembered(tmp_path)) as first:
        first.begin(request)
    whole = file.read_bytes()
    file.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    with closing(Remembered(tmp_path)) as opened:
        with pytest.raises(UnavailableError):
            opened.begin(request)
        assert opened.begin(request) is None
    assert file.with_name(f"{idempotency.NAME}.damaged").exists()


def test_a_long_answer_is_kept_in_short(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(performing, "_MOST_KEPT", 100)
    body, headers = registering("risk/long", "1.0.0"), {"Idempotency-Key": "long"}
    first = rest.ask("POST", "/models/register", json=body, headers=headers)
    again = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert first.json()["about"]
    assert again.json() == {key: value for key, value in first.json().items() if key != "about"}
    assert again.headers["location"] == first.headers["location"]


@pytest.mark.parametrize("kind", [UnavailableError, IntegrityError])
def test_a_write_that_cannot_be_confirmed_is_found_by_its_retry(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, kind: type[GitregError]
) -> None:
    real = type(rest.serving).write

    async def unconfirmed(*args: object) -> None:
        await real(*args)  # type: ignore[arg-type]
        raise kind("main has moved, and the disk does not confirm it")

    body, headers = registering(f"risk/{kind.__name__.lower()}", "1.0.0"), {"Idempotency-Key": kind.__name__}
    with monkeypatch.context() as faulty:
        faulty.setattr(type(rest.serving), "write", unconfirmed)
        first = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert problem(first, kind.http_status)
    assert ("retry-after" in first.headers) == (kind is UnavailableError)
    again = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert again.status_code == 201, again.text
    assert again.headers["location"] == f"/models/{body['model']}/versions/1.0.0"


# Two tries of one request at once


def _begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what was begun count as given up at once, as after two minutes."""
    monkeypatch.setattr(idempotency, "ABANDONED", -1.0)
    monkeypatch.setattr(once, "SURE", -1.0)


def test_what_a_process_is_at_it_begins_no_second_time(
    remembered: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _begins_anew(monkeypatch)
    request = named("user:alice", "key", b"body", TIP)
    remembered.begin(request)
    with pytest.raises(UnderwayError):
        remembered.begin(request)
    with closing(Remembered(tmp_path)) as other:  # to which the first is as good as gone
        assert other.begin(request) == Abandoned(tip=TIP)
        remembered.failed(request)  # the first comes to an end, and leaves the other's alone
        other.done(request, DONE)
        assert remembered.begin(request) == DONE


_KILLED = """
import sys, time
from pathlib import Path
from gitreg.server.idempotency import Remembered, named

remembered = Remembered(Path(sys.argv[1]))
assert remembered.begin(named("user:alice", "key", b"body", "0" * 40)) is None
print("begun", flush=True)
time.sleep(600)
"""


def test_what_a_killed_process_was_at_is_taken_over_once_it_cannot_land_unseen(
    remembered: Remembered, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert once.SURE < idempotency.GONE < idempotency.ABANDONED
    request = named("user:alice", "key", b"body", TIP)
    with subprocess.Popen([sys.executable, "-c", _KILLED, str(tmp_path)], stdout=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"begun\n"
        with monkeypatch.context() as patched:
            patched.setattr(idempotency, "GONE", -1.0)
            with pytest.raises(UnderwayError):
                remembered.begin(request)
        process.kill()
    with pytest.raises(UnderwayError):  # not at once: its commit may be under way
        remembered.begin(request)
    monkeypatch.setattr(idempotency, "GONE", -1.0)
    assert remembered.begin(request) == Abandoned(tip=TIP)
    (own,) = (tmp_path / "gitreg" / idempotency.AT_WORK).iterdir()
    assert own.name == remembered._living.name


def test_a_file_of_an_older_server_is_read_on(tmp_path: Path) -> None:
    (tmp_path / "gitreg").mkdir()
    request = named("user:alice", "key", b"body", TIP)
    with closing(sqlite3.connect(tmp_path / "gitreg" / idempotency.NAME)) as connection, connection:
        connection.executescript(idempotency._SCHEMA.replace(", owner TEXT", ""))
        values = (request.id, request.caller, request.body, time.time(), TIP)
        connection.execute("INSERT INTO requests(id, caller, body, begun, tip) VALUES (?, ?, ?, ?, ?)", values)
    with closing(Remembered(tmp_path)) as opened:
        with pytest.raises(UnderwayError):
            opened.begin(request)
        assert opened.begin(named("user:alice", "other", b"body", TIP)) is None


@pytest.fixture
def second(rest: Rest) -> Iterator[Rest]:
    """Serve the same registry by another process, as far as its server can tell."""
    with serve(rest.path) as found:
        yield replace(found, tokens=rest.tokens)


@pytest.mark.parametrize("bump", [None, "minor"])
def test_a_write_that_somebody_took_over_is_done_once(
    rest: Rest, second: Rest, monkeypatch: pytest.MonkeyPatch, bump: str | None
) -> None:
    """The slow one comes to it after its retry has landed elsewhere: it answers with that commit."""
    _begins_anew(monkeypatch)
    name = rest.model("1.0.0")
    body = {**registering(name, "1.1.0"), "version": None if bump else "1.1.0", "bump": bump}
    headers, held = {"Idempotency-Key": f"taken over {bump}"}, threading.Event()
    submit = type(rest.serving.writer).submit

    def slow(writer: GroupWriter, change: Change) -> Future[Written]:
        if writer is rest.serving.writer:
            reached.set()
            assert held.wait(PATIENCE)
        return submit(writer, change)

    reached = threading.Event()
    monkeypatch.setattr(type(rest.serving.writer), "submit", slow)
    with ThreadPoolExecutor(1) as pool:
        try:
            first = pool.submit(rest.ask, "POST", "/models/register", json=body, headers=headers)
            assert reached.wait(PATIENCE)
            again = second.ask("POST", "/models/register", json=body, headers=headers)
        finally:
            held.set()
        late = first.result(PATIENCE)
    assert (again.status_code, late.status_code) == (201, 201), (again.text, late.text)
    assert late.json()["commit"] == again.json()["commit"]
    assert len(second.ask("GET", f"/models/{name}/versions").json()["items"]) == 2


def test_a_write_that_ended_after_its_caller_gave_up_is_found_by_the_retry(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, held = rest.model("1.0.0"), threading.Event()
    body, headers = {**registering(name, "1.1.0"), "version": None, "bump": "minor"}, {"Idempotency-Key": "gave up"}
    writer, ended = rest.serving.writer, Future[object]()
    submit = type(writer).submit

    def slow(this: GroupWriter, change: Change) -> Future[object]:
        def work() -> None:
            assert held.wait(PATIENCE)
            ended.set_result(submit(this, change).result(PATIENCE))

        assert ended.set_running_or_notify_cancel()
        threading.Thread(target=work, daemon=True).start()
        return ended

    with monkeypatch.context() as patched:
        patched.setattr(type(writer), "submit", slow)
        patched.setattr(serving, "PATIENCE", 0.0)
        problem(rest.ask("POST", "/models/register", json=body, headers=headers), 503)
        patched.setattr(idempotency, "ABANDONED", -1.0)
        problem(rest.ask("POST", "/models/register", json=body, headers=headers), 409)
    held.set()
    landed = ended.result(PATIENCE)
    again = rest.ask("POST", "/models/register", json=body, headers=headers)
    while again.status_code == 409:  # the note that it ended comes a moment later
        again = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert again.json()["commit"] == landed.commit  # type: ignore[attr-defined] # it is a `Written`
    assert len(rest.ask("GET", f"/models/{name}/versions").json()["items"]) == 2
