"""Where the registry, its store and the cache are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitreg.config import Where, cache_folder, is_url, local_git_dir, locate, open_registry_store
from gitreg.errors import InvalidError, NotFoundError, UnavailableError
from gitreg.git import Repository
from gitreg.git.create import create


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    create(tmp_path / "registry.git", bare=True)
    return tmp_path / "registry.git"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    create(tmp_path / "checkout", bare=False)
    (tmp_path / "checkout" / "registry.yaml").touch()
    (tmp_path / "checkout" / "models" / "deep").mkdir(parents=True)
    return tmp_path / "checkout"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("ssh://git@host/x.git", True),
        ("https://host/x", True),
        ("file:///srv/x", True),
        ("git@host:team/x.git", True),
        ("host:x", True),
        ("/srv/x", False),
        ("../x", False),
        ("x", False),
        ("C:\\x", False),
    ],
)
def test_urls_are_told_from_paths(text: str, answer: bool) -> None:
    assert is_url(text) is answer


def test_a_file_that_looks_like_a_url_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("host:x").mkdir()
    assert not is_url("host:x")


def test_a_registry_is_found_by_its_path(bare: Path, checkout: Path) -> None:
    assert locate(str(bare), {}).where is Where.BARE
    assert locate("registry.git", {}, bare.parent).path == bare
    for path in (checkout, checkout / "models" / "deep"):
        found = locate(str(path), {})
        assert (found.where, found.path) == (Where.CHECKOUT, checkout)
    assert locate(str(bare / "objects"), {}).path == bare
    url = locate("ssh://host/x", {}, bare)
    assert (url.where, url.text) == (Where.URL, "ssh://host/x")


def test_a_registry_is_found_by_where_one_stands(bare: Path, checkout: Path) -> None:
    assert locate(None, {}, checkout / "models" / "deep").path == checkout
    assert locate(None, {}, bare / "refs").path == bare
    assert locate(None, {}, checkout / ".git" / "objects").path == checkout
    assert locate(None, {"GITREG_REGISTRY": str(bare)}, checkout).path == bare


def test_a_project_of_another_kind_inside_a_registry_is_none(checkout: Path) -> None:
    create(checkout / "models" / "project", bare=False)
    with pytest.raises(NotFoundError, match="there is no registry here"):
        locate(None, {}, checkout / "models" / "project")


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("nosuch", NotFoundError),
        ("file", InvalidError),
        ("folder", InvalidError),
        ("x" * 300, InvalidError),
        ("~no-user-of-this-name", InvalidError),
        ("a\0b", InvalidError),
        ("loop", InvalidError),
    ],
)
def test_what_is_no_registry_is_told_of(tmp_path: Path, text: str, kind: type[Exception]) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(kind):
        locate(text, {}, tmp_path)


def test_a_folder_that_vanished_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(NotFoundError, match="does not exist any more"):
        locate(None, {})


def test_the_git_directory_of_a_url_on_this_machine(bare: Path, checkout: Path) -> None:
    base = bare.parent
    odd = base / "a%20b #c?d.git"
    create(odd, bare=True)
    assert local_git_dir(str(bare), base) == bare
    assert local_git_dir("registry.git", base) == bare
    assert local_git_dir(bare.as_uri(), base) == bare
    assert local_git_dir(odd.as_uri(), base) == odd
    assert local_git_dir(f"file://{base}/a%2520b #c?d.git", base) == odd
    assert local_git_dir(str(checkout), base) == checkout / ".git"
    for elsewhere in ("ssh://host/x", "git@host:x", "https://host/x", "nosuch", "file:///nosuch"):
        assert local_git_dir(elsewhere, base) is None


def test_the_cache_is_where_the_variables_say() -> None:
    assert cache_folder({"GITREG_CACHE": "/x/y"}) == Path("/x/y")
    assert cache_folder({"GITREG_CACHE": "y"}) == Path.cwd() / "y"
    assert cache_folder({"XDG_CACHE_HOME": "/x"}) == Path("/x/gitreg")
    for unset in ({}, {"XDG_CACHE_HOME": ""}, {"XDG_CACHE_HOME": "relative"}):
        assert cache_folder(unset) == Path(os.environ["HOME"]) / ".cache" / "gitreg"


def test_the_store_is_the_registrys_or_this_machines(bare: Path) -> None:
    with Repository.open(bare) as repository:
        store = open_registry_store(repository, "file:../store", bare)
        assert getattr(store, "folder", None) == bare.parent / "store"
        with pytest.raises(UnavailableError, match="on another machine; tell this machine where it is"):
            open_registry_store(repository, "file:../store", None)
        assert getattr(open_registry_store(repository, "file:///srv/store", None), "folder", None) == Path("/srv/store")
        with pytest.raises(UnavailableError, match="names no object store; add `store:"):
            open_registry_store(repository, None, bare)
        assert open_registry_store(repository, "s3://bucket/prefix", bare).uri == "s3://bucket/prefix"
        with pytest.raises(InvalidError, match="carries credentials"):
            open_registry_store(repository, "s3://key:secret@bucket/prefix", bare)
        repository.run(["config", "gitreg.store", "file:own"])
        assert getattr(open_registry_store(repository, "s3://bucket/x", None), "folder", None) == bare / "own"


def test_mirrors_count_from_the_registry_and_are_left_out_where_they_cannot_be_reached(bare: Path) -> None:
    with Repository.open(bare) as repository:
        named = ["file:../mirror", "gs://bucket/x", "file:../store"]
        near = open_registry_store(repository, "file:../store", bare, named)
        far = open_registry_store(repository, "s3://bucket/x", None, named)
        assert [each.uri for each in getattr(near, "mirrors", ())] == [f"file:{bare.parent}/mirror", "gs://bucket/x"]
        assert [each.uri for each in getattr(far, "mirrors", ())] == ["gs://bucket/x"]
