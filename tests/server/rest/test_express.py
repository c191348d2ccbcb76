"""What is answered in front of the framework is answered as the framework answers it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.git.waiting import NotAtHandError, at_hand
from gitreg.server.rest import express
from tests.server.rest.client import registering

if TYPE_CHECKING:
    from tests.server.rest.client import Rest

READS = [
    "model={m}&version=1.0.0",
    "model={m}&version=staging",
    "model={m}&version=champion",
    "model={m}",
    "model={m}&version=%5E1",
    "model={m}&version=latest",
    "model={e}&version=1.0.0",
    "model={m}&version=9.9.9",
    "model={m}&version=nowhere",
    "model={m}&version=",
    "model=risk/nothing&version=staging",
    "model={m}&version=1.0.0&version=1.0.0",
    "model={m}&version=1.0.0&at=2020-01-01",
    "model={m}&more=1",
    "version=1.0.0",
    "model=&version=1.0.0",
    "model={m}%00&version=1.0.0",
    "model=%ff&version=1.0.0",
    "model=" + "a" * 200 + "&version=1.0.0",
    "model={m}&version=" + "1" * 200,
    "",
]
BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"model": "risk/fraud", "version": "1.0.0", "metrics": {"auc": NaN}}',
    b"[" * 5000,
    b"\xff",
    b'{"model": "risk/fraud"}',
    b'{"model": "risk/fraud", "version": "1.0.0", "invented": 1}',
    b'{"model": "risk/fraud", "version": 1}',
    b'{"model": "NO/GOOD", "version": "1.0.0"}',
]


@pytest.fixture(scope="module")
def model(rest: Rest) -> str:
    """Give a model that has an alias and runs somewhere."""
    name = rest.model("1.0.0", "1.1.0")
    for path, more in (("alias", {"alias": "champion"}), ("deploy", {"environment": "staging"})):
        answer = rest.ask("POST", f"/models/{path}", json={"model": name, "version": "1.0.0", **more})
        assert answer.status_code == 200, answer.text
    return name


def without(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send everything the framework's way."""
    monkeypatch.setattr(express, "_ANSWERS", {})


def seen(answer: Any) -> tuple[int, dict[str, str], Any]:  # noqa: ANN401 - the client's answer
    """Give of an answer what does not differ from one to the next."""
    headers = {key: value for key, value in answer.headers.items() if key not in {"x-request-id", "date"}}
    body = answer.json()
    body.pop("request_id", None)
    return answer.status_code, headers, body


@pytest.mark.parametrize("query", READS)
def test_a_version_is_shown_as_the_framework_shows_it(
    rest: Rest, model: str, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    path = "/models/version?" + query.replace("{m}", model).replace("{e}", model.replace("/", "%2F"))
    quick = [seen(rest.ask("GET", path, user)) for user in ("root", "mallory") for _ in range(2)]
    without(monkeypatch)
    assert quick == [seen(rest.ask("GET", path, user)) for user in ("root", "mallory") for _ in range(2)]


@pytest.mark.parametrize("path", ["/models/register", "/models/version"])
@pytest.mark.parametrize("body", BODIES)
def test_a_bad_body_is_refused_as_the_framework_refuses_it(
    rest: Rest, monkeypatch: pytest.MonkeyPatch, path: str, body: bytes
) -> None:
    sent: dict[str, Any] = {"content": body, "headers": {"content-type": "application/json"}}
    quick = seen(rest.ask("POST", path, **sent))
    without(monkeypatch)
    assert quick == seen(rest.ask("POST", path, **sent))
    assert quick[0] >= 400


@pytest.mark.parametrize("path", ["/models/register", "/models/version"])
def test_a_dry_run_and_another_type_go_the_frameworks_way(rest: Rest, model: str, path: str) -> None:
    body = registering(model, "3.0.0")
    assert rest.ask("POST", f"{path}?dry_run=true", json=body).json()["dry_run"]
    other = rest.ask("POST", path, content=json.dumps(body), headers={"content-type": "text/plain"})
    assert other.status_code == 415


def test_a_version_is_registered_and_then_shown(rest: Rest, model: str) -> None:
    answer = rest.ask("POST", "/models/version", json=registering(model, "2.0.0"))
    assert answer.status_code == 201, answer.text
    path = f"/models/version?model={model}&version=2.0.0"
    shown = rest.ask("GET", path)
    assert shown.headers["gitreg-commit"] == answer.json()["commit"]
    assert rest.ask("GET", path, headers={"if-none-match": shown.headers["etag"]}).status_code == 304


def test_what_is_in_memory_is_told_without_git(rest: Rest, model: str) -> None:
    registry = rest.serving.registry
    assert rest.ask("GET", f"/models/version?model={model}&version=1.0.0").status_code == 200
    with at_hand():
        assert registry.snapshot().plain(f"models/{model}/1.0.0.yaml") is not None
        with pytest.raises(NotAtHandError):
            registry.target.repository.run(["version"])
        with pytest.raises(NotAtHandError):
            registry.snapshot().read(".gitreg/schemas/manifest.schema.json")
    assert registry.target.repository.run(["version"])
