from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import DeniedError, GitregError, InvalidError, NotFoundError, UnavailableError
from gitreg.git import Repository, global_config
from gitreg.git.create import create
from gitreg.git.process import git_version, useful_line
from tests.git.support import advance, git

if TYPE_CHECKING:
    from pathlib import Path


def test_a_bare_repository_is_opened_by_its_path(repository: Repository, tmp_path: Path) -> None:
    assert repository.git_dir == tmp_path / "registry.git"
    assert repository.is_bare
    assert repository.work_tree is None
    assert not repository.is_shallow
    assert repository.null_oid == "0" * 40


def test_any_folder_inside_a_work_tree_opens_it(tmp_path: Path) -> None:
    create(tmp_path / "clone", bare=False)
    inside = tmp_path / "clone" / "models" / "risk"
    inside.mkdir(parents=True)
    with Repository.open(inside) as opened:
        assert opened.git_dir == tmp_path / "clone" / ".git"
        assert opened.work_tree == tmp_path / "clone"
        assert opened.head_ref() == "refs/heads/main"


def test_a_folder_whose_name_holds_a_line_end_is_opened(tmp_path: Path) -> None:
    create(tmp_path / "two\nlines", bare=False)
    with Repository.open(tmp_path / "two\nlines") as opened:
        assert opened.git_dir == tmp_path / "two\nlines" / ".git"
        assert opened.work_tree == tmp_path / "two\nlines"


def test_a_work_tree_is_found_through_a_symbolic_link(tmp_path: Path) -> None:
    create(tmp_path / "clone", bare=False)
    (tmp_path / "clone" / "models").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "clone" / "models")
    with Repository.open(tmp_path / "link") as opened:
        assert opened.work_tree == tmp_path / "clone"


def test_a_folder_inside_the_git_directory_has_no_work_tree(tmp_path: Path) -> None:
    create(tmp_path / "clone", bare=False)
    with Repository.open(tmp_path / "clone" / ".git" / "refs") as opened:
        assert opened.work_tree is None
        assert opened.git_dir == tmp_path / "clone" / ".git"


def test_a_bare_repository_whose_name_holds_a_line_end_is_opened(tmp_path: Path) -> None:
    create(tmp_path / "two\nlines.git", bare=True)
    with Repository.open(tmp_path / "two\nlines.git") as opened:
        assert opened.git_dir == tmp_path / "two\nlines.git"
        assert opened.work_tree is None


def test_a_further_work_tree_shares_the_common_directory(tmp_path: Path) -> None:
    create(tmp_path / "clone", bare=False)
    with Repository.open(tmp_path / "clone") as first:
        tip = advance(first, {"a": b"1"})
    git(tmp_path / "clone", "worktree", "add", "-q", "-b", "side", str(tmp_path / "other"))
    with Repository.open(tmp_path / "other") as second:
        assert second.work_tree == tmp_path / "other"
        assert second.common_dir == tmp_path / "clone" / ".git"
        assert second.git_dir != second.common_dir
        assert second.objects.blob(tip, "a") == b"1"
        assert second.hooks_path == tmp_path / "clone" / ".git" / "hooks"


def test_a_folder_outside_any_repository_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a git repository") as caught:
        Repository.open(tmp_path)
    assert caught.value.hint


def test_a_folder_that_does_not_exist_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="is not a folder"):
        Repository.open(tmp_path / "nowhere")


def test_without_git_the_error_says_so(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="git is not installed"):
        Repository.open(repository.git_dir, environment={**os.environ, "PATH": str(tmp_path)})


def test_a_git_that_is_too_old_is_refused(repository: Repository, tmp_path: Path) -> None:
    fake = tmp_path / "bin" / "git"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho git version 2.30.2\n")
    fake.chmod(0o755)
    with pytest.raises(UnavailableError, match=r"git 2\.30\.2 is too old"):
        Repository.open(repository.git_dir, environment={**os.environ, "PATH": str(fake.parent)})


