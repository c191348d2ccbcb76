from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from hypothesis import given
from hypothesis import strategies as st

from gitreg.access import Action
from tests.server.auth.conftest import DAY, NOW, log_entries, make

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.server.auth.conftest import Issuer, Server

    Serve = Callable[..., Server]

PROXIED = {"proxyheader": "X-Forwarded-User", "proxyfrom": "192.0.2.0/28"}
READ_ONLY = frozenset({Action.READ})


def basic(user: str, password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def test_a_token_names_its_user_and_what_it_was_made_for(serve: Serve) -> None:
    server = serve()
    token, text = make(server.tokens, scopes=READ_ONLY)

    assert server.ask(token=text).json() == {
        "user": "alice",
        "reader": "alice",
        "how": f"token:{token.id}",
        "scopes": ["read"],
        "name": "alice",
        "email": "alice@users.gitreg.invalid",
        "address": "192.0.2.7",
    }


def test_without_a_token_nobody_is_let_in_and_is_told_how(serve: Serve) -> None:
    answer = serve().ask()

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="gitreg"'
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 401
    assert "Authorization: Bearer gitreg_" in answer.json()["hint"]


def test_expired_revoked_and_unknown_tokens_are_refused_in_the_same_words(serve: Serve, tmp_path: Path) -> None:
    server = serve()
    expired, revoked = make(server.tokens, days=1)[1], make(server.tokens)
    unknown = make(_other(tmp_path))[1]
    server.tokens.revoke(revoked[0].id, NOW, lambda _: None)
    server.now = NOW + DAY

    answers = [server.ask(token=each) for each in (expired, revoked[1], unknown)]

    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert "does not count here" in answers[0].json()["detail"]


def _other(folder: Path) -> Any:  # noqa: ANN401 - the tokens of another registry
    from gitreg.server.auth.token_file import TokenFile

    (folder / "other.git").mkdir()
    return TokenFile(folder / "other.git")


def test_a_token_that_was_cut_off_is_told_as_such(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)

    assert "no whole token" in server.ask(token=text[:-1]).json()["detail"]
    assert "no token of gitreg's" in server.ask(token="hunter2").json()["detail"]


def test_a_revoked_token_ends_at_once(serve: Serve) -> None:
    server = serve()
    token, text = make(server.tokens)
    assert server.ask(token=text).status_code == 200

    _in_another_process(server.git_dir, token.id)

    assert server.ask(token=text).status_code == 401


def _in_another_process(git_dir: Path, identifier: str) -> None:
    import subprocess
    import sys

    code = (
        "import sys, pathlib; from gitreg.server.auth.token_file import TokenFile as T; "
        f"T(pathlib.Path(sys.argv[1])).revoke(sys.argv[2], {NOW}, print)"
    )
    subprocess.run([sys.executable, "-c", code, str(git_dir), identifier], check=True, capture_output=True)


def test_git_sends_the_token_as_a_password(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)

    asked = server.ask("/registry.git/info/refs")
    assert asked.status_code == 401
    assert asked.headers["www-authenticate"].startswith("Basic ")
    assert asked.headers["content-type"].startswith("text/plain")
    for user in ("alice", "token", "", "x-access-token"):
        assert server.ask("/registry.git/info/refs", headers=basic(user, text)).json()["user"] == "alice"


def test_a_password_of_somebody_elses_and_broken_ones_are_refused(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)

    for headers in (
        basic("root", text),
        basic("alice", ""),
        basic("alice", "hunter2"),
        {"authorization": "Basic"},
        {"authorization": "Basic ???"},
        {"authorization": "Basic " + base64.b64encode(b"\xff\xfe:x").decode()},
        {"authorization": f"Digest {text}"},
        {"authorization": ""},
        {"authorization": "Bearer"},
    ):
        assert server.ask(headers=headers).status_code == 401
    twice = [("authorization", f"Bearer {text}"), ("authorization", f"Bearer {text}")]
    assert server.ask(headers=twice).status_code == 401


def test_a_token_in_the_address_is_not_looked_at(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)

    assert server.ask(f"/whoami?token={text}&access_token={text}").status_code == 401


def test_strangers_read_as_the_user_who_is_named_for_them(serve: Serve) -> None:
    server = serve(anonymous="anybody")
    told = server.ask().json()

    assert (told["user"], told["reader"], told["how"], told["scopes"]) == (None, "anybody", "anonymous", ["read"])
    assert server.ask(token="gitreg_wrong").status_code == 401  # who says who it is has to be right


def test_a_damaged_file_of_tokens_is_a_fault_of_the_server(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)
    cookie = sign_in(server, text)
    server.tokens.path.write_bytes(b"nonsense\n")

    for answer in (server.ask(token=text), server.ask(headers=cookie)):
        assert answer.status_code == 503
        assert str(server.git_dir) not in answer.text


# Proxies


@pytest.mark.parametrize("peer", ["192.0.2.7", "::ffff:192.0.2.7"])
def test_a_listed_proxy_names_the_user(serve: Serve, peer: str) -> None:
    told = serve(**PROXIED).ask(peer=peer, headers={"X-Forwarded-User": "alice"}).json()

    assert (told["user"], told["how"]) == ("alice", "proxy")


@pytest.mark.parametrize("peer", ["192.0.2.16", "198.51.100.1", "::1", "::ffff:192.0.2.99"])
def test_the_header_of_anybody_else_is_nothing(serve: Serve, peer: str) -> None:
    assert serve(**PROXIED).ask(peer=peer, headers={"X-Forwarded-User": "root"}).status_code == 401


def test_without_a_setting_no_header_names_anybody(serve: Serve) -> None:
    server = serve()

    for name in ("X-Forwarded-User", "Remote-User", "X-Remote-User", "REMOTE_USER", "GITREG_USER"):
        assert server.ask(peer="127.0.0.1", headers={name: "root"}).status_code == 401


@pytest.mark.parametrize("said", ["Root", "group:admins", "a b", "alice,root", "x" * 200])
def test_a_proxy_that_names_what_is_no_user_is_refused(serve: Serve, said: str) -> None:
    assert serve(**PROXIED).ask(headers={"X-Forwarded-User": said}).status_code == 401


def test_a_header_that_is_there_twice_is_refused(serve: Serve) -> None:
    twice = [("x-forwarded-user", "alice"), ("x-forwarded-user", "root")]

    assert serve(**PROXIED).ask(headers=twice).status_code == 401


def test_a_wrong_token_is_not_made_good_by_the_proxy(serve: Serve) -> None:
    headers = {"X-Forwarded-User": "alice", "Authorization": "Bearer gitreg_wrong"}

    assert serve(**PROXIED).ask(headers=headers).status_code == 401


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.7", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.7", "10.0.0.1, 203.0.113.9", "203.0.113.9"),
        ("192.0.2.7", "203.0.113.9, 192.0.2.3", "203.0.113.9"),
        ("192.0.2.7", "nonsense", "192.0.2.7"),
        ("192.0.2.7", "203.0.113.9, nonsense", "192.0.2.7"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
    ],
)
def test_an_address_is_taken_from_listed_proxies_alone(serve: Serve, peer: str, forwarded: str, address: str) -> None:
    server = serve(**PROXIED, anonymous="anybody")

    assert server.ask(peer=peer, headers={"X-Forwarded-For": forwarded}).json()["address"] == address


