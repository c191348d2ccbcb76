from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError, NotFoundError
from gitreg.objects import Source, collect
from gitreg.objects.sources import MAX_FILES

if TYPE_CHECKING:
    from collections.abc import Iterable


def fill(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name, encoding="utf-8")
    return folder


def test_a_file_is_registered_under_its_own_name(tmp_path: Path) -> None:
    fill(tmp_path, ["out/model.onnx"])
    assert collect([tmp_path / "out/model.onnx"]) == [Source("model.onnx", tmp_path / "out/model.onnx")]


def test_a_folder_gives_every_file_below_it_sorted_by_relative_name(tmp_path: Path) -> None:
    folder = fill(tmp_path / "out", ["b.txt", "a/z/deep.bin", "a.json", "a/b", ".hidden", "model.bin~", "ü.txt"])
    found = collect([folder])

    assert [source.path for source in found] == [
        ".hidden",
        "a.json",
        "a/b",
        "a/z/deep.bin",
        "b.txt",
        "model.bin~",
        "ü.txt",
    ]
    assert all(source.file == folder / source.path for source in found)


def test_files_and_folders_can_be_named_together(tmp_path: Path) -> None:
    fill(tmp_path, ["card.md", "out/x", "out/y"])
    assert [source.path for source in collect([tmp_path / "out", tmp_path / "card.md"])] == ["card.md", "x", "y"]


def test_the_folder_one_stands_in_can_be_named_by_a_dot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(fill(tmp_path / "out", ["x"]))
    assert collect([Path()]) == [Source("x", Path("x"))]


def test_a_symlink_is_followed_where_it_is_named_itself(tmp_path: Path) -> None:
    fill(tmp_path, ["run-42/x"])
    (tmp_path / "latest").symlink_to("run-42")
    assert collect([tmp_path / "latest"]) == [Source("x", tmp_path / "latest/x")]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"model\.bin' does not exist"):
        collect([tmp_path / "model.bin"])


def test_nothing_is_not_registered() -> None:
    with pytest.raises(InvalidError, match="nothing to register"):
        collect([])


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out/empty").mkdir(parents=True)
    with pytest.raises(InvalidError, match="out' is an empty folder"):
        collect([tmp_path / "out"])


@pytest.mark.parametrize("target", ["../outside", "x", "missing", "."])
def test_a_symlink_inside_a_folder_is_refused(tmp_path: Path, target: str) -> None:
    folder = fill(tmp_path / "out", ["x"])
    (folder / "link").symlink_to(target)
    with pytest.raises(InvalidError, match="link' is a symlink"):
        collect([folder])


def test_special_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "out", ["x"])
    os.mkfifo(folder / "pipe")
    monkeypatch.chdir(folder)  # a socket's name may not be long
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind("socket")
        with pytest.raises(InvalidError) as caught:
            collect([folder])
    with pytest.raises(InvalidError, match="pipe' is neither"):
        collect([folder / "pipe"])

    assert [problem.message.rpartition("/")[2] for problem in caught.value.problems] == [
        "pipe' is neither a file nor a folder",
        "socket' is neither a file nor a folder",
    ]


@pytest.mark.parametrize("name", [".git/config", "sub/.git/HEAD", "sub/.git", ".GIT/config"])
def test_what_belongs_to_git_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError, match="belongs to git"):
        collect([fill(tmp_path / "out", ["x", name])])


@pytest.mark.parametrize(
    "name", ["a\nb", "a\tb", "a\x7fb", "a\\b", "a\u202eb", "a\u2028b", "a\x00b".replace("\0", "\x01")]
)
def test_a_name_that_cannot_be_printed_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError, match="unprintable character"):
        collect([fill(tmp_path / "out", [name])])


@pytest.mark.parametrize("name", [" a", "a ", "folder /a", "folder/ a"])
def test_a_name_with_a_space_at_an_end_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidError, match="begins or ends with a space"):
        collect([fill(tmp_path / "out", [name])])


def test_a_name_longer_than_a_manifest_takes_is_refused(tmp_path: Path) -> None:
    folder = fill(tmp_path / "out", ["/".join(["d" * 200] * 5 + ["x" * 20])])
    with pytest.raises(InvalidError, match="more than 1,024 characters"):
        collect([folder])


def test_a_name_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    with pytest.raises(InvalidError, match="name that is not UTF-8") as caught:
        collect([tmp_path])
    str(caught.value).encode()


