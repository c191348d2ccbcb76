"""Deploy tags where no server writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.registry import open_registry
from tests.registries import git

if TYPE_CHECKING:
    from pathlib import Path

    from tests.registries import Forge

TAG = "refs/tags/deploy/staging/vision/ocr/1"


@pytest.fixture
def hookless(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give a clone of a registry whose repository has no hooks, as on a machine where nobody installed any."""
    for hook in (forge.bare / "hooks").iterdir():
        hook.unlink()
    git(forge.bare, "config", "--unset", "receive.hideRefs")
    monkeypatch.setenv("GITREG_USER", "carol")
    monkeypatch.delenv("GL_USER", raising=False)
    return forge.clone("hookless")


def tags(forge: Forge) -> list[str]:
    return git(forge.bare, "for-each-ref", "--format=%(refname)", "refs/tags/deploy/staging/vision").splitlines()


def test_the_client_marks_its_deployment_where_no_hook_does(hookless: Path, forge: Forge) -> None:
    with open_registry(hookless) as registry:
        assert registry.deploy("vision/ocr@0.1.0", "staging").notes == ()
    assert tags(forge) == [TAG]
    assert "Actor: carol" in git(forge.bare, "cat-file", "tag", TAG)


def test_a_bare_path_without_hooks_is_marked_alike(hookless: Path, forge: Forge) -> None:
    with open_registry(forge.bare) as registry:
        registry.deploy("vision/ocr@0.1.0", "staging")
    assert tags(forge) == [TAG]


def test_a_tag_that_did_not_arrive_is_sent_by_the_next_run(hookless: Path, forge: Forge) -> None:
    with open_registry(hookless) as registry:
        registry.deploy("vision/ocr@0.1.0", "staging")
        git(forge.bare, "update-ref", "-d", TAG)
        assert registry.mark(push=True) == [TAG]
        assert registry.mark(push=True) == []
    assert tags(forge) == [TAG]


def test_a_client_leaves_marking_to_a_server_that_does_it(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GL_USER", "root")
    folder = forge.clone("served")
    with open_registry(folder) as registry:
        registry.deploy("vision/ocr@0.1.0", "staging")
    assert tags(forge) == [TAG]
    assert git(folder, "tag", "--list") == ""
