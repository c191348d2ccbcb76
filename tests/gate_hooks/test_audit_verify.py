"""What the proof of a log finds: every way to bend it, and no false alarm."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.errors import InvalidError
from gitreg.gate import RefUpdate
from gitreg.gate_hooks import audit
from gitreg.gate_hooks.audit import log, proof
from gitreg.gate_hooks.audit.entry import sealed
from gitreg.gate_hooks.audit.log import HEAD, Place, _slot
from gitreg.git import Repository
from gitreg.registry.setup import InitRequest, fix, init
from tests.gate.support import pointer_file, version_file
from tests.gate_hooks.support import Server, run
from tests.registries import git

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from gitreg.gate_hooks.audit.result import Verified

MAIN = "refs/heads/main"
ZERO = "0" * 40
Lines = list[bytes]
ONE, TWO = (f"refs/tags/deploy/staging/risk/fraud/{number}" for number in (1, 2))
MISSING = "a push is missing in the log, or went past it"


@pytest.fixture(scope="session")
def told(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with a history: entry 1 began it, 3 and 7 are refused, tags name 4 and 6, which deploy."""
    folder = tmp_path_factory.mktemp("told") / "srv"
    shutil.copytree(template, folder, symlinks=True)
    with Repository.open(folder / "client.git") as client:
        server = Server(folder / "registry.git", client)
        assert server.push("alice", version_file("1.1.0")).accepted
        assert not server.push("bob", version_file("1.2.0")).accepted
        assert server.push("bob", pointer_file("1.0.0")).accepted
        assert server.push("alice", version_file("1.2.0")).accepted
        assert server.push("bob", pointer_file("1.1.0")).accepted
        assert not server.push("eve", version_file("1.3.0")).accepted
    return folder


@pytest.fixture
def story(told: Path, tmp_path: Path) -> Iterator[Server]:
    shutil.copytree(told, tmp_path / "srv", symlinks=True)
    with Repository.open(tmp_path / "srv" / "client.git") as client:
        yield Server(tmp_path / "srv" / "registry.git", client)


def verified(server: Server) -> Verified:
    with Repository.open(server.path) as repository:
        return proof.verify(repository)


def said(found: Verified) -> list[str]:
    return [f"{each.line or '-'}: {each.message}" for each in found.findings]


def lines(server: Server) -> Lines:
    return audit.audit_path(server.path).read_bytes().splitlines(keepends=True)


def rewrite(server: Server, kept: Sequence[bytes]) -> None:
    audit.audit_path(server.path).write_bytes(b"".join(kept))


def resealed(server: Server, entries: Sequence[dict[str, Any]], *, head: bool = True) -> None:
    """Write a log anew as who knows the format could: numbered, chained, and with a head that fits."""
    previous, made = audit.GENESIS, []
    for number, each in enumerate(entries, 1):
        members = {**each, "seq": number, "previous": previous}
        members.pop("hash", None)
        line, previous = sealed(members)
        made.append(line)
    rewrite(server, made)
    if head:
        audit.head_path(server.path).write_bytes(2 * _slot(Place(len(made), previous)))


def bring(server: Server, oid: str) -> str:
    """Put a commit into the registry's objects, past everything."""
    pack = server.client.run(["pack-objects", "--stdout", "--revs", "--quiet"], input=f"{oid}\n".encode())
    run(["git", "unpack-objects", "-q"], server.path, data=pack)
    return oid


def entries(server: Server) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(server)]


# A group of requests: each entry begins where the one before leads, and names where main was


def group_of(server: Server, *versions: str) -> tuple[list[str], list[audit.Entry]]:
    """Write commits one upon the other, and the entries of the group that they are."""
    tip = server.tip()
    chain = [tip]
    for version in versions:
        chain.append(bring(server, server.commit(version_file(version), parent=chain[-1])))
    steps = itertools.pairwise(chain)
    return chain, [
        audit.Entry("2026-01-31T12:00:00Z", "alice", (RefUpdate(old, new, MAIN),), (), base=None if old == tip else tip)
        for old, new in steps
    ]


def test_a_group_that_landed_covers_each_of_its_commits(story: Server) -> None:
    before = verified(story)
    chain, made = group_of(story, "2.0.0", "2.1.0", "2.2.0")
    audit.append_all(story.path, made)
    story.move(MAIN, chain[-1])
    found = verified(story)

    assert said(found) == []
    assert (found.entries, found.landed, found.commits) == (before.entries + 3, before.landed + 3, before.commits + 3)
    assert audit.actors_of(story.path, chain[1:]) == dict.fromkeys(chain[1:], "alice")


