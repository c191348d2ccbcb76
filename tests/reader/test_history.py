"""The past of a registry: by deploy tags where they tell it, by walking main where they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.git import write_commit
from gitreg.names import EnvironmentName, ModelName
from gitreg.reader import deployments, log
from gitreg.reader.history import iso, marked_up_to, parse_time
from gitreg.registry import open_registry
from tests.registries import MAIN, git

if TYPE_CHECKING:
    from gitreg.reader import DeploymentRecord
    from gitreg.registry import Registry
    from tests.registries import Forge

FRAUD = ModelName("risk", "fraud")
STAGING = EnvironmentName("staging")


def _told(registry: Registry, tip: str | None = None) -> list[tuple[int, str, str]]:
    tip = tip or git(registry.target.repository.git_dir, "rev-parse", MAIN)
    by_tags = deployments(registry.target.repository, tip, STAGING, FRAUD)
    by_walk = deployments(registry.target.repository, tip, STAGING, FRAUD, trust_tags=False)
    assert _plain(by_tags) == _plain(by_walk)
    return [(record.number, record.action, str(record.version)) for record in by_tags]


def _plain(records: list[DeploymentRecord]) -> list[tuple[object, ...]]:
    return [(each.number, each.action, each.pointer, each.previous, each.commit, each.reason) for each in records]


BOTH = [(1, "deploy", "1.0.0"), (2, "deploy", "1.1.0")]
BACK = [*BOTH, (3, "rollback", "1.0.0")]


def test_tags_and_main_tell_the_same(bare: Registry) -> None:
    assert _told(bare) == BOTH
    bare.rollback("risk/fraud", "staging")
    assert _told(bare) == BACK
    bare.undeploy("risk/fraud", "staging")
    assert _told(bare) == [*BACK, (4, "undeploy", "None")]


def test_what_was_marked_is_remembered(bare: Registry, forge: Forge) -> None:
    assert marked_up_to(bare.target.repository) == forge.tip()
    for text in ("nonsense", "0" * 40, "\xff"):
        (forge.bare / "gitreg" / "marked").write_text(text, "latin-1")
        assert marked_up_to(bare.target.repository) is None
        assert _told(bare) == BOTH


def test_the_past_does_not_know_of_later_tags_with_the_same_pointer(bare: Registry, forge: Forge) -> None:
    first = bare.history("risk/fraud", "staging")[-1].commit
    bare.rollback("risk/fraud", "staging")
    # The pointer at the first deployment equals the one of the newest tag.
    assert _told(bare, first) == BOTH[:1]


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_a_missing_tag_is_made_good_by_main(bare: Registry, forge: Forge, missing: int) -> None:
    bare.rollback("risk/fraud", "staging")
    git(forge.bare, "update-ref", "-d", f"refs/tags/deploy/staging/risk/fraud/{missing}")
    (forge.bare / "gitreg" / "marked").unlink()
    assert _told(bare) == BACK


def test_a_clone_with_some_of_the_tags_knows_the_rest(bare: Registry, forge: Forge) -> None:
    folder = forge.clone()
    git(
        folder,
        "fetch",
        "--quiet",
        "origin",
        "refs/tags/deploy/staging/risk/fraud/1:refs/tags/deploy/staging/risk/fraud/1",
    )
    bare.rollback("risk/fraud", "staging")
    with open_registry(folder, fetch=True) as registry:
        records = registry.history("risk/fraud", "staging")
        assert [(record.number, record.action) for record in records] == [(3, "rollback"), (2, "deploy"), (1, "deploy")]
        assert [record.marked for record in records] == [False, False, True]


def test_tags_that_are_ahead_of_what_was_remembered_are_not_counted_twice(bare: Registry, forge: Forge) -> None:
    before = (forge.bare / "gitreg" / "marked").read_text()
    bare.rollback("risk/fraud", "staging")
    # As if post-receive had been killed between the tag and the note of it.
    (forge.bare / "gitreg" / "marked").write_text(before)
    assert _told(bare) == BACK
    bare.rollback("risk/fraud", "staging", to="1.1.0")
    assert _told(bare) == [*BACK, (4, "rollback", "1.1.0")]
    assert len(git(forge.bare, "tag", "--list", "deploy/staging/*").splitlines()) == 4


def test_somebody_elses_tag_among_ours_does_not_count(bare: Registry, forge: Forge) -> None:
    git(forge.bare, "tag", "deploy/staging/risk/fraud/next", MAIN)
    assert _told(bare) == BOTH


def test_a_huge_commit_is_one_line_of_the_log(bare: Registry, forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.reader.history.LOG_PATHS", 5)
    oid = write_commit(
        bare.target.repository,
        parent=forge.tip(),
        edits={f"notes/{number}": b"x" for number in range(10)},
        message="Import",
    )
    entries = list(log(bare.target.repository, oid, limit=2))
    assert entries[0].subject == "Import"
    assert entries[0].changes[0].startswith("too much to list: ")
    assert entries[1].changes == ("status risk/fraud for prod",)


def test_times_are_read_and_written() -> None:
    assert iso(0) == "1970-01-01T00:00:00Z"
    assert iso(10**18) == "@1000000000000000000"
    assert parse_time("1970-01-01T00:00:00Z") == 0
    assert parse_time("1970-01-01T01:00:00+01:00") == 0
    assert parse_time("1970-01-01T00:00:00") == 0
    assert parse_time("1970-01-01") == 24 * 3600 - 1
    for text in ("", "now", "1970-13-01", "12:00", "1970-01-01T25:00"):
        with pytest.raises(InvalidError, match="is not a time"):
            parse_time(text)
