from __future__ import annotations

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.access import Action
from gitreg.errors import NotFoundError
from gitreg.git import Repository
from gitreg.server import serving
from tests.server.rest.client import problem, registering

if TYPE_CHECKING:
    from tests.server.rest.client import Rest


def test_a_registered_version_is_on_main_by_the_time_it_is_answered(rest: Rest) -> None:
    answer = rest.ask("POST", "/models/register", "alice", json=registering("risk/answered", "1.0.0"))
    assert answer.status_code == 201
    assert answer.headers["location"] == "/models/risk/answered/versions/1.0.0"
    commit = answer.json()["commit"]
    assert answer.headers["gitreg-commit"] == commit
    assert answer.headers["etag"] == f'"{commit}"'
    with Repository.open(rest.path) as repository:
        log = repository.run(["log", "-1", "--format=%an %s", commit]).decode()
        assert repository.run(["merge-base", "--is-ancestor", commit, "main"], codes=(0,)) == b""
    assert log == "alice Register risk/answered 1.0.0\n"
    assert rest.ask("GET", answer.headers["location"]).json()["manifest"]["description"] == "A version."


def test_a_version_with_files_is_uploaded_registered_and_downloaded(rest: Rest) -> None:
    file = rest.store(b"weights of mine")
    name = rest.model("1.0.0", artifacts=[{"path": "a/model.bin", **file, "format": "safetensors"}])
    shown = rest.ask("GET", f"/models/{name}/versions/1.0.0").json()
    assert shown["manifest"]["artifacts"] == [{"path": "a/model.bin", **file, "format": "safetensors"}]
    assert rest.ask("GET", f"/models/{name}/versions/latest/files/a/model.bin").content == b"weights of mine"


def test_a_version_whose_files_are_not_in_the_store_is_refused_with_the_gates_words(rest: Rest) -> None:
    artifact = {"path": "model.bin", "digest": f"sha256:{'1' * 64}", "size": 3, "format": "safetensors"}
    found = problem(
        rest.ask("POST", "/models/register", json=registering("risk/gone", "1.0.0", artifacts=[artifact])), 422
    )
    assert [each["code"] for each in found["violations"]] == ["blob-missing"]
    assert found["request_id"]


def test_a_further_version_needs_a_model_that_exists(rest: Rest) -> None:
    problem(rest.ask("POST", "/models/version", json=registering("risk/never", "1.0.0")), 404)
    name = rest.model("1.0.0")
    answer = rest.ask("POST", "/models/version", json={**registering(name, "1.1.0"), "version": None, "bump": "minor"})
    assert answer.status_code == 201
    assert answer.headers["location"] == f"/models/{name}/versions/1.1.0"


def test_a_version_that_exists_is_a_conflict(rest: Rest) -> None:
    name = rest.model("1.0.0")
    assert (
        "1.0.0 exists" in problem(rest.ask("POST", "/models/register", json=registering(name, "1.0.0")), 409)["detail"]
    )


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"colour": "red"}, "colour"),
        ({"metrics": {"auc": "high"}}, "metrics.auc"),
        ({"version": 1}, "version"),
        ({"model": "../etc/passwd"}, "model"),
        ({"bump": "minor"}, ""),
        ({"labels": ["a"]}, "labels"),
    ],
)
def test_a_field_that_is_wrong_is_named(rest: Rest, change: dict[str, Any], field: str) -> None:
    found = problem(rest.ask("POST", "/models/register", json={**registering("risk/wrong", "1.0.0"), **change}), 422)
    assert found["violations"][0]["field"] == field


def test_every_write_of_the_brief_works_under_its_name(rest: Rest) -> None:
    name = rest.model("1.0.0", "2.0.0")

    def post(verb: str, user: str = "root", **body: object) -> dict[str, Any]:
        answer = rest.ask("POST", f"/models/{verb}", user, json={"model": name, **body})
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    post("deploy", "bob", version="1.0.0", environment="staging", reason="first")
    post("deploy", version="2.0.0", environment="staging", canary_version="1.0.0", canary_percent=10)
    row = rest.ask("GET", f"/deployments/staging/{name}").json()
    assert (row["version"], row["canary_version"], row["canary_percent"]) == ("2.0.0", "1.0.0", 10)
    assert post("rollback", environment="staging", reason="bad")["subject"].startswith("Roll")
    history = rest.ask("GET", f"/deployments/staging/{name}/history").json()["items"]
    assert [each["version"] for each in history] == ["1.0.0", "2.0.0", "1.0.0"]
    post("report", version="1.0.0", environment="staging", endpoint="https://scoring.example.org")
    assert rest.ask("GET", f"/deployments/staging/{name}").json()["reported"]["state"] == "live"
    post("alias", alias="champion", version="2.0.0")
    assert rest.ask("GET", f"/models/version?model={name}&version=champion").json()["manifest"]["version"] == "2.0.0"
    post("alias", alias="champion", remove=True)
    post("undeploy", environment="staging")
    problem(rest.ask("GET", f"/deployments/staging/{name}"), 404)
    post("yank", version="1.0.0", reason="leak")
    assert rest.ask("GET", f"/models/{name}/versions/1.0.0").json()["manifest"]["lifecycle"] == "yanked"
    post("yank", version="1.0.0", undo=True)
    post("archive", version="1.0.0")
    post("delete", version="1.0.0")
    problem(rest.ask("GET", f"/models/{name}/versions/1.0.0"), 404)
    post("delete", version="1.0.0", undo=True)


