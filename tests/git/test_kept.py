from __future__ import annotations

import threading

import pytest

from gitreg.errors import IntegrityError, NotFoundError
from gitreg.git import Repository, changed_paths
from gitreg.git.kept import Bounded
from tests.git.support import advance, blob, commit, raw_tree


def test_the_oldest_make_room_for_the_newest() -> None:
    kept: Bounded[bytes] = Bounded(10, len)
    for name in "abc":
        kept.add(name, b"1234")
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (None, b"1234", b"1234")
    kept.add("d", b"1234567890")
    assert [name for name in "abcd" if name in kept] == ["d"]


def test_what_is_there_stays_and_what_is_too_big_never_comes() -> None:
    kept: Bounded[bytes] = Bounded(10, len)
    kept.add("a", b"12345")
    kept.add("a", b"1234567890")
    kept.add("big", b"12345678901")
    kept.add("b", b"12345")
    assert [name for name in ("a", "b", "big") if name in kept] == ["a", "b"]
    kept.clear()
    assert "a" not in kept
    kept.add("a", b"1234567890")
    assert kept.get("a") == b"1234567890"


def test_threads_may_add_at_once() -> None:
    kept: Bounded[bytes] = Bounded(100, len)

    def add(start: int) -> None:
        for number in range(start, start + 2000):
            kept.add(str(number), b"1")

    threads = [threading.Thread(target=add, args=(start,)) for start in range(0, 8000, 2000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert kept._total == len(kept._values) == 100


def test_a_path_is_found_in_folders_that_were_read_as_git_finds_it(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = advance(repository, {"a/b/c": b"1", "a/link": b"x", "f": b"2"})
    tip = commit(repository, first, {"a/b/d": b"3"})
    paths = ["a/b/c", "a/b/d", "a/b", "a", "f", "f/x", "a/b/none", "none", "none/x", "a/b/c/d", "a//b", "a/../f"]
    with Repository.open(repository.git_dir) as fresh:
        expected = {path: fresh.objects.blob(tip, path) for path in paths}
    changed_paths(repository.objects, first, tip)
    for path in ("a/b/c", "a/b/d"):
        repository.objects.blob(tip, path)
    # Both are there by now, and nothing more of them is asked for.
    monkeypatch.setattr("gitreg.git.catfile.CatFile._send", None)
    assert repository.objects.blob(tip, "a/b/none") is None
    assert repository.objects.blob(tip, "none") is None
    assert repository.objects.blob(tip, "a/b/d") == b"3"
    monkeypatch.undo()
    assert {path: repository.objects.blob(tip, path) for path in paths} == expected


def test_a_submodule_and_a_missing_file_are_no_files_in_folders_that_were_read(repository: Repository) -> None:
    one = blob(repository, b"1")
    known = commit(repository, None, {"x": b"1"})
    tree = raw_tree(
        repository, (b"100644", b"gone", "1" * 40), (b"160000", b"here", known), (b"160000", b"there", "2" * 40)
    )
    old = raw_tree(repository, (b"100644", b"other", one))
    with pytest.raises(IntegrityError):
        changed_paths(repository.objects, old, tree)
    for _ in range(2):  # the second time from what was kept
        assert repository.objects.blob(tree, "here") is None
        assert repository.objects.blob(tree, "there/x") is None
        for path in ("gone", "there"):
            with pytest.raises(IntegrityError, match="is missing or unreadable"):
                repository.objects.blob(tree, path)
    with pytest.raises(NotFoundError):
        repository.objects.size("1" * 40)


def test_of_two_entries_of_one_name_the_first_counts_as_it_does_for_git(repository: Repository) -> None:
    one, two = blob(repository, b"1"), blob(repository, b"2")
    tree = raw_tree(repository, (b"100644", b"a", one), (b"100644", b"a", two))
    with Repository.open(repository.git_dir) as fresh:
        assert fresh.objects.blob(tree, "a") == b"1"
    repository.objects.prefetch([f"{tree}^{{tree}}"])
    assert repository.objects.blob(tree, "a") == b"1"
