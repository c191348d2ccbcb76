from __future__ import annotations

import errno
import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from gitreg.digest import Digest
from gitreg.errors import ConflictError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.objects import Cache, LocalStore, StoredFile, pull
from gitreg.objects.destination import Destination
from gitreg.objects.streams import Blob

if TYPE_CHECKING:
    from collections.abc import Sequence

CONTENT = {"config.json": b"{}", "model.bin": bytes(range(256)) * 4000, "tokenizer/vocab.txt": b"a\nb\n", "empty": b""}


@pytest.fixture
def files(store: LocalStore) -> list[StoredFile]:
    blobs = {path: store.put(io.BytesIO(data)) for path, data in CONTENT.items()}
    return [StoredFile(path, blob.digest, blob.size, "other") for path, blob in blobs.items()]


@pytest.fixture
def to(tmp_path: Path) -> Path:
    return tmp_path / "pulled"


def content_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def cached(cache: Cache, digest: Digest) -> Path:
    return cache.folder / "blobs/sha256" / digest.hex[:2] / digest.hex


def spoil(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(data)


def test_a_version_is_pulled_whole(store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path) -> None:
    assert pull(files, store, cache, to) == [to / path for path in CONTENT]
    assert content_of(to) == CONTENT


def test_what_is_cached_needs_no_store(store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path) -> None:
    pull(files, store, cache, to)
    store.folder.rename(store.folder.with_name("unplugged"))
    pull(files, store, cache, to.with_name("again"))

    assert content_of(to.with_name("again")) == CONTENT


def test_only_chooses_by_a_pattern(store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path) -> None:
    assert pull(files, store, cache, to, only="config.json") == [to / "config.json"]
    pull(files, store, cache, to, only="*.txt")

    assert set(content_of(to)) == {"config.json", "tokenizer/vocab.txt"}


def test_a_pattern_that_matches_nothing_lists_what_there_is(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    with pytest.raises(NotFoundError, match=r"it has config\.json, model\.bin, tokenizer/vocab\.txt, empty"):
        pull(files, store, cache, to, only="*.onnx")
    assert not to.exists()


def test_files_are_links_to_the_cache_and_read_only(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    pull(files, store, cache, to)
    pulled, blob = to / "model.bin", cached(cache, files[1].digest)

    if not pulled.samefile(blob):
        pytest.skip("this file system clones, which is better")
    assert stat.S_IMODE(pulled.stat().st_mode) == 0o444


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_copies_have_the_mode_of_any_new_file(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, umask: int, mode: int
) -> None:
    before = os.umask(umask)
    try:
        pull(files, store, cache, to, link=False)
    finally:
        os.umask(before)

    pulled = to / "model.bin"
    assert (stat.S_IMODE(pulled.stat().st_mode), pulled.stat().st_nlink) == (mode, 1)
    assert content_of(to) == CONTENT


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK])
def test_files_are_copied_where_they_cannot_be_linked(
    store: LocalStore,
    cache: Cache,
    files: Sequence[StoredFile],
    to: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    pull(files, store, cache, to)

    assert content_of(to) == CONTENT
    assert (to / "model.bin").stat().st_nlink == 1


def test_a_file_that_is_right_is_left_alone(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    to.mkdir()
    (to / "model.bin").write_bytes(CONTENT["model.bin"])
    before = (to / "model.bin").stat()
    pull(files, store, cache, to)

    assert (to / "model.bin").stat().st_mtime_ns == before.st_mtime_ns
    assert (to / "model.bin").stat().st_ino == before.st_ino


def test_different_files_are_a_conflict_and_nothing_is_touched(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    to.mkdir()
    (to / "model.bin").write_bytes(b"mine")
    (to / "config.json").write_bytes(b"[]")
    with pytest.raises(ConflictError) as caught:
        pull(files, store, cache, to)

    assert [problem.message for problem in caught.value.problems] == ["'config.json' differs", "'model.bin' differs"]
    assert content_of(to) == {"model.bin": b"mine", "config.json": b"[]"}
    assert not cache.folder.exists()


def test_force_replaces_different_files_and_symlinks_themselves(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, tmp_path: Path
) -> None:
    to.mkdir()
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    (to / "model.bin").write_bytes(b"mine")
    (to / "config.json").symlink_to(precious)
    pull(files, store, cache, to, force=True)

    assert content_of(to) == CONTENT
    assert not (to / "config.json").is_symlink()
    assert precious.read_bytes() == b"precious"


# --- hostile names and destinations ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "a//b",
        "./a",
        "",
        ".",
        "a/.",
        ".git/hooks/post-checkout",
        "x/.Git/c",
        "a\\b",
        "a\0b",
    ],
)
def test_a_name_that_leaves_the_folder_is_refused_before_anything_is_read(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, path: str
) -> None:
    evil = StoredFile(path, files[1].digest, files[1].size, "other")
    with pytest.raises(InvalidError, match="is not a path that a file may be written to"):
        pull([*files, evil], store, cache, to)
    assert not to.exists()


@pytest.mark.parametrize("force", [False, True])
def test_a_symlinked_folder_in_the_destination_is_not_followed(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, tmp_path: Path, force: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    to.mkdir()
    (to / "tokenizer").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConflictError, match="tokenizer' is a symlink or a file"):
        pull(files, store, cache, to, force=force)
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("target", ["missing", "right"])
def test_a_symlink_in_the_place_of_a_file_is_a_conflict(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, target: str
) -> None:
    to.mkdir()
    (to / "right").write_bytes(CONTENT["model.bin"])
    (to / "model.bin").symlink_to(target)
    with pytest.raises(ConflictError, match=r"'model\.bin' differs"):
        pull(files, store, cache, to)


def test_a_folder_in_the_place_of_a_file_is_never_removed(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    (to / "model.bin/deep").mkdir(parents=True)
    with pytest.raises(ConflictError, match=r"model\.bin' is a folder"):
        pull(files, store, cache, to, force=True)


def test_a_named_pipe_in_the_destination_does_not_hang(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    to.mkdir()
    os.mkfifo(to / "model.bin")
    with pytest.raises(ConflictError):
        pull(files, store, cache, to)
    pull(files, store, cache, to, force=True)
    assert content_of(to) == CONTENT


@pytest.mark.parametrize("link", [False, True])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, link: bool
) -> None:
    cache.fetch(files[0].digest, store)
    blob = Blob(files[0].digest, files[0].size)
    source = cache.open(blob.digest)
    assert source is not None
    with Destination(to) as destination, source:
        (to / "config.json").write_bytes(b"mine")
        with pytest.raises(ConflictError, match="appeared meanwhile"):
            destination.place("config.json", source, blob, link=link, replace=False)
    assert content_of(to) == {"config.json": b"mine"}


def test_a_file_in_the_place_of_the_folder_is_a_conflict(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    to.write_text("a file")
    with pytest.raises(ConflictError, match="is not a folder"):
        pull(files, store, cache, to)


def test_the_folder_itself_may_be_a_symlink(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    to.with_name("real").mkdir()
    to.symlink_to("real")
    pull(files, store, cache, to)
    assert content_of(to.with_name("real")) == CONTENT


# --- damage and loss ------------------------------------------------------------------------------------------------


def test_a_damaged_cached_blob_is_fetched_again(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    pull(files, store, cache, to, link=False)
    for file in files:
        if file.size:
            spoil(cached(cache, file.digest))
    os.truncate(cached(cache, files[1].digest), 10)
    pull(files, store, cache, to.with_name("again"))

    assert content_of(to.with_name("again")) == CONTENT


def test_a_damaged_stored_blob_is_never_given_out(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    path = store.path_of(files[1].digest)
    assert path is not None
    spoil(path)
    with pytest.raises(IntegrityError, match=rf"model\.bin: .*expected {files[1].digest}, found sha256:"):
        pull(files, store, cache, to)

    assert not to.exists()
    assert not cached(cache, files[1].digest).exists()


def test_a_missing_blob_is_named_with_its_file(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    lost = StoredFile("lost.bin", Digest("0" * 64), 3, "other")
    with pytest.raises(NotFoundError, match=r"lost\.bin: blob sha256:0000"):
        pull([*files, lost], store, cache, to)
    assert not to.exists()


def test_a_manifest_that_lies_about_the_size_is_found(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path
) -> None:
    lie = StoredFile("model.bin", files[1].digest, 5, "other")
    with pytest.raises(IntegrityError, match="the manifest says 5 bytes"):
        pull([lie], store, cache, to)


def test_a_full_destination_leaves_no_half_file(
    store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill_up(*_arguments: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("fcntl.ioctl", fill_up)  # no clones either
    monkeypatch.setattr("gitreg.objects.destination.copy", fill_up)
    with pytest.raises(UnavailableError, match="no room left"):
        pull(files, store, cache, to, link=False)
    assert content_of(to) == {}


def test_progress_hears_every_byte_once(store: LocalStore, cache: Cache, files: Sequence[StoredFile], to: Path) -> None:
    for name in ("cold", "warm"):
        heard = dict.fromkeys(CONTENT, 0)

        def note(path: str, moved: int, heard: dict[str, int] = heard) -> None:
            heard[path] += moved

        pull(files, store, cache, to.with_name(name), progress=note)
        assert heard == {path: len(data) for path, data in CONTENT.items()}


# --- many processes -------------------------------------------------------------------------------------------------

PULL = """
import sys
from pathlib import Path
from gitreg.digest import Digest
from gitreg.objects import Cache, LocalStore, StoredFile, pull
store, cache, to, *digests = sys.argv[1:]
files = [StoredFile(f"d/{n}", Digest(d), 400_000, "other") for n, d in enumerate(digests)]
pull(files, LocalStore(Path(store)), Cache(Path(cache)), Path(to))
"""


def test_processes_that_share_a_damaged_cache_all_get_the_right_bytes(
    store: LocalStore, cache: Cache, tmp_path: Path
) -> None:
    contents = [bytes([number]) * 400_000 for number in range(20)]
    blobs = [store.put(io.BytesIO(content)) for content in contents]
    for blob in blobs[::2]:
        path = cached(cache, blob.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x" * blob.size)
    command = [sys.executable, "-c", PULL, str(store.folder), str(cache.folder)]
    digests = [blob.digest.hex for blob in blobs]
    children = [
        subprocess.Popen([*command, str(tmp_path / f"to-{n}"), *digests], stderr=subprocess.PIPE, text=True)
        for n in range(4)
    ]

    assert [child.communicate()[1] for child in children] == [""] * 4
    for number in range(4):
        found = content_of(tmp_path / f"to-{number}")
        assert [found[f"d/{index}"] for index in range(len(contents))] == contents
    assert not list(cache.folder.glob("tmp/*"))


# --- where the cache is ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"GITREG_CACHE": "/c", "XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/c"),
        ({"XDG_CACHE_HOME": "/x", "HOME": "/h"}, "/x/gitreg"),
        ({"GITREG_CACHE": "", "XDG_CACHE_HOME": "", "HOME": "/h"}, "/h/.cache/gitreg"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/h"}, "/h/.cache/gitreg"),
        ({"HOME": "/h"}, "/h/.cache/gitreg"),
    ],
)
def test_the_cache_is_where_the_environment_says(environment: dict[str, str], folder: str) -> None:
    assert Cache.of_user(environment).folder == Path(folder)


def test_a_relative_cache_counts_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Cache.of_user({"GITREG_CACHE": "c"}).folder == tmp_path / "c"
