from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError
from gitreg.git.checkout import CodeCommit, code_commit, identity, without_credentials
from tests.git.support import git

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.git import Repository


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """A checkout of somebody's code, with one commit."""
    folder = tmp_path / "code"
    git(tmp_path, "init", "-q", str(folder))
    (folder / "train.py").write_text("print()\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "First")
    return folder


def test_who_git_says_one_is(repository: Repository) -> None:
    assert str(identity()) == "Test User <test@example.org>"
    repository.run(["config", "user.name", "Local"])
    assert str(identity(repository)) == "Local <test@example.org>"


def test_the_environment_names_author_and_committer_apart(repository: Repository) -> None:
    environment = {"GIT_AUTHOR_NAME": "A", "GIT_COMMITTER_NAME": "C", "GIT_AUTHOR_DATE": "@100 +0200"}
    import os

    base = {**os.environ, **environment}
    assert identity(environment=base).name == "A"
    assert (identity(environment=base).time, identity(environment=base).offset) == (100, 120)
    assert identity(environment=base, committer=True).name == "C"


def test_git_is_not_allowed_to_make_an_identity_up(repository: Repository, home: Path) -> None:
    (home / ".gitconfig").write_text("")
    with pytest.raises(InvalidError, match="git does not know who you are") as caught:
        identity(repository)
    assert "git config --global user.name" in str(caught.value.hint)
    (home / ".gitconfig").write_text("[user]\n name = Only\n")
    with pytest.raises(InvalidError):
        identity()
    (home / ".gitconfig").write_text("[user]\n name = \n email = a@b\n")
    with pytest.raises(InvalidError):
        identity()


def test_a_clean_checkout(code: Path) -> None:
    git(code, "remote", "add", "origin", "https://bob:secret@host/team/code.git?token=x")
    assert code_commit(code) == CodeCommit("https://host/team/code.git", git(code, "rev-parse", "HEAD"), dirty=False)
    (code / "sub").mkdir()
    assert code_commit(code / "sub") == code_commit(code)


def test_changed_files_make_it_dirty_and_new_ones_do_not(code: Path) -> None:
    (code / "notes.txt").write_text("mine")
    index = (code / ".git" / "index").read_bytes()
    found = code_commit(code)
    assert found is not None
    assert not found.dirty
    (code / "train.py").write_text("print(1)\n")
    found = code_commit(code)
    assert found is not None
    assert found.dirty
    assert found.repository is None
    assert (code / ".git" / "index").read_bytes() == index


def test_what_is_staged_makes_it_dirty(code: Path) -> None:
    (code / "new.py").write_text("")
    git(code, "add", "new.py")
    found = code_commit(code)
    assert found is not None
    assert found.dirty


def test_the_remote_that_the_branch_follows_is_preferred(code: Path, tmp_path: Path) -> None:
    git(code, "remote", "add", "origin", "https://host/fork.git")
    git(code, "remote", "add", "upstream", "git@host:team/code.git")
    found = code_commit(code)
    assert found is not None
    assert found.repository == "https://host/fork.git"
    branch = git(code, "symbolic-ref", "--short", "HEAD")
    git(code, "config", f"branch.{branch}.remote", "upstream")
    found = code_commit(code)
    assert found is not None
    assert found.repository == "git@host:team/code.git"


def test_a_detached_head_is_a_commit_too(code: Path) -> None:
    git(code, "checkout", "-q", "--detach")
    found = code_commit(code)
    assert found is not None
    assert found.commit == git(code, "rev-parse", "HEAD")


def test_outside_a_checkout_and_before_the_first_commit_there_is_none(tmp_path: Path, repository: Repository) -> None:
    assert code_commit(tmp_path) is None
    git(tmp_path, "init", "-q", "new")
    assert code_commit(tmp_path / "new") is None
    assert code_commit(repository.git_dir) is None


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://host/x.git", "https://host/x.git"),
        ("https://user@host/x.git", "https://host/x.git"),
        ("https://user:p@ss:word@host/x.git", "https://host/x.git"),
        ("https://host:8443/x@y.git", "https://host:8443/x@y.git"),
        ("https://host/x.git?private_token=1#f", "https://host/x.git"),
        ("ssh://git@host:22/x.git", "ssh://git@host:22/x.git"),
        ("ssh://git:secret@host/x.git", "ssh://git@host/x.git"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("/srv/models.git", "/srv/models.git"),
        ("file:///srv/a@b.git", "file:///srv/a@b.git"),
    ],
)
def test_credentials_are_taken_out_of_a_url(url: str, clean: str) -> None:
    assert without_credentials(url) == clean
