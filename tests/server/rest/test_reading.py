from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.gate_hooks.audit import proof
from gitreg.git import Repository
from gitreg.registry import open_registry
from gitreg.server.rest import happening
from tests.server.githttp.site import make_registry
from tests.server.rest.client import make_token, problem, registering, serve
from tests.server.serving import HOST, PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.gate_hooks.audit.result import Verified
    from tests.server.rest.client import Rest


def pages(rest: Rest, path: str, limit: int, **query: str) -> list[Any]:
    """Read a list to its end, page by page."""
    found: list[Any] = []
    cursor: str | None = None
    for _ in range(1000):
        more: dict[str, str] = {"cursor": cursor} if cursor else {}
        answer = rest.ask("GET", path, params={"limit": limit, **query, **more})
        assert answer.status_code == 200, answer.text
        part = answer.json()
        assert len(part["items"]) <= limit
        found += part["items"]
        cursor = part["next"]
        if cursor is None:
            return found
    raise AssertionError("it has no end")


def test_a_cursor_that_is_none_is_told_of(rest: Rest) -> None:
    name = rest.model("1.0.0")
    for path in ("/models", f"/models/{name}/versions", "/search"):
        answer = rest.ask("GET", path, params={"cursor": "xx"})
        assert (answer.status_code, "'xx'" in answer.json()["detail"]) == (422, True)


def test_a_search_without_a_condition_finds_all_and_a_mistake_is_pointed_at(rest: Rest) -> None:
    name = rest.model("1.0.0", "1.1.0")
    found = rest.ask("GET", "/search", params={"order_by": "created", "limit": 500}).json()["items"]
    assert {each["version"] for each in found if each["model"] == name} == {"1.0.0", "1.1.0"}
    [said] = rest.ask("GET", "/search", params={"q": "size > 2XB"}).json()["violations"]
    assert said["message"].split("\n") == ["size > 2XB", "       ^ compared as a number"]


def test_a_read_that_the_client_has_is_not_sent_again(rest: Rest) -> None:
    name = rest.model("1.0.0")
    first = rest.ask("GET", f"/models/{name}/versions/latest")
    headers = {"If-None-Match": first.headers["etag"]}
    assert rest.ask("GET", f"/models/{name}/versions/latest", headers=headers).status_code == 304
    assert rest.ask("PATCH", f"/models/{name}", json={"task": "ranking"}).status_code == 200
    assert rest.ask("GET", f"/models/{name}/versions/latest", headers=headers).status_code == 200


MOVED = {
    "": ("PATCH", "/models/{}", {"description": "Another."}),
    "/versions": ("POST", "/models/version", {"bump": "patch"}),
    "/versions/latest": ("PUT", "/models/{}/aliases/best", {"version": "1.0.0"}),
    "/versions/1.0.0": ("PUT", "/deployments/staging/{}", {"version": "1.0.0"}),
    "/card": ("PATCH", "/models/{}", {"card": "# Another"}),
}


@pytest.mark.parametrize("path", MOVED)
def test_what_others_commit_does_not_make_a_model_new(rest: Rest, path: str) -> None:
    name = rest.model("1.0.0")
    assert rest.ask("PATCH", f"/models/{name}", json={"card": "# A card"}).status_code == 200
    tag = rest.ask("GET", f"/models/{name}{path}").headers["etag"]
    rest.model("1.0.0")
    now = rest.ask("GET", "/").json()["commit"]
    same = rest.ask("GET", f"/models/{name}{path}", headers={"If-None-Match": f'"{"0" * 40}", W/{tag}'})
    assert (same.status_code, same.headers["etag"], same.headers["gitreg-commit"]) == (304, tag, now)
    method, place, body = MOVED[path]
    if method == "POST":
        body = registering(name, "1.1.0")
    assert rest.ask(method, place.format(name), json=body).is_success
    assert rest.ask("GET", f"/models/{name}{path}", headers={"If-None-Match": tag}).status_code == 200


