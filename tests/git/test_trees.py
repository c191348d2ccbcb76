from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import IntegrityError, InvalidError
from gitreg.git import Objects, Repository, changed_paths
from gitreg.git.create import create
from gitreg.git.trees import name_fault, parse_tree
from tests.git.support import blob, commit, raw_tree

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.git import Object, ObjectInfo, Oid
    from gitreg.git.compare import PathChange


def _paths(changes: list[PathChange]) -> list[tuple[str, bool, bool]]:
    return [(change.path, change.before is not None, change.after is not None) for change in changes]


def test_added_changed_and_removed_files_are_named_in_order(repository: Repository) -> None:
    old = commit(repository, None, {"a/x": b"1", "a/y": b"1", "b": b"1", "same/z": b"1"})
    new = commit(repository, old, {"a/x": b"2", "b": None, "c/d/e": b"1"})
    assert _paths(changed_paths(repository.objects, old, new)) == [
        ("a/x", True, True),
        ("b", True, False),
        ("c/d/e", False, True),
    ]
    assert changed_paths(repository.objects, old, old) == []


def test_a_file_that_becomes_a_folder_is_named_on_both_sides(repository: Repository) -> None:
    old = commit(repository, None, {"a": b"1"})
    new = commit(repository, old, {"a": None, "a/b": b"1"})
    assert _paths(changed_paths(repository.objects, old, new)) == [("a", True, False), ("a/b", False, True)]
    assert _paths(changed_paths(repository.objects, new, old)) == [("a", False, True), ("a/b", True, False)]


def test_a_change_of_mode_alone_is_a_change(repository: Repository) -> None:
    oid = blob(repository, b"1")
    old = raw_tree(repository, (b"100644", b"a", oid))
    new = raw_tree(repository, (b"100755", b"a", oid))
    (change,) = changed_paths(repository.objects, old, new)
    assert change.before is not None
    assert change.after is not None
    assert (change.before.mode, change.after.mode) == ("100644", "100755")


def test_nothing_before_means_everything_is_new(repository: Repository) -> None:
    new = commit(repository, None, {"a": b"1", "b/c": b"1"})
    assert _paths(changed_paths(repository.objects, None, new)) == [("a", False, True), ("b/c", False, True)]
    assert _paths(changed_paths(repository.objects, new, None)) == [("a", True, False), ("b/c", True, False)]


