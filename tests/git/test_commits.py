from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import GitregError, InvalidError
from gitreg.git import Draft, Objects, Repository, refs, scratch, write_commit, write_commits, write_tag
from gitreg.git.commits import quoted
from gitreg.git.create import create
from tests.git.support import ALICE, MAIN, advance, commit, git

if TYPE_CHECKING:
    from pathlib import Path


def test_edits_add_change_and_remove_files(repository: Repository) -> None:
    first = commit(repository, None, {"a": b"1", "folder/b": b"2", "folder/c": b"3"})
    second = commit(repository, first, {"a": b"new", "folder/b": None, "folder/c": None, "deep/er/d": b""})
    assert repository.run(["ls-tree", "-r", second]).decode().split() == [
        *("100644", "blob", git(repository.git_dir, "rev-parse", f"{second}:a"), "a"),
        *("100644", "blob", git(repository.git_dir, "rev-parse", f"{second}:deep/er/d"), "deep/er/d"),
    ]
    assert repository.objects.blob(second, "a") == b"new"


def test_a_file_may_become_a_folder_and_back(repository: Repository) -> None:
    first = commit(repository, None, {"a": b"1"})
    second = commit(repository, first, {"a": None, "a/b": b"2"})
    third = commit(repository, second, {"a/b": None, "a": b"3"})
    assert repository.objects.blob(second, "a/b") == b"2"
    assert repository.objects.blob(third, "a") == b"3"


def test_a_commit_says_what_it_was_told(repository: Repository) -> None:
    oid = commit(repository, None, {"a": b"1"}, "Größe\n\nReason: ñ\n\n\n")
    read = repository.objects.commit(oid)
    assert read.message == "Größe\n\nReason: ñ\n"
    assert read.author == ALICE
    assert read.parents == ()
    assert repository.run(["fsck", "--strict", "--no-dangling"]) == b""


def test_the_same_commit_has_the_same_id(repository: Repository) -> None:
    assert commit(repository, None, {"a": b"1"}) == commit(repository, None, {"a": b"1"})


def test_no_ref_moves_and_nothing_is_left_behind(repository: Repository) -> None:
    before = sorted(path.name for path in repository.git_dir.iterdir())
    commit(repository, None, {"a": b"1"})
    assert refs.list_refs(repository, "refs/") == []
    assert not list((repository.git_dir / "refs").rglob("*pending*"))
    assert sorted(path.name for path in repository.git_dir.iterdir()) == before


def test_a_parent_that_does_not_exist_is_told_and_leaves_no_crash_report(repository: Repository) -> None:
    before = sorted(path.name for path in repository.git_dir.iterdir())
    with pytest.raises(GitregError, match="git fast-import failed: Not a valid commit"):
        commit(repository, "1" * 40, {"a": b"1"})
    assert sorted(path.name for path in repository.git_dir.iterdir()) == before


ODD = [
    'quo"te',
    "back'tick`",
    "sp ace",
    " leading",
    "trailing ",
    "tab",
    "#comment",
    "ü/é",
    "日本",
    "a" * 255,
    "-rf",
    "~",
    "*",
]


def test_odd_paths_are_written_as_they_are(repository: Repository) -> None:
    oid = commit(repository, None, {name: name.encode() for name in ODD})
    listed = repository.run(["ls-tree", "-r", "-z", "--name-only", oid]).decode().split("\0")[:-1]
    assert sorted(listed) == sorted(ODD)
    for name in ODD:
        assert repository.objects.blob(oid, name) == name.encode()


@pytest.mark.parametrize(
    "path", ["", "/a", "a/", "a//b", ".", "../a", "a/../b", ".git/hooks/x", "a\nb", "a\0b", "a\\b", "x/.GIT/config"]
)
def test_a_path_that_may_not_be_written_is_refused(repository: Repository, path: str) -> None:
    with pytest.raises(InvalidError, match="cannot be written"):
        commit(repository, None, {path: b"1"})


@given(st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw))
def test_quoting_can_be_undone(raw: bytes) -> None:
    text = quoted(raw.decode("utf-8", "surrogateescape"))
    assert text[:1] == text[-1:] == b'"'
    assert b"\n" not in text
    plain = text[1:-1].decode("ascii").encode().decode("unicode_escape").encode("latin-1")
    assert plain == raw


