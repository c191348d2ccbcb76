"""Changes that arrive together land together, each by itself and for its own actor."""

from __future__ import annotations

import itertools
import os
import subprocess
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.access import Action
from gitreg.errors import (
    ConflictError,
    DeniedError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from gitreg.gate import Limits
from gitreg.gate_hooks import audit
from gitreg.git import Repository, Signature, refs, write_commit
from gitreg.git.importing import Importer
from gitreg.layout import MAIN
from gitreg.names import Selector, UserName
from gitreg.reader import Snapshot
from gitreg.records import replace
from gitreg.registry import plans
from gitreg.writer import Plan, group, landing
from gitreg.writer.group import Change, GroupWriter
from tests.registries import git
from tests.writer.grouping import SOURCE, change, check_proof, deploying, entries, registering, until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gitreg.writer import Written
    from tests.registries import Forge


@pytest.fixture
def writer(forge: Forge) -> Iterator[GroupWriter]:
    """Write to the bare registry."""
    found = GroupWriter(forge.bare)
    yield found
    found.close()


class Gate:
    """A planner that holds the writer up until the test has handed everything in, so that it makes one group."""

    def __init__(self, writer: GroupWriter) -> None:
        self._open = threading.Event()
        started = threading.Event()

        def planner(_at: Snapshot) -> Plan:
            started.set()
            assert self._open.wait(30)
            return Plan(edits={}, subject="Nothing")

        self.held = writer.submit(change(planner))
        assert started.wait(30)

    def open(self) -> None:
        self._open.set()
        assert self.held.result(30).commit is None


def together(writer: GroupWriter, changes: Sequence[Change]) -> list[Future[Written]]:
    """Hand changes in so that one group takes them, and wait for their ends."""
    gate = Gate(writer)
    futures = [writer.submit(each) for each in changes]
    gate.open()
    for future in futures:
        future.exception(30)
    return futures


def moves(forge: Forge) -> list[str]:
    """Give the values that main has had, newest first."""
    return git(forge.bare, "log", "--walk-reflogs", "--format=%H", MAIN, "--").splitlines()


def test_what_arrives_together_is_one_move_of_main_and_a_commit_each(forge: Forge, writer: GroupWriter) -> None:
    before, moved = forge.tip(), len(moves(forge))
    changes = [change(registering(f"3.{n}.0"), actor=actor) for n, actor in enumerate(["alice", "bob", "root"] * 3)]
    commits = [future.result().commit for future in together(writer, changes)]
    chain = git(forge.bare, "rev-list", "--reverse", "--first-parent", f"{before}..{MAIN}").split()
    assert commits == chain
    assert len(moves(forge)) == moved + 1
    people = git(forge.bare, "log", "--reverse", "--format=%an <%ae> %ad %cn", "--date=raw", f"{before}..{MAIN}")
    assert people.splitlines()[:2] == [
        "Alice Doe <alice@example.org> 1767225600 +0100 Alice Doe",
        "Bob Doe <bob@example.org> 1767225600 +0100 Bob Doe",
    ]
    git(forge.bare, "fsck", "--strict")


def test_each_commit_of_a_group_has_its_entry_with_its_actor_and_its_source(forge: Forge, writer: GroupWriter) -> None:
    before, logged = forge.tip(), len(entries(forge.bare))
    actors = ["alice", "bob", "root"]
    together(writer, [change(registering("1.0.0", f"risk/m{n}"), actor=actor) for n, actor in enumerate(actors)])
    found = entries(forge.bare)[logged:]
    assert [each["actor"] for each in found] == actors
    assert [each["models"] for each in found] == [["risk/m0"], ["risk/m1"], ["risk/m2"]]
    assert all(each["source"] == SOURCE and each["verdict"] == "accepted" for each in found)
    chain = git(forge.bare, "rev-list", "--reverse", f"{before}..{MAIN}").split()
    steps = zip([before, *chain], chain, strict=False)
    assert [each["updates"] for each in found] == [[{"ref": MAIN, "old": old, "new": new}] for old, new in steps]
    assert [each.get("base") for each in found] == [None, before, before]
    assert check_proof(forge.bare).superseded == 0


def test_a_change_is_planned_on_what_came_before_it_in_its_group(forge: Forge, writer: GroupWriter) -> None:
    first, second = together(
        writer, [change(registering("9.0.0")), change(deploying("risk/fraud@9.0.0", "staging"), actor="carol")]
    )
    above = git(forge.bare, "rev-parse", f"{second.result().commit}^")
    assert above == first.result().commit
    assert "version: 9.0.0" in git(forge.bare, "show", f"{MAIN}:deployments/staging/risk/fraud.yaml")


def test_a_bad_one_fails_alone_and_is_logged_as_refused(forge: Forge, writer: GroupWriter) -> None:
    logged = len(entries(forge.bare))
    good, bad, other = together(
        writer,
        [
            change(registering("3.0.0"), actor="alice"),
            change(registering("3.1.0"), actor="carol"),
            change(registering("3.2.0"), actor="bob"),
        ],
    )
    assert good.result().commit
    assert other.result().commit
    with pytest.raises(DeniedError, match="carol may not register"):
        bad.result()
    verdicts = {each["actor"]: each["verdict"] for each in entries(forge.bare)[logged:]}
    assert verdicts == {"alice": "accepted", "bob": "accepted", "carol": "refused"}
    refused = next(each for each in entries(forge.bare) if each["actor"] == "carol" and each["verdict"] == "refused")
    assert (refused["updates"], refused["models"]) == ([], ["risk/fraud"])
    assert refused["violations"][0]["code"] == "access-denied"
    check_proof(forge.bare)


def test_a_planner_that_crashes_fails_its_own_request_alone(writer: GroupWriter) -> None:
    def crash(_at: Snapshot) -> Plan:
        raise ZeroDivisionError("a bug")

    good, bad, other = together(writer, [change(registering("3.0.0")), change(crash), change(registering("3.1.0"))])
    assert isinstance(bad.exception(), ZeroDivisionError)
    assert good.result().commit
    assert other.result().commit


def test_two_changes_of_one_file_go_into_two_groups(forge: Forge, writer: GroupWriter) -> None:
    moved = len(moves(forge))
    futures = together(
        writer, [change(deploying(f"risk/fraud@{version}", "staging")) for version in ("1.0.0", "1.1.0", "1.0.0")]
    )
    assert len({future.result().commit for future in futures}) == 3
    assert len(moves(forge)) == moved + 3
    assert "version: 1.0.0" in git(forge.bare, "show", f"{MAIN}:deployments/staging/risk/fraud.yaml")


def test_who_comes_second_with_one_version_is_told_of_the_first_once_that_has_landed(
    forge: Forge, writer: GroupWriter
) -> None:
    def taken(at: Snapshot) -> Plan:
        plan = registering("3.0.0")(at)
        if at.read("models/risk/fraud/3.0.0.yaml") is not None:
            raise ConflictError(f"3.0.0 exists at {at.commit}")
        return plan

    first, second = together(writer, [change(taken, actor="alice"), change(taken, actor="bob")])
    landed = first.result().commit
    with pytest.raises(ConflictError, match=f"3.0.0 exists at {landed}"):
        second.result()
    assert forge.tip() == landed


def test_a_change_of_the_rules_goes_alone_and_those_behind_it_are_judged_by_them(
    forge: Forge, writer: GroupWriter
) -> None:
    moved = len(moves(forge))

    def grant(at: Snapshot) -> Plan:
        old = at.read("access.yaml") or b""
        new = (
            old.replace(b"[report], models", b"[report], models")
            + b"  - {to: [zoe], actions: [register], models: ['*/*']}\n"
        )
        return Plan(edits={"access.yaml": new}, subject="Let zoe in")

    before, rules, early, after = together(
        writer,
        [
            change(registering("3.0.0")),
            change(grant),
            change(registering("3.1.0"), actor="zoe"),
            change(registering("3.2.0")),
        ],
    )
    assert all(future.result().commit for future in (before, rules, early, after))
    order = git(forge.bare, "log", "--reverse", "--format=%s", f"{before.result().commit}~1..{MAIN}").splitlines()
    assert order.index("Let zoe in") < order.index("Register risk/fraud 3.1.0")
    assert len(moves(forge)) == moved + 3
    check_proof(forge.bare)


def test_what_changes_nothing_is_answered_without_a_commit(forge: Forge, writer: GroupWriter) -> None:
    before = forge.tip()
    written = writer.submit(change(deploying("risk/fraud@1.1.0", "staging"))).result(30)
    assert (written.commit, forge.tip()) == (None, before)


def test_a_dry_run_says_what_the_gate_would_say_and_writes_nothing(forge: Forge, writer: GroupWriter) -> None:
    before, logged = forge.tip(), len(entries(forge.bare))
    shown = writer.submit(change(registering("3.0.0"), actor="carol", dry_run=True)).result(30)
    assert (shown.dry_run, shown.commit) == (True, None)
    assert "+version: 3.0.0" in (shown.diff or "")
    assert [str(each.code) for each in shown.violations] == ["access-denied"]
    assert (forge.tip(), len(entries(forge.bare))) == (before, logged)


def test_a_token_may_do_no_more_than_it_was_made_for(writer: GroupWriter) -> None:
    scopes = frozenset({Action.DEPLOY})
    with pytest.raises(DeniedError, match="the token was made for: deploy"):
        writer.submit(change(registering("3.0.0"), scopes=scopes)).result(30)
    assert writer.submit(change(deploying("risk/fraud@1.0.0", "staging"), scopes=scopes)).result(30).commit


# Beside others


def push_behind(forge: Forge) -> str:
    """Put a commit on main as somebody else's push does."""
    with Repository.open(forge.bare) as repository:
        tip, who = forge.tip(), Signature.now("Somebody", "somebody@example.org")
        edits = {"NOTES.md": f"on {tip}\n".encode()}
        oid = write_commit(repository, parent=tip, edits=edits, message="Push", author=who, committer=who)
        refs.update(repository, MAIN, oid, tip)
    return oid


def test_a_group_that_loses_the_race_is_planned_anew_as_a_whole(forge: Forge, writer: GroupWriter) -> None:
    seen: list[str] = []
    plan = registering("3.1.0")

    def planner(at: Snapshot) -> Plan:
        seen.append(at.commit)
        if len(seen) == 1:
            push_behind(forge)
        return plan(at)

    futures = together(writer, [change(registering("3.0.0")), change(planner), change(registering("3.2.0"))])
    commits = [future.result().commit for future in futures]
    assert len(seen) == 2
    chain = git(forge.bare, "rev-list", "--reverse", "--first-parent", f"{seen[0]}..{MAIN}").split()
    assert chain[1:] == commits
    assert [git(forge.bare, "log", "--format=%s", "-1", chain[0])] == ["Push"]


def test_a_race_that_is_lost_behind_the_log_leaves_it_whole(
    forge: Forge, writer: GroupWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    append, pushes = audit.append_all, [forge_push]

    def appended(git_dir: Path, found: Sequence[audit.Entry]) -> str:
        done = append(git_dir, found)
        if pushes:
            pushes.pop()(forge)
        return done

    monkeypatch.setattr(audit, "append_all", appended)
    futures = together(writer, [change(registering(f"3.{n}.0")) for n in range(3)])
    assert all(future.result().commit for future in futures)
    found = check_proof(forge.bare)
    assert found.superseded == 3


def test_what_git_did_not_sync_is_not_landed(
    forge: Forge, writer: GroupWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip, finish = forge.tip(), Importer.finish

    def finished(importer: Importer) -> None:
        finish(importer)
        raise UnavailableError("the disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Importer, "finish", finished)
        with pytest.raises(UnavailableError, match="the disk is full"):
            writer.submit(change(registering("3.0.0"))).result(30)
    assert forge.tip() == tip
    assert writer.submit(change(registering("3.0.0"))).result(30).commit == forge.tip()
    assert check_proof(forge.bare).superseded == 1


def forge_push(forge: Forge) -> None:
    """Push a commit through the hooks, as a person does with git."""
    clone = forge.clone("pusher")
    (clone / "NOTES.md").write_text("pushed\n")
    git(clone, "add", "NOTES.md")
    git(clone, "commit", "--quiet", "--no-verify", "-m", "Push")
    git(clone, "push", "--quiet", "--no-verify", "origin", "HEAD:main")


@pytest.mark.parametrize("name", [MAIN, "HEAD"])
def test_a_lock_that_a_power_cut_left_is_taken_away_and_one_in_use_is_waited_for(
    forge: Forge, writer: GroupWriter, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(landing, "_LOCK_PAUSES", (0.05,) * 1000)
    lock = forge.bare / f"{name}.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    assert writer.submit(change(registering("3.0.0"))).result(30).commit == forge.tip()
    lock.touch()
    waiting = writer.submit(change(registering("3.1.0")))
    until(lambda: len([each for each in entries(forge.bare) if each["source"] == SOURCE]) == 2)
    lock.unlink()
    assert waiting.result(30).commit == forge.tip()
    check_proof(forge.bare)


def test_a_lock_that_git_has_taken_anew_is_not_taken_away(
    forge: Forge, writer: GroupWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = forge.bare / f"{MAIN}.lock"
    lock.touch()
    os.utime(lock, (0, 0))
    (forge.bare / "gitreg").mkdir(exist_ok=True)
    before = sorted((forge.bare / "gitreg").iterdir())
    look = Path.stat

    def then_it_is_taken_anew(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = look(path, follow_symlinks=follow_symlinks)
        if path == lock and not lock.read_bytes():
            lock.unlink()
            lock.write_bytes(b"git's")
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Path, "stat", then_it_is_taken_anew)
        writer._landing._locks.break_left()
    assert lock.read_bytes() == b"git's"
    assert sorted((forge.bare / "gitreg").iterdir()) == before


def test_patience_has_an_end(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "PATIENCE", 0.0)
    plan = registering("3.0.0")

    def planner(at: Snapshot) -> Plan:
        push_behind(forge)
        return plan(at)

    writer = GroupWriter(forge.bare)
    try:
        with pytest.raises(ConflictError, match="main kept moving"):
            writer.submit(change(planner)).result(30)
    finally:
        writer.close()


def test_what_waited_too_long_is_not_begun(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    before = forge.tip()
    monkeypatch.setattr(group, "MOST_QUEUED", -1.0)
    writer = GroupWriter(forge.bare)
    try:
        with pytest.raises(UnavailableError, match="did not come to it"):
            writer.submit(change(registering("3.0.0"))).result(30)
    finally:
        writer.close()

    assert forge.tip() == before


def pushed_to(clone: Path) -> bool:
    """Push as a person does; False where somebody else was first."""
    command = ["git", "push", "--quiet", "--no-verify", "origin", "HEAD:main"]
    done = subprocess.run(command, cwd=clone, capture_output=True, check=False)
    said = done.stderr.decode()
    assert done.returncode == 0 or any(word in said for word in ("ref-stale", "fetch first", "lock", "non-fast")), said
    return done.returncode == 0


def test_many_writers_and_pushes_at_once_lose_nothing(forge: Forge, writer: GroupWriter) -> None:
    other = GroupWriter(forge.bare)  # as another process of the server would
    stop = threading.Event()

    def push() -> int:
        clone = forge.clone("pusher")
        for count in itertools.count(1):
            (clone / "NOTES.md").write_text(f"{count}\n")
            git(clone, "add", "NOTES.md")
            git(clone, "commit", "--quiet", "--no-verify", "-m", f"Push {count}")
            while not pushed_to(clone):
                git(clone, "pull", "--quiet", "--rebase")
            if stop.is_set():
                break
        return count

    def register(number: int) -> list[str | None]:
        chosen = writer if number % 2 else other
        return [
            chosen.submit(change(registering(f"4.{number}.{n}", f"risk/m{number % 3}"))).result(60).commit
            for n in range(5)
        ]

    with ThreadPoolExecutor(9) as pool:
        pushing = pool.submit(push)
        written = [commit for commits in pool.map(register, range(8)) for commit in commits]
        stop.set()
        pushed = pushing.result()
    other.close()
    chain = git(forge.bare, "rev-list", "--first-parent", MAIN).split()
    assert len(set(written)) == 40
    assert set(written) <= set(chain)
    subjects = git(forge.bare, "log", "--format=%s", MAIN).splitlines()
    assert pushed == sum(subject.startswith("Push") for subject in subjects)
    git(forge.bare, "fsck", "--strict", "--no-dangling")
    check_proof(forge.bare)


# What was read before


def test_a_write_on_what_was_read_is_taken_while_that_is_as_it_was(forge: Forge, writer: GroupWriter) -> None:
    read = forge.tip()
    writer.submit(change(registering("1.0.0", "risk/other"))).result(30)
    assert writer.submit(change(registering("3.0.0"), expected=read)).result(30).commit
    with pytest.raises(PreconditionError, match="models/risk/fraud has changed"):
        writer.submit(change(registering("3.1.0"), expected=read)).result(30)


def test_of_two_writes_on_what_was_read_the_second_of_a_group_is_refused(forge: Forge, writer: GroupWriter) -> None:
    read = forge.tip()
    first, second = together(writer, [change(registering(f"3.{n}.0"), expected=read) for n in range(2)])
    assert first.result().commit
    assert isinstance(second.exception(), PreconditionError)


@pytest.mark.parametrize("expected", ["0" * 40, "main", "", "f" * 40])
def test_what_was_read_must_be_a_commit(writer: GroupWriter, expected: str) -> None:
    with pytest.raises(PreconditionError, match="no commit"):
        writer.submit(change(registering("3.0.0"), expected=expected)).result(30)


# What a server cannot do


def test_where_signatures_are_the_identity_a_server_writes_nothing(forge: Forge, writer: GroupWriter) -> None:
    with Repository.open(forge.bare) as repository:
        tip, who = forge.tip(), Signature.now("Root", "root@example.org")
        settings = Snapshot(repository, tip).read("registry.yaml") or b""
        edits = {"registry.yaml": settings + b"identity: signature\n"}
        oid = write_commit(repository, parent=tip, edits=edits, message="Sign", author=who, committer=who)
        refs.update(repository, MAIN, oid, tip)
    with pytest.raises(DeniedError, match="cannot sign for people"):
        writer.submit(change(registering("3.0.0"))).result(30)
    assert forge.tip() == oid


def test_a_registry_with_a_work_tree_is_not_served(forge: Forge) -> None:
    with pytest.raises(InvalidError, match="work tree"):
        GroupWriter(forge.local)


def test_an_empty_registry_says_so(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("empty")
    git(folder, "init", "--quiet", "--bare", "empty.git")
    writer = GroupWriter(folder / "empty.git")
    try:
        with pytest.raises(NotFoundError, match="no branch main"):
            writer.submit(change(registering("1.0.0"))).result(30)
    finally:
        writer.close()


def test_other_files_than_a_registry_has_come_by_git_alone(writer: GroupWriter) -> None:
    plan = Plan(edits={"NOTES.md": b"text\n"}, subject="Note")
    with pytest.raises(InvalidError, match="no file of a registry"):
        writer.submit(change(lambda _: plan)).result(30)


@pytest.mark.parametrize(
    ("limits", "code"),
    [
        (Limits(paths=1), "too-many-paths"),
        (Limits(push_bytes=100), "too-many-paths"),
        (Limits(file_bytes=100), "file-too-large"),
    ],
)
def test_a_request_has_the_limits_of_a_push(forge: Forge, limits: Limits, code: str) -> None:
    writer = GroupWriter(forge.bare, limits=limits)
    try:
        with pytest.raises(InvalidError, match=code):
            writer.submit(change(registering("1.0.0", "risk/new"))).result(30)
    finally:
        writer.close()


def test_a_group_has_the_limits_of_a_push_and_the_rest_goes_into_the_next(forge: Forge) -> None:
    writer, moved = GroupWriter(forge.bare, limits=Limits(paths=3)), len(moves(forge))
    try:
        futures = together(writer, [change(registering(f"3.{n}.0")) for n in range(7)])
    finally:
        writer.close()
    assert all(future.result().commit for future in futures)
    assert len(moves(forge)) == moved + 3


def test_a_message_that_no_push_could_bring_is_refused(writer: GroupWriter) -> None:
    author = Signature("x" * 300, "root@example.org", 1_767_225_600)
    with pytest.raises(InvalidError, match="commit-malformed"):
        writer.submit(Change(planner=registering("3.0.0"), actor=UserName("root"), author=author)).result(30)


@pytest.mark.parametrize(
    ("name", "error"), [("Eve <root@example.org>", InvalidError), ("", InvalidError), ("\ud800", UnicodeEncodeError)]
)
def test_an_author_whom_git_cannot_name_fails_alone(writer: GroupWriter, name: str, error: type[Exception]) -> None:
    strange = replace(change(registering("3.1.0")), author=Signature(name, "eve@example.org", 1_767_225_600))
    good, bad, other = together(writer, [change(registering("3.0.0")), strange, change(registering("3.2.0"))])
    assert isinstance(bad.exception(), error)
    assert good.result().commit
    assert other.result().commit


def test_a_subject_with_a_zero_byte_is_refused(writer: GroupWriter) -> None:
    plan = registering("3.0.0")
    with pytest.raises(InvalidError, match="zero byte"):
        writer.submit(change(lambda at: replace(plan(at), subject="Two\0faces"))).result(30)


# The end


def test_closing_finishes_the_group_in_hand_and_refuses_the_rest(forge: Forge) -> None:
    writer = GroupWriter(forge.bare)
    release, started = threading.Event(), threading.Event()
    plan = registering("3.0.0")

    def slow(at: Snapshot) -> Plan:
        started.set()
        assert release.wait(30)
        return plan(at)

    taken = writer.submit(change(slow))
    assert started.wait(30)
    waiting = writer.submit(change(registering("3.1.0")))
    closing = threading.Thread(target=writer.close)
    closing.start()
    until(lambda: writer._is_closing)
    release.set()
    closing.join(30)
    assert taken.result(0).commit == forge.tip()
    with pytest.raises(UnavailableError, match="stopping"):
        waiting.result(0)
    with pytest.raises(UnavailableError, match="stopping"):
        writer.submit(change(registering("3.2.0")))


def test_too_many_that_wait_are_turned_away(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group, "MOST_WAITING", 2)
    writer = GroupWriter(forge.bare)
    gate = Gate(writer)
    futures = [writer.submit(change(registering(f"3.{n}.0"))) for n in range(2)]
    with pytest.raises(UnavailableError, match="waiting already"):
        writer.submit(change(registering("3.9.0")))
    gate.open()
    assert all(future.result(30).commit for future in futures)
    writer.close()


def test_whoever_gives_up_before_their_turn_gets_no_commit(forge: Forge, writer: GroupWriter) -> None:
    gate = Gate(writer)
    given_up, kept = (writer.submit(change(registering(f"3.{n}.0"))) for n in range(2))
    assert given_up.cancel()
    gate.open()
    assert kept.result(30).commit == forge.tip()
    assert "3.0.0.yaml" not in git(forge.bare, "ls-tree", "--name-only", f"{MAIN}:models/risk/fraud").split()


# Afterwards


def tags(forge: Forge) -> list[str]:
    return git(forge.bare, "for-each-ref", "--format=%(refname:short)", "refs/tags/deploy").splitlines()


def test_deploy_tags_follow_and_name_each_actor(forge: Forge, writer: GroupWriter) -> None:
    writer.submit(change(registering("1.0.0", "risk/new"))).result(30)
    together(
        writer,
        [
            change(deploying("risk/new@1.0.0", "staging"), actor="carol"),
            change(deploying("risk/fraud@1.0.0", "staging"), actor="root"),
        ],
    )
    wanted = {"deploy/staging/risk/new/1": "carol", "deploy/staging/risk/fraud/3": "root"}
    until(lambda: wanted.keys() <= set(tags(forge)))
    for tag, actor in wanted.items():
        assert f"Actor: {actor}" in git(forge.bare, "tag", "--list", "--format=%(contents)", tag)
    check_proof(forge.bare)


def test_tags_that_a_killed_server_left_out_are_written_at_the_next_start(
    forge: Forge, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("gitreg.writer.afterwards.write_marks", lambda _repository: [])
        writer = GroupWriter(forge.bare)
        writer.submit(change(deploying("risk/fraud@1.0.0", "staging"))).result(30)
        writer.close()
    assert "deploy/staging/risk/fraud/3" not in tags(forge)
    GroupWriter(forge.bare).close()
    assert "deploy/staging/risk/fraud/3" in tags(forge)


def test_many_groups_leave_few_packs(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.writer.afterwards.MOST_PACKS", 4)
    monkeypatch.setattr("gitreg.git.importing._MOST_SERIES", 3)
    writer = GroupWriter(forge.bare)
    for number in range(20):
        assert writer.submit(change(registering(f"3.{number}.0"))).result(30).commit == forge.tip()
    writer.close()
    assert len(list((forge.bare / "objects" / "pack").glob("*.pack"))) < 10
    git(forge.bare, "fsck", "--strict", "--no-dangling")


def test_what_planners_see_ahead_is_what_they_would_see_once_it_has_landed(forge: Forge, writer: GroupWriter) -> None:
    seen: list[object] = []

    def look(at: Snapshot) -> object:
        name = Selector.parse("risk/fraud").model
        return (
            [str(version) for version in at.versions(name)],
            [str(getattr(each, "manifest", each)) for each in at.every_version(name)],
            str(at.resolve(Selector.parse("risk/fraud@latest"))),
            at.model(name),
        )

    def planner(at: Snapshot) -> Plan:
        seen.append(look(at))
        return registering("3.5.0")(at)

    alias = Selector.parse("risk/fraud@1.0.0")
    together(
        writer,
        [
            change(registering("3.0.0")),
            change(lambda at: plans.alias(at, alias, "old")),
            change(planner),
        ],
    )
    with Repository.open(forge.bare) as repository:
        assert seen == [look(Snapshot(repository, git(forge.bare, "rev-parse", f"{MAIN}^")))]