def test_equal_folders_are_never_opened(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    old = commit(repository, None, {f"models/p{p}/m{m}/1.0.0.yaml": b"1" for p in range(5) for m in range(5)})
    new = commit(repository, old, {"models/p3/m3/1.0.1.yaml": b"2"})
    opened: list[Oid] = []
    real = Objects._contents

    def counting(self: Objects, infos: Sequence[ObjectInfo]) -> list[Object]:
        opened.extend(info.oid for info in infos)
        return real(self, infos)

    monkeypatch.setattr(Objects, "_contents", counting)
    changed_paths(repository.objects, old, new)
    assert len(opened) == 2 * len(("top", "models", "p3", "m3"))


def test_more_paths_than_the_budget_are_refused(repository: Repository) -> None:
    new = commit(repository, None, {f"f{number}": b"1" for number in range(11)})
    assert len(changed_paths(repository.objects, None, new, budget=11)) == 11
    with pytest.raises(InvalidError, match="more than 10 paths change at once"):
        changed_paths(repository.objects, None, new, budget=10)


def test_a_tree_that_contains_itself_many_times_costs_no_more_than_the_budget(repository: Repository) -> None:
    tree = raw_tree(repository, (b"100644", b"f", blob(repository, b"1")))
    for _ in range(10):
        tree = raw_tree(repository, *((b"40000", b"%02d" % number, tree) for number in range(50)))
    with pytest.raises(InvalidError, match="more than 100 paths"):
        changed_paths(repository.objects, None, tree, budget=100)


def test_empty_folders_within_folders_count_too(repository: Repository) -> None:
    tree = raw_tree(repository)
    for _ in range(5):
        tree = raw_tree(repository, *((b"40000", b"%02d" % number, tree) for number in range(20)))
    with pytest.raises(InvalidError, match="more than 100 paths"):
        changed_paths(repository.objects, None, tree, budget=100)


def test_nesting_is_bounded(repository: Repository) -> None:
    new = commit(repository, None, {"1/2/3/f": b""})
    assert len(changed_paths(repository.objects, None, new, depth=4)) == 1
    with pytest.raises(InvalidError, match="'1/2/3' is nested deeper than 3 levels"):
        changed_paths(repository.objects, None, new, depth=3)


@pytest.mark.parametrize(
    "name",
    [
        b"",
        b".",
        b"..",
        b".git",
        b".GIT",
        b".git ",
        b".git.",
        b".git::$INDEX_ALLOCATION",
        b"git~1",
        ".g\u200cit".encode(),
        b"a/b",
        b"a\\b",
        b"line\nend",
        b"esc\x1b[2J",
        b"\xff\xfe",
        b"x" * 256,
    ],
)
def test_a_hostile_name_is_refused_and_named(repository: Repository, name: bytes) -> None:
    hostile = raw_tree(repository, (b"100644", name, blob(repository, b"1")))
    new = raw_tree(repository, (b"40000", b"models", hostile))
    with pytest.raises(InvalidError, match="the tree of 'models' is malformed"):
        changed_paths(repository.objects, None, new)
    with pytest.raises(InvalidError):
        repository.objects.entries(new, "models")


@pytest.mark.parametrize("mode", [b"", b"0", b"100600", b"040000", b"160001", b"1", b"abc", b"0100644"])
def test_a_hostile_mode_is_refused(repository: Repository, mode: bytes) -> None:
    new = raw_tree(repository, (mode, b"a", blob(repository, b"1")))
    with pytest.raises(InvalidError, match="'a' has the mode"):
        changed_paths(repository.objects, None, new)


def test_a_name_that_stands_twice_is_refused(repository: Repository) -> None:
    one, two = blob(repository, b"1"), blob(repository, b"2")
    file_twice = raw_tree(repository, (b"100644", b"a", one), (b"100644", b"a", two))
    between = (b"100644", b"a.b", one)
    file_and_folder = raw_tree(repository, (b"100644", b"a", one), between, (b"40000", b"a", raw_tree(repository)))
    for tree in (file_twice, file_and_folder):
        with pytest.raises(InvalidError, match="'a' is there twice"):
            changed_paths(repository.objects, None, tree)


def test_a_twin_that_joins_an_untouched_file_is_refused(repository: Repository) -> None:
    one = blob(repository, b"1")
    old = raw_tree(repository, (b"100644", b"a", one), (b"100644", b"a.b", one))
    folder = raw_tree(repository, (b"100644", b"x", one))
    new = raw_tree(repository, (b"100644", b"a", one), (b"100644", b"a.b", one), (b"40000", b"a", folder))
    with pytest.raises(InvalidError, match="'a' is there twice"):
        changed_paths(repository.objects, old, new)


def test_a_wrong_order_is_refused(repository: Repository) -> None:
    one = blob(repository, b"1")
    tree = raw_tree(repository, (b"100644", b"b", one), (b"100644", b"a", one))
    with pytest.raises(InvalidError, match="'a' is out of order"):
        changed_paths(repository.objects, None, tree)


def test_all_faults_of_a_folder_are_told(repository: Repository) -> None:
    one = blob(repository, b"1")
    tree = raw_tree(repository, (b"100644", b".git", one), (b"100600", b"a", one))
    with pytest.raises(InvalidError) as caught:
        changed_paths(repository.objects, None, tree)
    assert len(caught.value.problems) == 2


def test_a_garbled_tree_is_refused(repository: Repository) -> None:
    args = ["hash-object", "-t", "tree", "-w", "--literally", "--stdin"]
    for data in (b"100644 a\0short", b"garbage", b"100644 a\0" + b"x" * 20 + b"tail"):
        tree = repository.run(args, input=data).decode().strip()
        with pytest.raises(InvalidError, match="cut off or garbled"):
            changed_paths(repository.objects, None, tree)


def test_an_entry_that_points_at_nothing_is_refused(repository: Repository) -> None:
    tree = raw_tree(repository, (b"100644", b"a", "0" * 40))
    with pytest.raises(InvalidError, match="'a' points at nothing"):
        changed_paths(repository.objects, None, tree)


def test_a_file_that_is_really_a_folder_is_refused(repository: Repository) -> None:
    folder = raw_tree(repository, (b"100644", b"x", blob(repository, b"1")))
    tree = raw_tree(repository, (b"100644", b"registry.yaml", folder))
    with pytest.raises(InvalidError, match=r"'registry.yaml' is a file by its mode, but the object .* is a tree"):
        changed_paths(repository.objects, None, tree)


def test_a_folder_that_is_really_a_file_is_refused(repository: Repository) -> None:
    tree = raw_tree(repository, (b"40000", b"models", blob(repository, b"1")))
    with pytest.raises(InvalidError, match=r"'models' is a folder by its mode, but the object .* is a blob"):
        changed_paths(repository.objects, None, tree)


def test_a_folder_that_is_really_a_commit_is_refused(repository: Repository) -> None:
    tree = raw_tree(repository, (b"40000", b"models", commit(repository, None, {"a": b"1"})))
    with pytest.raises(InvalidError, match=r"the object .* is a commit"):
        changed_paths(repository.objects, None, tree)


def test_a_missing_folder_is_told(repository: Repository) -> None:
    tree = raw_tree(repository, (b"40000", b"models", "1" * 40))
    with pytest.raises(IntegrityError, match=r"'models' names the object 1+, which is missing"):
        changed_paths(repository.objects, None, tree)


def test_a_missing_object_is_told(repository: Repository) -> None:
    tree = raw_tree(repository, (b"100644", b"a", "1" * 40))
    with pytest.raises(IntegrityError, match=r"'a' names the object 1+, which is missing"):
        changed_paths(repository.objects, None, tree)


def test_links_and_submodules_are_reported_with_their_mode(repository: Repository) -> None:
    one = blob(repository, b"1")
    tree = raw_tree(repository, (b"120000", b"link", one), (b"160000", b"module", "1" * 40))
    changes = changed_paths(repository.objects, None, tree)
    assert [(change.after.mode, change.after.type) for change in changes if change.after] == [
        ("120000", "blob"),
        ("160000", "commit"),
    ]


def test_a_hostile_state_before_does_not_stop_the_comparison(repository: Repository) -> None:
    one = blob(repository, b"1")
    old = raw_tree(repository, (b"100600", b"\xff", one), (b"100644", b"a", one))
    new = raw_tree(repository, (b"100644", b"a", one))
    (change,) = changed_paths(repository.objects, old, new)
    assert change.after is None


def test_sha256_trees_are_compared(tmp_path: Path) -> None:
    create(tmp_path / "long.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "long.git") as opened:
        old = commit(opened, None, {"a/b": b"1", "c": b"1"})
        new = commit(opened, old, {"a/b": b"2"})
        assert _paths(changed_paths(opened.objects, old, new)) == [("a/b", True, True)]


@given(st.binary(max_size=200))
def test_any_bytes_are_a_tree_or_an_error(data: bytes) -> None:
    try:
        entries = parse_tree(data, 20)
    except InvalidError:
        return
    modes = {"040000": b"40000"}
    again = b"".join(
        modes.get(entry.mode, entry.mode.encode()) + b" " + entry.name.encode() + b"\0" + bytes.fromhex(entry.oid)
        for entry in entries
    )
    assert again == data


@pytest.mark.parametrize("name", ["model.yaml", ".gitignore", ".gitattributes", ".github", "a b", "ü", "git", "x.git"])
def test_ordinary_names_are_welcome(name: str) -> None:
    assert name_fault(name) is None
