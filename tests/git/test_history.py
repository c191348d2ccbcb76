from __future__ import annotations

from dataclasses import replace

import pytest

from gitreg.errors import GitregError, InvalidError
from gitreg.git import Oid, Repository, history
from tests.git.support import ALICE, commit


def _merge(repository: Repository, first: Oid, second: Oid, tree_of: Oid) -> Oid:
    tree = repository.objects.commit(tree_of).tree
    return repository.run(["commit-tree", tree, "-p", first, "-p", second, "-m", "Merge"]).decode().strip()


def _chain(repository: Repository, count: int) -> list[Oid]:
    oids: list[Oid] = []
    for number in range(count):
        who = replace(ALICE, time=ALICE.time + 100 * number)
        edits: dict[str, bytes | None] = {"even" if number % 2 == 0 else "odd": str(number).encode()}
        oids.append(commit(repository, oids[-1] if oids else None, edits, f"Number {number}", who=who))
    return oids


def test_the_chain_is_given_newest_first(repository: Repository) -> None:
    oids = _chain(repository, 5)
    assert list(history.first_parents(repository, oids[-1])) == oids[::-1]
    assert list(history.first_parents(repository, oids[-1], oids[1])) == oids[:1:-1]
    assert list(history.first_parents(repository, oids[-1], limit=2)) == oids[:2:-1]
    assert list(history.first_parents(repository, oids[1], oids[-1])) == []


def test_a_walk_may_stop_early(repository: Repository) -> None:
    oids = _chain(repository, 3)
    walk = history.first_parents(repository, oids[-1])
    assert next(walk) == oids[-1]
    del walk


def test_a_merged_branch_is_not_on_the_chain(repository: Repository) -> None:
    base, tip = _chain(repository, 2)
    side = commit(repository, base, {"side": b"1"})
    merged = commit(repository, tip, {"side": b"1"}, "as merged")
    merge = _merge(repository, tip, side, merged)
    assert list(history.first_parents(repository, merge)) == [merge, tip, base]
    assert history.is_on_first_parent_chain(repository, tip, merge)
    assert history.is_on_first_parent_chain(repository, base, merge)
    assert not history.is_on_first_parent_chain(repository, side, merge)
    assert list(history.path_history(repository, merge, "side")) == [merge]
    assert history.merge_base(repository, tip, side) == base
    assert history.count_commits(repository, merge, tip) == 2
    assert history.count_commits(repository, merge, limit=3) == 3


def test_a_merge_the_wrong_way_round_takes_main_off_its_chain(repository: Repository) -> None:
    base, tip = _chain(repository, 2)
    side = commit(repository, base, {"side": b"1"})
    merge = _merge(repository, side, tip, side)
    assert not history.is_on_first_parent_chain(repository, tip, merge)
    assert history.is_on_first_parent_chain(repository, base, merge)


def test_going_back_is_not_going_forward(repository: Repository) -> None:
    one, two, three = _chain(repository, 3)
    assert history.is_on_first_parent_chain(repository, one, three)
    assert history.is_on_first_parent_chain(repository, two, two)
    assert not history.is_on_first_parent_chain(repository, three, one)


def test_histories_without_a_common_commit(repository: Repository) -> None:
    one = commit(repository, None, {"a": b"1"})
    other = commit(repository, None, {"b": b"1"})
    assert history.merge_base(repository, one, other) is None
    assert not history.is_on_first_parent_chain(repository, one, other)


def test_the_history_of_a_path_leaves_other_commits_out(repository: Repository) -> None:
    oids = _chain(repository, 6)
    assert list(history.path_history(repository, oids[-1], "even")) == [oids[4], oids[2], oids[0]]
    assert list(history.path_history(repository, oids[-1], "odd", since=oids[1])) == [oids[5], oids[3]]
    assert list(history.path_history(repository, oids[-1], "even", "odd", limit=2)) == [oids[5], oids[4]]
    assert list(history.path_history(repository, oids[-1], "nowhere")) == []
    with pytest.raises(InvalidError):
        history.path_history(repository, oids[-1])


def test_a_path_is_no_pattern(repository: Repository) -> None:
    tip = commit(repository, None, {"abc": b"1"})
    for path in ("a*", ":(glob)a*", ":/abc", ":!x"):
        assert list(history.path_history(repository, tip, path)) == []


def test_the_commit_of_a_moment_is_the_newest_until_then(repository: Repository) -> None:
    oids = _chain(repository, 4)
    assert history.commit_at(repository, oids[-1], ALICE.time + 250) == oids[2]
    assert history.commit_at(repository, oids[-1], ALICE.time + 200) == oids[2]
    assert history.commit_at(repository, oids[-1], ALICE.time) == oids[0]
    assert history.commit_at(repository, oids[-1], ALICE.time - 1) is None
    assert history.commit_at(repository, oids[-1], -5) is None
    assert history.commit_at(repository, oids[-1], 10**12) == oids[-1]


def test_a_ref_or_an_option_is_no_commit(repository: Repository) -> None:
    for text in ("main", "--all", "", "HEAD"):
        with pytest.raises(InvalidError):
            list(history.first_parents(repository, text))


def test_a_commit_that_does_not_exist_is_told(repository: Repository) -> None:
    with pytest.raises(GitregError, match="git rev-list failed"):
        list(history.first_parents(repository, "1" * 40))


def test_what_is_below_a_tip_is_found_whatever_the_dates_say(repository: Repository) -> None:
    oids = _chain(repository, 12)
    stray = commit(repository, oids[3], {"stray": b"1"})
    tip = commit(repository, oids[-1], {"late": b"1"}, who=replace(ALICE, time=1))
    unknown = "1" * len(tip)
    assert history.not_below(repository, [*oids, tip], [tip]) == set()
    assert history.not_below(repository, [oids[5], stray, unknown], [tip, oids[2]]) == {stray, unknown}
    assert history.not_below(repository, [oids[5][:7]], [tip]) == {oids[5][:7]}
    assert history.not_below(repository, [], [tip]) == set()
