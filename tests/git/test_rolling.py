"""Small packs are brought together, and nothing gets lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import IntegrityError
from gitreg.git import Draft, Repository
from gitreg.git.importing import DURABLE, Importer, remove_remains
from gitreg.git.rolling import objects_of, roll_up, small_packs
from tests.git.support import ALICE, MAIN, advance, git

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def packed(repository: Repository) -> Iterator[Repository]:
    """A repository with seven packs, a commit in each."""
    with Repository.open(repository.git_dir, config=DURABLE) as found:
        tip, importer = advance(repository, {"a": b"1"}), Importer(found)
        for number in range(7):
            draft = Draft(edits={f"folder/{number}": b"%d" % number}, message="m", author=ALICE, committer=ALICE)
            tip = importer.write(tip, [draft]).oids[0]
        importer.close()
        git(found.git_dir, "update-ref", MAIN, tip)
        yield found


def packs(repository: Repository) -> list[Path]:
    return sorted((repository.git_dir / "objects" / "pack").glob("*.pack"))


def test_many_packs_become_one_that_holds_all(packed: Repository) -> None:
    assert len(packs(packed)) == 7
    held = {oid for pack in packs(packed) for oid in objects_of(pack, 20)}
    roll_up(packed)
    (one,) = packs(packed)
    assert set(objects_of(one, 20)) == held
    assert git(packed.git_dir, "fsck", "--strict", "--no-dangling") == ""
    roll_up(packed)
    assert packs(packed) == [one]


def test_what_is_kept_or_in_an_index_of_many_stays(packed: Repository) -> None:
    first, second, *_ = packs(packed)
    first.with_suffix(".keep").write_text("mine\n")
    git(packed.git_dir, "multi-pack-index", "write", "--stdin-packs", data=f"{second.stem}.idx\n".encode())
    assert not {first, second} & set(small_packs(first.parent))
    roll_up(packed)
    assert {first, second} < set(packs(packed))
    assert len(packs(packed)) == 3
    assert git(packed.git_dir, "fsck", "--strict", "--no-dangling") == ""


def test_a_large_pack_is_not_copied_for_a_few_small_ones(packed: Repository) -> None:
    sizes = [each.stat().st_size for each in packs(packed)]
    large = packs(packed)[0]
    large.chmod(0o644)
    with large.open("ab") as file:
        file.truncate(3 * sum(sizes))
    assert large not in small_packs(large.parent)
    assert len(small_packs(large.parent)) == 6


def test_marks_that_a_killed_fast_import_left_are_taken_away_and_others_stay(packed: Repository) -> None:
    first, second, *_ = (pack.with_suffix(".keep") for pack in packs(packed))
    first.write_text("fast-import")
    second.write_text("mine\n")
    remove_remains(packed)
    assert (first.exists(), second.exists()) == (False, True)


def test_what_is_no_index_of_a_pack_is_not_taken_for_one(packed: Repository) -> None:
    index = packs(packed)[0].with_suffix(".idx")
    index.chmod(0o644)
    index.write_bytes(b"strange")
    with pytest.raises(IntegrityError, match="no index"):
        roll_up(packed)
    assert len(packs(packed)) == 7
