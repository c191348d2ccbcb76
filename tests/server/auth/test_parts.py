"""The small parts: limits, settings, refusals, secrets in logs."""

from __future__ import annotations

import io
import json
import logging
import time
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.gate_hooks import audit
from gitreg.git import Repository
from gitreg.server.auth.limits import Buckets, Table
from gitreg.server.auth.redact import Redacting, redact
from gitreg.server.auth.refusals import MOST, Refusals, Refused
from gitreg.server.auth.settings import AuthSettings, read_settings, settings_of
from tests.gate_hooks.support import run
from tests.server.auth.conftest import begin_log, log_entries

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


# Limits


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    buckets = Buckets(2, burst=3)

    assert [buckets.take("a", 0) for _ in range(3)] == [0, 0, 0]
    assert buckets.take("a", 0) == pytest.approx(0.5)
    assert buckets.take("a", 0.25) == pytest.approx(0.25)
    assert buckets.take("a", 0.5) == 0
    assert buckets.take("a", 1000) == 0
    assert buckets.take("b", 0) == 0


def test_a_clock_that_goes_back_gives_nothing() -> None:
    buckets = Buckets(1, burst=1)
    buckets.take("a", 100)

    assert buckets.take("a", 50) == pytest.approx(1)


def test_a_rate_of_zero_never_says_no() -> None:
    table = Table()
    buckets = Buckets(0, table=table)

    assert {buckets.take("a", 0) for _ in range(1000)} == {0}
    assert len(table) == 0


def test_memory_is_bounded_and_the_quietest_makes_room() -> None:
    table = Table(sets=1, ways=3)
    buckets = Buckets(0.01, burst=1, table=table)
    for now, key in enumerate("abcad"):  # b is quiet for longest, since a was asked for again
        buckets.take(key, now)

    assert len(table) == 3
    assert all(buckets.take(key, 5) > 0 for key in "acd")
    assert buckets.take("b", 5) == 0


def test_workers_that_share_a_table_count_together(tmp_path: Path) -> None:
    one, other = (Buckets(1, burst=3, table=Table(tmp_path / "rate")) for _ in range(2))

    assert [each.take("a", 0) for each in (one, other, one, other, one)] == [0, 0, 0, 1, 1]
    assert other.take("b", 0) == 0
    assert other.take("a", 1) == 0
    assert one.take("a", 1) == 1


# Settings


def test_nothing_is_open_by_default() -> None:
    found = settings_of({})

    assert found == AuthSettings()
    assert (found.anonymous, found.proxy_header, found.proxies, found.issuers) == (None, None, (), {})


def test_settings_are_read_from_the_repository(git_dir: Path) -> None:
    run(["git", "init", "--quiet", "--bare", "."], git_dir)
    for key, value in (
        ("gitreg.serve.anonymous", "anybody"),
        ("gitreg.serve.proxyHeader", "X-Forwarded-User"),
        ("gitreg.serve.proxyFrom", "10.0.0.0/8"),
        ("gitreg.serve.proxyFrom", "unix"),
        ("gitreg.serve.rate", "7"),
        ("gitreg.oidc.corp.issuer", "https://id.example.org/"),
        ("gitreg.oidc.corp.audience", "gitreg"),
        ("gitreg.oidc.corp.userClaim", "preferred_username"),
    ):
        run(["git", "config", "--add", key, value], git_dir)

    with Repository.open(git_dir) as repository:
        found = read_settings(repository)

    assert (found.anonymous, found.proxy_header, found.rate) == ("anybody", "x-forwarded-user", 7)
    assert ([str(each) for each in found.proxies], found.by_socket) == (["10.0.0.0/8"], True)
    assert list(found.issuers) == ["https://id.example.org/"]
    assert found.issuers["https://id.example.org/"].user_claim == "preferred_username"