def test_the_version_of_vendors_is_understood(tmp_path: Path) -> None:
    fake = tmp_path / "git"
    fake.write_text("#!/bin/sh\necho 'git version 2.39.5 (Apple Git-154)'\n")
    fake.chmod(0o755)
    assert git_version(str(tmp_path)) == (2, 39, 5)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_repository_of_another_owner_is_refused_with_gits_own_advice(repository: Repository) -> None:
    for folder, _, files in os.walk(repository.git_dir):
        for name in (".", *files):
            os.chown(os.path.join(folder, name), 12345, 12345)  # noqa: PTH118 - beside os.walk
    with pytest.raises(DeniedError, match="dubious ownership") as caught:
        Repository.open(repository.git_dir)
    assert "safe.directory" in str(caught.value.hint)


def test_safe_directory_lets_a_repository_of_another_owner_in(repository: Repository, home: Path) -> None:
    git(home, "config", "--global", "--add", "safe.directory", "*")
    if os.geteuid() == 0:
        os.chown(repository.git_dir, 12345, 12345)
    with Repository.open(repository.git_dir) as opened:
        assert opened.is_bare


def test_a_bare_repository_named_by_its_path_opens_where_discovery_is_forbidden(
    repository: Repository, home: Path
) -> None:
    git(home, "config", "--global", "safe.bareRepository", "explicit")
    with Repository.open(repository.git_dir) as opened:
        assert opened.is_bare


def test_a_sha256_repository_has_long_ids(tmp_path: Path) -> None:
    create(tmp_path / "long.git", bare=True, object_format="sha256")
    with Repository.open(tmp_path / "long.git") as opened:
        assert (opened.object_format, opened.oid_length) == ("sha256", 64)


def test_a_shallow_clone_says_so(repository: Repository, tmp_path: Path) -> None:
    advance(repository, {"a": b"1"})
    advance(repository, {"a": b"2"})
    git(tmp_path, "clone", "-q", "--depth=1", f"file://{repository.git_dir}", "shallow")
    with Repository.open(tmp_path / "shallow") as opened:
        assert opened.is_shallow


def test_configuration_is_read_and_read_again_after_it_was_written(repository: Repository) -> None:
    assert repository.config("gitreg.identity") is None
    assert repository.config("gitreg.identity", "account") == "account"
    repository.run(["config", "gitreg.identity", "GL_USER"])
    assert repository.config("GitReg.Identity") == "GL_USER"
    assert repository.config_flag("core.bare")


def test_a_subsection_keeps_its_case(repository: Repository) -> None:
    repository.run(["config", "remote.Origin.url", "https://example.org/x.git"])
    assert repository.config("Remote.Origin.URL") == "https://example.org/x.git"
    assert repository.config("remote.origin.url") is None


def test_a_flag_that_is_none_is_invalid(repository: Repository) -> None:
    repository.run(["config", "commit.gpgSign", "maybe"])
    with pytest.raises(InvalidError, match="allowed: true, false"):
        repository.config_flag("commit.gpgSign")


def test_the_users_configuration_is_read_outside_any_repository(home: Path) -> None:
    assert global_config("gitreg.registry") is None
    git(home, "config", "--global", "gitreg.registry", "ssh://host/models.git")
    assert global_config("gitreg.registry") == "ssh://host/models.git"


def test_hooks_path_follows_the_configuration(repository: Repository, tmp_path: Path) -> None:
    assert repository.hooks_path == repository.git_dir / "hooks"
    repository.run(["config", "core.hooksPath", str(tmp_path / "elsewhere")])
    assert repository.hooks_path == tmp_path / "elsewhere"


def test_a_detached_head_has_no_ref(tmp_path: Path) -> None:
    create(tmp_path / "clone", bare=False)
    with Repository.open(tmp_path / "clone") as opened:
        tip = advance(opened, {"a": b"1"})
        git(tmp_path / "clone", "checkout", "-q", "--detach", tip)
        assert opened.head_ref() is None


def test_a_command_past_its_time_is_killed(repository: Repository) -> None:
    with pytest.raises(UnavailableError, match="took longer than"):
        repository.run(["-c", "alias.wait=!exec sleep 60", "wait"], timeout=0.2)


def test_a_failure_says_what_git_said(repository: Repository) -> None:
    with pytest.raises(GitregError, match="git rev-list failed"):
        repository.run(["rev-list", "1" * 40, "--"])


