from __future__ import annotations

import io
import mmap
import os
import subprocess
import sys
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from gitreg.errors import ConflictError, InvalidError, NotFoundError
from gitreg.objects.local import LocalBucket

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def bucket(tmp_path: Path) -> LocalBucket:
    return LocalBucket(tmp_path / "store")


def files_of(bucket: LocalBucket) -> list[str]:
    return sorted(str(path.relative_to(bucket.folder)) for path in bucket.folder.rglob("*") if path.is_file())


def test_nothing_is_visible_before_it_is_committed_and_nothing_stays_that_is_not(bucket: LocalBucket) -> None:
    with bucket.incoming() as entering:
        entering.write(b"half")
        assert bucket.size("blobs/x") is None
        assert [each.key for each in bucket.list("")] == []
        entering.write(b" and half")
        entering.commit("blobs/x")
        assert bucket.get("blobs/x", limit=100) == b"half and half"
    with bucket.incoming() as entering:
        entering.write(b"never")
    assert files_of(bucket) == ["blobs/x"]
    assert bucket.path_of("blobs/x").stat().st_mode & 0o777 == 0o444


def test_the_first_that_commits_wins_unless_it_is_to_be_replaced(bucket: LocalBucket) -> None:
    for data, replace in ((b"first", False), (b"second", False), (b"third", True)):
        with bucket.incoming() as entering:
            entering.write(data)
            entering.commit("blobs/x", replace=replace)
        assert bucket.get("blobs/x", limit=10) == (b"third" if replace else b"first")


@pytest.mark.parametrize(
    "key", ["", "../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", ".x", "tmp/x", "a\0b", "a/", "ä"]
)
def test_no_key_leads_out_of_the_folder_or_into_what_is_being_written(bucket: LocalBucket, key: str) -> None:
    attempts: list[Callable[[], object]] = [
        lambda: bucket.size(key),
        lambda: bucket.put(key, b"x"),
        lambda: bucket.delete(key),
        lambda: list(bucket.read(key)),
        lambda: bucket.get(key, limit=1),
    ]
    for attempt in attempts:
        with pytest.raises(InvalidError, match="is not the key of an object"):
            attempt()


def test_symlinks_and_folders_are_no_objects(bucket: LocalBucket, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    bucket.put("blobs/x", b"x")
    (bucket.folder / "blobs" / "link").symlink_to(tmp_path / "secret")
    (bucket.folder / "blobs" / "folder").mkdir()

    assert [each.key for each in bucket.list("blobs/")] == ["blobs/x"]
    assert (bucket.size("blobs/link"), bucket.size("blobs/folder")) == (None, None)
    with pytest.raises(Exception, match="cannot read"):
        list(bucket.read("blobs/link"))


def test_a_folder_that_is_not_there_is_told_and_is_not_made_beside_a_missing_disk(bucket: LocalBucket) -> None:
    unmounted = LocalBucket(bucket.folder / "unmounted" / "store")
    asks: list[Callable[[], object]] = [
        lambda: bucket.size("x"),
        lambda: list(bucket.list("")),
        lambda: bucket.get("x", limit=1),
    ]
    for missing in asks:
        with pytest.raises(NotFoundError, match="does not exist"):
            missing()
    for data in (b"", b"x"):
        with pytest.raises(NotFoundError, match="the folder around it does not exist"):
            unmounted.put("x", data)


def test_a_file_that_ends_early_is_a_conflict(bucket: LocalBucket) -> None:
    with pytest.raises(ConflictError, match="ended 2 bytes early"):
        bucket.put_file("blobs/x", cast("BinaryIO", io.BytesIO(b"12345678")), 10)
    assert files_of(bucket) == []


def test_bytes_are_on_the_disk_before_they_have_a_name(bucket: LocalBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket.put("blobs/first", b"the folders are there")
    calls: list[str] = []
    fsync, link = os.fsync, os.link

    def noted_fsync(opened: int) -> None:
        calls.append("fsync")
        fsync(opened)

    def noted_link(path: Path, final: Path) -> None:
        calls.append("link")
        link(path, final)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "link", noted_link)
    bucket.put("blobs/x", b"x")

    assert calls == ["fsync", "link", "fsync"]


def test_pieces_of_any_size_wherever_they_lie_in_memory_become_the_same_bytes(bucket: LocalBucket) -> None:
    large = 4 << 20
    data = os.urandom(3 * large)
    page = memoryview(mmap.mmap(-1, 2 * large))  # as a disk wants it that is written to directly
    page[:] = data[: 2 * large]
    pieces = [page, page[:large], page[:17], page[5 : 5 + large], page[:large], memoryview(data)[3:], page[:1]]
    with bucket.incoming() as entering:
        for piece in pieces:
            assert entering.write(piece) == len(piece)
        entering.commit("blobs/x")

    assert bucket.path_of("blobs/x").read_bytes() == b"".join(pieces)


KILLED = """
import os, signal, sys
from pathlib import Path
from gitreg.objects.local import LocalBucket
with LocalBucket(Path(sys.argv[1])).incoming() as entering:
    entering.write(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_writer_leaves_nothing_visible_and_is_swept_a_day_later(bucket: LocalBucket) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(bucket.folder)], check=False)
    (left,) = files_of(bucket)
    assert left.startswith("tmp/")
    assert list(bucket.list("")) == []
    os.utime(bucket.folder / left, (0, 0))
    LocalBucket(bucket.folder).put("blobs/x", b"x")

    assert files_of(bucket) == ["blobs/x"]
