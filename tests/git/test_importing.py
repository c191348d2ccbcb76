"""Series of commits, and moves of refs, through processes that stay open."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, UnavailableError
from gitreg.git import Draft, RefEdit, Repository, importing, refs, write_commits
from gitreg.git.importing import DURABLE, Importer, Series
from tests.git.support import ALICE, MAIN, advance, git

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def durable(repository: Repository) -> Iterator[Repository]:
    with Repository.open(repository.git_dir, config=DURABLE) as found:
        yield found


@pytest.fixture
def importer(durable: Repository) -> Iterator[Importer]:
    found = Importer(durable)
    yield found
    found.close()


@pytest.fixture
def mover(durable: Repository) -> Iterator[refs.Mover]:
    found = refs.Mover(durable, reason="test")
    yield found
    found.close()


def draft(path: str, data: bytes | None) -> Draft:
    return Draft(edits={path: data}, message=f"Change {path}", author=ALICE, committer=ALICE)


def process_of(importer: Importer) -> int:
    process = importer._process
    assert process
    return process.pid


def test_series_are_the_commits_that_others_write(repository: Repository, importer: Importer) -> None:
    tip = advance(repository, {"a": b"1", "folder/b": b"2"})
    series = [[draft("a", b"2"), draft("folder/b", None)], [draft("deep/er/c", b"3")], [draft("a", None)]]
    for drafts in series:
        expected = write_commits(repository, tip, drafts)
        assert importer.write(tip, drafts) == Series(
            expected, git(repository.git_dir, "rev-parse", f"{expected[-1]}^{{tree}}")
        )
        tip = expected[-1]
    assert git(repository.git_dir, "fsck", "--strict", "--no-dangling") == ""
    assert refs.list_refs(repository, "refs/gitreg/") == []


def test_what_is_written_can_be_read_at_once_and_lies_in_a_pack(repository: Repository, importer: Importer) -> None:
    tip = advance(repository, {"a": b"1"})
    oid = importer.write(tip, [draft("a", b"2")]).oids[-1]
    assert repository.objects.blob(oid, "a") == b"2"
    assert len(list((repository.git_dir / "objects" / "pack").glob("*.pack"))) == 1


def test_a_process_that_was_killed_is_replaced(repository: Repository, importer: Importer) -> None:
    tip = importer.write(advance(repository, {"a": b"1"}), [draft("a", b"2")]).oids[-1]
    first = process_of(importer)
    os.kill(first, signal.SIGKILL)
    oid = importer.write(tip, [draft("a", b"3")]).oids[-1]
    assert process_of(importer) != first
    assert repository.objects.blob(oid, "a") == b"3"


def test_a_process_ends_after_so_many_series(
    repository: Repository, importer: Importer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "_MOST_SERIES", 2)
    tip, processes = advance(repository, {"a": b"1"}), []
    for number in range(5):
        tip = importer.write(tip, [draft("a", b"%d" % number)]).oids[-1]
        processes.append(process_of(importer))
    assert len(set(processes)) == 3
    assert git(repository.git_dir, "show", f"{tip}:a") == "4"


def test_what_cannot_be_written_fails_and_the_next_series_is_written(
    repository: Repository, importer: Importer
) -> None:
    tip = advance(repository, {"a": b"1"})
    with pytest.raises(InvalidError, match="cannot be written"):
        importer.write(tip, [draft(".git/config", b"x")])
    with pytest.raises(UnavailableError):
        importer.write("1" * 40, [draft("a", b"2")])
    assert importer.write(tip, [draft("a", b"2")])
    assert not list(repository.git_dir.glob("fast_import_crash_*"))


def test_reports_of_crashes_are_removed(repository: Repository) -> None:
    (repository.git_dir / "fast_import_crash_1234").write_text("fast-import crash report:\n")
    importing.remove_remains(repository)
    assert not list(repository.git_dir.glob("fast_import_crash_*"))


def test_a_ref_is_moved_again_and_again_from_where_it_is(repository: Repository, mover: refs.Mover) -> None:
    commits = [advance(repository, {"a": b"%d" % number}) for number in range(3)]
    mover.move(RefEdit("refs/heads/x", commits[0], None))
    mover.move(RefEdit("refs/heads/x", commits[1], commits[0]))
    with pytest.raises(ConflictError, match="moved meanwhile"):
        mover.move(RefEdit("refs/heads/x", commits[2], commits[0]))
    assert refs.resolve(repository, "refs/heads/x") == commits[1]
    refs.update(repository, "refs/heads/x", commits[0], commits[1])  # as a push does meanwhile
    mover.move(RefEdit("refs/heads/x", commits[2], commits[0]))
    assert refs.resolve(repository, "refs/heads/x") == commits[2]


def test_a_lock_and_a_missing_object_are_told_apart(repository: Repository, mover: refs.Mover) -> None:
    tip = advance(repository, {"a": b"1"})
    lock = repository.git_dir / f"{MAIN}.lock"
    lock.touch()
    other = advance_aside(repository)
    with pytest.raises(UnavailableError, match="locked"):
        mover.move(RefEdit(MAIN, other, tip))
    lock.unlink()
    with pytest.raises(IntegrityError):
        mover.move(RefEdit(MAIN, "1" * 40, tip))
    mover.move(RefEdit(MAIN, other, tip))
    assert refs.resolve(repository, MAIN) == other


def advance_aside(repository: Repository) -> str:
    """Write a commit on main's tip to which no ref moves."""
    tip = refs.resolve(repository, MAIN)
    return write_commits(repository, tip, [draft("aside", b"1")])[0]


def test_what_is_half_asked_by_one_that_is_killed_moves_nothing(repository: Repository, durable: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    mover = refs.Mover(durable, reason="test")
    mover.move(RefEdit("refs/heads/x", tip, None))
    process = mover._process
    assert process
    assert process.stdin
    process.stdin.write(b"start\0update refs/heads/x\0" + advance_aside(repository).encode() + b"\0")
    mover.close()
    deadline = time.monotonic() + 30
    while (repository.git_dir / "refs/heads/x.lock").exists():
        assert time.monotonic() < deadline
    assert refs.resolve(repository, "refs/heads/x") == tip
    with pytest.raises(GitregError):
        mover.move(RefEdit("refs/heads/x", tip, "1" * 40))
    mover.close()
