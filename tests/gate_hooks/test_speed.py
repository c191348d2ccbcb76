"""What a push costs, counted and not timed: processes, round trips, bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from gitreg.changes import FileEntry, PathEdit, volume
from gitreg.gate import Code, Limits, Policy
from gitreg.gate_hooks.push import Desk, judge_range
from gitreg.git import Repository, write_commits
from gitreg.git.catfile import CatFile
from gitreg.git.commits import Draft
from gitreg.reader import Snapshot
from tests.gate.support import ALICE, FRAUD, version_file
from tests.gate_hooks.support import SOMEBODY, Server

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from gitreg.git import Oid

MAIN = "refs/heads/main"


def bring(server: Server, commits: int) -> Oid:
    """Put commits of a new version each on the server, past its hooks, and move nothing."""
    drafts = [
        Draft(edits=version_file(f"2.{number}.0"), message="Register", author=SOMEBODY, committer=SOMEBODY)
        for number in range(commits)
    ]
    tip = write_commits(server.client, server.tip(), drafts)[-1]
    server.client.run(["update-ref", "refs/heads/brought", tip])
    server.git("fetch", "--quiet", str(server.client.git_dir), "refs/heads/brought")
    return tip


@pytest.mark.parametrize(("commits", "more"), [(1, []), (40, ["rev-list"])])
def test_the_hook_starts_few_processes_however_much_is_pushed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commits: int, more: list[str]
) -> None:
    new = bring(server, commits)
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))
    said = server.hook(f"{server.tip()} {new} {MAIN}\n".encode(), "alice")
    assert said.accepted, said.said
    started = re.findall(r"trace: built-in: git (\S+)", (tmp_path / "trace").read_text())
    # The last one is server.tip() here.
    assert sorted(started) == sorted(["config", "cat-file", "for-each-ref", *more, "for-each-ref"])


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    found: list[int] = []
    real = CatFile._send

    def counting(self: CatFile, commands: Iterable[str]) -> None:
        listed = list(commands)
        found.append(len(listed))
        real(self, listed)

    monkeypatch.setattr(CatFile, "_send", counting)
    return found


def test_a_hundred_commits_are_judged_in_few_round_trips(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    base, new = server.tip(), bring(server, 100)
    asked = counted(monkeypatch)
    with Repository.open(server.path) as repository:
        snapshot = Snapshot(repository, base)
        policy = Policy(snapshot.access, snapshot.settings)
        found = judge_range(Desk(repository, lambda _: 7), base, new, policy, ALICE)
    assert found == []
    assert len(asked) < 80
    assert sum(asked) < 2500


def test_one_commit_is_judged_in_few_round_trips(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    base, new = server.tip(), bring(server, 1)
    asked = counted(monkeypatch)
    with Repository.open(server.path) as repository:
        snapshot = Snapshot(repository, base)
        policy = Policy(snapshot.access, snapshot.settings)
        assert judge_range(Desk(repository, lambda _: 7), base, new, policy, ALICE) == []
    assert len(asked) <= 20


def test_the_bytes_of_a_push_are_bounded_over_all_its_commits(server: Server) -> None:
    base, new = server.tip(), bring(server, 10)
    one = len(next(iter(version_file("2.0.0").values())))
    with Repository.open(server.path) as repository:
        snapshot = Snapshot(repository, base)
        policy = Policy(snapshot.access, snapshot.settings)

        def judged(most: int) -> list[tuple[Code, str | None]]:
            desk = Desk(repository, lambda _: 7, limits=Limits(push_bytes=most))
            return [(each.code, each.commit) for each in judge_range(desk, base, new, policy, ALICE)]

        chain = repository.run(["rev-list", "--reverse", f"{base}..{new}"]).decode().split()
        assert judged(10 * one) == []
        assert judged(5 * one) == [(Code.TOO_MANY_PATHS, chain[5])]


def test_only_what_may_be_read_counts() -> None:
    def file(size: int) -> FileEntry:
        return FileEntry("100644", "1" * 40, size)

    edits = [
        PathEdit(f"models/{FRAUD}/1.0.0.yaml", None, file(1)),
        PathEdit(f"models/{FRAUD}/model.yaml", file(20), file(300)),
        PathEdit("registry.yaml", file(4000), None),
        PathEdit("status/x", None, file(70_000)),
        PathEdit("README.md", file(50_000), file(50_000)),
        PathEdit("models-of-old/x", None, file(50_000)),
    ]
    assert volume(edits, 60_000) == 4321
    assert volume(edits, 70_000) == 74_321


def test_a_push_of_too_many_bytes_is_refused(server: Server) -> None:
    big = b"a: " + b"x" * 900_000
    files = {f"models/risk/fraud/9.{number}.0.yaml": big + b"%d" % number for number in range(40)}
    pushed = server.push("alice", files)
    assert pushed.codes == [Code.TOO_MANY_PATHS]
    assert "more than 32 MiB" in pushed.said