def test_an_argument_with_a_zero_byte_is_invalid(repository: Repository) -> None:
    with pytest.raises(InvalidError):
        repository.run(["rev-parse", "a\0b"])


def test_closing_twice_is_fine_and_leaves_no_process(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    repository.objects.blob(tip, "a")
    process = repository.objects._git._process
    assert process is not None
    repository.close()
    repository.close()
    assert process.poll() is not None
    assert repository.objects.blob(tip, "a") == b"1"


def test_git_ends_with_a_killed_process(repository: Repository) -> None:
    tip = advance(repository, {"a": b"1"})
    script = (
        "import os, sys\nfrom gitreg.git import Repository\n"
        "opened = Repository.open(sys.argv[1])\nopened.objects.commit(sys.argv[2])\n"
        "print(opened.objects._git._process.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    import sys

    finished = subprocess.run(
        [sys.executable, "-c", script, str(repository.git_dir), tip], capture_output=True, text=True, check=False
    )
    pid = int(finished.stdout)
    # It reads the end of its input and goes; it may take a moment.
    for _ in range(100):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        subprocess.run(["sleep", "0.05"], check=True)
    with open(f"/proc/{pid}/stat") as status:  # noqa: PTH123 - a file of the kernel
        assert ") Z " in status.read(), "git outlived the process that started it"


@pytest.mark.parametrize(
    ("errors", "line"),
    [
        ("warning: x\nfatal: bad object HEAD\n", "bad object HEAD"),
        ("hint: try\nerror: one\nfatal: two\n", "one"),
        ("", ""),
        ("warning: only this\n", "warning: only this"),
    ],
)
def test_the_useful_line_of_an_error_is_found(errors: str, line: str) -> None:
    assert useful_line(errors) == line


@pytest.mark.parametrize("object_format", ["sha1", "sha256"])
def test_in_a_hook_a_repository_is_opened_by_one_process_and_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, object_format: str
) -> None:
    create(tmp_path / "r.git", bare=True, object_format=object_format)
    usual = Repository.open(tmp_path / "r.git")
    usual.run(["config", "gitreg.identity", "GL_USER"])
    monkeypatch.setattr("gitreg.git.repository._discover", None)
    with Repository.open(tmp_path / "r.git", quarantine=True) as opened:
        assert opened.git_dir == usual.git_dir
        assert opened.work_tree is None
        assert opened.is_bare
        assert not opened.is_shallow
        assert opened.object_format == usual.object_format == object_format
        assert opened.common_dir == usual.common_dir
        assert opened.hooks_path == usual.hooks_path
        monkeypatch.setattr(opened, "run", None)
        assert opened.config("gitreg.identity") == "GL_USER"


def test_in_a_hook_of_a_work_tree_git_is_asked_where_it_is(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", "work")
    advance(Repository.open(tmp_path / "work"), {"a": b"1"})
    git(tmp_path / "work", "worktree", "add", "--quiet", "--detach", str(tmp_path / "more"), "main")
    for folder in (tmp_path / "work" / ".git", tmp_path / "work" / ".git" / "worktrees" / "more", tmp_path / "work"):
        usual, opened = Repository.open(folder), Repository.open(folder, quarantine=True)
        assert (opened.git_dir, opened.work_tree, opened.is_bare) == (usual.git_dir, usual.work_tree, usual.is_bare)
        assert opened.common_dir == usual.common_dir


def test_in_a_hook_a_shallow_repository_says_so(repository: Repository, tmp_path: Path) -> None:
    advance(repository, {"a": b"1"})
    advance(repository, {"a": b"2"})
    git(tmp_path, "clone", "--quiet", "--bare", "--depth=1", f"file://{repository.git_dir}", "shallow.git")
    assert Repository.open(tmp_path / "shallow.git", quarantine=True).is_shallow


def test_in_a_hook_a_configuration_that_git_cannot_read_is_an_error(repository: Repository) -> None:
    (repository.git_dir / "config").write_text("[core\n")
    with pytest.raises(GitregError, match="config"):
        Repository.open(repository.git_dir, quarantine=True)
