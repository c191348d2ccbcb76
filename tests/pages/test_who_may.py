"""Who sees what, who may do what, and that nobody is made to do it by another site."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from gitreg.access import Action
from gitreg.git import Draft, Repository, Signature, refs
from gitreg.git.commits import write_commits
from gitreg.layout import MAIN
from tests.pages.served import Visitor, pages_of, plain, token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Visit = Callable[[str], Visitor]

MODEL = "/ui/models/vision/digit-reader"


def test_a_stranger_is_sent_to_sign_in_and_back(address: str) -> None:
    answer = httpx.get(f"{address}{MODEL}?a=b")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ui/sign-in?next=%2Fui%2Fmodels%2Fvision%2Fdigit-reader%3Fa%3Db"


@pytest.mark.parametrize(
    "following",
    ["//example.org/ui/", "https://example.org", "/ui/\\example.org", "/ui/x\r\nset-cookie: a=b", "/models", ""],
)
def test_signing_in_leads_to_no_other_site(git_dir: Path, address: str, following: str) -> None:
    form = {"token": token(git_dir, "alice"), "next": following}
    answer = httpx.post(f"{address}/ui/sign-in", data=form, headers={"sec-fetch-site": "same-origin"})
    assert answer.headers["location"] == "/ui/models"
    assert answer.headers["set-cookie"].startswith("gitreg-")


def test_a_wrong_token_signs_nobody_in(address: str) -> None:
    headers = {"sec-fetch-site": "same-origin"}
    answer = httpx.post(f"{address}/ui/sign-in", data={"token": "gitreg_nonsense"}, headers=headers)
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert 'role="alert"' in answer.text
    assert "gitreg_nonsense" not in answer.text


def test_signing_out_ends_the_session(git_dir: Path, address: str) -> None:
    visitor = Visitor(address, token(git_dir, "alice"))
    try:
        page = visitor.get("/ui/models").text
        binding = page.partition('name="binding" value="')[2].partition('"')[0]
        assert visitor.http.post("/ui/sign-out", data={"binding": "wrong"}).status_code == 403
        assert visitor.http.post("/ui/sign-out", data={"binding": binding}).status_code == 303
        assert visitor.get("/ui/models").status_code == 303
    finally:
        visitor.close()


@pytest.mark.parametrize(
    "headers", [{"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "null"}]
)
def test_a_form_of_another_site_changes_nothing(visitor: Visit, headers: dict[str, str]) -> None:
    carol = visitor("carol")
    cookie = {"cookie": carol.http.get("/ui/models").request.headers["cookie"]}
    form = {"model": "vision/digit-reader", "environment": "prod"}
    answer = httpx.post(f"{carol.address}/ui/actions/undeploy", data=form, headers={**headers, **cookie})
    assert answer.status_code == 403
    assert "prod 1.1.0" in carol.text("/ui/models", project="vision")


def test_a_form_without_its_binding_changes_nothing(visitor: Visit) -> None:
    form = {"model": "vision/digit-reader", "environment": "prod"}
    for binding in ("", "0" * 64):
        answer = visitor("carol").http.post("/ui/actions/undeploy", data={**form, "binding": binding})
        assert answer.status_code == 403
    assert "prod 1.1.0" in visitor("carol").text("/ui/models", project="vision")


def test_a_form_that_says_one_thing_twice_changes_nothing(visitor: Visit) -> None:
    carol = visitor("carol")
    binding = carol.get("/ui/models").text.partition('name="binding" value="')[2].partition('"')[0]
    form = f"model=vision/digit-reader&environment=staging&environment=prod&binding={binding}"
    headers = {"content-type": "application/x-www-form-urlencoded"}
    answer = carol.http.post("/ui/actions/undeploy", content=form, headers=headers)
    assert (answer.status_code, "names a field twice" in answer.text) == (422, True)
    assert "prod 1.1.0" in carol.text("/ui/models", project="vision")


def test_the_binding_of_another_user_does_not_count(visitor: Visit) -> None:
    page = visitor("dana").get("/ui/models").text
    binding = page.partition('name="binding" value="')[2].partition('"')[0]
    form = {"model": "vision/digit-reader", "environment": "prod", "binding": binding}
    assert visitor("carol").http.post("/ui/actions/undeploy", data=form).status_code == 403


# What one may read


def test_what_one_may_not_read_is_in_no_list(visitor: Visit) -> None:
    guest = visitor("guest")
    pages = [
        guest.text("/ui/models"),
        guest.text("/ui/models", q="digit"),
        guest.text("/ui/environments"),
        guest.text("/ui/deployments"),
        guest.text("/ui/approvals"),
        guest.text("/ui/search", q="metrics.accuracy > 0.1"),
        plain(guest.get("/ui/models/cellar/wine-cultivr").text),
        plain(guest.get("/ui/models/cellar/digit-reader").text),
    ]
    assert "wine-cultivar" in pages[0]
    assert "1 model in 1 project" in pages[0]
    for page in pages:
        for hidden in ("vision", "health", "many/", "hostile"):
            assert hidden not in page.partition("What one can ask")[0]


@pytest.mark.parametrize("path", ["models", "search?q=digit", "environments", "deployments", "approvals"])
def test_who_may_read_nothing_is_told_so_and_not_that_there_is_nothing(visitor: Visit, path: str) -> None:
    said = visitor("nobody").text(f"/ui/{path}")
    assert "access.yaml lets you read no model here Ask an admin for read" in said
    for untrue in ("No model fits", "Nothing is deployed", "Nothing waits for you", "Register the first"):
        assert untrue not in said


def test_a_search_has_no_pages_of_what_one_may_not_read(visitor: Visit) -> None:
    assert 'rel="next"' not in visitor("guest").get("/ui/search", q="model = many/m00").text


@pytest.mark.parametrize(
    "path", ["", "/versions", "/versions/1.0.0", "/metrics", "/deployments", "/diff?from=1.0.0&to=1.1.0"]
)
def test_a_refusal_does_not_tell_whether_the_model_exists(visitor: Visit, path: str) -> None:
    one, other = (
        visitor("guest").get(f"/ui/models/{name}{path}") for name in ("vision/digit-reader", "vision/no-reader")
    )
    assert one.status_code == other.status_code == 403
    assert one.text.replace("digit-reader", "no-reader") == other.text
    assert "Those who may" in plain(one.text)


def test_what_another_has_done_is_not_told_by_an_address(git_dir: Path, visitor: Visit) -> None:
    with Repository.open(git_dir) as repository:
        oids = repository.run(["rev-list", "--max-count=40", MAIN]).decode().split()
    for oid in oids:
        assert "Done." not in visitor("guest").text("/ui/models", done=oid)


def test_a_proposal_is_not_told_as_done_though_it_names_the_caller(git_dir: Path, visitor: Visit) -> None:
    guest = Signature.now("guest", "guest@users.gitreg.invalid")
    draft = Draft(edits={"a": b"b"}, message="Never done", author=guest, committer=guest)
    with Repository.open(git_dir) as repository:
        (oid,) = write_commits(repository, refs.resolve(repository, MAIN), [draft])
    assert "Done." not in visitor("guest").text("/ui/models", done=oid)


def test_a_diff_with_a_model_that_one_may_not_read_is_refused(visitor: Visit) -> None:
    query = {"from": "1.0.0", "to": "vision/digit-reader@1.0.0"}
    assert visitor("guest").get("/ui/models/cellar/wine-cultivar/diff", **query).status_code == 403


def test_a_preview_of_what_one_may_not_read_is_refused(visitor: Visit) -> None:
    form = {"model": "vision/digit-reader", "version": "1.0.0", "environment": "prod"}
    assert visitor("guest").get("/ui/actions/deploy", **form).status_code == 403


def test_strangers_read_as_the_user_that_stands_for_them_and_do_nothing(git_dir: Path) -> None:
    with pages_of(git_dir, anonymous="guest") as address:
        page = httpx.get(f"{address}/ui/models").text
        assert "wine-cultivar" in page
        assert "digit-reader" not in page
        assert "Sign in" in page
        assert httpx.get(f"{address}{MODEL}").headers["location"].startswith("/ui/sign-in?")
        query = "model=cellar/wine-cultivar&environment=prod"
        assert httpx.get(f"{address}/ui/actions/undeploy?{query}").headers["location"].startswith("/ui/sign-in?")


# What one may do


def test_who_may_not_is_told_who_may(visitor: Visit) -> None:
    form = {"model": "vision/digit-reader", "version": "1.0.0", "environment": "prod"}
    answer = visitor("alice").get("/ui/actions/deploy", **form)
    assert answer.status_code == 403
    assert "Those who may: carol , root ." in plain(answer.text)
    assert visitor("alice").confirm("deploy", **form).status_code == 403


def test_nobody_is_offered_what_they_may_not_do(visitor: Visit) -> None:
    assert "Deploy…" not in visitor("alice").text(f"{MODEL}/versions/1.2.0")
    assert "Deploy…" in visitor("carol").text(f"{MODEL}/versions/1.2.0")
    assert "Roll back…" not in visitor("alice").text("/ui/environments")


def test_a_session_of_a_token_for_reading_alone_changes_nothing(git_dir: Path, address: str) -> None:
    visitor = Visitor(address, token(git_dir, "carol", frozenset({Action.READ})))
    try:
        form = {"model": "vision/digit-reader", "environment": "prod"}
        answer = visitor.confirm("undeploy", **form)
        assert answer.status_code == 403
        assert "the token was made for: read" in plain(answer.text)
    finally:
        visitor.close()


def test_the_audit_is_for_admins(visitor: Visit) -> None:
    assert visitor("alice").get("/ui/audit").status_code == 403
    assert "/ui/audit" not in visitor("alice").get("/ui/models").text
    assert "accepted" in visitor("root").text("/ui/audit")


def test_refused_requests_are_in_the_audit_those_of_forms_as_well(git_dir: Path, visitor: Visit) -> None:
    # A server logs its last refusals when it stops: so one of its own.
    with pages_of(git_dir) as address:
        bob = Visitor(address, token(git_dir, "bob"))
        try:
            assert bob.get("/ui/audit").status_code == 403
            form = {"model": "vision/digit-reader", "version": "1.0.0", "environment": "prod"}
            binding = bob.get("/ui/models").text.partition('name="binding" value="')[2].partition('"')[0]
            assert bob.http.post("/ui/actions/deploy", data={**form, "binding": binding}).status_code == 403
        finally:
            bob.close()
    text = visitor("root").text("/ui/audit", verdict="refused")
    for each in ("GET /ui/audit", "POST /ui/actions/deploy"):
        assert f"access-denied 1 request from 127.0.0.1 by bob: {each}" in text
