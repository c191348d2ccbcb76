from __future__ import annotations

import itertools
import os
import threading
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import IntegrityError
from gitreg.git import Repository, refs
from gitreg.git.create import create
from gitreg.git.loose import read_ref
from tests.git.support import MAIN, advance, commit, git

if TYPE_CHECKING:
    from pathlib import Path


def test_a_ref_is_read_from_its_file_and_from_the_packed_ones(repository: Repository) -> None:
    one = advance(repository, {"a": b"1"})
    for number in range(3):
        refs.update(repository, f"refs/tags/deploy/prod/risk/fraud/{number}", one, None)
    assert read_ref(repository, MAIN) == one
    repository.run(["pack-refs", "--all"])
    assert not (repository.git_dir / MAIN).exists()
    assert read_ref(repository, MAIN) == one
    two = advance(repository, {"a": b"2"})
    assert read_ref(repository, MAIN) == two, "its own file goes before the packed value"


def test_a_ref_of_a_sha_256_repository_is_read(tmp_path: Path) -> None:
    create(tmp_path / "long.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "long.git") as repository:
        tip = advance(repository, {"a": b"1"})
        assert read_ref(repository, MAIN) == tip
        repository.run(["pack-refs", "--all"])
        assert read_ref(repository, MAIN) == tip


def test_what_is_not_there_is_left_to_git(repository: Repository) -> None:
    assert read_ref(repository, MAIN) is None
    tip = advance(repository, {"a": b"1"})
    refs.update(repository, "refs/heads/mainly", tip, None)
    refs.update(repository, "refs/heads/x/heads/main", tip, None)
    refs.delete(repository, MAIN, tip)
    assert read_ref(repository, MAIN) is None
    repository.run(["pack-refs", "--all"])
    assert read_ref(repository, MAIN) is None
    assert refs.resolve(repository, MAIN) is None


@pytest.mark.parametrize("value", [b"", b"garbage\n", b"0" * 40 + b"\n", b"1" * 39 + b"\n", b"\xff" * 40])
def test_a_garbled_ref_is_left_to_git_which_refuses_it(repository: Repository, value: bytes) -> None:
    advance(repository, {"a": b"1"})
    (repository.git_dir / MAIN).write_bytes(value)
    assert read_ref(repository, MAIN) is None
    with pytest.raises(IntegrityError):
        refs.resolve(repository, MAIN)


def test_a_symbolic_ref_is_left_to_git_which_follows_it(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    refs.update(repository, "refs/heads/trunk", tip, None)
    repository.run(["symbolic-ref", MAIN, "refs/heads/trunk"])
    assert read_ref(repository, MAIN) is None
    assert refs.resolve(repository, MAIN) == tip
    (repository.git_dir / MAIN).unlink()
    (repository.git_dir / MAIN).symlink_to("refs/heads/trunk")
    assert read_ref(repository, MAIN) is None


def test_a_pipe_in_the_place_of_a_ref_keeps_nobody_waiting(repository: Repository) -> None:
    (repository.git_dir / "refs" / "heads").mkdir(exist_ok=True)
    os.mkfifo(repository.git_dir / MAIN)
    assert read_ref(repository, MAIN) is None


def test_a_way_of_keeping_refs_that_has_no_such_files_is_left_to_git(repository: Repository) -> None:
    advance(repository, {"a": b"1"})
    heads = repository.git_dir / "refs" / "heads"
    (heads / "main").unlink()
    heads.rmdir()
    heads.write_text("this repository uses the reftable format\n")
    assert read_ref(repository, MAIN) is None


@pytest.mark.parametrize("ref", ["HEAD", "refs/bisect/bad", "refs/worktree/x", "refs/heads/../../HEAD"])
def test_what_each_work_tree_has_of_its_own_is_left_to_git(repository: Repository, ref: str) -> None:
    advance(repository, {"a": b"1"})
    assert read_ref(repository, ref) is None


def test_a_further_work_tree_shares_its_branches(tmp_path: Path) -> None:
    create(tmp_path / "main", bare=False)
    with Repository.open(tmp_path / "main") as repository:
        tip = advance(repository, {"a": b"1"})
        git(tmp_path / "main", "worktree", "add", "--quiet", "--detach", str(tmp_path / "other"), tip)
        with Repository.open(tmp_path / "other") as other:
            assert read_ref(other, MAIN) == tip


def test_who_reads_while_main_moves_and_is_packed_never_goes_back(repository: Repository) -> None:
    tips = [commit(repository, None, {"a": b"0"})]
    tips += [commit(repository, tips[0], {"a": str(number).encode()}) for number in range(1, 12)]
    refs.update(repository, MAIN, tips[0], None)
    place = {tip: number for number, tip in enumerate(tips)}
    seen: list[int | None] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            found = read_ref(repository, MAIN)
            seen.append(place[found] if found else None)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for old, new in itertools.pairwise(tips):
            refs.update(repository, MAIN, new, old)
            repository.run(["pack-refs", "--all"])
    finally:
        done.set()
        reader.join()
    found = [each for each in seen if each is not None]
    assert found == sorted(found)
    assert read_ref(repository, MAIN) == tips[-1]
