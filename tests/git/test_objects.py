from __future__ import annotations

import gc
import os
import subprocess
import threading
import zlib
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import GitregError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.git import Repository, refs
from gitreg.git.catfile import CatFile
from gitreg.git.create import create
from tests.git.support import ALICE, MAIN, advance, blob, commit, git, raw_tree

if TYPE_CHECKING:
    from pathlib import Path

EVIL = "refs/tags/refs/heads/main"


def _loose(repository: Repository, oid: str) -> Path:
    return repository.git_dir / "objects" / oid[:2] / oid[2:]


def test_a_file_is_read_by_its_path(repository: Repository) -> None:
    tip = advance(repository, {"models/risk/a.yaml": b"x: 1\n"})
    assert repository.objects.blob(tip, "models/risk/a.yaml") == b"x: 1\n"


@pytest.mark.parametrize(
    "path",
    [
        "models/risk/b.yaml",
        "models",
        "models/risk/a.yaml/x",
        "",
        ".",
        "./models",
        "../x",
        "models//risk",
        "a\nb",
        "a\0b",
    ],
)
def test_what_is_no_file_reads_as_none(repository: Repository, path: str) -> None:
    tip = advance(repository, {"models/risk/a.yaml": b"x: 1\n"})
    assert repository.objects.blob(tip, path) is None
    assert repository.objects.blob(tip, "models/risk/a.yaml") == b"x: 1\n"


def test_odd_names_are_read(repository: Repository) -> None:
    names = ['quo"te', "sp ace", "tilde~1", "caret^{tree}", "@{0}", "ü", "*", "a missing", ":colon"]
    tip = advance(repository, {name: name.encode() for name in names})
    for name in names:
        assert repository.objects.blob(tip, name) == name.encode()
        entry = repository.objects.entry(tip, name)
        assert entry is not None
        assert entry.name == name


def test_a_ref_is_not_taken_for_an_object(repository: Repository) -> None:
    advance(repository, {"a": b"1"})
    for expression in (MAIN, "HEAD", "main:a", "--all", "deadbeef"):
        with pytest.raises(InvalidError, match="is no object id"):
            repository.objects.info(expression)
        with pytest.raises(InvalidError):
            repository.objects.blob(expression, "a")


def test_size_is_known_before_contents_are_read(repository: Repository) -> None:
    tip = advance(repository, {"big": b"x" * 2000})
    with pytest.raises(InvalidError, match="'big' has 2000 bytes; at most 100 are read"):
        repository.objects.blob(tip, "big", limit=100)
    oid = blob(repository, b"y" * 300)
    assert repository.objects.size(oid) == 300
    with pytest.raises(InvalidError, match="at most 10"):
        repository.objects.read(oid, limit=10)
    with pytest.raises(InvalidError, match="at most 10"):
        list(repository.objects.read_many([oid], limit=10))
    with pytest.raises(InvalidError, match="at most 10"):
        repository.objects.tree(tip, limit=10)


def test_the_contents_of_an_object_that_is_too_big_are_never_asked_for(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    oid = blob(repository, b"y" * 300)

    def never(_infos: object) -> None:
        raise AssertionError

    monkeypatch.setattr(type(repository.objects), "_contents", lambda _self, infos: never(infos))
    with pytest.raises(InvalidError):
        repository.objects.read(oid, limit=299)


def test_an_object_that_is_not_there_is_not_found(repository: Repository) -> None:
    nothing = "1" * 40
    assert repository.objects.info(nothing) is None
    with pytest.raises(NotFoundError):
        repository.objects.size(nothing)
    with pytest.raises(NotFoundError):
        repository.objects.commit(nothing)
    with pytest.raises(NotFoundError):
        list(repository.objects.read_many([nothing]))
    with pytest.raises(GitregError):
        repository.objects.blob(nothing, "a")


def test_a_file_whose_object_is_missing_is_not_the_same_as_no_file(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1", "folder/b": b"2"})
    _loose(repository, blob(repository, b"1")).unlink()
    with pytest.raises(IntegrityError, match="is missing or unreadable"):
        repository.objects.blob(tip, "a")
    folder = repository.objects.entry(tip, "folder")
    assert folder is not None
    _loose(repository, folder.oid).unlink()
    with pytest.raises(IntegrityError):
        repository.objects.entries(tip, "folder")
    with pytest.raises(GitregError):
        repository.objects.blob(tip, "folder/b")


def test_a_damaged_object_is_told_and_the_next_one_is_read(repository: Repository) -> None:
    tip = advance(repository, {"good": b"1"})
    oid = blob(repository, b"to be damaged" * 100)
    path = _loose(repository, oid)
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"blob 1300\0" + os.urandom(1300))[:700])
    with pytest.raises(IntegrityError, match="git could not read an object"):
        repository.objects.read(oid)
    assert repository.objects.blob(tip, "good") == b"1"