def test_what_others_commit_does_not_make_a_deployment_new(rest: Rest) -> None:
    name = rest.model("1.0.0", "2.0.0")
    path = f"/deployments/staging/{name}"
    assert rest.ask("PUT", path, json={"version": "1.0.0"}).status_code == 200
    headers = {"If-None-Match": rest.ask("GET", path).headers["etag"]}
    rest.model("1.0.0")
    for each in (path, f"/deployments?model={name}"):
        assert rest.ask("GET", each, headers=headers).status_code == 304
    assert rest.ask("PUT", f"/status/staging/{name}", json={"version": "1.0.0"}).status_code == 200
    for each in (path, f"/deployments?model={name}"):
        assert rest.ask("GET", each, headers=headers).status_code == 200


def test_what_is_not_there_is_not_unchanged(rest: Rest) -> None:
    tag = rest.ask("GET", "/models").headers["etag"]
    name = rest.model("1.0.0")
    now = rest.ask("GET", "/models").headers["etag"]
    for path in (
        "/models/risk/never",
        "/models/risk/never/versions",
        f"/models/{name}/card",
        f"/models/{name}/versions/9.9.9",
        f"/models/{name}/versions/prod",
        f"/models/version?model={name}&version=9.9.9",
        f"/models/version?model={name}&version=nowhere",
        "/deployments?environment=nowhere",
        "/deployments?model=risk/never",
    ):
        for each in (tag, now, "*"):
            problem(rest.ask("GET", path, headers={"If-None-Match": each}), 404)
    assert rest.ask("GET", f"/models/{name}/versions/1.0.0", headers={"If-None-Match": "*"}).status_code == 304


def test_a_list_is_new_only_where_models_or_what_runs_have_changed(tmp_path: Path) -> None:
    make_registry(tmp_path / "models.git")
    with serve(tmp_path / "models.git") as rest:
        name = rest.model("1.0.0", "2.0.0")
        lists = (
            "/models",
            "/deployments",
            f"/search?q=model='{name}'",
            f"/compare?version={name}@1.0.0&version={name}@2.0.0",
            "/recommend?need=a version",
            f"/models/{name}/versions/1.0.0/lineage",
            f"/models/{name}/versions/1.0.0/diff?to=1.0.0",
        )
        tag = rest.ask("GET", "/models").headers["etag"]
        rest.put("NOTES", b"of no model")
        for path in lists:
            same = rest.ask("GET", path, headers={"If-None-Match": tag})
            assert same.status_code == 304, same.text
            assert same.headers["etag"] == tag
            # Whether it was models that changed is not for who may not read them all.
            assert rest.ask("GET", path, "mole", headers={"If-None-Match": tag}).status_code == 200
        assert rest.ask("PUT", f"/status/staging/{name}", json={"version": "1.0.0"}).status_code == 200
        for path in lists:
            assert rest.ask("GET", path, headers={"If-None-Match": tag}).status_code == 200
        problem(rest.ask("GET", "/search?q=(", headers={"If-None-Match": "*"}), 422)


def test_a_version_is_named_in_one_parameter_or_in_two(rest: Rest) -> None:
    name = rest.model("1.0.0", "2.0.0")
    for query in (f"model={name}@1.0.0", f"model={name}&version=1.0.0", f"model={name}@^1"):
        assert rest.ask("GET", f"/models/version?{query}").json()["manifest"]["version"] == "1.0.0"
    assert rest.ask("GET", f"/models/version?model={name}").json()["manifest"]["version"] == "2.0.0"
    problem(rest.ask("GET", f"/models/version?model={name}@1.0.0&version=2.0.0"), 422)
    problem(rest.ask("GET", f"/models/version?model={name}@"), 422)
    compared = rest.ask("GET", "/compare", params={"version": [f"{name}@1.0.0", "@2.0.0"]})
    assert compared.json()["versions"] == [f"{name}@1.0.0", f"{name}@2.0.0"]
    problem(rest.ask("GET", "/compare?version=@2.0.0"), 422)