def test_a_group_that_lost_the_race_is_superseded_as_a_whole(story: Server) -> None:
    _, made = group_of(story, "2.0.0", "2.1.0", "2.2.0")
    audit.append_all(story.path, made)
    assert story.push("alice", version_file("2.0.0")).accepted
    found = verified(story)

    assert said(found) == []
    assert found.superseded == 3


def test_a_group_whose_log_was_cut_off_by_a_kill_is_no_damage(story: Server) -> None:
    _, made = group_of(story, "2.0.0", "2.1.0", "2.2.0")
    audit.append_all(story.path, made)
    whole = lines(story)
    rewrite(story, [*whole[:-1], whole[-1][:20]])
    audit.head_path(story.path).write_bytes(2 * _slot(Place(7, json.loads(whole[6])["hash"])))
    assert story.push("alice", version_file("2.0.0")).accepted

    assert said(verified(story)) == []


def test_a_commit_in_a_group_that_no_decision_let_in_is_found(story: Server) -> None:
    chain, made = group_of(story, "2.0.0", "2.1.0", "2.2.0")
    audit.append_all(story.path, [made[0], made[2]])
    story.move(MAIN, chain[-1])

    assert any(MISSING in each and chain[2][:12] in each for each in said(verified(story)))


def test_a_group_on_a_main_that_is_not_there_any_more_is_found(story: Server) -> None:
    chain, made = group_of(story, "2.0.0", "2.1.0")
    lost = chain[1]
    strange = [audit.Entry("2026-01-31T12:00:00Z", "alice", each.updates, (), base=lost) for each in made]
    audit.append_all(story.path, strange[1:])

    assert any("not on main any more" in each for each in said(verified(story)))


# No false alarm


def test_a_history_of_pushes_is_proved(story: Server) -> None:
    found = verified(story)

    assert said(found) == []
    assert found.notes == ()
    assert (found.entries, found.accepted, found.refused) == (7, 5, 2)
    assert (found.landed, found.superseded, found.commits, found.older) == (4, 0, 5, 0)
    assert found.anchors == 2
    assert found.head == audit.head(story.path)


def test_an_accepted_push_that_lost_the_race_is_told_from_a_missing_one(story: Server) -> None:
    base = story.tip()
    one, other = (bring(story, story.commit(version_file(version))) for version in ("3.0.0", "3.1.0"))
    for oid in (one, other):  # both are judged while main stands at `base`, as two hooks at once would
        assert story.hook(f"{base} {oid} {MAIN}\n".encode(), "alice").accepted
    story.move(MAIN, other)

    found = verified(story)

    assert said(found) == []
    assert (found.landed, found.superseded) == (5, 1)


def test_one_that_was_further_ahead_and_lost_is_none_either(story: Server) -> None:
    base = story.tip()
    one = story.commit(version_file("3.0.0"))
    two = story.commit(version_file("3.1.0"), parent=one)
    bring(story, two)
    for oid in (two, one):
        assert story.hook(f"{base} {oid} {MAIN}\n".encode(), "alice").accepted
    story.move(MAIN, one)
    assert story.hook(f"{one} {two} {MAIN}\n".encode(), "alice").accepted
    story.move(MAIN, two)

    assert said(verified(story)) == []


