"""The upkeep of a repository, beside readers and pushes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError
from gitreg.git import Repository, refs
from gitreg.git.upkeep import shape, upkeep, upkeep_when_due
from tests.git.support import MAIN, advance, blob, commit, git

if TYPE_CHECKING:
    from pathlib import Path

OLD = 30 * 86_400  # seconds; a month


def _grown(repository: Repository, count: int = 4) -> list[str]:
    return [advance(repository, {f"models/a/{place}.yaml": b"%d\n" % place}) for place in range(count)]


def _age(repository: Repository) -> None:
    """Make every file of the objects a month old."""
    then = time.time() - OLD
    for path in (repository.git_dir / "objects").rglob("*"):
        os.utime(path, (then, then))


def test_everything_is_packed_and_indexed(repository: Repository) -> None:
    commits = _grown(repository)
    refs.update(repository, "refs/heads/proposals/alice/x", commits[1], None)
    everything = git(repository.git_dir, "for-each-ref")
    done = upkeep(repository)
    assert done.before.loose_objects > 0
    assert done.before.loose_refs == len({MAIN, "refs/heads/proposals/alice/x"})
    assert (done.after.loose_objects, done.after.packs, done.after.loose_refs) == (0, 1, 0)
    objects = repository.git_dir / "objects"
    assert (objects / "pack" / "multi-pack-index").is_file()
    assert list((objects / "pack").glob("*.bitmap"))
    assert (objects / "info" / "commit-graphs" / "commit-graph-chain").is_file()
    assert git(repository.git_dir, "for-each-ref") == everything
    git(repository.git_dir, "fsck", "--strict")
    git(repository.git_dir, "commit-graph", "verify")
    git(repository.git_dir, "multi-pack-index", "verify")


def test_the_graph_knows_the_paths_that_commits_change(repository: Repository) -> None:
    _grown(repository)
    upkeep(repository)
    graphs = (repository.git_dir / "objects" / "info" / "commit-graphs").glob("*.graph")
    assert any(b"BIDX" in graph.read_bytes() for graph in graphs)


def test_once_more_rewrites_little(repository: Repository) -> None:
    _grown(repository, 40)
    upkeep(repository)
    (big,) = (repository.git_dir / "objects" / "pack").glob("*.pack")
    _grown(repository, 1)
    done = upkeep(repository)
    assert big.exists()
    assert (done.before.packs, done.after.loose_objects) == (1, 0)
    upkeep(repository, full=True)
    assert shape(repository).packs == 1
    git(repository.git_dir, "fsck", "--strict")


def test_the_index_over_all_packs_is_written_anew_once_much_is_new(repository: Repository, tmp_path: Path) -> None:
    _grown(repository, 40)
    advance(repository, {"big": os.urandom(100_000)})
    upkeep(repository)
    index = repository.git_dir / "objects" / "pack" / "multi-pack-index"
    before = index.read_bytes()

    tip = _grown(repository, 1)[-1]
    done = upkeep(repository)
    assert (index.read_bytes() == before, done.after.loose_objects) == (True, 0)
    git(tmp_path, "clone", "--quiet", "--bare", "--no-local", str(repository.git_dir), "clone.git")
    assert git(tmp_path / "clone.git", "rev-parse", MAIN) == tip
    git(repository.git_dir, "fsck", "--strict")

    advance(repository, {"big": os.urandom(100_000)})
    upkeep(repository)
    assert index.read_bytes() != before
    git(repository.git_dir, "multi-pack-index", "verify")


def test_a_reader_goes_on_while_packs_are_replaced(repository: Repository) -> None:
    commits = _grown(repository)
    upkeep(repository)
    with Repository.open(repository.git_dir) as reader:
        assert reader.objects.blob(commits[0], "models/a/0.yaml") == b"0\n"
        commits += _grown(repository)
        upkeep(repository, full=True)
        for place, oid in enumerate(commits[:4]):
            assert reader.objects.blob(oid, f"models/a/{place}.yaml") == b"%d\n" % place


def test_a_full_run_removes_what_nothing_names_after_two_weeks(repository: Repository) -> None:
    _grown(repository)
    old = commit(repository, refs.resolve(repository, MAIN), {"x": b"old"})
    _age(repository)
    new = commit(repository, refs.resolve(repository, MAIN), {"x": b"new"})
    done = upkeep(repository, full=True)
    assert done.kept is None
    with Repository.open(repository.git_dir) as after:
        assert after.objects.info(old) is None
        assert after.objects.info(new) is not None
    git(repository.git_dir, "fsck", "--strict")


def test_only_a_full_run_removes_anything(repository: Repository) -> None:
    _grown(repository)
    refs.update(repository, "refs/heads/proposals/alice/x", lost := blob_commit(repository), None)
    upkeep(repository)
    git(repository.git_dir, "update-ref", "-d", "refs/heads/proposals/alice/x")
    loose = commit(repository, refs.resolve(repository, MAIN), {"x": b"loose"})
    _age(repository)
    assert upkeep(repository).after.loose_objects == 0
    assert all(repository.objects.info(oid) for oid in (lost, loose))
    repository.close()
    _age(repository)
    upkeep(repository, full=True)
    assert not any(repository.objects.info(oid) for oid in (lost, loose))


def blob_commit(repository: Repository) -> str:
    return commit(repository, refs.resolve(repository, MAIN), {"proposal": b"of alice"})


def test_a_push_under_way_keeps_everything(repository: Repository) -> None:
    _grown(repository)
    lost = blob(repository, b"the push may need it")
    _age(repository)
    quarantine = repository.git_dir / "objects" / "tmp_objdir-incoming-AbCdEf"
    quarantine.mkdir()
    done = upkeep(repository, full=True)
    assert done.kept == "a push is under way"
    assert repository.objects.info(lost) is not None
    assert quarantine.is_dir()
    _age(repository)
    assert upkeep(repository, full=True).kept is None  # left behind by a push that was killed
    repository.close()
    assert repository.objects.info(lost) is None


def test_the_quarantine_of_this_git_is_known(repository: Repository, tmp_path: Path) -> None:
    """The hook of a real push sees its objects where the upkeep looks for them."""
    _grown(repository)
    hook = repository.git_dir / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f'#!/bin/sh\necho "$GIT_QUARANTINE_PATH" > {tmp_path}/seen\n')
    hook.chmod(0o755)
    git(tmp_path, "clone", "--quiet", str(repository.git_dir), "clone")
    git(tmp_path / "clone", "commit", "--quiet", "--allow-empty", "--message", "x")
    git(tmp_path / "clone", "push", "--quiet", "origin", "HEAD:main")
    seen = (tmp_path / "seen").read_text().strip()
    assert (repository.git_dir / "objects").samefile(os.path.dirname(seen))  # noqa: PTH120 - as git gave it
    assert "incoming-" in os.path.basename(seen)  # noqa: PTH119


def test_two_at_once_are_one(repository: Repository) -> None:
    _grown(repository)
    (repository.git_dir / "gitreg").mkdir()
    with (repository.git_dir / "gitreg" / "upkeep.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(ConflictError, match="under way already"):
            upkeep(repository)
    assert upkeep(repository).after.loose_objects == 0


def test_a_checkout_keeps_what_is_staged_and_stashed(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "--initial-branch=main", "work")
    work = tmp_path / "work"
    (work / "a").write_text("a")
    git(work, "add", "a")
    git(work, "commit", "--quiet", "--message", "a")
    (work / "a").write_text("stashed")
    git(work, "stash")
    (work / "b").write_text("staged")
    git(work, "add", "b")
    with Repository.open(work) as repository:
        _age(repository)
        upkeep(repository, full=True)
        assert not list((repository.git_dir / "objects" / "pack").glob("*.bitmap"))
    assert git(work, "show", ":b") == "staged"
    assert git(work, "show", "stash@{0}:a") == "stashed"


def test_a_shallow_clone_gets_no_graph_of_half_a_history(repository: Repository, tmp_path: Path) -> None:
    _grown(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.git_dir.as_uri(), "shallow")
    with Repository.open(tmp_path / "shallow") as shallow:
        upkeep(shallow)
    assert not (tmp_path / "shallow" / ".git" / "objects" / "info" / "commit-graphs").exists()
    git(tmp_path / "shallow", "fetch", "--quiet", "--unshallow")
    assert len(git(tmp_path / "shallow", "rev-list", "HEAD").split()) == 4


def test_killed_it_leaves_a_repository_that_is_whole(repository: Repository) -> None:
    """What an interrupted repack leaves behind disturbs nobody, and goes with a later run."""
    commits = _grown(repository)
    left = repository.git_dir / "objects" / "pack" / "tmp_pack_XyZ123"
    left.write_bytes(b"half a pack")
    upkeep(repository)
    _age(repository)
    upkeep(repository, full=True)
    assert not left.exists()
    assert repository.objects.blob(commits[0], "models/a/0.yaml") == b"0\n"
    subprocess.run(["git", "-C", repository.git_dir, "fsck", "--strict"], check=True, capture_output=True)


def test_it_is_due_where_much_lies_loose(repository: Repository) -> None:
    _grown(repository)
    before = shape(repository)
    upkeep_when_due(repository)
    assert shape(repository) == before
    sample = repository.git_dir / "objects" / "17"
    sample.mkdir(exist_ok=True)
    for place in range(28):
        (sample / f"{place:038x}").write_bytes(b"")
    upkeep_when_due(repository)
    assert shape(repository).packs == 1
