"""Trees that are worked out are those that git writes."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from gitreg.git import Repository
from gitreg.git import grown as module
from gitreg.git.create import create
from gitreg.git.grown import grown
from gitreg.git.waiting import NotAtHandError, at_hand
from tests.git.support import advance, git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILES: dict[str, bytes] = {
    "a": b"1",
    "a.b/c": b"2",
    "a0": b"3",
    "models/risk/fraud/1.0.0.yaml": b"4",
    "models/risk/fraud/1.1.0.yaml": b"5",
    "models/risk/other/1.0.0.yaml": b"6",
}


def tree_of(repository: Repository, commit: str) -> str:
    return git(repository.git_dir, "rev-parse", f"{commit}^{{tree}}")


def reading(repository: Repository, commit: str) -> None:
    """Read every folder, so that each is known."""
    repository.objects.approach(f"{commit}:{path}" for path in FILES)


def check(repository: Repository, tip: str, edits: Mapping[str, bytes | None]) -> None:
    found = grown(repository.objects, tree_of(repository, tip), edits)
    wanted = advance(repository, edits)
    assert found
    assert found[-1].oid == tree_of(repository, wanted)
    for each in found:
        assert git(repository.git_dir, "cat-file", "-t", each.oid) == each.type
    with Repository.open(repository.git_dir) as fresh:
        fresh.objects.approach(f"{tip}:{path}" for path in FILES)
        fresh.objects.learn(wanted, found)
        with at_hand():
            for path, data in edits.items():
                assert fresh.objects.blob(wanted, path) == data
            assert fresh.objects.known_tree(wanted) == found[-1].oid


@pytest.mark.parametrize(
    "edits",
    [
        {"a": b"new"},
        {"a": None},
        {"models/risk/fraud/2.0.0.yaml": b"7", "models/risk/fraud/1.0.0.yaml": None},
        {"models/risk/other/1.0.0.yaml": None},
        {"models/new/deep/er/1.0.0.yaml": b"8"},
        {"a.b/c": None, "a-": b"9", "z/y": b"10"},
    ],
)
def test_edits_make_the_tree_that_git_makes(repository: Repository, edits: Mapping[str, bytes | None]) -> None:
    tip = advance(repository, FILES)
    reading(repository, tip)
    check(repository, tip, edits)


def test_random_edits_make_the_trees_that_git_makes(repository: Repository) -> None:
    chosen = random.Random(7)
    names = ["a", "a.b", "a-b", "ab", "a0", "b"]
    tip = advance(repository, FILES)
    for turn in range(12):
        repository.objects.approach(
            f"{tip}:{path}" for path in git(repository.git_dir, "ls-tree", "-r", "--name-only", tip).split()
        )
        paths = {f"models/{chosen.choice(names)}/{chosen.choice(names)}/{chosen.choice(names)}.yaml" for _ in range(5)}
        edits = {path: b"%d" % chosen.randrange(100) for path in paths}
        found = grown(repository.objects, tree_of(repository, tip), edits)
        tip = advance(repository, edits)
        assert found, turn
        assert found[-1].oid == tree_of(repository, tip), turn


def test_in_a_repository_of_sha_256_too(tmp_path: Path) -> None:
    create(tmp_path / "r.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "r.git") as repository:
        tip = advance(repository, FILES)
        reading(repository, tip)
        check(repository, tip, {"models/risk/fraud/3.0.0.yaml": b"1"})


def test_nothing_is_told_where_a_folder_was_not_read(repository: Repository) -> None:
    tip = advance(repository, FILES)
    with Repository.open(repository.git_dir) as fresh:
        tree = tree_of(repository, tip)
        assert grown(fresh.objects, tree, {"a": b"2"}) is None
        fresh.objects.approach([f"{tip}:a"])
        assert grown(fresh.objects, tree, {"a": b"2"})
        assert grown(fresh.objects, tree, {"models/risk/fraud/3.0.0.yaml": b"2"}) is None


def test_nothing_is_told_of_what_is_large(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    tip = advance(repository, FILES)
    reading(repository, tip)
    monkeypatch.setattr(module, "MOST_BYTES", 100)
    assert grown(repository.objects, tree_of(repository, tip), {"a": b"x" * 101}) is None
    assert grown(repository.objects, tree_of(repository, tip), {"a": b"x"}) is None  # its folder is larger


def test_what_was_approached_is_known_in_later_commits_that_left_it_as_it_was(repository: Repository) -> None:
    tip = advance(repository, FILES)
    with Repository.open(repository.git_dir) as fresh:
        with at_hand(), pytest.raises(NotAtHandError) as missed:
            fresh.objects.blob(tip, "models/risk/fraud/1.0.0.yaml")
        fresh.objects.approach(missed.value.wanted)
        edits = {"a": b"new"}
        found = grown(fresh.objects, tree_of(repository, tip), edits)
        later = advance(repository, edits)
        assert found
        fresh.objects.learn(later, found)
        with at_hand():
            assert fresh.objects.blob(later, "models/risk/fraud/1.0.0.yaml") == b"4"