def test_what_is_pushed_past_the_server_is_seen_at_once(rest: Rest) -> None:
    name = rest.model("1.0.0")
    before = rest.ask("GET", f"/models/{name}").headers["gitreg-commit"]
    with Repository.open(rest.path) as repository:
        tree = repository.run(["rev-parse", "main^{tree}"]).decode().strip()
        commit = repository.run(["commit-tree", tree, "-p", before, "-m", "By hand"]).decode().strip()
        repository.run(["update-ref", "refs/heads/main", commit, before])
    assert rest.ask("GET", f"/models/{name}").headers["gitreg-commit"] == commit


def test_models_and_versions_come_in_pages(rest: Rest) -> None:
    name = rest.model(*(f"1.{number}.0" for number in range(5)))
    assert [row["version"] for row in pages(rest, f"/models/{name}/versions", 2)] == [
        f"1.{n}.0" for n in (4, 3, 2, 1, 0)
    ]
    everything = [row["model"] for row in pages(rest, "/models", 1000)]
    assert name in everything
    assert [row["model"] for row in pages(rest, "/models", 3)] == everything
    problem(rest.ask("GET", f"/models/{name}/versions?cursor=nothing"), 422)
    problem(rest.ask("GET", "/models?limit=0"), 422)


def test_versions_are_found_by_their_fields(rest: Rest) -> None:
    name = rest.model("1.0.0", "1.1.0", metrics={"auc": 0.75})
    found = pages(rest, "/search", 1, q=f"model = '{name}' and metrics.auc > 0.7")
    assert [row["version"] for row in found] == ["1.1.0", "1.0.0"]
    problem(rest.ask("GET", "/search?q=metrics.auc >"), 422)


def test_who_may_not_read_a_model_does_not_find_it(rest: Rest) -> None:
    body = {"model": "audio/quiet", "version": "1.0.0", "external": {"provider": "x", "id": "y"}, "license": "MIT"}
    assert rest.ask("POST", "/models/register", json=body | {"description": "Hidden."}).status_code == 201
    assert pages(rest, "/search", 10, q="model = 'audio/quiet'")
    assert rest.ask("GET", "/search?q=model = 'audio/quiet'", "mole").json()["items"] == []


def test_lineage_diff_and_comparison(rest: Rest) -> None:
    base = rest.model("1.0.0", metrics={"auc": 0.5})
    name = rest.model("1.0.0", "2.0.0", parents=[f"{base}@1.0.0"], metrics={"auc": 0.75})
    tree = rest.ask("GET", f"/models/{name}/versions/1.0.0/lineage").json()
    assert [each["name"] for each in tree["parents"]] == [f"{base}@1.0.0"]
    diff = rest.ask("GET", f"/models/{name}/versions/1.0.0/diff", params={"to": f"{base}@1.0.0"})
    assert diff.status_code == 200
    assert "0.75" in diff.text
    compared = rest.ask("GET", "/compare", params={"version": [f"{name}@1.0.0", f"{base}@1.0.0"]})
    assert compared.status_code == 200, compared.text


def test_an_alias_and_the_approvals_of_a_version_are_read_where_they_are_written(rest: Rest) -> None:
    name = rest.model("1.0.0", "1.1.0")
    alias, approvals = f"/models/{name}/aliases/best", f"/models/{name}/versions/1.0.0/approvals"
    problem(rest.ask("GET", alias), 404)
    assert rest.ask("GET", approvals).json() == {"items": [], "next": None}
    assert rest.ask("PUT", alias, json={"version": "1.0.0"}).is_success
    assert rest.ask("PUT", f"{approvals}/prod", json={"comment": "Good."}).is_success
    shown = rest.ask("GET", alias)
    assert shown.json() == rest.ask("GET", f"/models/{name}/versions/1.0.0").json()
    assert rest.ask("GET", alias, headers={"If-None-Match": shown.headers["etag"]}).status_code == 304
    problem(rest.ask("GET", f"/models/{name}/aliases/staging"), 404)
    (verdict,) = rest.ask("GET", approvals).json()["items"]
    assert (verdict["environment"], verdict["user"], verdict["comment"]) == ("prod", "root", "Good.")
    assert verdict["manifest_digest"] == shown.json()["manifest_digest"]