@pytest.mark.parametrize("data", [b"", b"\0\xff", b"data 3\n", b"\n", b"commit refs/heads/main\n", os.urandom(1000)])
def test_any_contents_are_written_as_they_are(repository: Repository, data: bytes) -> None:
    assert repository.objects.blob(commit(repository, None, {"a": data}), "a") == data


def test_a_message_cannot_smuggle_commands_in(repository: Repository) -> None:
    message = "x\n\nreset refs/heads/main\nfrom :1\ndata 5\n"
    oid = commit(repository, None, {"a": b"1"}, message)
    assert repository.objects.commit(oid).message == message
    assert refs.list_refs(repository, "refs/") == []
    with pytest.raises(InvalidError, match="zero byte"):
        commit(repository, None, {"a": b"1"}, "a\0b")


def test_a_series_builds_one_commit_on_the_other(repository: Repository) -> None:
    base = commit(repository, None, {"a": b"0"})
    drafts = [
        Draft(edits={"a": str(number).encode()}, message=f"Number {number}", author=ALICE, committer=ALICE)
        for number in range(1, 150)
    ]
    oids = write_commits(repository, base, drafts)
    assert len(oids) == 149
    read = [repository.objects.commit(oid) for oid in oids]
    assert [found.parents[0] for found in read] == [base, *oids[:-1]]
    assert [found.subject for found in read] == [f"Number {number}" for number in range(1, 150)]
    assert write_commits(repository, base, []) == []