def test_resources_are_changed_under_their_addresses(rest: Rest) -> None:
    name = rest.model("1.0.0", "1.1.0")

    def send(method: str, path: str, **more: Any) -> None:  # noqa: ANN401 - httpx's
        answer = rest.ask(method, path, **more)
        assert answer.status_code == 200, answer.text

    send("PATCH", f"/models/{name}", json={"task": "scoring", "card": "# Card\n"})
    assert rest.ask("GET", f"/models/{name}").json()["task"] == "scoring"
    assert rest.ask("GET", f"/models/{name}/card").text == "# Card\n"
    send("PATCH", f"/models/{name}/versions/1.0.0", json={"metrics": {"auc": 0.5}})
    assert rest.ask("GET", f"/models/{name}/versions/1.0.0").json()["manifest"]["metrics"] == {"auc": 0.5}
    send("PUT", f"/models/{name}/aliases/best", json={"version": "1.0.0"})
    send("PUT", f"/deployments/staging/{name}", json={"version": "best"})
    send("PUT", f"/status/staging/{name}", json={"version": "1.0.0", "state": "failed"})
    assert rest.ask("GET", f"/deployments/staging/{name}").json()["drift"] == "1.0.0 failed"
    send("DELETE", f"/deployments/staging/{name}?reason=over")
    send("DELETE", f"/models/{name}/aliases/best")
    send("DELETE", f"/models/{name}/versions/1.0.0?reason=wrong")
    rows = rest.ask("GET", f"/models/{name}/versions").json()["items"]
    assert [(row["version"], row["lifecycle"]) for row in rows] == [("1.1.0", "active"), ("1.0.0", "deleted")]


def test_an_approval_is_the_callers_own(rest: Rest) -> None:
    name = rest.model("1.0.0")
    path = f"/models/{name}/versions/1.0.0/approvals/staging"
    assert rest.ask("PUT", path, json={"comment": "looks right"}).status_code == 200
    (approval,) = rest.ask("GET", f"/models/{name}/versions/1.0.0").json()["approvals"]
    assert (approval["user"], approval["verdict"], approval["comment"]) == ("root", "approve", "looks right")
    problem(
        rest.ask("POST", "/models/approve", "bob", json={"model": name, "version": "1.0.0", "environment": "staging"}),
        403,
    )


# Who may


def test_who_may_not_is_told_the_same_whether_it_exists_or_not(rest: Rest) -> None:
    name = rest.model("1.0.0")
    there, nowhere = (
        problem(
            rest.ask(
                "POST", "/models/deploy", "alice", json={"model": each, "version": "1.0.0", "environment": "staging"}
            ),
            403,
        )
        for each in (name, "risk/nowhere")
    )
    assert there["detail"].replace(name, "risk/nowhere") == nowhere["detail"]


def test_a_token_does_no_more_than_it_was_made_for(rest: Rest) -> None:
    with rest.client("root", Action.READ) as client:
        problem(client.post("/models/register", json=registering("risk/scoped", "1.0.0")), 403)
    with rest.client("root", Action.REGISTER) as client:
        assert client.post("/models/register", json=registering("risk/scoped", "1.0.0")).status_code == 201


# Dry runs, conditions, retries


def test_a_dry_run_shows_the_diff_and_changes_nothing(rest: Rest) -> None:
    answer = rest.ask("POST", "/models/register?dry_run=true", json=registering("risk/dry", "1.0.0"))
    assert answer.status_code == 200
    assert "+description: A version." in answer.json()["diff"]
    problem(rest.ask("GET", "/models/risk/dry"), 404)


def test_a_dry_run_lists_what_the_gate_would_say(rest: Rest) -> None:
    artifact = {"path": "model.bin", "digest": f"sha256:{'2' * 64}", "size": 3, "format": "safetensors"}
    body = registering("risk/dry", "1.0.0", artifacts=[artifact])
    answer = rest.ask("POST", "/models/register?dry_run=true", json=body)
    assert answer.status_code == 200
    assert [each["code"] for each in answer.json()["violations"]] == ["blob-missing"]


