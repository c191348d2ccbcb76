"""Each request has an id, a line in the log, a count and a span; no secret is in any of them."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import logging
import logging.config
import re
import sys
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from gitreg.server.operations.logs import FIELDS, JsonFormatter, configuration, request_id
from gitreg.server.operations.metrics import Meters
from gitreg.server.operations.requests import Observed, route_of
from gitreg.server.operations.tracing import Tracing
from tests.server.serving import HOST, serving, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request
    from starlette.types import Message, Receive, Scope, Send


async def _answer(request: Request) -> PlainTextResponse:
    logging.getLogger("gitreg.test").warning("inside %s", request.path_params["name"])
    return PlainTextResponse(request.state.request_id)


async def _fail(_: Request) -> PlainTextResponse:
    raise RuntimeError("a bug")


async def _cut(_: Request) -> StreamingResponse:
    def pieces() -> Iterator[bytes]:
        yield b"x" * 100_000
        raise OSError("gone")

    return StreamingResponse(pieces())


@pytest.fixture(scope="module")
def meters() -> Meters:
    return Meters()


@pytest.fixture(scope="module")
def port(_sealed_session: None, meters: Meters) -> Iterator[int]:
    routes = [Route("/models/{name}", _answer), Route("/fail", _fail), Route("/cut", _cut)]
    with serving(Observed(Starlette(routes=routes), meters, Tracing())) as found:
        yield found


def ask(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    with closing(http.client.HTTPConnection(HOST, port, timeout=60)) as connection:
        connection.request(method, path, headers={key.replace("_", "-"): value for key, value in headers.items()})
        answer = connection.getresponse()
        try:
            body = answer.read()
        except http.client.IncompleteRead as error:
            body = error.partial
        return answer.status, {key.lower(): value for key, value in answer.getheaders()}, body


def lines(caplog: pytest.LogCaptureFixture, count: int) -> list[dict[str, Any]]:
    """Give the lines of requests; they are written after the answer."""

    def found() -> list[dict[str, Any]]:
        return [getattr(record, FIELDS) for record in caplog.records if record.name == "gitreg.access"]

    wait_for(lambda: len(found()) == count)
    return found()


@pytest.mark.parametrize("given", ["abc", "0af7651916cd43dd", "a.b-c_D", "x" * 64])
def test_a_plain_request_id_of_the_client_s_is_kept(port: int, given: str) -> None:
    _, headers, body = ask(port, "/models/fraud", X_Request_Id=given)
    assert headers["x-request-id"] == given == body.decode()


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "ä", '"}', "../x", "-x"])
def test_any_other_is_replaced(port: int, given: str) -> None:
    _, headers, _ = ask(port, "/models/fraud", X_Request_Id=given.encode().decode("latin-1"))
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"])


def test_the_line_of_a_request_says_what_it_was_and_holds_no_query(port: int, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ask(port, "/models/fraud?token=s3cret", X_Request_Id="r1", Authorization="Bearer s3cret")
    (line,) = lines(caplog, 1)
    assert {key: line[key] for key in ("method", "path", "route", "status", "bytes")} == {
        "method": "GET",
        "path": "/models/fraud",
        "route": "/models/{name}",
        "status": 200,
        "bytes": 2,
    }
    assert "s3cret" not in "".join(record.getMessage() for record in caplog.records if record.name != "uvicorn.access")


def test_what_is_logged_within_a_request_has_its_id() -> None:
    record = logging.LogRecord("gitreg.x", logging.INFO, "", 1, "line\nbreak %s", ("ä",), None)
    token = request_id.set("r2")
    try:
        text = JsonFormatter().format(record)
    finally:
        request_id.reset(token)
    assert "\n" not in text
    found = json.loads(text)
    assert (found["request_id"], found["message"], found["level"]) == ("r2", "line\nbreak ä", "info")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", found["time"])


def test_the_configured_log_is_json_without_secrets(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    token = "gitreg_abcdefghij_" + "A" * 49
    formed = configuration("json", "info")
    handler = logging.config.DictConfigurator(formed)
    before = (logging.root.handlers[:], logging.root.level)
    try:
        with monkeypatch.context() as patched, io.StringIO() as of_then:  # whoever configured it may be gone
            patched.setattr(sys, "stderr", of_then)
            handler.configure()
        logging.getLogger("gitreg.test").warning("it was %s", token)
    finally:
        for each in logging.root.handlers:
            if each not in before[0]:
                each.close()
        logging.root.handlers, logging.root.level = before[0], before[1]
    found = json.loads(capfd.readouterr().err)
    assert "A" * 10 not in found["message"]
    assert found["message"].startswith("it was gitreg_abcdefghij_")


def test_a_bug_is_a_500_and_an_answer_that_is_cut_off_is_told_from_a_whole_one(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gitreg.access")
    assert ask(port, "/fail")[0] == 500
    ask(port, "/cut")
    assert [(line["path"], line["status"]) for line in lines(caplog, 2)] == [("/fail", 500), ("/cut", 499)]


@pytest.mark.parametrize(("kind", "status"), [("http.disconnect", 499), ("http.request", 500)])
def test_a_client_that_left_before_the_answer_is_no_fault_of_the_server_s(
    kind: str, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gitreg.access")

    async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
        await receive()

    async def receive() -> dict[str, Any]:
        return {"type": kind}

    async def send(_: Message) -> None:
        raise AssertionError("nothing is answered")

    scope: Scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "client": None}
    asyncio.run(Observed(app, Meters(), Tracing())(scope, receive, send))
    (line,) = lines(caplog, 1)
    assert line["status"] == status
    assert caplog.records[-1].levelno == (logging.ERROR if status == 500 else logging.INFO)


def test_requests_are_counted_by_the_template_of_their_path(port: int, meters: Meters) -> None:
    for name in ("one", "two", "three"):
        ask(port, f"/models/{name}")
    ask(port, "/nowhere/at/all")
    ask(port, "/models/one", method="PROPFIND")
    wait_for(lambda: 'method="other"' in meters.text()[0].decode())
    text = meters.text()[0].decode()
    assert re.search(
        r'gitreg_http_requests_total\{method="GET",route="/models/\{name\}",status="200"\} ([3-9]|\d\d)', text
    )
    assert 'route="unmatched",status="404"' in text
    assert "nowhere" not in text
    assert "PROPFIND" not in text
    assert "gitreg_http_requests_running 0.0" in text
    assert re.search(r"gitreg_resident_memory_bytes [1-9]", text)


def test_a_request_is_a_span_below_the_client_s(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    ask(port, "/models/fraud?x=s3cret", traceparent=f"00-{'a' * 32}-{'b' * 16}-01", X_Request_Id="r3")
    ask(port, "/fail")
    wait_for(lambda: len(spans.get_finished_spans()) == 2)
    provider.shutdown()
    first, second = spans.get_finished_spans()
    assert first.name == "GET /models/{name}"
    assert first.parent is not None
    assert (first.parent.trace_id, first.parent.span_id) == (int("a" * 32, 16), int("b" * 16, 16))
    assert first.attributes is not None
    assert dict(first.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": "/models/{name}",
        "gitreg.request_id": "r3",
    }
    assert not second.status.is_ok


def test_without_opentelemetry_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.server.operations.tracing.find_spec", lambda _: None)
    with Tracing().request("GET", {}, "r4") as traced:
        traced.answered("/x", 200)


@pytest.mark.parametrize(
    ("scope", "route"),
    [
        ({"path": "/x", "state": {"route": "/registry.git/info/refs"}}, "/registry.git/info/refs"),
        (
            {"path": "/ui/models/a/b", "endpoint": _answer, "path_params": {"project": "a", "model": "b"}},
            "/ui/models/{project}/{model}",
        ),
        ({"path": "/ui/files/x/y/z", "endpoint": _answer, "path_params": {"rest": "x/y/z"}}, "/ui/files/{rest}"),
        ({"path": "/n/007", "endpoint": _answer, "path_params": {"number": 7}}, "_answer"),
        ({"path": "/ui/static/whatever", "endpoint": object(), "root_path": "/ui/static"}, "/ui/static"),
        ({"path": "/nowhere"}, "unmatched"),
    ],
)
def test_a_route_is_a_template_however_it_was_found(scope: dict[str, Any], route: str) -> None:
    assert route_of(scope) == route
