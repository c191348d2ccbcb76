from __future__ import annotations

import subprocess
import threading
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, UnavailableError
from gitreg.git import RefEdit, Repository, refs, write_tag
from gitreg.git.create import create
from tests.git.support import ALICE, MAIN, advance, commit

if TYPE_CHECKING:
    from pathlib import Path

PREFIX = "refs/tags/deploy/prod/risk/fraud/"


def test_a_ref_is_resolved_exactly(repository: Repository) -> None:
    assert refs.resolve(repository, MAIN) is None
    tip = advance(repository, {"a": b"1"})
    assert refs.resolve(repository, MAIN) == tip
    assert refs.resolve(repository, "refs/heads/mai") is None
    assert refs.resolve(repository, "refs/heads") is None


@pytest.mark.parametrize(
    "ref", ["main", "HEAD", "", "refs/heads/*", "refs/heads/a b", "refs/heads/a\n", "--all", "refs/[a]"]
)
def test_what_is_no_full_ref_is_invalid(repository: Repository, ref: str) -> None:
    with pytest.raises(InvalidError, match="is not a full ref"):
        refs.resolve(repository, ref)
    with pytest.raises(InvalidError):
        refs.update(repository, ref, "1" * 40, None)


def test_many_refs_are_resolved_at_once(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    refs.update(repository, "refs/heads/proposals/alice/x", tip, None)
    assert refs.resolve_all(repository, [MAIN, "refs/heads/none", "refs/heads/proposals"]) == {MAIN: tip}
    assert refs.resolve_all(repository, []) == {}


def test_refs_are_listed_below_a_prefix(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    for name in ("alice/x", "alice/y", "bob/z"):
        refs.update(repository, f"refs/heads/proposals/{name}", tip, None)
    assert refs.list_refs(repository, "refs/heads/proposals/alice/") == [
        ("refs/heads/proposals/alice/x", tip),
        ("refs/heads/proposals/alice/y", tip),
    ]


def test_a_garbled_ref_is_not_taken_for_a_missing_one(repository: Repository) -> None:
    advance(repository, {"a": b"1"})
    (repository.git_dir / "refs" / "heads" / "main").write_text("garbage\n")
    with pytest.raises(IntegrityError):
        refs.resolve(repository, MAIN)


def test_a_ref_moves_only_from_its_expected_value(repository: Repository) -> None:
    one = commit(repository, None, {"a": b"1"})
    two = commit(repository, one, {"a": b"2"})
    refs.update(repository, MAIN, one, None)
    with pytest.raises(ConflictError):
        refs.update(repository, MAIN, two, None)
    with pytest.raises(ConflictError):
        refs.update(repository, MAIN, one, two)
    refs.update(repository, MAIN, two, one)
    with pytest.raises(ConflictError):
        refs.delete(repository, MAIN, one)
    refs.delete(repository, MAIN, two)
    with pytest.raises(ConflictError):
        refs.update(repository, MAIN, two, one)
    assert refs.resolve(repository, MAIN) is None


def test_several_refs_move_together_or_not_at_all(repository: Repository) -> None:
    one = commit(repository, None, {"a": b"1"})
    two = commit(repository, one, {"a": b"2"})
    refs.update(repository, MAIN, one, None)
    with pytest.raises(ConflictError):
        refs.update_all(repository, [RefEdit("refs/heads/other", one, None), RefEdit(MAIN, two, two)])
    assert refs.list_refs(repository, "refs/") == [(MAIN, one)]
    refs.update_all(repository, [RefEdit("refs/heads/other", one, None), RefEdit(MAIN, two, one)])
    refs.update_all(repository, [RefEdit("refs/heads/other", None, one)])
    refs.update_all(repository, [])
    assert refs.list_refs(repository, "refs/") == [(MAIN, two)]


def test_of_concurrent_writers_one_wins(repository: Repository) -> None:
    base = advance(repository, {"a": b"0"})
    tips = [commit(repository, base, {"a": str(number).encode()}) for number in range(8)]
    outcomes: list[str] = []
    start = threading.Barrier(len(tips))

    def move(tip: str) -> None:
        start.wait()
        try:
            refs.update(repository, MAIN, tip, base)
        except (ConflictError, UnavailableError) as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append(tip)

    threads = [threading.Thread(target=move, args=(tip,)) for tip in tips]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    won = [outcome for outcome in outcomes if outcome in tips]
    assert len(outcomes) == 8
    assert won == [refs.resolve(repository, MAIN)]


def test_a_locked_ref_is_unavailable_for_now(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    (repository.git_dir / "refs" / "heads" / "main.lock").touch()
    with pytest.raises(UnavailableError, match="a ref is locked"):
        refs.update(repository, MAIN, commit(repository, tip, {"a": b"2"}), tip)


def test_a_ref_cannot_stand_where_a_folder_of_refs_is(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    refs.update(repository, "refs/heads/x/y", tip, None)
    with pytest.raises(ConflictError):
        refs.update(repository, "refs/heads/x", tip, None)


def test_a_ref_is_not_moved_to_nothing(repository: Repository) -> None:
    with pytest.raises(IntegrityError):
        refs.update(repository, MAIN, "1" * 40, None)
    with pytest.raises(InvalidError, match="is no object id of this repository"):
        refs.update(repository, MAIN, "1" * 64, None)
    with pytest.raises(InvalidError, match="not from which value"):
        refs.update_all(repository, [RefEdit(MAIN, None, None)])
    with pytest.raises(GitregError):
        refs.update(repository, "refs/heads/a..b", "1" * 40, None)


def test_a_move_leaves_its_reason_in_the_log(repository: Repository) -> None:
    repository.run(["config", "core.logAllRefUpdates", "always"])
    tip = commit(repository, None, {"a": b"1"})
    refs.update(repository, MAIN, tip, None, reason="register\nrisk/fraud")
    log = (repository.git_dir / "logs" / "refs" / "heads" / "main").read_text()
    assert log.endswith("\tregister risk/fraud\n")


def test_a_symbolic_ref_is_not_followed(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    repository.run(["symbolic-ref", "refs/heads/alias", MAIN])
    newer = commit(repository, tip, {"a": b"2"})
    refs.update(repository, "refs/heads/alias", newer, tip)
    assert refs.resolve(repository, MAIN) == tip


def test_tags_are_listed_with_all_they_say(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    message = "Deploy\n\nWhy: not here.\n\nModel: risk/fraud\nReason: January\n retrain\n"
    oid = write_tag(repository, "deploy/prod/risk/fraud/1", tip, message, ALICE)
    refs.update(repository, f"{PREFIX}1", oid, None)
    refs.update(repository, f"{PREFIX}2", tip, None)
    refs.update(repository, "refs/tags/deploy/prod/risk/fraud-two/1", oid, None)
    annotated, plain = refs.list_tags(repository, PREFIX)
    assert annotated == refs.TagRef(f"{PREFIX}1", oid, "tag", tip, "commit", ALICE, message)
    assert annotated.trailers == {"Model": "risk/fraud", "Reason": "January retrain"}
    assert annotated.subject == "Deploy"
    assert plain == refs.TagRef(f"{PREFIX}2", tip, "commit", tip, "commit", None, "")
    assert refs.list_tags(repository, "refs/tags/deploy/staging/") == []
    assert list(refs.each_tag(repository, PREFIX)) == [annotated, plain]
    assert list(refs.each_tag(repository, "refs/tags/deploy/staging/")) == []


def test_the_signature_of_a_tag_is_no_part_of_its_message(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    body = "Deploy\n\nModel: risk/fraud\n"
    signature = "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"
    oid = write_tag(repository, "v1", tip, body + signature, ALICE)
    refs.update(repository, "refs/tags/v1", oid, None)
    (tag,) = refs.list_tags(repository)
    assert tag.message == body
    assert list(refs.each_tag(repository, "refs/tags/")) == [tag]


def test_what_leads_beside_a_commit_is_listed_and_the_rest_is_not(repository: Repository) -> None:
    old = advance(repository, {"a": b"1"})
    tip = advance(repository, {"a": b"2"})
    beside = commit(repository, old, {"a": b"3"})
    tag = write_tag(repository, "v1", old, "Marked\n", ALICE)
    for ref, oid in (("refs/tags/v1", tag), ("refs/heads/old", old), ("refs/heads/proposals/a/b", beside)):
        refs.update(repository, ref, oid, None)
    assert refs.list_beside(repository, tip) == [("refs/heads/proposals/a/b", beside)]
    assert dict(refs.list_beside(repository, beside)) == {MAIN: tip}


def test_a_ref_that_names_nothing_is_not_passed_over(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    (repository.git_dir / "refs/heads/gone").write_text(f"{'1' * 40}\n")
    with pytest.raises(IntegrityError, match="missing object"):
        refs.list_beside(repository, tip)


def test_refs_of_a_sha256_repository_move_the_same(tmp_path: Path) -> None:
    create(tmp_path / "long.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "long.git") as opened:
        one = advance(opened, {"a": b"1"})
        two = advance(opened, {"a": b"2"})
        with pytest.raises(ConflictError):
            refs.update(opened, MAIN, one, one)
        assert refs.list_refs(opened, "refs/heads/") == [(MAIN, two)]


def test_packed_refs_are_read_too(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    subprocess.run(["git", "pack-refs", "--all"], cwd=repository.git_dir, check=True)
    assert refs.resolve(repository, MAIN) == tip
    advance(repository, {"a": b"2"})
    assert refs.resolve(repository, MAIN) != tip


def test_prepared_refs_move_at_the_end_of_the_block_and_nobody_else_moves_them_before(repository: Repository) -> None:
    old = advance(repository, {"a": b"1"})
    new = commit(repository, old, {"a": b"2"})
    with refs.prepared(repository, [RefEdit(MAIN, new, old)]):
        with pytest.raises(UnavailableError, match="a ref is locked"):
            refs.update(repository, MAIN, old, old)
        assert refs.resolve(repository, MAIN) == old
    assert refs.resolve(repository, MAIN) == new


def test_prepared_refs_stay_where_the_block_fails(repository: Repository) -> None:
    old = advance(repository, {"a": b"1"})
    new = commit(repository, old, {"a": b"2"})
    with pytest.raises(InvalidError, match="no"), refs.prepared(repository, [RefEdit(MAIN, new, old)]):
        raise InvalidError("no")
    refs.update(repository, MAIN, new, old)


def test_the_block_is_not_begun_where_a_ref_has_moved(repository: Repository) -> None:
    old = advance(repository, {"a": b"1"})
    new = advance(repository, {"a": b"2"})
    begun = []
    with pytest.raises(ConflictError, match="moved meanwhile"), refs.prepared(repository, [RefEdit(MAIN, new, old)]):
        begun.append(new)
    assert begun == []