# Sites and sessions


def sign_in(server: Server, text: str, **more: Any) -> dict[str, str]:  # noqa: ANN401 - of the request
    caller = asyncio.run(server.authenticator.by_token(text, "192.0.2.7"))
    cookie = server.authenticator.sessions.start(caller, server.now, secure=more.get("secure", False))
    return {"cookie": cookie.partition(";")[0]}


def test_a_session_reads_everywhere_and_ends_with_its_token(serve: Serve) -> None:
    server = serve()
    token, text = make(server.tokens, scopes=READ_ONLY)
    cookie = sign_in(server, text)

    told = server.ask(headers=cookie).json()
    assert (told["user"], told["how"], told["scopes"]) == ("alice", f"session:token:{token.id}", ["read"])
    server.tokens.revoke(token.id, NOW, lambda _: None)
    assert server.ask(headers=cookie).status_code == 401
    assert server.ask("/ui/whoami", headers=cookie).json() is None


def test_a_session_ends_after_some_hours(serve: Serve) -> None:
    server = serve(sessionhours="2")
    cookie = sign_in(server, make(server.tokens)[1])

    server.now += 2 * 3600 - 1
    assert server.ask(headers=cookie).status_code == 200
    server.now += 1
    assert server.ask(headers=cookie).status_code == 401


