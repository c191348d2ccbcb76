"""A pull request with nothing but git on the reviewer's side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import DeniedError, InvalidError
from gitreg.registry import Mode, open_registry
from tests.registries import git, request

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registries import Forge

PROPOSE = Mode(propose=True)


def _act(monkeypatch: pytest.MonkeyPatch, user: str) -> None:
    monkeypatch.setenv("GL_USER", user)
    monkeypatch.setenv("GITREG_USER", user)


def _reviewer(forge: Forge) -> Path:
    """Clone as somebody who has never heard of gitreg."""
    git(forge.folder, "clone", "--quiet", str(forge.bare), "reviewer")
    return forge.folder / "reviewer"


def test_a_proposal_is_merged_by_somebody_else_with_plain_git(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    # dana may approve, and so propose anything; only alice may register.
    _act(monkeypatch, "dana")
    with open_registry(forge.clone()) as registry:
        written = registry.register(request(version="3.0.0", metrics={"auc": 0.99}), PROPOSE)
    assert written.ref.startswith("refs/heads/proposals/dana/register-risk-fraud-3-0-0-")
    before = forge.tip()
    _act(monkeypatch, "alice")
    work = _reviewer(forge)
    branch = written.ref.removeprefix("refs/heads/")
    assert "+  auc: 0.99" in git(work, "diff", "--no-color", "origin/main", f"origin/{branch}")
    git(work, "merge", "--quiet", "--no-ff", "--no-edit", f"origin/{branch}")
    git(work, "push", "--quiet", "origin", "main")
    assert forge.tip() != before
    assert git(forge.bare, "rev-list", "--parents", "-1", "main").split()[1:] == [before, written.commit]
    with open_registry(forge.bare) as registry:
        assert registry.show("risk/fraud@3.0.0").manifest.metrics == {"auc": 0.99}
        assert registry.log(limit=1)[0].changes == ("registered risk/fraud@3.0.0",)


def test_a_merge_is_judged_by_all_that_it_brings(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    _act(monkeypatch, "dana")
    with open_registry(forge.bare) as registry:
        written = registry.deploy("risk/fraud@1.1.0", "prod", PROPOSE)
    before = forge.tip()
    _act(monkeypatch, "alice")
    work = _reviewer(forge)
    git(work, "merge", "--quiet", "--no-ff", "--no-edit", f"origin/{written.ref.removeprefix('refs/heads/')}")
    with pytest.raises(AssertionError, match=r"access-denied.*alice may not deploy"):
        git(work, "push", "--quiet", "origin", "main")
    assert forge.tip() == before
    _act(monkeypatch, "carol")
    git(work, "push", "--quiet", "origin", "main")
    with open_registry(forge.bare) as registry:
        record = registry.history("risk/fraud", "prod")[0]
        assert (record.number, record.action, record.actor) == (2, "deploy", "carol")


def test_a_deployment_merged_and_reverted_with_plain_git_is_a_rollback(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_registry(forge.bare) as registry:
        registry.promote("risk/fraud", "staging")
    _act(monkeypatch, "carol")
    work = _reviewer(forge)
    git(work, "revert", "--no-edit", "HEAD")
    git(work, "push", "--quiet", "origin", "main")
    with open_registry(forge.bare) as registry:
        record = registry.history("risk/fraud", "prod")[0]
        assert (record.number, record.action, str(record.version), record.actor) == (3, "rollback", "1.0.0", "carol")
    assert git(forge.bare, "tag", "--list", "deploy/prod/*") == "\n".join(
        f"deploy/prod/risk/fraud/{number}" for number in (1, 2, 3)
    )


def test_a_registration_reverted_with_plain_git_is_refused_with_the_way_out(forge: Forge) -> None:
    with open_registry(forge.bare) as registry:
        registry.register(request(version="3.0.0"))
    work = _reviewer(forge)
    git(work, "revert", "--no-edit", "HEAD")
    with pytest.raises(AssertionError, match=r"version-removed(.|\n)*gitreg yank risk/fraud@3\.0\.0"):
        git(work, "push", "--quiet", "origin", "main")


def test_a_proposal_needs_a_user_that_the_registry_knows(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = forge.clone()
    monkeypatch.delenv("GITREG_USER")
    with open_registry(folder) as registry:
        for mode in (PROPOSE, Mode(propose=True, dry_run=True)):
            with pytest.raises(InvalidError, match=r"not known here; give --as USER, or once and for all: git config"):
                registry.register(request(version="3.0.0"), mode)
        with pytest.raises(InvalidError, match="not known here"):
            registry.approve("risk/fraud@1.1.0", "prod")
        # The server knows better who pushes.
        monkeypatch.setenv("GL_USER", "alice")
    with open_registry(folder) as registry, pytest.raises(DeniedError, match="proposal-foreign"):
        registry.register(request(version="3.0.0"), Mode(propose=True, user="bob"))


def test_a_dry_run_tells_what_the_gate_would_say_to_another_user(forge: Forge) -> None:
    with open_registry(forge.clone()) as registry:
        shown = registry.deploy("risk/fraud@1.0.0", "staging", Mode(dry_run=True, user="alice"))
        assert [str(each.code) for each in shown.violations] == ["access-denied"]
        assert registry.deploy("risk/fraud@1.0.0", "staging", Mode(dry_run=True, user="carol")).violations == ()