def test_who_git_says_one_is_signs_a_commit_without_an_author(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_DATE", "@1767225600 +0000")
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Robot")
    with Repository.open(repository.git_dir) as opened:
        read = opened.objects.commit(write_commit(opened, parent=None, edits={"a": b"1"}, message="m"))
    assert str(read.author) == "Test User <test@example.org>"
    assert read.author.time == 1767225600
    assert str(read.committer) == "Robot <test@example.org>"


def test_commits_are_signed_where_the_configuration_says_so(repository: Repository, home: Path) -> None:
    key = home / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    (home / "signers").write_text(f"alice@example.org {(home / 'key.pub').read_text()}")
    for name, value in {
        "gpg.format": "ssh",
        "user.signingKey": str(key),
        "commit.gpgSign": "true",
        "gpg.ssh.allowedSignersFile": str(home / "signers"),
    }.items():
        git(home, "config", "--global", name, value)
    with Repository.open(repository.git_dir) as opened:
        drafts = [
            Draft(edits={"a": text}, message="Größe\n\nbody", author=ALICE, committer=ALICE) for text in (b"1", b"2")
        ]
        first, second = write_commits(opened, None, drafts)
        plain = write_commits(opened, None, drafts, sign=False)
        for oid, unsigned in zip((first, second), plain, strict=True):
            opened.run(["verify-commit", oid])
            read, other = opened.objects.commit(oid), opened.objects.commit(unsigned)
            assert read.signed
            assert not other.signed
            assert (read.tree, read.author, read.committer, read.message) == (
                *(other.tree, other.author, other.committer),
                other.message,
            )
        assert opened.objects.commit(second).parents == (first,)
    with scratch(repository.git_dir) as beside:
        oid = commit(beside, first, {"b": b"1"})
        assert beside.objects.commit(oid).signed


def test_an_edit_of_one_file_reads_only_the_folders_on_the_way(repository: Repository, tmp_path: Path) -> None:
    edits = {f"models/p{p}/m{m}/1.0.{v}.yaml": b"%d" % v for p in range(4) for m in range(5) for v in range(5)}
    base = commit(repository, None, edits)
    # Take away every tree and blob that the edit has no business with: it must not miss them.
    needed = {base} | {
        git(repository.git_dir, "rev-parse", f"{base}:{path}") for path in ("", "models", "models/p1", "models/p1/m2")
    }
    for path in (repository.git_dir / "objects").glob("??/*"):
        if path.parent.name + path.name not in needed:
            path.unlink()
    for pack in (repository.git_dir / "objects" / "pack").glob("*.pack"):
        pytest.fail(f"the objects of the test lie in {pack}")
    tip = commit(repository, base, {"models/p1/m2/2.0.0.yaml": b"new"})
    assert repository.objects.blob(tip, "models/p1/m2/2.0.0.yaml") == b"new"


def test_a_commit_in_a_sha256_repository(tmp_path: Path) -> None:
    create(tmp_path / "long.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "long.git") as opened:
        first = advance(opened, {"a": b"1"})
        second = advance(opened, {"a": b"2"})
        assert opened.objects.commit(second).parents == (first,)
        assert opened.run(["fsck", "--strict", "--no-dangling"]) == b""


def test_a_commit_in_a_shallow_clone(repository: Repository, tmp_path: Path) -> None:
    advance(repository, {"a": b"1"})
    tip = advance(repository, {"a": b"2"})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository.git_dir}", "shallow")
    with Repository.open(tmp_path / "shallow") as opened, scratch(opened) as beside:
        assert opened.objects.commit(commit(opened, tip, {"b": b"1"})).parents == (tip,)
        assert beside.is_shallow
        assert beside.objects.commit(commit(beside, tip, {"b": b"1"})).parents == (tip,)


def test_a_tag_is_written_and_read(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    oid = write_tag(repository, "deploy/prod/risk/fraud/1", tip, "Deploy\n\nModel: risk/fraud\n", ALICE)
    tag = repository.objects.tag(oid)
    assert (tag.target, tag.target_type, tag.name, tag.tagger) == (tip, "commit", "deploy/prod/risk/fraud/1", ALICE)
    assert tag.trailers == {"Model": "risk/fraud"}
    assert refs.resolve(repository, MAIN) == tip
    assert len(refs.list_refs(repository, "refs/")) == 1


@pytest.mark.parametrize("name", ["a b", "a\ntagger x", ""])
def test_a_tag_whose_name_cannot_be_written_is_refused(repository: Repository, name: str) -> None:
    tip = advance(repository, {"a": b"1"})
    with pytest.raises(GitregError):
        write_tag(repository, name, tip, "x", ALICE)


def test_a_tag_of_nothing_is_refused(repository: Repository) -> None:
    with pytest.raises(GitregError):
        write_tag(repository, "v1", "1" * 40, "x", ALICE)


def test_a_scratch_repository_sees_what_it_stands_beside_and_goes_away(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    with scratch(repository) as beside:
        folder = beside.git_dir
        oid = commit(beside, tip, {"a": b"2"})
        assert beside.objects.blob(oid, "a") == b"2"
        assert folder.stat().st_mode & 0o077 == 0
    assert not folder.exists()
    assert repository.objects.info(oid) is None


def test_a_scratch_repository_beside_a_folder_with_an_odd_name(tmp_path: Path) -> None:
    create(tmp_path / '"odd"\n#é', bare=True)
    with Repository.open(tmp_path / '"odd"\n#é') as odd:
        tip = advance(odd, {"a": b"1"})
        with scratch(odd) as beside:
            assert beside.objects.blob(tip, "a") == b"1"


def test_a_scratch_repository_runs_no_hook_of_the_users(repository: Repository, home: Path) -> None:
    hooks = home / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-commit", "pre-push"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {home}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    git(home, "config", "--global", "core.hooksPath", str(hooks))
    tip = commit(repository, None, {"a": b"1"})
    with scratch(repository) as beside:
        refs.update(beside, MAIN, commit(beside, tip, {"a": b"2"}), None)
    assert not (home / "ran").exists()


def test_a_scratch_repository_acts_as_the_same_user(repository: Repository) -> None:
    repository.run(["config", "user.name", "Local Name"])
    repository.run(["config", "core.compression", "9"])
    with scratch(repository) as beside:
        assert beside.config("user.name") == "Local Name"
        oid = write_commit(beside, parent=None, edits={"a": b"1"}, message="m")
        assert beside.objects.commit(oid).author.name == "Local Name"


def test_a_killed_series_leaves_no_ref(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: subprocess.Popen[bytes], data: bytes | None = None, timeout: float | None = None) -> None:
        if data and self.stdin:
            self.stdin.write(data[: len(data) // 2])
            self.stdin.flush()
            monkeypatch.undo()
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        commit(repository, None, {"a": b"1" * 5000})
    monkeypatch.undo()
    assert refs.list_refs(repository, "refs/") == []
    assert not list(repository.git_dir.glob("fast_import_crash*"))
    assert isinstance(repository.objects, Objects)
