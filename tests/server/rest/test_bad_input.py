from __future__ import annotations

import gzip
import json
import socket
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from gitreg.server.bounded import MOST, SMALL, Bounded
from gitreg.server.turns import Bounds
from tests.server.rest.client import problem, registering
from tests.server.rest.test_files import head, raw
from tests.server.serving import HOST, PATIENCE, serving, wait_for

if TYPE_CHECKING:
    from tests.server.rest.client import Rest

REGISTER = "/models/register"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe",
        b"[" * 200_000,
        b'{"a":' * 100_000,
        b'{"model": NaN}',
        b"1" * 10_000,
    ],
    ids=["empty", "cut", "list", "null", "text", "no-utf-8", "deep-list", "deep-map", "nan", "long-number"],
)
def test_what_is_no_registration_is_refused(rest: Rest, body: bytes) -> None:
    answer = rest.ask("POST", REGISTER, content=body, headers={"Content-Type": "application/json"})
    problem(answer, answer.status_code)
    assert answer.status_code in {400, 422}


@pytest.mark.parametrize("path", [REGISTER, f"{REGISTER}?dry_run=true", "/models/deploy"])
@pytest.mark.parametrize("depth", [17, 600, 950, 5000])
@pytest.mark.parametrize(("before", "behind"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_no_body_goes_deeper_than_a_file(rest: Rest, path: str, depth: int, before: bytes, behind: bytes) -> None:
    inner = before * depth + b"1" + behind * depth
    body = b'{"model": "risk/deep", "version": "1.0.0", "license": "MIT", "hyperparameters": {"a": ' + inner + b"}}"
    answer = rest.ask("POST", path, content=body, headers={"Content-Type": "application/json"})
    assert "more than 16 lists and objects deep" in problem(answer, 422)["detail"]


def test_what_counts_once_is_asked_for_once(rest: Rest) -> None:
    body = registering("risk/twice", "1.0.0")
    twice = rest.ask("POST", f"{REGISTER}?dry_run=true&dry_run=false", json=body)
    assert problem(twice, 422)["detail"] == "the query names 'dry_run' twice"
    problem(rest.ask("GET", "/models?limit=1&limit=2"), 422)
    name = rest.model("1.0.0", "2.0.0")
    compared = rest.ask("GET", f"/compare?version={name}@1.0.0&version={name}@2.0.0")
    assert compared.status_code == 200
    problem(rest.ask("GET", "/models/risk/twice"), 404)


@pytest.mark.parametrize(("number", "what"), [(b"1" * 5000, "thousands of digits"), (b'"\xff"', "not UTF-8")])
def test_json_that_cannot_be_read_is_told_from_json_that_is_wrong(rest: Rest, number: bytes, what: str) -> None:
    body = b'{"model": "risk/odd", "version": "1.0.0", "metrics": {"a": ' + number + b"}}"
    answer = rest.ask("POST", REGISTER, content=body, headers={"Content-Type": "application/json"})
    found = problem(answer, 400)
    assert what in found["detail"]
    assert found["hint"]


@pytest.mark.parametrize("path", ["/healthz", "/models", "/files/access.yaml", "/ui/models", "/registry.git/info/refs"])
@pytest.mark.parametrize("mark", ["%0a", "%00", "%7f"])
def test_a_path_has_no_control_characters(rest: Rest, path: str, mark: str) -> None:
    answer = rest.ask("GET", path + mark)
    assert (answer.status_code, "a path has no control characters" in answer.text) == (400, True)


@pytest.mark.parametrize("path", [REGISTER, "/models/deploy"])
def test_a_packed_body_is_not_taken_for_a_plain_one(rest: Rest, path: str) -> None:
    body = json.dumps(registering("risk/packed", "1.0.0")).encode()
    for data in (body, gzip.compress(body)):
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        problem(rest.ask("POST", path, content=data, headers=headers), 415)


@pytest.mark.parametrize("path", [REGISTER, f"{REGISTER}?dry_run=true", "/models/deploy"])
def test_a_key_that_stands_twice_is_refused_by_name(rest: Rest, path: str) -> None:
    before = rest.ask("GET", "/").json()["commit"]
    many = ", ".join(f'"k{number}": 1' for number in range(50_000))  # found without comparing each with each
    for twice in ('"version": "1.0.0", "version": "2.0.0"', f'"metrics": {{{many}, "version": 1, "version": 2}}'):
        body = f'{{"model": "risk/twice", {twice}, "license": "MIT", "external": {{"provider": "p", "id": "x"}}}}'
        answer = rest.ask("POST", path, content=body, headers={"Content-Type": "application/json"})
        assert problem(answer, 422)["detail"] == "the body names 'version' twice in one object"
    assert rest.ask("GET", "/").json()["commit"] == before


@pytest.mark.parametrize(
    "value",
    [1e400, 10**4000, "\ud800", "\0", "a\nb", {"a": [{}] * 10}, None, True],
    ids=["infinite", "huge", "surrogate", "zero", "lines", "nested", "none", "true"],
)
@pytest.mark.parametrize("field", ["hyperparameters", "external", "labels", "metrics", "signature", "code"])
def test_no_value_is_answered_with_a_fault(rest: Rest, field: str, value: object) -> None:
    body = json.dumps(registering("risk/values", "1.0.0", **{field: {"key": value}}))
    answer = rest.ask("POST", f"{REGISTER}?dry_run=true", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400, 422}, answer.text


@pytest.mark.parametrize("field", ["description", "license", "created", "task", "base", "framework", "version"])
@pytest.mark.parametrize("value", ["\ud800", "\0", "\r\nX-Injected: 1", "x" * 200, "é" * 100])
def test_no_text_is_answered_with_a_fault_or_becomes_a_header(rest: Rest, field: str, value: str) -> None:
    body = json.dumps({**registering("risk/texts", "1.0.0"), field: value})
    answer = rest.ask("POST", f"{REGISTER}?dry_run=true", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {200, 400, 422}, answer.text
    assert "x-injected" not in answer.headers


def test_a_body_that_is_too_large_is_refused_before_it_is_read(rest: Rest) -> None:
    answer = raw(rest, "POST", REGISTER, {"Content-Length": str(MOST + 1)}, b"")
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_that_turns_out_too_large_is_refused(rest: Rest) -> None:
    pieces = (b"x" * 100_000 for _ in range(MOST // 100_000 + 2))
    try:
        answer = rest.ask("POST", REGISTER, content=pieces)
    except OSError:  # it was told before it had sent everything
        return
    problem(answer, 413)


def test_a_body_that_does_not_come_is_not_waited_for(rest: Rest) -> None:
    async def never(scope: object, receive: object, send: object) -> None:
        raise AssertionError("it is not asked")

    with (
        serving(Bounded(never, patience=0.05)) as port,
        socket.create_connection((HOST, port), timeout=2 * PATIENCE) as connection,
    ):
        connection.sendall(head(rest, "POST", REGISTER, {"Content-Length": "100"}) + b"{")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize(
    "headers", [{"Content-Length": str(SMALL + 1)}, {"Transfer-Encoding": "chunked"}], ids=["large", "of unknown size"]
)
def test_few_large_bodies_are_in_memory_at_once(rest: Rest, headers: dict[str, str]) -> None:
    """Who sends a second one waits, and is told to come again; what is small gets by."""
    app = Bounded(Response("taken", media_type="text/plain"), large=Bounds(at_once=1, patience=0.05))
    stalled = head(rest, "POST", REGISTER, headers)
    with serving(app) as port, socket.create_connection((HOST, port), timeout=2 * PATIENCE) as first:
        first.sendall(stalled)
        wait_for(app._turns._places.locked)
        second = asked(port, stalled)
        assert second.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 10" in second
        assert asked(port, head(rest, "POST", REGISTER, {"Content-Length": "2"}) + b"{}").endswith(b"taken")
        first.sendall(b"0\r\n\r\n" if "Transfer-Encoding" in headers else b" " * (SMALL + 1))
        assert first.recv(65536).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: not app._turns._places.locked())


def asked(port: int, sent: bytes) -> bytes:
    """Send bytes to a server, and give all that comes back."""
    with socket.create_connection((HOST, port), timeout=2 * PATIENCE) as connection:
        connection.sendall(sent)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def test_a_body_that_is_cut_off_writes_nothing(rest: Rest) -> None:
    body = json.dumps(registering("risk/cut", "1.0.0")).encode()
    with socket.create_connection((HOST, rest.port), timeout=2 * PATIENCE) as connection:
        connection.sendall(head(rest, "POST", REGISTER, {"Content-Length": str(len(body))}) + body[:-1])
    problem(rest.ask("GET", "/models/risk/cut"), 404)


@pytest.mark.parametrize(
    "path",
    [
        "/models/..%2f..%2fetc/passwd",
        "/models/risk/%2e%2e",
        "/files/../../../etc/passwd",
        "/files/%2e%2e/%2e%2e/etc/passwd",
        "/files//etc/passwd",
        "/files/models/risk/../../access.yaml",
        "/files/.git/config",
        "/trees/%00",
        "/files/%ff%fe",
        "/trees/models%2f..",
        "/ui/static/../app.py",
        "/ui/static/..%2fapp.py",
    ],
)
def test_no_path_leads_out(rest: Rest, path: str) -> None:
    answer = raw(rest, "GET", path, {}, b"")
    assert answer.split(b" ", 2)[1] in {b"404", b"422", b"400", b"403"}, answer[:300]


@pytest.mark.parametrize("key", ["", "x" * 256, "é"])
def test_an_idempotency_key_that_is_none_is_refused(rest: Rest, key: str) -> None:
    headers = [("Idempotency-Key", key.encode())]
    body = registering("risk/key", "1.0.0")
    problem(rest.ask("POST", REGISTER, json=body, headers=headers), 422)