OIDC = {"gitreg.oidc.corp.issuer": ["https://id.example.org"], "gitreg.oidc.corp.audience": ["gitreg"]}


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"gitreg.serve.anonymous": ["Any body"]}, "not a user name"),
        ({"gitreg.serve.proxyheader": ["X-User"]}, "nobody is who may send it"),
        ({"gitreg.serve.proxyheader": ["Authorization"], "gitreg.serve.proxyfrom": ["unix"]}, "cannot be the header"),
        ({"gitreg.serve.proxyheader": ["a b"], "gitreg.serve.proxyfrom": ["unix"]}, "cannot be the header"),
        ({"gitreg.serve.proxyfrom": ["everywhere"]}, "proxyfrom in git's configuration"),
        ({"gitreg.serve.proxyfrom": ["10.0.0.1/8"]}, "proxyfrom in git's configuration"),
        ({"gitreg.serve.rate": ["-1"]}, "no number from 0"),
        ({"gitreg.serve.rate": ["many"]}, "no number from 0"),
        ({"gitreg.serve.ratee": ["5"]}, "gitreg.serve.ratee is no setting; did you mean rate"),
        ({"gitreg.serve.url": ["http://models.example.org"]}, "only https"),
        ({"gitreg.serve.url": ["models.example.org"]}, "no URL"),
        ({"gitreg.oidc.corp.issuer": ["https://id.example.org"]}, "needs an issuer and an audience"),
        ({"gitreg.oidc.corp.audience": ["gitreg"]}, "needs an issuer and an audience"),
        ({**OIDC, "gitreg.oidc.corp.algorithm": ["HS256"]}, "'HS256' is not taken"),
        ({**OIDC, "gitreg.oidc.corp.algorithm": ["none"]}, "'none' is not taken"),
        ({**OIDC, "gitreg.oidc.corp.jwks": ["http://id.example.org/keys"]}, "only https"),
        ({**OIDC, "gitreg.oidc.corp.audiense": ["x"]}, "did you mean audience"),
        ({**OIDC, "gitreg.oidc.corp.leeway": ["601"]}, "no number from 0 to 600"),
        ({**OIDC, **{key.replace("corp", "lab"): value for key, value in OIDC.items()}}, "of another section"),
    ],
)
def test_a_setting_that_cannot_be_meant_stops_the_server(keys: dict[str, list[str]], words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        settings_of(keys)


# Refusals


def _until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_the_first_refusal_is_logged_at_once_and_the_next_wait(git_dir: Path) -> None:
    begin_log(git_dir)
    refusals = Refusals(git_dir, pause=3600)
    refusals.add(Refused(401, None, "192.0.2.7", "token abc is expired"))
    _until(lambda: len(log_entries(git_dir)) == 2)

    for number in range(500):
        refusals.add(Refused(401, None, f"192.0.2.{number}", "no token"))
    assert len(log_entries(git_dir)) == 2
    refusals.close()

    first, last = log_entries(git_dir)[1:]
    assert (first["verdict"], first["updates"]) == ("refused", [])
    assert first["source"] == {"identity": "http", "address": "192.0.2.7"}
    assert first["violations"][0]["message"] == "1 request from 192.0.2.7: token abc is expired"
    assert len(last["violations"]) == MOST + 1
    assert last["violations"][-1]["message"] == f"{500 - MOST} requests from elsewhere, or for other reasons"


def test_a_flood_without_end_is_written_ever_more_seldom(git_dir: Path) -> None:
    refusals = Refusals(git_dir, pause=1, longest=8)
    waits: list[float] = []

    class _Clockless:
        """Stand for the condition: nobody waits, and a flood goes on."""

        def wait_for(self, _is_so: object, timeout: float | None = None) -> None:
            if timeout is not None:
                waits.append(timeout)
                refusals._counts = {Refused(401, None, "", "again"): 1} if len(waits) < 6 else {}

        def __enter__(self) -> None: ...
        def __exit__(self, *_: object) -> None: ...

    begin_log(git_dir)
    refusals._changed = _Clockless()  # type: ignore[assignment]
    refusals._counts = {Refused(401, None, "", "first"): 1}
    refusals._run()

    assert waits == [1, 2, 4, 8, 8, 8]


def test_a_log_that_cannot_be_written_stops_nothing_and_is_made_good(
    git_dir: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refusals = Refusals(git_dir, pause=0.001, longest=0.002)
    refusals.add(Refused(403, "alice", "192.0.2.7", "GET /models"))
    _until(lambda: "cannot be logged" in caplog.text)
    begin_log(git_dir)
    _until(lambda: len(log_entries(git_dir)) == 2)
    refusals.close()

    entry = log_entries(git_dir)[1]
    assert entry["actor"] == "alice"
    assert entry["violations"][0]["code"] == "access-denied"


def test_closing_twice_or_unused_is_fine(git_dir: Path) -> None:
    refusals = Refusals(git_dir)
    refusals.close()
    refusals.close()
    refusals.add(Refused(401, None, "", "late"))

    assert not audit.audit_path(git_dir).exists()


# Secrets in logs

TOKEN = "gitreg_abcdefgh23_" + "Xy0" * 16 + "z"
JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"token {TOKEN} was sent", TOKEN.split("_")[2]),
        (f"Authorization: Bearer {TOKEN}", TOKEN.split("_")[2]),
        (f"{{'authorization': 'Bearer {JWT}'}}", "c2lnbmF0dXJl"),
        (f"cut off: {JWT[:40]}", "eyJzdWIi"),
        ("authorization: basic YWxpY2U6c2VjcmV0", "YWxpY2U6c2VjcmV0"),
        ("Authorization: Bearer abcdef0123456789", "abcdef0123456789"),
        ("cookie: theme=dark; __Host-gitreg-0a1b2c3d=Zm9v.abc0; x=1", "Zm9v.abc0"),
        ("cookie: gitreg-0a1b2c3d=Zm9v.abc0", "Zm9v.abc0"),
        ("https://alice:hunter2@host/registry.git", "hunter2"),
        ("GET /x?X-Amz-Signature=0123abcd&y=1", "0123abcd"),
        ("GET https://host/x?sv=1&sig=Zm9v%3D&y=1", "Zm9v"),
        ("/ui/login?token=hunter2", "hunter2"),
    ],
)
def test_a_secret_does_not_get_into_a_log(text: str, secret: str) -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(Redacting())
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger = logging.Logger("test")  # noqa: LOG001 - one that no other test sees
    logger.addHandler(handler)
    try:
        _fail(text)
    except ValueError as error:
        logger.exception("failed: %s %d", text, 7)
        logger.error(error)  # noqa: TRY400 - an exception as the message
        logger.error("%(it)s", {"it": text})  # noqa: TRY400
        logger.error(text)  # noqa: TRY400

    written = stream.getvalue()
    assert secret not in written
    assert written.count("…") >= 5
    assert "failed: " in written
    assert "ValueError" in written