def test_a_form_of_another_site_is_refused(serve: Serve) -> None:
    server = serve()
    cookie = sign_in(server, make(server.tokens)[1])

    def post(**headers: str) -> int:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return server.ask("/ui/whoami", method="POST", headers={**cookie, **named}).status_code

    assert post(sec_fetch_site="same-origin") == 200
    assert post(origin="http://registry.test") == 200
    assert post() == 403
    assert post(sec_fetch_site="cross-site") == 403
    assert post(sec_fetch_site="same-site") == 403
    assert post(origin="http://evil.test") == 403
    assert post(origin="http://registry.test.evil.test") == 403
    assert post(origin="null") == 403
    assert post(origin="http://[") == 403
    assert post(sec_fetch_site="cross-site", origin="http://registry.test") == 403


def test_what_another_site_sends_is_refused_however_the_browser_says_who_it_is(serve: Serve) -> None:
    server = serve(**PROXIED)
    _, text = make(server.tokens)
    foreign = {"sec-fetch-site": "cross-site"}

    for who in (basic("alice", text), {"X-Forwarded-User": "alice"}, {"authorization": f"Bearer {text}"}):
        assert server.ask(method="POST", headers={**who, **foreign}).status_code == 403
        assert server.ask(method="POST", headers=who).status_code == 200  # curl and git say nothing of a site
        assert server.ask(headers={**who, **foreign}).status_code == 200  # a link


def test_a_session_writes_through_the_pages_alone(serve: Serve) -> None:
    server = serve()
    cookie = sign_in(server, make(server.tokens)[1])

    answer = server.ask(method="POST", headers={**cookie, "sec-fetch-site": "same-origin"})

    assert answer.status_code == 403
    assert "for the pages alone" in answer.json()["detail"]


def test_behind_tls_the_cookie_is_bound_to_the_host_and_plain_origins_are_foreign(serve: Serve) -> None:
    server = serve(url="https://models.example.org")
    cookie = sign_in(server, make(server.tokens)[1], secure=True)
    assert cookie["cookie"].startswith("__Host-gitreg-")

    def post(origin: str) -> int:
        return server.ask("/ui/whoami", method="POST", headers={**cookie, "origin": origin}).status_code

    assert post("https://models.example.org") == 200
    assert post("http://models.example.org") == 403
    plain = {"cookie": cookie["cookie"].removeprefix("__Host-")}
    assert server.ask(headers=plain).status_code == 401


# Answers


def test_every_answer_tells_browsers_to_be_careful(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)

    for answer in (server.ask(), server.ask(token=text), server.ask("/nowhere", token=text)):
        assert "script-src 'self'" in answer.headers["content-security-policy"]
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "private, no-cache"
        assert answer.headers["vary"] == "Authorization, Cookie"
        assert "strict-transport-security" not in answer.headers