def test_if_match_refuses_a_write_on_what_has_changed_since(rest: Rest) -> None:
    name = rest.model("1.0.0")
    read = rest.ask("GET", f"/models/{name}").headers["etag"]
    rest.model("1.0.0")  # another model moves main, which is nothing to this one
    first = rest.ask("PATCH", f"/models/{name}", json={"task": "one"}, headers={"If-Match": read})
    assert first.status_code == 200
    problem(rest.ask("PATCH", f"/models/{name}", json={"task": "two"}, headers={"If-Match": read}), 412)
    for said in ('"x"', f"W/{read}", f"{read}, {read}"):
        refused = rest.ask("PATCH", f"/models/{name}", json={"task": "two"}, headers={"If-Match": said})
        assert "one strong ETag" in problem(refused, 412)["hint"]
    assert rest.ask("GET", f"/models/{name}").json()["task"] == "one"


def test_the_same_key_gets_the_same_answer_and_one_commit(rest: Rest) -> None:
    body = {**registering("risk/keyed", "1.0.0"), "version": None, "bump": "minor"}
    headers = {"Idempotency-Key": "a-key"}
    first = rest.ask("POST", "/models/register", json=body, headers=headers)
    again = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotency-replayed"] == "true"
    assert len(rest.ask("GET", "/models/risk/keyed/versions").json()["items"]) == 1
    other = rest.ask("POST", "/models/register", json={**body, "license": "BSD-3-Clause"}, headers=headers)
    problem(other, 422)
    # Another caller's key is another one.
    assert rest.ask("POST", "/models/register", "alice", json=body, headers=headers).status_code == 201


def test_a_refused_request_may_be_tried_again_under_its_key(rest: Rest) -> None:
    headers = {"Idempotency-Key": "refused"}
    body = registering("risk/later", "1.1.0")
    problem(rest.ask("POST", "/models/version", json=body, headers=headers), 404)
    assert rest.ask("POST", "/models/register", json=registering("risk/later", "1.0.0")).status_code == 201
    assert rest.ask("POST", "/models/version", json=body, headers=headers).status_code == 201


def test_a_retry_finds_the_commit_of_a_server_that_was_killed_before_it_answered(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitreg.server import idempotency

    body, headers = registering("risk/killed", "1.0.0"), {"Idempotency-Key": "killed"}
    with monkeypatch.context() as killed:  # the note is never made, as if the process had died before it
        killed.setattr(rest.serving.remembered.__class__, "done", lambda *_: None)
        first = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert first.status_code == 201
    problem(rest.ask("POST", "/models/register", json=body, headers=headers), 409)
    rest.serving.remembered.close()
    monkeypatch.setattr(idempotency, "GONE", -1.0)
    again = rest.ask("POST", "/models/register", json=body, headers=headers)
    assert again.status_code == 201, again.text
    assert again.json()["commit"] == first.json()["commit"]
    assert again.headers["location"] == first.headers["location"]


def test_many_at_once_all_get_their_own_commit(rest: Rest) -> None:
    name, clients = rest.model("0.0.1"), 8
    barrier = threading.Barrier(clients)

    def one(number: int) -> tuple[int, str]:
        with rest.client() as client:
            barrier.wait(30)
            answer = client.post("/models/version", json=registering(name, f"1.{number}.0"))
            return answer.status_code, answer.json().get("commit")

    with ThreadPoolExecutor(clients) as pool:
        found = list(pool.map(one, range(clients)))
    assert [status for status, _ in found] == [201] * clients
    assert len({commit for _, commit in found}) == clients


def test_a_write_that_takes_too_long_is_not_said_to_have_failed(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    future: Future[object] = Future()
    monkeypatch.setattr(type(rest.serving.writer), "submit", lambda *_: future)
    monkeypatch.setattr(serving, "PATIENCE", 0.0)
    body, headers = registering("risk/slow", "1.0.0"), {"Idempotency-Key": "slow"}
    assert future.set_running_or_notify_cancel()
    answer = rest.ask("POST", "/models/register", json=body, headers=headers)
    found = problem(answer, 503)
    assert "may still be" in found["detail"]
    assert "same Idempotency-Key" in found["hint"]
    assert int(answer.headers["retry-after"]) > 0
    # While it may land yet, nobody begins it anew; then its retry does, or finds its commit.
    problem(rest.ask("POST", "/models/register", json=body, headers=headers), 409)
    future.set_exception(NotFoundError("it ended"))
    monkeypatch.undo()
    assert rest.ask("POST", "/models/register", json=body, headers=headers).status_code == 201


def test_a_write_that_had_not_begun_is_not_done_later(rest: Rest, monkeypatch: pytest.MonkeyPatch) -> None:
    future: Future[object] = Future()
    monkeypatch.setattr(type(rest.serving.writer), "submit", lambda *_: future)
    monkeypatch.setattr(serving, "PATIENCE", 0.0)
    found = problem(rest.ask("POST", "/models/register", json=registering("risk/late", "1.0.0")), 503)
    assert "not done any more" in found["detail"]
    assert future.cancelled()