def _fail(text: str) -> None:
    raise ValueError(text)


@pytest.mark.parametrize(
    "text",
    ["gitreg serve on http://127.0.0.1:8000", "git@host:models.git", "basic authentication is off", "gitreg_short"],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redact(text) == text


def test_a_line_without_end_is_cut_in_linear_time() -> None:
    for text in ("eyJ" * 200_000, "gitreg_" * 100_000, "://" * 200_000, "bearer " * 100_000, "?sig=" * 100_000):
        assert len(redact(text)) <= len(text)


def test_what_comes_beside_the_message_is_rewritten_too() -> None:
    fields = {"path": f"/models/{TOKEN}", "status": 200, "user": None}
    record = logging.makeLogRecord({"name": "x", "msg": "GET", "fields": fields, "path": fields["path"]})
    Redacting().filter(record)

    told = vars(record)
    assert told["fields"] == {"path": "/models/gitreg_abcdefgh23_…", "status": 200, "user": None}
    assert told["path"] == "/models/gitreg_abcdefgh23_…"
    assert told["name"] == "x"


def test_numbers_and_nothing_pass_as_they_are() -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, '%s - "%s" %d %s', ("a", "b", 200, None), None)
    Redacting().filter(record)

    assert json.dumps(record.args) == '["a", "b", 200, null]'