def test_a_route_may_be_stricter(serve: Serve) -> None:
    server = serve()
    answer = server.ask("/file", token=make(server.tokens)[1])

    assert answer.headers.get_list("content-security-policy") == ["sandbox"]
    assert answer.headers.get_list("cache-control") == ["no-store"]
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("keys", "headers", "secure"),
    [
        ({"url": "https://models.example.org"}, {}, True),
        (PROXIED, {"x-forwarded-proto": "https"}, True),
        (PROXIED, {"x-forwarded-proto": "http"}, False),
        ({}, {"x-forwarded-proto": "https"}, False),
    ],
)
def test_browsers_are_held_to_tls_where_they_came_by_it(
    serve: Serve, keys: dict[str, str], headers: dict[str, str], secure: bool
) -> None:
    answer = serve(**keys).ask(headers=headers)

    assert ("strict-transport-security" in answer.headers) == secure


def test_health_and_pages_are_answered_to_strangers_and_nothing_beside_them(serve: Serve) -> None:
    server = serve()

    assert server.ask("/healthz").json() is None
    assert server.ask("/ui/whoami").json() is None
    assert server.ask("/").status_code == 404
    for path in ("/uix", "/healthz/x", "/ui/../whoami", "//ui/whoami", "/docs/x", "/whoami"):
        assert server.ask(path).status_code == 401


def test_a_head_that_is_too_large_is_refused(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)

    many = [(f"x-{number}", "1") for number in range(101)]
    assert server.ask(token=text, headers=many).status_code == 431
    assert server.ask(token=text, headers={"x-large": "x" * 50_000}).status_code == 431


def test_a_request_that_names_two_hosts_is_refused(serve: Serve) -> None:
    server = serve()
    _, text = make(server.tokens)
    two = [("host", "models.example.org"), ("host", "evil.example")]

    assert server.ask(token=text, headers=two).status_code == 400


def test_a_web_socket_is_closed(serve: Serve) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    asyncio.run(serve().guard({"type": "websocket", "path": "/", "headers": []}, receive, send))

    assert sent == [{"type": "websocket.close", "code": 1008}]


# Limits


def test_a_caller_who_asks_too_often_waits_and_others_do_not(serve: Serve) -> None:
    server = serve(rate="1")
    alice, bob = make(server.tokens)[1], make(server.tokens, "bob")[1]

    assert [server.ask(token=alice).status_code for _ in range(3)] == [200, 200, 429]
    late = server.ask(token=alice)
    assert int(late.headers["retry-after"]) >= 1
    assert server.ask(token=bob).status_code == 200
    server.ticks += int(late.headers["retry-after"])
    assert server.ask(token=alice).status_code == 200


def test_strangers_are_counted_by_address_and_ipv6_by_network(serve: Serve) -> None:
    server = serve(anonymous="anybody", rateanonymous="1")

    assert [server.ask(peer=f"2001:db8::{number}").status_code for number in range(1, 4)] == [200, 200, 429]
    assert server.ask(peer="2001:db8:0:1::1").status_code == 200


def test_failing_too_often_is_told_and_stops_nobody_who_has_a_token(serve: Serve) -> None:
    server = serve(ratefailed="3")
    _, text = make(server.tokens)

    assert [server.ask(token="gitreg_wrong").status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    assert server.ask(token=text).status_code == 200
    assert server.ask(token="gitreg_wrong", peer="192.0.2.8").status_code == 401
    server.ticks += 61
    assert server.ask(token="gitreg_wrong").status_code == 401


def test_refused_requests_are_in_the_audit_log_without_the_secret(serve: Serve) -> None:
    server = serve(ratefailed="2")
    token, text = make(server.tokens, days=1)
    other = make(server.tokens, "bob", days=100)[1]
    server.now += DAY
    for _ in range(10):
        server.ask(token=text)
    server.ask("/forbidden", token=other)
    server.ask()
    server.ask("/ui/login")
    server.ask("/ui/login", method="POST")
    server.ask(f"/forbidden/{other}", headers=basic(other, other), peer="192.0.2.8")
    server.close()

    told = [each for entry in log_entries(server.git_dir)[1:] for each in entry["violations"]]
    assert {each["code"] for each in told} == {"actor-unknown", "access-denied"}
    counts = [int(each["message"].split()[0]) for each in told if each["code"] == "actor-unknown"]
    # Two by a token, one by the form, one by a wrong user name; those beyond the limit are counted nowhere.
    assert sum(counts) == 4
    assert any(f"token {token.id} is expired" in each["message"] for each in told)
    assert any("by bob: GET /forbidden" in each["message"] for each in told)
    assert [each for each in (text, other) if each.split("_")[2] in json.dumps(told)] == []


# Behind uvicorn


@pytest.mark.parametrize(("by", "status"), [("unix", 200), ("127.0.0.1", 401)])
def test_a_proxy_may_come_by_a_unix_socket(serve: Serve, tmp_path: Path, by: str, status: int) -> None:
    server = serve(proxyheader="X-Forwarded-User", proxyfrom=by)
    path = tmp_path / "s"
    config = uvicorn.Config(server.guard, uds=str(path), proxy_headers=False, log_config=None, lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run)
    thread.start()
    _wait_until(lambda: running.started)
    try:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(path)), timeout=30, trust_env=False) as client:
            answer = client.get("http://registry.test/whoami", headers={"X-Forwarded-User": "alice"})
    finally:
        running.should_exit = True
        thread.join()

    assert answer.status_code == status