def test_the_environments_are_listed_in_their_order(rest: Rest) -> None:
    found = rest.ask("GET", "/environments", "stranger").json()["items"]
    assert [(each["name"], each.get("after")) for each in found] == [("staging", None), ("prod", "staging")]
    problem(rest.ask("GET", "/environments", None), 401)


@pytest.mark.parametrize("path", ["aliases/best", "versions/1.0.0/approvals"])
def test_whether_a_hidden_model_has_an_alias_or_approvals_is_not_told(rest: Rest, path: str) -> None:
    answers = [rest.ask("GET", f"/models/audio/{name}/{path}", "mole") for name in ("quiet", "none-such")]
    assert [each.status_code for each in answers] == [403, 403]
    assert answers[0].json()["detail"].replace("quiet", "none-such") == answers[1].json()["detail"]


def test_lineage_tells_nothing_of_models_that_one_may_not_read(rest: Rest) -> None:
    def register(model: str, *parents: str) -> None:
        body = {"model": model, "version": "1.0.0", "external": {"provider": "x", "id": "y"}, "license": "MIT"}
        answer = rest.ask("POST", "/models/register", json=body | {"description": "x", "parents": list(parents)})
        assert answer.status_code == 201, answer.text

    register("text/root")
    register("text/middle", "text/root@1.0.0")
    register("risk/leaf", "text/middle@1.0.0")
    register("text/below", "risk/leaf@1.0.0")
    register("risk/claims", "text/middle@1.0.0:base")
    path = "/models/risk/leaf/versions/1.0.0/lineage"
    (parent,) = rest.ask("GET", path, "mole").json()["parents"]
    assert (parent["name"], parent["parents"]) == ("text/middle@1.0.0", [])
    # Whatever its relation is called, it is a model of the registry.
    (parent,) = rest.ask("GET", path.replace("leaf", "claims"), "mole").json()["parents"]
    assert (parent["name"], parent["relation"], parent["parents"]) == ("text/middle@1.0.0", "base", [])
    (parent,) = rest.ask("GET", path).json()["parents"]
    assert [each["name"] for each in parent["parents"]] == ["text/root@1.0.0"]
    below = rest.ask("GET", path, params={"direction": "down"}).json()
    assert [each["name"] for each in below["children"]] == ["text/below@1.0.0"]
    assert rest.ask("GET", path, "mole", params={"direction": "down"}).json()["children"] == []


def test_deployments_of_the_past(rest: Rest) -> None:
    name = rest.model("1.0.0")
    problem(rest.ask("GET", f"/deployments/staging/{name}"), 404)
    problem(rest.ask("GET", f"/deployments/nowhere/{name}"), 404)
    assert rest.ask("PUT", f"/deployments/staging/{name}", json={"version": "1.0.0"}).status_code == 200
    (row,) = rest.ask("GET", "/deployments", params={"model": name}).json()["items"]
    assert (row["environment"], row["version"]) == ("staging", "1.0.0")
    problem(rest.ask("GET", "/deployments", params={"at": "2020-01-01"}), 404)


def test_events_follow_one_another_from_the_first_commit_on(rest: Rest) -> None:
    start = rest.ask("GET", "/").json()["commit"]
    name = rest.model("1.0.0")
    answer = rest.ask("GET", "/events", params={"after": start}).json()
    assert [event["subject"] for event in answer["items"]] == [f"Register {name} 1.0.0"]
    assert answer["next"] == answer["items"][-1]["commit"]
    assert rest.ask("GET", "/events", params={"after": answer["next"]}).json()["items"] == []
    first = rest.ask("GET", "/events", params={"limit": 1}).json()
    second = rest.ask("GET", "/events", params={"limit": 1, "after": first["next"]}).json()
    assert first["items"][0]["commit"] != second["items"][0]["commit"]
    problem(rest.ask("GET", "/events", params={"after": "0" * 40}), 422)