def test_a_push_that_arrives_while_one_looks_is_no_finding(story: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real = log.locked

    def late(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as the function itself
        monkeypatch.setattr(proof, "locked", real)
        assert story.push("alice", version_file("4.0.0")).accepted
        assert story.push("bob", pointer_file("1.2.0")).accepted
        return real(*args, **kwargs)

    monkeypatch.setattr(proof, "locked", late)
    assert said(verified(story)) == []


def test_half_a_line_of_a_hook_that_was_killed_is_a_note(story: Server) -> None:
    rewrite(story, [*lines(story), b'{"actor":"bob"'])

    found = verified(story)

    assert (said(found), found.entries) == ([], 7)
    assert "half a line" in found.notes[0]


def test_a_head_of_some_time_ago_is_a_note(story: Server) -> None:
    third = entries(story)[2]
    audit.head_path(story.path).write_bytes(2 * _slot(Place(3, third["hash"])))

    found = verified(story)

    assert said(found) == []
    assert "4 entries behind" in found.notes[0]


# Tampering with the lines


def without(*gone: int) -> Callable[[Lines], Lines]:
    return lambda kept: [line for number, line in enumerate(kept, 1) if number not in gone]


def edited(number: int, old: bytes, new: bytes) -> Callable[[Lines], Lines]:
    def change(kept: Lines) -> Lines:
        assert old in kept[number - 1]
        return [line.replace(old, new, 1) if at == number else line for at, line in enumerate(kept, 1)]

    return change


TAMPERED: dict[str, tuple[Callable[[Lines], Lines], str]] = {
    "the tail is cut": (without(6, 7), "-: the log ends at entry 5, and audit.head knows of 7: 2 were cut off"),
    "a refused push at the end is cut": (
        without(7),
        "-: the log ends at entry 6, and audit.head knows of 7: 1 was cut off",
    ),
    "the tail is cut within a line": (
        lambda kept: [*kept[:-1], kept[-1][:50]],
        "-: the log ends at entry 6, and audit.head knows of 7: 1 was cut off",
    ),
    "the beginning is cut": (without(1), "1: entry 1 is missing before entry 2"),
    "more of the beginning is cut": (without(1, 2, 3), "1: entries 1 to 3 are missing before entry 4"),
    "an accepted push is taken out": (without(5), "5: entry 5 is missing before entry 6"),
    "a refused push is taken out": (without(3), "3: entry 3 is missing before entry 4"),
    "two lines are swapped": (
        lambda kept: [*kept[:2], kept[3], kept[2], *kept[4:]],
        "4: entry 3 stands after entry 4: moved or doubled",
    ),
    "a line is doubled": (
        lambda kept: [*kept[:3], kept[2], *kept[3:]],
        "4: entry 3 stands after entry 3: moved or doubled",
    ),
    "the last line is doubled": (
        lambda kept: [*kept, kept[-1]],
        "8: entry 7 stands after entry 7: moved or doubled",
    ),
    "the actor is edited": (edited(2, b"alice", b"carol"), "2: the line was altered: its hash does not fit"),
    "the verdict is edited": (edited(3, b'"refused"', b'"accepted"'), "3: the line was altered: its hash does not fit"),
    "the time is edited": (edited(7, b'"time":"2', b'"time":"3'), "7: the line was altered: its hash does not fit"),
    "the number is edited": (edited(4, b'"seq":4', b'"seq":5'), "4: the line was altered: its hash does not fit"),
    "the hash is edited": (edited(4, b'"hash":"', b'"hash":"0'), "4: the line is not written as gitreg writes it"),
    "a space is put in": (edited(2, b'"seq"', b' "seq"'), "2: the line is not written as gitreg writes it"),
    "a member is put in twice": (
        edited(2, b'{"actor"', b'{"actor":"eve","actor"'),
        "2: the line is not written as gitreg writes it",
    ),
    "a line is no entry": (lambda kept: [*kept[:3], b"[]\n", *kept[4:]], "4: the line is no entry"),
    "an empty line is put in": (lambda kept: [*kept[:3], b"\n", *kept[3:]], "4: the line is no entry"),
    "bytes are put in": (lambda kept: [*kept[:3], b"\xff\0\n", *kept[3:]], "4: the line is no entry"),
    "everything is gone": (lambda _: [], "-: the log is empty; its first entry is written by `gitreg init`"),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found_and_said_at_its_line(story: Server, how: str) -> None:
    change, message = TAMPERED[how]
    rewrite(story, change(lines(story)))

    found = verified(story)

    assert message in said(found)
    assert all(each.remedy for each in found.findings)


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found_in_a_copy_as_well(story: Server, told: Path, tmp_path: Path, how: str) -> None:
    change, message = TAMPERED[how]
    rewrite(story, change(lines(story)))
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in (audit.audit_path(story.path), audit.head_path(story.path)):
        shutil.copy(path, copy)

    with Repository.open(told / "registry.git") as repository:
        assert message in said(proof.verify_copy(repository, copy / "audit.jsonl", story.tip()))


def test_an_edit_is_not_told_as_an_edit_of_every_line_behind_it(story: Server) -> None:
    rewrite(story, edited(2, b"alice", b"carol")(lines(story)))

    assert said(verified(story)) == ["2: the line was altered: its hash does not fit"]


def test_an_edited_line_with_a_hash_that_fits_breaks_the_next(story: Server) -> None:
    kept = entries(story)
    kept[2]["actor"] = "mallory"
    kept[2].pop("hash")
    whole = lines(story)
    rewrite(story, [*whole[:2], sealed(kept[2])[0], *whole[3:]])

    assert said(verified(story)) == ["4: entry 4 does not follow from the line before, which is not the one it names"]


def test_a_flood_of_findings_is_counted_and_cut_short(story: Server) -> None:
    rewrite(story, [*lines(story), *[b"x\n"] * 500])

    found = verified(story)

    assert (found.damage, len(found.findings)) == (500, 100)


@pytest.mark.parametrize("name", ["audit.jsonl", "audit.head"])
def test_a_missing_file_is_found(story: Server, name: str) -> None:
    (story.path / "gitreg" / name).unlink()

    assert said(verified(story)) == [f"-: the audit log's file {name} is gone"]


def test_no_log_at_all_is_found(story: Server) -> None:
    shutil.rmtree(story.path / "gitreg")

    assert said(verified(story)) == ["-: the registry has no audit log"]


def test_a_damaged_head_is_found(story: Server) -> None:
    audit.head_path(story.path).write_bytes(b"x" * 500)

    assert said(verified(story)) == [f"-: {HEAD} is damaged"]


# Rewritten by somebody who knows how


def test_a_push_taken_out_of_a_log_that_was_written_anew_is_missed_on_main(story: Server) -> None:
    kept = entries(story)
    gone = kept.pop(4)["updates"][0]["new"]
    resealed(story, kept)

    assert said(verified(story)) == [
        f"5: no decision let {gone[:12]} onto main, before entry 5 was decided: {MISSING}",
        "-: refs/tags/deploy/staging/risk/fraud/2 names a decision that is not in the log",
    ]


@pytest.mark.parametrize("number", [3, 7])
def test_a_refusal_taken_out_of_a_log_that_was_written_anew_contradicts_the_tags_or_nothing(
    story: Server, number: int
) -> None:
    kept = entries(story)
    del kept[number - 1]
    resealed(story, kept)

    found = said(verified(story))

    # What comes after the last deploy tag has no anchor but the head file.
    assert bool(found) == (number == 3)
    assert all("name" in each and "not in the log" in each for each in found)


def test_a_log_cut_with_its_head_is_missed_on_main(story: Server) -> None:
    resealed(story, entries(story)[:5])

    found = said(verified(story))

    assert any(f"no decision let {story.tip()[:12]} onto main, after the last entry" in each for each in found)
    assert any("deploy/staging/risk/fraud/2 names a decision" in each for each in found)


def test_the_head_file_knows_a_log_that_was_written_anew(story: Server) -> None:
    kept = entries(story)
    kept[6]["actor"] = "mallory"
    resealed(story, kept, head=False)

    assert said(verified(story)) == ["7: entry 7 is not the one that audit.head knows: it was rewritten"]


def test_an_actor_in_a_log_that_was_written_anew_contradicts_the_tags(story: Server) -> None:
    kept = entries(story)
    kept[1]["actor"] = "mallory"
    resealed(story, kept)

    assert said(verified(story)) == [
        f"-: {ONE}, {TWO} name a decision that is not in the log",
    ]


def test_a_beginning_in_the_middle_is_found(story: Server) -> None:
    kept = entries(story)
    resealed(story, [*kept, kept[0]])

    assert any("8: entry 8 begins a second time" in each for each in said(verified(story)))


def test_a_log_without_a_beginning_is_found(story: Server) -> None:
    resealed(story, entries(story)[1:])

    assert any("1: the log does not begin with the entry" in each for each in said(verified(story)))


def test_a_tag_that_names_an_older_decision_is_found(story: Server) -> None:
    old = entries(story)[2]["hash"]
    tag = "deploy/staging/risk/fraud/2"
    message = story.tag(tag).replace(story.trailers(tag)["Audit"], old)
    story.git("tag", "--force", "-m", message, tag, f"{tag}^{{commit}}")

    assert said(verified(story)) == [
        f"3: refs/tags/{tag} names this entry, which is older than the push of its commit {story.tip()[:12]}"
    ]


# Main put elsewhere, past the gate


def test_a_commit_put_on_main_past_the_gate_is_found(story: Server) -> None:
    oid = story.commit(version_file("9.0.0"))
    bring(story, oid)
    story.move(MAIN, oid)

    assert said(verified(story)) == [f"-: no decision let {oid[:12]} onto main, after the last entry: {MISSING}"]


def test_one_that_was_pushed_upon_is_found_too(story: Server) -> None:
    oids = [story.commit(version_file("9.0.0"))]
    oids.append(story.commit(version_file("9.1.0"), parent=oids[0]))
    bring(story, oids[1])
    story.move(MAIN, oids[1])
    assert story.push("alice", version_file("9.2.0")).accepted

    assert said(verified(story)) == [
        f"8: no decision let {oids[0][:12]}, {oids[1][:12]} onto main, before entry 8 was decided: {MISSING}"
    ]


def test_main_put_back_is_found_by_git_s_own_record(story: Server) -> None:
    tip = story.tip()
    story.move(MAIN, story.git("rev-parse", "main~1"))
    story.git("update-ref", "-d", "refs/tags/deploy/staging/risk/fraud/2")

    found = said(verified(story))

    assert f"-: main was at {tip[:12]}, as git's reflog knows, and that commit is not on main any more" in found


def test_main_put_back_and_pushed_upon_is_found_without_it(story: Server) -> None:
    before = story.tip()
    assert story.push("alice", version_file("5.0.0")).accepted
    assert story.push("alice", version_file("5.1.0")).accepted
    lost = story.git("rev-parse", "main~1")
    story.move(MAIN, before)
    shutil.rmtree(story.path / "logs")
    assert story.push("alice", version_file("6.0.0")).accepted

    assert said(verified(story)) == [f"9: main was at {lost[:12]} by entry 9, and that commit is not on main any more"]


def test_a_tag_of_a_commit_that_is_not_on_main_is_found(story: Server) -> None:
    oid = story.commit(version_file("9.0.0"))
    bring(story, oid)
    story.git("tag", "-m", "Deploy", "deploy/prod/risk/fraud/1", oid)

    assert said(verified(story)) == ["-: refs/tags/deploy/prod/risk/fraud/1 marks a commit that is not on main"]


# Begun anew, after damage


def begun_anew(server: Server) -> str:
    for path in (audit.audit_path(server.path), audit.head_path(server.path)):
        path.rename(path.with_name(f"{path.name}.damaged"))
    with Repository.open(server.path) as repository:
        fix(repository)
    return str(entries(server)[0]["hash"])


def test_a_log_begun_anew_is_damage_until_its_owner_says_otherwise(story: Server) -> None:
    first = begun_anew(story)
    assert story.push("alice", version_file("7.0.0")).accepted

    found = verified(story)
    assert len(found.findings) == 1
    assert "name a decision of an earlier log" in found.findings[0].message
    assert f"git config gitreg.auditbegin {first}" in found.findings[0].remedy
    assert (found.older, found.commits) == (5, 1)

    story.git("config", "gitreg.auditbegin", first)
    found = verified(story)
    assert said(found) == []
    assert any("begun anew" in note for note in found.notes)


def test_what_one_log_was_allowed_does_not_count_for_the_next(story: Server) -> None:
    story.git("config", "gitreg.auditbegin", begun_anew(story))
    time.sleep(1.1)  # another first entry
    shutil.rmtree(story.path / "gitreg")
    begun_anew_again = audit.audit_path(story.path)
    with Repository.open(story.path) as repository:
        fix(repository)

    assert begun_anew_again.exists()
    assert any("earlier log" in each for each in said(verified(story)))


def test_an_adopted_repository_s_history_is_older_than_its_log(tmp_path: Path, template: Path) -> None:
    run(["git", "clone", "--quiet", "--bare", str(template / "registry.git"), "adopted.git"], tmp_path)
    init(InitRequest(path=tmp_path / "adopted.git", identity="GL_USER"))

    with Repository.open(tmp_path / "adopted.git") as repository:
        found = proof.verify(repository)

    assert (said(found), found.older, found.entries) == ([], 1, 1)
    first = json.loads(audit.audit_path(tmp_path / "adopted.git").read_text())
    assert first["source"] == {"identity": audit.ADOPT}
    assert first["updates"] == [{"ref": MAIN, "old": ZERO, "new": git(tmp_path / "adopted.git", "rev-parse", "main")}]


def test_init_again_adds_nothing(story: Server) -> None:
    init(InitRequest(path=story.path))

    assert len(lines(story)) == 7


# Away from the server


@pytest.fixture
def clone(story: Server, tmp_path: Path) -> Iterator[Repository]:
    run(["git", "clone", "--quiet", str(story.path), "clone"], tmp_path)
    run(["git", "fetch", "--quiet", "origin", "refs/tags/*:refs/tags/*"], tmp_path / "clone")
    shutil.copytree(story.path / "gitreg", tmp_path / "copy")
    with Repository.open(tmp_path / "clone") as repository:
        yield repository


def of_copy(clone: Repository, name: str = "audit.jsonl") -> Verified:
    top = clone.work_tree
    assert top is not None
    return proof.verify_copy(clone, top.parent / "copy" / name, git(top, "rev-parse", "origin/main"))


def test_a_copy_is_proved_in_a_clone(clone: Repository) -> None:
    found = of_copy(clone)

    assert said(found) == []
    assert found.notes == ()
    assert (found.entries, found.commits, found.anchors) == (7, 5, 2)


def test_a_copy_that_is_newer_than_the_clone_is_no_damage(clone: Repository, story: Server, tmp_path: Path) -> None:
    for version in ("6.0.0", "6.1.0", "6.2.0"):
        assert story.push("alice", version_file(version)).accepted
    shutil.copytree(story.path / "gitreg", tmp_path / "copy", dirs_exist_ok=True)

    found = of_copy(clone)

    assert said(found) == []
    assert "ahead of this clone's main by 3 pushes" in found.notes[0]


def test_a_copy_that_is_older_than_the_clone_says_so(clone: Repository, story: Server) -> None:
    assert story.push("alice", version_file("6.0.0")).accepted
    clone.run(["fetch", "--quiet"])

    found = of_copy(clone)

    assert "after the last entry" in found.findings[0].message
    assert "copy the log again" in found.findings[0].remedy


def test_a_copy_by_itself_and_a_clone_without_tags_say_what_they_cannot_tell(clone: Repository, tmp_path: Path) -> None:
    (tmp_path / "copy" / "audit.head").unlink()
    for tag in git(tmp_path / "clone", "tag").split():
        git(tmp_path / "clone", "tag", "-d", tag)

    found = of_copy(clone)

    assert said(found) == []
    assert [note.partition(":")[0] for note in found.notes] == [
        "no audit.head lies beside it",
        "no deploy tags are here to hold it against; git fetch origin 'refs/tags/deploy/*",
    ]


@pytest.mark.parametrize("name", ["nothing.jsonl", "."])
def test_what_is_no_file_is_no_copy(clone: Repository, name: str) -> None:
    with pytest.raises(InvalidError, match="is no file"):
        of_copy(clone, name)


# Registries that are written in place


def test_commits_in_a_work_tree_are_noted_and_no_damage(tmp_path: Path) -> None:
    init(InitRequest(path=tmp_path / "local"))
    for number in range(3):
        (tmp_path / "local" / "README.md").write_text(f"{number}\n")
        git(tmp_path / "local", "commit", "--quiet", "--no-verify", "-am", "Change")
    git(tmp_path / "local", "commit", "--quiet", "--no-verify", "--amend", "-m", "Another")

    with Repository.open(tmp_path / "local") as repository:
        found = proof.verify(repository)

    assert said(found) == []
    assert found.older == 3
    assert "no hook was asked" in found.notes[0]


# Speed


def test_ten_thousand_decisions_are_proved_in_seconds(tmp_path: Path) -> None:
    count = 10_000
    init(InitRequest(path=tmp_path / "r.git", bare=True))
    commit = b"commit refs/heads/main\ncommitter x <x@example.org> %d +0000\ndata 1\nx\n"
    stream = [b"reset refs/heads/main\nfrom refs/heads/main^0\n", *(commit % at for at in range(count))]
    run(["git", "fast-import", "--quiet"], tmp_path / "r.git", data=b"\n".join(stream))
    oids = git(tmp_path / "r.git", "rev-list", "--reverse", "main").split()
    first = audit.audit_path(tmp_path / "r.git").read_bytes()
    made, previous = [first], json.loads(first)["hash"]
    for number, (old, new) in enumerate(itertools.pairwise(oids), 2):
        entry = audit.Entry("2026-01-01T00:00:00Z", "alice", (RefUpdate(old, new, MAIN),), (), {"identity": "account"})
        line, previous = sealed({**entry.to_data(), "seq": number, "previous": previous})
        made.append(line)
    audit.audit_path(tmp_path / "r.git").write_bytes(b"".join(made))
    audit.head_path(tmp_path / "r.git").write_bytes(2 * _slot(Place(count + 1, previous)))

    with Repository.open(tmp_path / "r.git") as repository:
        start = time.process_time()
        found = proof.verify(repository)
        took = time.process_time() - start

    assert said(found) == []
    assert found.landed == count
    assert took < 5
