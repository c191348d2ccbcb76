"""Changes made from the pages: previewed, judged, committed, told."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitreg.git import Repository, refs
from gitreg.layout import MAIN
from tests.pages.served import plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.pages.served import Visitor

    Visit = Callable[[str], Visitor]

WINE = {"model": "cellar/wine-cultivar", "environment": "staging"}


def _tip(git_dir: Path) -> str | None:
    with Repository.open(git_dir) as repository:
        return refs.resolve(repository, MAIN)


def test_a_preview_shows_the_very_change_and_makes_none(git_dir: Path, visitor: Visit) -> None:
    before = _tip(git_dir)
    page = visitor("carol").get(
        "/ui/actions/deploy", model="vision/digit-reader", version="1.0.0", environment="staging"
    )
    text = plain(page.text)
    assert "Deploy vision/digit-reader@1.0.0 to staging" in text
    assert "The gate accepts this as you, carol" in text
    assert "-version: 1.1.0 +version: 1.0.0" in re.sub(r"-canary\S+ \S+ ", "", text)
    assert _tip(git_dir) == before


def test_a_preview_says_what_the_gate_refuses_and_offers_nothing(visitor: Visit) -> None:
    query = {"model": "health/tumour-screening", "version": "2.0.0", "environment": "prod"}
    page = visitor("carol").get("/ui/actions/deploy", **query).text
    assert "The gate refuses this." in plain(page)
    assert "is rejected for prod by dana" in plain(page)
    assert 'class="confirm"' not in page


def test_what_the_gate_refuses_is_refused_when_it_is_sent_all_the_same_and_stands_in_the_audit(visitor: Visit) -> None:
    query = {"model": "health/tumour-screening", "version": "2.0.0", "environment": "prod"}
    carol = visitor("carol")
    binding = re.search(r'name="binding" value="([0-9a-f]+)"', carol.get("/ui/models").text)
    assert binding
    answer = carol.http.post("/ui/actions/deploy", data={**query, "binding": binding[1]})
    assert answer.status_code == 422
    assert "is rejected for prod by dana" in plain(answer.text)
    text = visitor("root").text("/ui/audit", verdict="refused", actor="carol", model="health/*")
    assert "approvals health/tumour-screening@2.0.0 is rejected for prod by dana" in text


def test_an_approval_is_given_and_what_it_was_for_is_deployed(visitor: Visit) -> None:
    dana, carol = visitor("dana"), visitor("carol")
    inbox = dana.text("/ui/approvals")
    assert "health/progression 1.0.0 prod nothing 0 of 1" in inbox
    what = {"model": "health/progression", "version": "1.0.0", "environment": "prod"}
    refused = carol.get("/ui/actions/deploy", **what).text
    assert "has 0 of 1 approvals for prod" in plain(refused)

    link = "/ui/actions/promote?model=health%2Fprogression&amp;source=staging&amp;environment=prod"
    assert link not in carol.get("/ui/environments").text

    given = dana.confirm("approve", **what, comment="Residuals look fine.")
    assert given.status_code == 303
    page = dana.text(given.headers["location"])
    assert "Done. Approve health/progression@1.0.0 for prod" in page
    assert "approve for prod by dana Residuals look fine." in page
    assert "health/progression" not in dana.text("/ui/approvals")

    for address in ("/ui/environments", "/ui/models/health/progression/versions/1.0.0"):
        assert link in carol.get(address).text
        assert link not in dana.get(address).text
    promoted = carol.text("/ui/actions/promote", model="health/progression", source="staging")
    assert "Promote health/progression@1.0.0 from staging to prod" in promoted

    moved = carol.confirm("deploy", **what, reason="Asked for by the ward.")
    assert moved.status_code == 303
    assert link not in carol.get("/ui/environments").text
    assert "rollback?model=health%2Fprogression&amp;environment=prod" not in carol.get("/ui/environments").text
    page = carol.text(moved.headers["location"])
    assert "prod 1 deploy 1.0.0 \N{EN DASH} carol Asked for by the ward." in page


def test_a_change_is_not_made_upon_a_state_that_nobody_has_seen(visitor: Visit) -> None:
    carol = visitor("carol")
    shown = carol.get("/ui/actions/undeploy", **WINE).text
    form = dict(re.findall(r'<input type="hidden" name="([a-z]+)" value="([^"]*)">', shown))
    assert carol.confirm("rollback", **WINE, reason="The first").status_code == 303
    late = carol.http.post("/ui/actions/undeploy", data=form)
    assert late.status_code == 412
    assert "has changed since" in plain(late.text)
    assert "1.0.0" in carol.text("/ui/models/cellar/wine-cultivar/deployments", environment="staging")


def test_nothing_to_change_is_said_so(visitor: Visit) -> None:
    query = {"model": "health/tumour-screening", "version": "2.0.0", "environment": "staging"}
    assert "Nothing would change." in visitor("carol").text("/ui/actions/deploy", **query)


def test_the_commit_is_the_users_own(git_dir: Path, visitor: Visit) -> None:
    what = {"model": "vision/digit-reader", "version": "1.2.0", "environment": "prod"}
    assert visitor("dana").confirm("approve", **what, comment="Again, with care.").status_code == 303
    with Repository.open(git_dir) as repository:
        path = "approvals/vision/digit-reader/1.2.0/prod/dana.yaml"
        commit = repository.run(["log", "-1", "--format=%an|%ae|%s", MAIN, "--", path]).decode().strip()
    assert commit == "dana|dana@users.gitreg.invalid|Approve vision/digit-reader@1.2.0 for prod"