def test_a_tcp_peer_that_is_gone_is_not_taken_for_a_unix_socket(serve: Serve) -> None:
    from gitreg.server.auth.peers import is_proxy

    settings = serve(proxyheader="X-Forwarded-User", proxyfrom="unix").authenticator.settings
    scope: dict[str, Any] = {"client": None, "headers": []}

    assert is_proxy({**scope, "server": ("/run/gitreg.sock", None)}, settings)
    assert not is_proxy({**scope, "server": ("192.0.2.1", 80)}, settings)
    assert not is_proxy({**scope, "server": None}, settings)
    assert not is_proxy({**scope, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 80)}, settings)


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# Whatever is sent

_NAMES = (
    b"authorization",
    b"cookie",
    b"x-forwarded-user",
    b"x-forwarded-for",
    b"x-forwarded-proto",
    b"origin",
    b"host",
)
_BEGINNINGS = (b"", b"Bearer ", b"Basic ", b"Bearer gitreg_", b"Bearer eyJhbGciOiJSUzI1NiJ9.", b"gitreg-", b"http://")
_HEADERS = st.lists(
    st.tuples(st.sampled_from(_NAMES), st.builds(bytes.__add__, st.sampled_from(_BEGINNINGS), st.binary(max_size=60))),
    max_size=4,
)


def test_no_header_whatsoever_makes_anybody_known_or_anything_fail(serve: Serve, issuer: Issuer) -> None:
    oidc = {"gitreg.oidc.corp.issuer": [issuer.url], "gitreg.oidc.corp.audience": ["gitreg"]}
    server = serve(oidc, proxyheader="X-Forwarded-User", proxyfrom="192.0.2.99", ratefailed="0", rateanonymous="0")
    make(server.tokens)
    sent: list[Any] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's
        sent.append(message)

    async def receive() -> dict[str, Any]:
        return {"type": "http.request"}

    @given(headers=_HEADERS, method=st.sampled_from(["GET", "POST"]))
    def holds(headers: list[tuple[bytes, bytes]], method: str) -> None:
        sent.clear()
        scope = {"type": "http", "method": method, "path": "/whoami", "headers": headers, "query_string": b""}
        asyncio.run(server.guard({**scope, "client": ("192.0.2.7", 1), "server": ("192.0.2.1", 80)}, receive, send))
        assert sent[0]["status"] in {400, 401, 403}

    holds()


def test_who_finds_no_place_is_told_so_in_the_form_of_every_error(serve: Serve) -> None:
    server = serve()
    inner = server.guard

    async def crowded(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI's
        scope["state"] = {"crowded": True, "request_id": "one"}
        await inner(scope, receive, send)

    server.guard = crowded  # type: ignore[assignment]
    answer = server.ask("/healthz")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.json()["detail"], answer.json()["request_id"]) == ("too many connections are open", "one")