@pytest.mark.parametrize(
    ("one", "other"), [("Model.bin", "model.bin"), ("A/x", "a/x"), ("e\u0301", "\u00e9"), ("ß", "SS")]
)
def test_names_that_are_one_file_elsewhere_are_refused(tmp_path: Path, one: str, other: str) -> None:
    folder = fill(tmp_path / "out", [one, other])
    if len(list(folder.iterdir())) == 1:
        pytest.skip("this file system cannot hold both")
    with pytest.raises(InvalidError, match="differs only in case"):
        collect([folder])


def test_files_of_the_same_name_from_two_folders_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["a/model.bin", "b/model.bin"])
    with pytest.raises(InvalidError, match="has the same name as"):
        collect([tmp_path / "a/model.bin", tmp_path / "b/model.bin"])


def test_everything_that_is_wrong_is_said_at_once(tmp_path: Path) -> None:
    folder = fill(tmp_path / "out", ["x", ".git/HEAD", "tab\t", "A", "a"])
    (folder / "link").symlink_to("x")
    with pytest.raises(InvalidError) as caught:
        collect([folder])
    assert len(caught.value.problems) == 4


def test_more_files_than_a_manifest_can_list_are_refused_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = fill(tmp_path / "out", map(str, range(4)))
    monkeypatch.setattr("gitreg.objects.sources.MAX_FILES", 3)
    with pytest.raises(InvalidError, match="more than 3 files"):
        collect([folder])
    assert MAX_FILES >= 1000


# --- .gitregignore --------------------------------------------------------------------------------------------------


def names(sources: Iterable[Source]) -> list[str]:
    return [source.path for source in sources]


def test_what_a_gitregignore_matches_is_left_out_as_git_would_leave_it(tmp_path: Path) -> None:
    fill(
        tmp_path, ["model.onnx", "a.tmp", "logs/one.txt", "deep/logs/two.txt", "deep/keep.tmp", "deep/b.tmp", "top.txt"]
    )
    (tmp_path / ".gitregignore").write_text("# notes\n*.tmp\n!keep.tmp\nlogs/\n/top.txt\n")

    assert names(collect([tmp_path])) == ["deep/keep.tmp", "model.onnx"]


def test_what_is_ignored_may_be_what_would_be_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["model.onnx", ".git/config"])
    (tmp_path / "link").symlink_to("model.onnx")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / ".gitregignore").write_text(".git/\nlink\npipe\n")

    assert names(collect([tmp_path])) == ["model.onnx"]


def test_only_the_gitregignore_of_the_named_folder_counts(tmp_path: Path) -> None:
    fill(tmp_path, ["a/model.onnx"])
    (tmp_path / "a" / ".gitregignore").write_text("*\n")

    assert names(collect([tmp_path])) == ["a/.gitregignore", "a/model.onnx"]
    with pytest.raises(InvalidError, match="gitregignore leaves nothing"):
        collect([tmp_path / "a"])


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x\n" * 40_000, b"!\n"])
def test_a_gitregignore_that_cannot_be_read_is_named(tmp_path: Path, content: bytes) -> None:
    fill(tmp_path, ["model.onnx"])
    (tmp_path / ".gitregignore").write_bytes(content)
    with pytest.raises(InvalidError, match="gitregignore"):
        collect([tmp_path])


def test_a_gitregignore_that_is_a_symlink_or_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    fill(tmp_path, ["model.onnx"])
    (tmp_path / ".gitregignore").symlink_to("/etc/passwd")
    with pytest.raises(InvalidError, match="gitregignore"):
        collect([tmp_path])
    (tmp_path / ".gitregignore").unlink()
    os.mkfifo(tmp_path / ".gitregignore")
    with pytest.raises(InvalidError, match="gitregignore"):
        collect([tmp_path])


# --- symlinks that are followed -------------------------------------------------------------------------------------


def test_symlinks_are_followed_where_that_is_asked_for(tmp_path: Path) -> None:
    fill(tmp_path, ["out/config.json", "blobs/abc", "shared/vocab.txt"])
    (tmp_path / "out" / "model.safetensors").symlink_to("../blobs/abc")
    (tmp_path / "out" / "tokens").symlink_to("../shared")

    assert names(collect([tmp_path / "out"], follow_symlinks=True)) == [
        "config.json",
        "model.safetensors",
        "tokens/vocab.txt",
    ]
    with pytest.raises(InvalidError, match="--follow-symlinks"):
        collect([tmp_path / "out"])


def test_a_symlink_that_leads_back_or_nowhere_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, ["a/b/model.onnx"])
    (tmp_path / "a" / "b" / "up").symlink_to("..")
    (tmp_path / "a" / "gone").symlink_to("nowhere")
    with pytest.raises(InvalidError) as caught:
        collect([tmp_path], follow_symlinks=True)

    said = [problem.message for problem in caught.value.problems]
    assert any("leads back" in each for each in said)
    assert any("to what is not there" in each for each in said)
