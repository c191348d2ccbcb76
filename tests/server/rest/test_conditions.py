"""What is not sent again (RFC 9110, 13): an answer that the client has."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.server.rest.client import problem, registering

if TYPE_CHECKING:
    from tests.server.rest.client import Rest

READS = (
    "/",
    "/models/{0}/versions/1.0.0",
    "/models/{0}/versions/1.0.0/lineage",
    "/models/{0}/versions/1.0.0/diff?to=1.1.0",
    "/search?q=model='{0}'",
    "/compare?version={0}@1.0.0&version=@1.1.0",
    "/recommend?need=a+version",
    "/deployments",
    "/deployments/staging/{0}/history",
    "/events?limit=1",
    "/log?limit=1",
    "/log?model={0}",
    "/audit?limit=1",
    "/files/registry.yaml",
    "/trees/models/{0}",
)


@pytest.fixture(scope="module")
def model(rest: Rest) -> str:
    return rest.model("1.0.0", "1.1.0")


@pytest.mark.parametrize("path", READS)
def test_every_answer_with_a_tag_is_not_sent_again(rest: Rest, model: str, path: str) -> None:
    place = path.format(model)
    first = rest.ask("GET", place)
    assert first.status_code == 200, first.text
    tag = first.headers["etag"]
    for said in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        for method in ("GET", "HEAD"):
            again = rest.ask(method, place, headers={"If-None-Match": said})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
            assert again.headers["gitreg-commit"] == first.headers["gitreg-commit"]
    assert rest.ask("GET", place, headers={"If-None-Match": '"other"'}).content == first.content


def test_what_a_client_has_hides_no_error(rest: Rest, model: str) -> None:
    problem(rest.ask("GET", f"/compare?version={model}@9.9.9", headers={"If-None-Match": "*"}), 404)
    problem(rest.ask("GET", f"/models/{model}/versions/1.0.0/lineage", "stranger", headers={"If-None-Match": "*"}), 403)


def test_the_audit_log_is_another_once_something_is_refused(rest: Rest) -> None:
    artifact = {"path": "model.bin", "digest": f"sha256:{'5' * 64}", "size": 3, "format": "safetensors"}
    before = rest.ask("GET", "/audit?verdict=refused&limit=1000")
    body = registering("risk/unsent", "2.0.0", artifacts=[artifact])
    problem(rest.ask("POST", "/models/register", json=body), 422)
    after = rest.ask("GET", "/audit?verdict=refused&limit=1000", headers={"If-None-Match": before.headers["etag"]})
    assert len(after.json()["items"]) == len(before.json()["items"]) + 1
    assert after.headers["gitreg-commit"] == before.headers["gitreg-commit"]


def test_what_may_be_another_at_the_same_commit_has_no_tag(rest: Rest) -> None:
    stored = rest.store(b"no tag of a commit")["digest"].replace(":", "/")
    for path in ("/audit/verify", f"/uploads/{stored}"):
        answer = rest.ask("GET", path, headers={"If-None-Match": "*"})
        assert (answer.status_code, "etag" in answer.headers) == (200, False)