def test_an_object_shorter_than_it_claims_does_not_hang(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitreg.git.catfile._PATIENCE", 0.3)
    tip = advance(repository, {"good": b"1"})
    oid = blob(repository, b"to be damaged" * 100)
    path = _loose(repository, oid)
    path.chmod(0o644)
    path.write_bytes(zlib.compress(b"blob 1300\0" + b"other" * 10))
    with pytest.raises(GitregError, match="no answer within"):
        repository.objects.read(oid)
    assert repository.objects.blob(tip, "good") == b"1"


def test_when_git_dies_the_error_is_clear_and_the_next_question_starts_another(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1", "b": b"2"})
    assert repository.objects.blob(tip, "a") == b"1"
    process = repository.objects._git._process
    assert process is not None
    process.kill()
    process.wait()
    with pytest.raises(UnavailableError, match="did not answer"):
        repository.objects.blob(tip, "b")
    assert repository.objects.blob(tip, "b") == b"2"


def test_what_was_read_is_remembered_and_takes_no_process(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1", "b": b"2"})
    repository.objects.prefetch([f"{tip}:a", f"{tip}:b", f"{tip}:none"])
    process = repository.objects._git._process
    assert process is not None
    process.kill()
    process.wait()
    assert repository.objects.blob(tip, "a") == b"1"
    assert repository.objects.blob(tip, "b") == b"2"
    repository.objects.close()
    assert repository.objects.blob(tip, "a") == b"1"
    assert repository.objects._git._process is not process


def test_an_interrupted_answer_does_not_answer_the_next_question(
    repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    tip = advance(repository, {"a": b"1", "b": b"2"})

    def interrupt(_stream: object, _info: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gitreg.git.catfile._read_contents", interrupt)
        with pytest.raises(KeyboardInterrupt):
            repository.objects.blob(tip, "a")
    assert repository.objects.blob(tip, "b") == b"2"


def test_folders_are_listed_in_gits_order(repository: Repository) -> None:
    tip = advance(repository, {"b": b"", "a/x": b"", "a.yaml": b"", "a-b": b""})
    entries = repository.objects.entries(tip)
    assert [(entry.name, entry.mode, entry.type) for entry in entries] == [
        ("a-b", "100644", "blob"),
        ("a.yaml", "100644", "blob"),
        ("a", "040000", "tree"),
        ("b", "100644", "blob"),
    ]
    assert [entry.name for entry in repository.objects.entries(tip, "a")] == ["x"]
    assert repository.objects.entries(tip, "nowhere") == []
    assert repository.objects.entries(tip, "b") == []


def test_the_mode_of_a_path_is_told(repository: Repository) -> None:
    link = blob(repository, b"target")
    tree = raw_tree(repository, (b"120000", b"link", link), (b"100755", b"run", link))
    entry = repository.objects.entry(tree, "link")
    assert entry is not None
    assert (entry.mode, entry.oid, entry.type) == ("120000", link, "blob")
    assert repository.objects.entry(tree, "nowhere") is None
    assert repository.objects.entry(tree, "../run") is None


def test_commits_are_read_whole(repository: Repository) -> None:
    first = commit(repository, None, {"a": b"1"}, "First")
    second = commit(repository, first, {"a": b"2"}, "Second\nline\n\nBody\n\nReason: because\n of this\nAction: deploy")
    read = repository.objects.commit(second)
    assert read.parents == (first,)
    assert read.author == read.committer == ALICE
    assert read.subject == "Second line"
    assert read.trailers == {"Reason": "because of this", "Action": "deploy"}
    assert not read.signed


def test_a_commit_is_no_tag_and_a_tree_no_commit(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    with pytest.raises(InvalidError, match="is a commit, not a tag"):
        repository.objects.tag(tip)
    with pytest.raises(InvalidError, match="is a tree, not a commit"):
        repository.objects.commit(repository.objects.commit(tip).tree)


def test_many_objects_are_read_in_their_order(repository: Repository) -> None:
    oids = [blob(repository, b"x" * size) for size in (3, 1, 2)]
    wanted = (oids * 500)[:1300]
    assert [(oid, len(data)) for oid, data in repository.objects.read_many(wanted)] == [
        (oid, (3, 1, 2)[index % 3]) for index, oid in enumerate(wanted)
    ]
    assert list(repository.objects.read_many([])) == []


def test_reading_many_may_stop_early(repository: Repository) -> None:
    oids = [blob(repository, bytes([number])) for number in range(4)]
    reading = repository.objects.read_many(oids * 300)
    assert next(reading) == (oids[0], b"\0")
    reading.close()
    assert repository.objects.size(oids[1]) == 1


def test_threads_share_one_reader(repository: Repository) -> None:
    tip = advance(repository, {str(number): str(number).encode() * 50 for number in range(8)})
    wrong: list[int] = []

    def read(number: int) -> None:
        wrong.extend(
            number for _ in range(50) if repository.objects.blob(tip, str(number)) != str(number).encode() * 50
        )

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_objects_written_meanwhile_are_found(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    assert repository.objects.blob(tip, "a") == b"1"
    later = git(repository.git_dir, "hash-object", "-w", "--stdin", data=b"later")
    assert repository.objects.read(later).data == b"later"


def test_replace_refs_and_grafts_are_ignored(repository: Repository) -> None:
    first = advance(repository, {"a": b"genuine"})
    second = advance(repository, {"a": b"genuine", "b": b"1"})
    forged = commit(repository, None, {"a": b"forged"}, "Forged")
    repository.run(["update-ref", f"refs/replace/{second}", forged])
    (repository.git_dir / "info").mkdir(exist_ok=True)
    (repository.git_dir / "info" / "grafts").write_text(f"{second}\n")
    assert (
        subprocess.run(["git", "show", f"{second}:a"], cwd=repository.git_dir, capture_output=True, check=True).stdout
        == b"forged"
    )
    with Repository.open(repository.git_dir) as opened:
        assert opened.objects.blob(second, "a") == b"genuine"
        assert opened.objects.commit(second).parents == (first,)
        assert opened.run(["rev-list", second]).decode().split() == [second, first]


def test_a_tag_that_looks_like_main_is_not_main(repository: Repository) -> None:
    tip = commit(repository, None, {"a": b"1"})
    repository.run(["update-ref", EVIL, tip])
    assert refs.resolve(repository, MAIN) is None


def test_a_sha256_repository_reads_the_same(tmp_path: Path) -> None:
    create(tmp_path / "long.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "long.git") as opened:
        tip = advance(opened, {"models/a": b"1"}, "One\n\nReason: x")
        assert len(tip) == 64
        assert opened.objects.blob(tip, "models/a") == b"1"
        assert [entry.name for entry in opened.objects.entries(tip)] == ["models"]
        assert opened.objects.commit(tip).trailers == {"Reason": "x"}


HOOK = """#!/bin/sh
exec {python} -c '
import os, sys
from gitreg.git import Repository, changed_paths, history, refs
with Repository.open(".", quarantine=True) as repository:
    old, new, ref = sys.stdin.read().split()
    assert os.environ["GIT_QUARANTINE_PATH"] and os.environ["GIT_DIR"] == ".", os.environ
    assert refs.resolve(repository, ref) == old
    print("read", repository.objects.blob(new, "new.yaml").decode())
    print("changed", [change.path for change in changed_paths(repository.objects, old, new)])
    print("chain", history.is_on_first_parent_chain(repository, old, new))
    print("entry", repository.objects.entry(new, "new.yaml").mode)
with Repository.open(".") as outside:
    print("outside", outside.objects.info(new))
sys.exit(1)
' 2>&1
"""


def test_a_pre_receive_hook_reads_what_is_still_in_quarantine(repository: Repository, tmp_path: Path) -> None:
    import sys

    advance(repository, {"old.yaml": b"old"})
    git(tmp_path, "clone", "-q", str(repository.git_dir), "clone")
    clone = tmp_path / "clone"
    (clone / "new.yaml").write_text("pushed")
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "New")
    hook = repository.git_dir / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(HOOK.format(python=sys.executable))
    hook.chmod(0o755)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    pushed = subprocess.run(
        ["git", "push", "origin", "main"], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    said = [line.removeprefix("remote: ").strip() for line in pushed.stderr.splitlines()]
    assert "read pushed" in said, pushed.stderr
    assert "changed ['new.yaml']" in said
    assert "chain True" in said
    assert "entry 100644" in said
    assert "outside None" in said


def test_what_nobody_closed_leaves_no_process_behind_even_in_a_cycle(repository: Repository) -> None:
    tip = advance(repository, {"f": b"1"})
    first = Repository.open(repository.git_dir)
    assert first.objects.blob(tip, "f") == b"1"
    process = first.objects._git._process
    assert process
    pid = process.pid
    # Younger than the process, so that a finaliser of its own would run after the one of the process.
    second = Repository.open(repository.git_dir)
    second.__dict__.update(objects=first.__dict__.pop("objects"), cycle=second)

    del first, second, process
    gc.collect()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_process_is_started_anew_now_and_then(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.git.catfile._MOST_ASKED", 3)
    git = CatFile(repository.runner)
    tip = advance(repository, {"a": b"1"})
    processes = set()
    for _ in range(7):
        assert [info.oid for info in git.infos([tip]) if info] == [tip]
        assert git._process
        processes.add(git._process.pid)
    git.close()
    assert len(processes) == 3
