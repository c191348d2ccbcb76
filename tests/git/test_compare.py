from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.git import Objects, Repository, changed_paths
from gitreg.git.catfile import CatFile
from gitreg.git.compare import TooMuchError, changed_along
from tests.git.support import advance, blob, commit, raw_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from gitreg.git import Object, ObjectInfo, Oid


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the round trips to git: how many things each question asks for."""
    found: list[int] = []
    real = CatFile._send

    def counting(self: CatFile, commands: Iterable[str]) -> None:
        listed = list(commands)
        found.append(len(listed))
        real(self, listed)

    monkeypatch.setattr(CatFile, "_send", counting)
    return found


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[ObjectInfo]:
    """Note what is read, in its order."""
    found: list[ObjectInfo] = []
    real = Objects._contents

    def counting(self: Objects, infos: Sequence[ObjectInfo]) -> list[Object]:
        found.extend(infos)
        return real(self, infos)

    monkeypatch.setattr(Objects, "_contents", counting)
    return found


def chain_of(repository: Repository, length: int, edits: Callable[[int], dict[str, bytes | None]]) -> list[Oid]:
    first = commit(repository, None, {"registry.yaml": b"1", "models/p/m/model.yaml": b"model"})
    chain = [first]
    for number in range(length):
        chain.append(commit(repository, chain[-1], edits(number)))
    return chain


def versions(number: int) -> dict[str, bytes | None]:
    return {f"models/p/m/1.{number}.0.yaml": b"version %d\n" % number * 50}


def test_a_chain_is_compared_as_its_pairs_are(repository: Repository) -> None:
    chance = random.Random(7)
    names = [f"{top}/{middle}/{low}" for top in "ab" for middle in "cde" for low in "fgh"] + ["x", "y/z"]

    def edits(number: int) -> dict[str, bytes | None]:
        chosen = chance.sample(names, chance.randint(1, 4))
        return {name: b"%d" % number if chance.random() < 0.7 else None for name in chosen}

    chain = chain_of(repository, 60, edits)
    with Repository.open(repository.git_dir) as other:
        expected = [changed_paths(other.objects, old, new) for old, new in pairwise(chain)]
    assert list(changed_along(repository.objects, chain)) == expected
    assert list(changed_along(repository.objects, chain[:1])) == []


def test_commits_that_change_nothing_have_their_place_in_a_chain(repository: Repository) -> None:
    first = advance(repository, {"a": b"1"})
    empty = commit(repository, first, {})
    later = commit(repository, empty, {"a": b"2"})
    found = list(changed_along(repository.objects, [first, empty, later]))
    assert [[change.path for change in changes] for changes in found] == [[], ["a"]]


def test_many_commits_take_few_round_trips(repository: Repository, asked: list[int]) -> None:
    chain = chain_of(repository, 150, versions)
    with Repository.open(repository.git_dir) as opened:
        for commit_, changes in zip(chain[1:], changed_along(opened.objects, chain), strict=True):
            for change in changes:
                assert opened.objects.blob(commit_, change.path) is not None
                assert opened.objects.blob(commit_, "models/p/m/model.yaml") == b"model"
    assert len(asked) < len(chain)
    assert sum(asked) < 20 * len(chain)


def test_many_files_of_one_commit_take_few_round_trips(repository: Repository, asked: list[int]) -> None:
    first = advance(repository, {"registry.yaml": b"1"})
    many: dict[str, bytes | None] = {f"models/p{n % 7}/m{n % 50}/1.{n}.0.yaml": b"%d\n" % n * 20 for n in range(1500)}
    tip = commit(repository, first, many)
    with Repository.open(repository.git_dir) as opened:
        asked.clear()
        [changes] = changed_along(opened.objects, [first, tip])
        assert {change.path: opened.objects.blob(tip, change.path) for change in changes} == many
    assert len(asked) < 40


def test_one_that_is_malformed_is_told_after_those_before_it(repository: Repository) -> None:
    chain = chain_of(repository, 12, versions)
    hostile = raw_tree(repository, (b"100644", b".git", blob(repository, b"1")))
    wrong = repository.run(["commit-tree", "-p", chain[-1], "-m", "x", hostile]).decode().strip()
    walk = changed_along(repository.objects, [*chain, wrong, chain[0]])
    for number in range(12):
        assert [change.path for change in next(walk)] == list(versions(number))
    with pytest.raises(InvalidError, match="is malformed"):
        next(walk)


def test_the_budget_is_one_for_the_whole_chain(repository: Repository) -> None:
    chain = chain_of(repository, 30, lambda number: {f"{number}/a": b"1", f"{number}/b": b"1"})
    assert len(list(changed_along(repository.objects, chain, budget=60))) == 30
    walk = changed_along(repository.objects, chain, budget=51)
    for _ in range(25):
        assert len(next(walk)) == 2
    with pytest.raises(TooMuchError, match="more than 1 paths change at once"):
        next(walk)


def test_the_last_path_of_a_budget_may_lie_deep(repository: Repository) -> None:
    chain = chain_of(repository, 5, lambda number: {f"a/b/c/d/{number}": b"1"})
    assert len(list(changed_along(repository.objects, chain, budget=5))) == 5
    with pytest.raises(TooMuchError):
        list(changed_along(repository.objects, chain, budget=4))


def test_what_nobody_asks_for_is_not_read(repository: Repository, read: list[ObjectInfo]) -> None:
    big = b"x" * 100_000
    first = advance(repository, {"a": b"1"})
    tip = commit(repository, first, {"a": b"2", "big": big, "small": b"3"})
    [changes] = changed_along(repository.objects, [first, tip])
    assert [change.path for change in changes] == ["a", "big", "small"]
    assert {info.type for info in read} == {"commit", "tree"}
    assert repository.objects.blob(tip, "a") == b"2"
    assert max(info.size for info in read if info.type == "blob") == 1
    assert repository.objects.blob(tip, "big") == big


def test_a_folder_of_unusual_size_is_read_and_not_kept(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.git.objects._USUAL_TREE", 200)
    chain = chain_of(repository, 10, versions)
    found = list(changed_along(repository.objects, chain))
    assert [change.path for changes in found for change in changes] == [
        name for number in range(10) for name in versions(number)
    ]
    assert repository.objects.blob(chain[-1], "models/p/m/model.yaml") == b"model"
