from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.rest.client import problem, registering

if TYPE_CHECKING:
    from tests.server.rest.client import Rest


@pytest.mark.parametrize(
    ("method", "path", "hint"),
    [
        ("GET", "/deployments?enviroment=prod", "did you mean environment?"),
        ("GET", "/models?projekt=risk", "did you mean project?"),
        ("GET", "/models/version?model=risk/any&vers=1.0.0", "did you mean version?"),
        ("GET", "/search?q=size>1&zzz=1", "it takes at, cursor, limit, order_by, q"),
        ("GET", "/uploads/sha256/{}?zzz", "it takes none"),
        ("POST", "/models/deploy?dryrun=true", "did you mean dry_run?"),
        ("HEAD", "/models?zzz=1", None),
    ],
)
def test_a_parameter_that_a_request_does_not_know_is_refused(
    rest: Rest, method: str, path: str, hint: str | None
) -> None:
    body = {"model": "risk/any", "version": "1.0.0", "environment": "staging"} if method == "POST" else None
    answer = rest.ask(method, path.format("0" * 64), json=body)
    assert answer.status_code == 422
    if hint is not None:
        assert problem(answer, 422)["hint"] == hint


@pytest.mark.parametrize("path", ["/models", "/models/{}", "/models/{}/versions/latest", "/trees/", "/openapi.json"])
def test_head_is_answered_as_get_is_without_the_body(rest: Rest, path: str) -> None:
    place = path.format(rest.model("1.0.0"))
    got, looked = (rest.ask(method, place) for method in ("GET", "HEAD"))
    assert (looked.status_code, looked.content) == (200, b"")
    for name in ("content-length", "content-type", "etag"):
        assert looked.headers.get(name) == got.headers.get(name)
    assert rest.ask("HEAD", "/models/risk/never").status_code == 404
    assert rest.ask("HEAD", "/models", None).status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/models/risk/any", "GET, HEAD, PATCH"),
        ("PUT", "/models/risk/any/versions/1.0.0", "DELETE, GET, HEAD, PATCH"),
        ("POST", "/deployments/prod/risk/any", "DELETE, GET, HEAD, PUT"),
        ("GET", "/models/promote", "POST"),
        ("DELETE", "/models", "GET, HEAD"),
    ],
)
def test_a_method_that_a_path_does_not_take_is_told_all_that_it_does(
    rest: Rest, method: str, path: str, allowed: str
) -> None:
    answer = rest.ask(method, path)
    problem(answer, 405)
    assert answer.headers["allow"] == allowed


@pytest.mark.parametrize(
    ("body", "kind", "status", "detail", "hint"),
    [
        (b"{", "application/json", 400, "the body is no JSON: ", "send one object: {…}"),
        (b"{}", None, 415, "the body is not said to be JSON", "send Content-Type: application/json"),
        (
            b"{}",
            "application/x-www-form-urlencoded",
            415,
            "the body is not said",
            "send Content-Type: application/json",
        ),
        (b"[]", "application/json", 422, "body: Input should be", None),
        (b"", "application/json", 422, "body: Field required", None),
    ],
    ids=["no-json", "no-type", "form", "list", "empty"],
)
@pytest.mark.parametrize("path", ["/models/register", "/models/deploy"])
def test_a_body_in_another_form_is_told_what_to_send(
    rest: Rest, path: str, body: bytes, kind: str | None, status: int, detail: str, hint: str | None
) -> None:
    found = problem(rest.ask("POST", path, content=body, headers={"Content-Type": kind} if kind else {}), status)
    assert found["detail"].startswith(detail)
    assert hint is None or found["hint"] == hint


def test_a_rule_about_the_whole_body_is_told_in_its_own_words(rest: Rest) -> None:
    found = problem(rest.ask("POST", "/models/register", json=registering("risk/any", "1.0.0", bump="patch")), 422)
    assert found["detail"].startswith("body: name a version, or how to bump")


def test_who_deploys_to_the_next_environment_alone_promotes_without_naming_it(rest: Rest) -> None:
    name = rest.model("1.0.0")
    assert rest.ask("PUT", f"/deployments/staging/{name}", json={"version": "1.0.0"}).status_code == 200
    promote = {"model": name, "source": "staging"}
    problem(rest.ask("POST", "/models/promote", "mole", json=promote), 403)
    problem(rest.ask("POST", "/models/promote", "carol", json=promote | {"target": "staging"}), 403)
    assert rest.ask("POST", "/models/promote", "carol", json=promote).status_code == 200
    assert rest.ask("GET", f"/deployments/prod/{name}").json()["version"] == "1.0.0"
    problem(rest.ask("POST", "/models/promote", json={"model": name, "source": "prod"}), 422)
    problem(rest.ask("POST", "/models/promote", json={"model": name, "source": "nowhere"}), 404)


@pytest.mark.parametrize(
    "path", ["/deployments?environment=", "/deployments?model=", "/log?model=", "/audit?since=", "/audit?until="]
)
def test_a_filter_that_says_nothing_is_not_taken_for_none(rest: Rest, path: str) -> None:
    name = path.partition("?")[2].removesuffix("=")
    assert problem(rest.ask("GET", path), 422)["detail"].startswith(f"{name}: ")