def test_the_audit_log_is_for_admins(rest: Rest) -> None:
    name = rest.model("1.0.0")
    found = pages(rest, "/audit", 1, model=name)
    assert [(entry["actor"], entry["verdict"]) for entry in found] == [("root", "accepted")]
    assert found[0]["source"]["identity"].startswith("token:")
    problem(rest.ask("GET", "/audit", "alice"), 403)


def test_a_cursor_that_was_made_up_gives_no_part_of_an_entry(rest: Rest) -> None:
    rest.model()
    following = rest.ask("GET", "/audit?limit=1").json()["next"]
    assert rest.ask("GET", f"/audit?limit=1&cursor={following}").json()["items"][0]["seq"] == 2
    for made_up in (int(following) - 1, int(following) + 1, 10**11, "x", -1):
        problem(rest.ask("GET", f"/audit?cursor={made_up}"), 422)
    problem(rest.ask("GET", f"/log?cursor={'0' * 40}"), 422)


def test_the_proof_of_the_audit_log_is_for_admins(rest: Rest) -> None:
    rest.model()
    assert rest.ask("GET", "/audit/verify").json()["landed"] > 0
    problem(rest.ask("GET", "/audit/verify", "alice"), 403)


def test_a_proof_that_takes_long_shows_signs_of_life_and_ends_with_its_answer(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on, real = threading.Event(), proof.verify

    def slow(repository: Repository) -> Verified:
        assert go_on.wait(PATIENCE)
        return real(repository)

    rest.model()
    monkeypatch.setattr(proof, "verify", slow)
    monkeypatch.setattr(happening, "_SIGN_OF_LIFE", 0.01)
    with rest.client("root") as client, client.stream("GET", "/audit/verify") as answer:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        pieces = answer.iter_bytes()
        assert next(pieces).strip() == b""
        go_on.set()
        assert json.loads(b"".join(pieces))["landed"] > 0
    monkeypatch.setenv("GITREG_TOKEN", make_token(rest.path, "root"))
    with open_registry(f"http://{HOST}:{rest.port}") as registry:
        assert registry.verify_audit().landed > 0


def test_a_refused_write_is_in_the_audit_log_with_its_address(rest: Rest) -> None:
    artifact = {"path": "model.bin", "digest": f"sha256:{'4' * 64}", "size": 3, "format": "safetensors"}
    body = {"model": "risk/refused", "version": "1.0.0", "artifacts": [artifact], "license": "MIT", "description": "x"}
    problem(rest.ask("POST", "/models/register", json=body), 422)
    (entry,) = pages(rest, "/audit", 10, model="risk/refused")
    assert entry["verdict"] == "refused"
    assert entry["source"]["address"] == "127.0.0.1"


def test_strangers_are_told_what_this_is_and_nothing_else(rest: Rest) -> None:
    assert rest.ask("GET", "/", None).json().keys() == {"service", "version", "git"}
    assert rest.ask("GET", "/openapi.json", None).json()["openapi"] == "3.1.0"
    for path in ("/models", "/files/registry.yaml", "/trees/", "/events", "/metrics", "/deployments"):
        answer = rest.ask("GET", path, None)
        problem(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_a_browser_is_sent_to_the_pages(rest: Rest) -> None:
    answer = rest.ask("GET", "/", None, headers={"Accept": "text/html,application/xhtml+xml"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/ui/")


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/models", 405), ("GET", "/models/", 404)]
)
def test_what_is_not_there_is_said_in_the_same_form(rest: Rest, method: str, path: str, status: int) -> None:
    assert problem(rest.ask(method, path), status)["hint"]
