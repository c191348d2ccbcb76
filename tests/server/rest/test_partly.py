"""Those who may read some models hear nothing of the others: mole reads risk/ alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from gitreg.access import Action
from gitreg.git import Repository, refs, write_commit
from gitreg.layout import MAIN
from gitreg.server.rest import happening
from tests.server.rest.client import problem, registering

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.server.rest.client import Rest

HIDDEN = "vision/unseen"


@pytest.fixture(scope="module")
def start(rest: Rest) -> str:
    """Know where main was before anything hidden came."""
    commit: str = rest.ask("GET", "/").json()["commit"]
    rest.ask("POST", "/models/register", json=registering(HIDDEN, "1.0.0", description="Sees hidden dogs."))
    return commit


def _hide(rest: Rest, version: str) -> None:
    answer = rest.ask("POST", "/models/version", json=registering(HIDDEN, version))
    assert answer.status_code == 201, answer.text


def _one_commit(rest: Rest, edits: Mapping[str, bytes | None]) -> None:
    """Change several models by one commit, as a push may."""
    with Repository.open(rest.path) as repository:
        tip = refs.resolve(repository, MAIN)
        assert tip is not None
        refs.update(repository, MAIN, write_commit(repository, parent=tip, edits=edits, message=f"Of {HIDDEN}"), tip)


def _model_file(rest: Rest, name: str) -> bytes:
    return rest.ask("GET", f"/files/models/{name}/model.yaml").content


def _follow(rest: Rest, after: str, limit: int) -> list[Any]:
    """Read the events behind a commit, page by page, until there is nothing new."""
    found: list[Any] = []
    tip = rest.ask("GET", "/").json()["commit"]
    while after != tip:
        answer = rest.ask("GET", "/events", "mole", params={"after": after, "limit": limit}).json()
        assert answer["next"] != after
        after = answer["next"]
        found += answer["items"]
    return found


@pytest.mark.parametrize("look", [2000, 2])
def test_events_tell_of_what_may_be_read(rest: Rest, start: str, monkeypatch: pytest.MonkeyPatch, look: int) -> None:
    monkeypatch.setattr(happening, "_MOST_LOOKED_AT", look)
    before = rest.ask("GET", "/").json()["commit"]
    name = rest.model("1.0.0")
    for number in range(3):
        _hide(rest, f"1.{look}.{number}")
    rest.ask("POST", "/models/version", json=registering(name, "1.1.0"))
    told = _follow(rest, before, limit=1)
    assert [each["subject"] for each in told] == [f"Register {name} {version}" for version in ("1.0.0", "1.1.0")]
    assert "unseen" not in str(_follow(rest, start, limit=100))


def test_a_reason_that_tells_of_more_is_kept_back(rest: Rest, start: str) -> None:
    """One commit may restore several pointers, and its subject name them all."""
    name, path = rest.model("1.0.0"), "deployments/staging"
    rest.ask("PUT", f"/deployments/staging/{name}", json={"version": "1.0.0", "reason": "first"})
    rest.ask("PUT", f"/deployments/staging/{HIDDEN}", json={"version": "1.0.0"})
    _one_commit(rest, {f"{path}/{name}.yaml": None, f"{path}/{HIDDEN}.yaml": None})
    newest, first = rest.ask("GET", f"/deployments/staging/{name}/history", "mole").json()["items"]
    assert (first["reason"], newest["reason"]) == ("first", "(also changes what you may not read)")
    assert rest.ask("GET", f"/deployments/staging/{name}/history").json()["items"][0]["reason"] == f"Of {HIDDEN}"
    for page in (f"/ui/models/{name}/deployments", "/ui/deployments"):
        shown = rest.ask("GET", page, "mole").text
        assert name in shown
        assert HIDDEN not in shown
    assert start


def test_a_commit_that_changes_more_says_so_without_its_subject(rest: Rest, start: str) -> None:
    before, name = rest.ask("GET", "/").json()["commit"], rest.model("1.0.0")
    _one_commit(rest, {f"models/{each}/model.yaml": _model_file(rest, each) + b"task: x\n" for each in (name, HIDDEN)})
    _, mixed = _follow(rest, before, limit=100)
    own = rest.ask("GET", "/log", "mole", params={"model": name}).json()["items"][0]
    (newest,) = rest.ask("GET", "/log", "mole", params={"limit": 1}).json()["items"]
    for each in (mixed, own, newest):
        assert each["subject"] == "(also changes what you may not read)"
        assert name in str(each["changes"])
        assert HIDDEN not in str(each)
    assert rest.ask("GET", "/log", params={"limit": 1}).json()["items"][0]["subject"] == f"Of {HIDDEN}"
    assert start != before


@pytest.mark.parametrize("look", [2000, 3])
def test_the_log_goes_on_behind_what_may_not_be_read(
    rest: Rest, start: str, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    monkeypatch.setattr(happening, "_MOST_LOOKED_AT", look)
    name = rest.model("1.0.0", "1.1.0")
    for number in range(3):
        _hide(rest, f"2.{look}.{number}")
    found: list[str] = []
    cursor = None
    while True:
        answer = rest.ask("GET", "/log", "mole", params={"limit": 2, **({"cursor": cursor} if cursor else {})}).json()
        found += [each["subject"] for each in answer["items"]]
        cursor = answer["next"]
        if cursor is None:
            break
    assert found[:2] == [f"Register {name} {version}" for version in ("1.1.0", "1.0.0")]
    assert HIDDEN not in str(found)
    assert len(found) == len(set(found)) or start


def test_a_page_of_a_search_does_not_tell_whether_more_that_is_hidden_follows(rest: Rest, start: str) -> None:
    name = rest.model("1.0.0", "1.1.0")
    _hide(rest, "3.0.0")

    def asked(hidden: str) -> str:
        query = f"model = '{name}' or (model = '{HIDDEN}' and {hidden})"
        answer = rest.ask("GET", "/search", "mole", params={"q": query, "limit": 2})
        assert answer.status_code == 200, answer.text
        return answer.text

    assert asked("version = '3.0.1'") == asked("version = '3.0.0'")
    assert start


def test_descent_is_asked_of_what_may_be_read_alone(rest: Rest, start: str) -> None:
    rest.model("1.0.0", parents=[f"{HIDDEN}@1.0.0"])
    for where in ("/search?q=", "/ui/search?q=", "/recommend?need=dogs&where="):
        for model, call in ((HIDDEN, "descends_from"), ("vision/nothing", "ancestor_of")):
            path = where + quote(f"{call}('{model}@1.0.0') or metrics.auc > 2")
            answer = rest.ask("GET", path, "mole")
            assert answer.status_code == 403
            assert f"you may not read {model}" in answer.text
            assert rest.ask("GET", path, "root").status_code == 200
    assert start


def test_descent_ends_where_reading_does(rest: Rest, start: str) -> None:
    root = rest.model("1.0.0")
    near = rest.model("1.0.0", parents=[f"{root}@1.0.0"])
    hidden = registering(HIDDEN + "-between", "1.0.0", parents=[f"{root}@1.0.0"])
    assert rest.ask("POST", "/models/register", json=hidden).status_code == 201
    leaf = rest.model("1.0.0", parents=[f"{HIDDEN}-between@1.0.0"])

    def found(question: str, user: str) -> set[str]:
        answer = rest.ask("GET", "/search", user, params={"q": question})
        return {each["model"] for each in answer.json()["items"]}

    down, up = f"descends_from('{root}@1.0.0')", f"ancestor_of('{leaf}@1.0.0')"
    assert found(down, "root") == {near, f"{HIDDEN}-between", leaf}
    assert found(down, "mole") == {near}
    assert found(up, "root") == {root, f"{HIDDEN}-between"}
    assert found(up, "mole") == set()
    assert start


def test_no_model_is_named_as_meant_that_may_not_be_read(rest: Rest, start: str) -> None:
    sought = "risk/" + HIDDEN.partition("/")[2]
    assert problem(rest.ask("GET", f"/models/{sought}"), 404)["hint"] == f"did you mean {HIDDEN}?"
    deploying = {"model": sought, "version": "1.0.0", "environment": "staging"}
    for answer in (
        rest.ask("GET", f"/models/{sought}", "mole"),
        rest.ask("GET", f"/models/version?model={sought}", "mole"),
        rest.ask("POST", "/models/version", "mole", json=registering(sought, "1.0.0")),
        rest.ask("POST", "/models/deploy", "bob", json=deploying | {"model": "risk/unseeen"}),
    ):
        assert problem(answer, 404)["hint"]
        assert (HIDDEN in answer.text) == (answer.request.headers["authorization"].endswith(rest.token("bob")))
    assert start


def test_who_writes_and_may_not_read_is_told_what_was_done_and_no_more(rest: Rest, start: str) -> None:
    name = rest.model("1.0.0", description="Known to those who read.")
    deploying = {"model": name, "version": "latest", "environment": "staging"}
    shown = rest.ask("POST", "/models/deploy?dry_run=true", "bob", json=deploying).json()
    assert (shown["about"] is not None, "+version: 1.0.0" in shown["diff"]) == (True, True)
    with rest.client("root", Action.DEPLOY) as client:
        for more in ("?dry_run=true", ""):
            answer = client.post(f"/models/deploy{more}", json=deploying)
            written = answer.json()
            assert (answer.status_code, written.get("about"), written.get("diff")) == (200, None, None)
            assert written["notes"] == [f"what it changes is not shown: you may not read {name}"]
    with rest.client("root", Action.REGISTER) as client:
        mine = registering(name, "1.1.0", description="Mine.")
        assert "Mine." in client.post("/models/register?dry_run=true", json=mine).json()["diff"]
        assert client.post("/models/register", json=mine).json()["about"]["description"] == "Mine."
    said = set()
    for model, version in ((name, "9.9.9"), (name, "champion"), ("risk/m", "latest"), ("risk/nothing", "1.0.0")):
        missing = {"model": model, "version": version, "environment": "prod"}
        answer = rest.ask("POST", "/models/deploy", "carol", json=missing)
        found = problem(answer, 404)
        said.add((found["detail"].replace(model, "x"), found["hint"].replace(model, "x")))
    assert len(said) == 1
    assert start


def test_who_may_read_nothing_hears_of_nothing(rest: Rest, start: str) -> None:
    for path in ("/events", "/log"):
        problem(rest.ask("GET", path, "stranger"), 403)
    found = rest.ask("GET", "/recommend", "stranger", params={"need": "dogs"}).json()
    assert (found["considered"], found["places"]) == (0, [])
    assert start


def test_a_recommendation_is_made_as_if_the_others_were_not_there(rest: Rest, start: str) -> None:
    name = rest.model("1.0.0", description="Sees wolves.", metrics={"auc": 0.5})
    best = {"metrics": {"auc": 0.9, "secretness": 1.0}, "description": "Sees wolves, and hidden dogs."}
    asked = {"need": "sees wolves", "maximize": "metrics.auc", "where": "metrics.auc > 0"}

    def places(user: str) -> dict[str, Any]:
        return rest.ask("GET", "/recommend", user, params=asked).json()  # type: ignore[no-any-return] # JSON

    before = places("mole")
    assert before["places"][0]["key"] == f"{name}@1.0.0"
    assert before["places"][0]["front"] is True
    assert (
        rest.ask("POST", "/models/register", json=registering(HIDDEN + "-wolves", "1.0.0", **best)).status_code == 201
    )
    assert places("mole") == before
    assert places("root")["places"][0]["key"] == f"{HIDDEN}-wolves@1.0.0"
    unknown = {"need": "wolves", "maximize": "metrics.secretness"}
    assert "secretness" not in str(problem(rest.ask("GET", "/recommend", "mole", params=unknown), 422)["hint"])
    assert start


def test_a_write_does_not_tell_which_parents_there_are(rest: Rest, start: str) -> None:
    def asked(parent: str, user: str = "mole") -> Any:  # noqa: ANN401 - JSON
        body = registering("risk/child", "1.0.0", parents=[parent])
        return rest.ask("POST", "/models/register?dry_run=true", user, json=body)

    hidden = problem(asked(f"{HIDDEN}@1.0.0"), 403)
    for missing in ("vision/nothing@1.0.0", f"{HIDDEN}@9.9.9"):
        said = problem(asked(missing), 403)
        assert said["detail"].replace("vision/nothing", HIDDEN) == hidden["detail"]
    assert asked(f"{HIDDEN}@1.0.0", "root").status_code == 200
    assert asked(f"{rest.model('1.0.0')}@1.0.0").status_code == 200
    assert start
