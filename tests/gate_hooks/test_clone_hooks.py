"""The hooks in people's clones: early warnings, which the server does not rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.install import CLONE_HOOKS, install
from gitreg.git import Repository
from tests.gate.support import Edits, model_file, version_file
from tests.gate_hooks.support import Pushed, Server, run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def clone(server: Server, tmp_path: Path) -> Path:
    folder = tmp_path / "clone"
    run(["git", "clone", "--quiet", str(server.path), str(folder)], tmp_path)
    with Repository.open(folder) as repository:
        install(repository, CLONE_HOOKS)
    return folder


def stage(clone: Path, edits: Edits) -> None:
    for path, data in edits.items():
        file = clone / path
        if data is None:
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    run(["git", "add", "--all"], clone)


def commit(clone: Path, *options: str) -> Pushed:
    done = run(["git", "commit", "--quiet", "-m", "Change", *options], clone, check=False)
    return Pushed(done.returncode == 0, done.stderr)


def push(clone: Path, who: str, *specs: str) -> Pushed:
    done = run(["git", "push", "origin", *specs], clone, environment={"GL_USER": who}, check=False)
    return Pushed(done.returncode == 0, done.stderr)


def test_a_good_commit_is_made_and_pushed(clone: Path) -> None:
    stage(clone, version_file("1.1.0"))

    assert commit(clone).accepted
    assert push(clone, "alice", "HEAD:main").accepted


def test_a_commit_that_the_registry_would_refuse_is_not_made(clone: Path) -> None:
    stage(clone, {"models/risk/fraud/1.0.0.yaml": None})

    done = commit(clone)

    assert not done.accepted
    assert "this commit would be refused by the registry" in done.said
    assert "[version-removed]" in done.said


def test_rules_and_other_files_are_not_committed_together(clone: Path) -> None:
    stage(clone, {"registry.yaml": (clone / "registry.yaml").read_bytes() + b"# x\n", "README.md": b"x\n"})

    assert "[policy-mixed]" in commit(clone).said


def test_what_is_committed_past_the_index_is_checked(clone: Path) -> None:
    """`git commit -a` prepares an index of its own."""
    (clone / "models/risk/fraud/1.0.0.yaml").write_text("broken: [\n")

    assert "[file-invalid]" in commit(clone, "-a").said


def test_what_is_not_committed_is_not_checked(clone: Path) -> None:
    stage(clone, version_file("1.1.0"))
    (clone / "models/risk/fraud/1.0.0.yaml").write_text("broken: [\n")

    assert commit(clone).accepted


def test_a_push_that_the_registry_would_refuse_stays_here(clone: Path, server: Server) -> None:
    stage(clone, {"models/risk/fraud/1.0.0.yaml": None})
    assert commit(clone, "--no-verify").accepted

    done = push(clone, "root", "HEAD:main")

    assert not done.accepted
    assert "this push would be refused by the registry" in done.said
    assert server.log() == []


def test_who_may_is_left_to_the_server(clone: Path, server: Server) -> None:
    stage(clone, version_file("1.1.0"))
    assert commit(clone).accepted

    done = push(clone, "bob", "HEAD:main")

    assert "[access-denied]" in done.said
    assert len(server.log()) == 1


def test_a_proposal_is_not_held_up(clone: Path) -> None:
    stage(clone, {"models/x": b"draft"})
    assert commit(clone, "--no-verify").accepted

    assert push(clone, "alice", "HEAD:refs/heads/proposals/alice/draft").accepted


def test_a_push_onto_a_main_that_this_clone_has_not_seen_is_left_to_the_server(clone: Path, server: Server) -> None:
    assert server.push("alice", model_file(description="Other.")).accepted
    stage(clone, version_file("1.1.0"))
    assert commit(clone).accepted

    done = push(clone, "alice", "HEAD:main")

    assert not done.accepted
    assert "fetch first" in done.said


def test_a_store_that_a_clone_cannot_reach_is_left_to_the_server(clone: Path) -> None:
    run(["git", "remote", "set-url", "origin", "ssh://registry.invalid/models.git"], clone)
    stage(clone, version_file("1.1.0"))

    assert commit(clone).accepted
