from __future__ import annotations

import errno
import hashlib
import io
import os
import shutil
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import ConflictError, GitregError, IntegrityError, InvalidError, NotFoundError, UnavailableError
from gitreg.objects import LocalStore, Store, hash_file, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

ABSENT = Digest("0" * 64)


def files_of(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def in_child(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", f"import os, sys\nfrom pathlib import Path\n{code}", *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def test_a_file_is_stored_under_its_digest_and_read_back(store: LocalStore, weights: Path) -> None:
    blob = store.put_file(weights)

    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert (blob.digest.hex, blob.size) == (digest, 1 << 20)
    assert files_of(store.folder) == [f"blobs/sha256/{digest[:2]}/{digest}"]
    with store.open(blob.digest) as file:
        assert file.read() == weights.read_bytes()


def test_a_blob_is_read_only_and_its_temporary_file_is_gone(store: LocalStore, weights: Path) -> None:
    path = store.path_of(store.put_file(weights).digest)

    assert path is not None
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert path.stat().st_nlink == 1
    assert not list((store.folder / "tmp").iterdir())


def test_an_empty_file_is_a_blob_like_any_other(store: LocalStore, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    blob = store.put_file(tmp_path / "empty")

    assert blob.size == 0
    assert store.size_of(blob.digest) == 0
    assert store.open(blob.digest).read() == b""


def test_the_size_of_a_blob_is_known_and_of_no_other(store: LocalStore, weights: Path) -> None:
    blob = store.put_file(weights)

    assert store.size_of(blob.digest) == blob.size
    assert store.size_of(ABSENT) is None
    assert store.path_of(ABSENT) is None


def test_what_is_no_regular_file_is_no_blob(store: LocalStore, weights: Path) -> None:
    blob = store.put_file(weights)
    path = store.path_of(blob.digest)
    assert path is not None
    path.unlink()
    path.symlink_to(weights)

    assert store.size_of(blob.digest) is None


def test_a_blob_that_is_there_is_not_written_again(store: LocalStore, weights: Path) -> None:
    path = store.path_of(store.put_file(weights).digest)
    assert path is not None
    before = path.stat()
    store.put_file(weights)

    assert path.stat() == before


def test_a_truncated_blob_is_healed_by_storing_the_file_again(store: LocalStore, weights: Path) -> None:
    blob = store.put_file(weights)
    path = store.path_of(blob.digest)
    assert path is not None
    path.chmod(0o644)
    os.truncate(path, 100)
    store.put_file(weights)

    assert hash_file(path) == blob


def test_progress_adds_up_to_the_size(store: LocalStore, weights: Path) -> None:
    moved: list[int] = []
    store.put_file(weights, moved=moved.append)

    assert sum(moved) == 1 << 20
    assert len(moved) > 1


def test_what_progress_raises_stops_the_copy_and_leaves_nothing(store: LocalStore, weights: Path) -> None:
    def interrupt(_moved: int) -> NoReturn:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.put_file(weights, moved=interrupt)

    assert files_of(store.folder) == []


# --- a source that is not what it should be -------------------------------------------------------------------------


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def shrink(path: Path) -> None:
    os.truncate(path, 300_000)


def rewrite(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def replace(path: Path) -> None:
    other = path.with_name("other")
    shutil.copy2(path, other)
    other.replace(path)


@pytest.mark.parametrize("change", [grow, shrink, rewrite, replace, Path.unlink])
def test_a_file_that_changes_while_it_is_read_is_not_stored(
    store: LocalStore, weights: Path, change: Callable[[Path], None]
) -> None:
    changes = [change]
    with pytest.raises(ConflictError, match=r"weights\.bin.*(changed|vanished) while it was read"):
        store.put_file(weights, moved=lambda _moved: changes.pop()(weights) if changes else None)

    assert files_of(store.folder) == []


def test_a_missing_file_is_named(store: LocalStore, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"model\.bin' does not exist"):
        store.put_file(tmp_path / "model.bin")


def test_a_named_pipe_is_refused_without_waiting_for_a_writer(store: LocalStore, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidError, match="not a regular file"):
        store.put_file(tmp_path / "pipe")
    with pytest.raises(InvalidError, match="not a regular file"):
        store.put_file(tmp_path)


# --- damage ---------------------------------------------------------------------------------------------------------


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(data=st.binary(min_size=1, max_size=2000), place=st.integers(min_value=0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_found_before_the_last_byte_is_given_out(
    tmp_path: Path, data: bytes, place: int, bit: int
) -> None:
    store = LocalStore(tmp_path / "store")
    digest = store.put(io.BytesIO(data)).digest
    path = store.path_of(digest)
    assert path is not None
    damaged = bytearray(data)
    damaged[place % len(data)] ^= 1 << bit
    path.unlink()
    path.write_bytes(damaged)

    given_out: list[bytes | None] = []
    with store.open(digest) as file, pytest.raises(IntegrityError) as caught:
        given_out.extend(iter(lambda: file.read(100), b""))
    assert sum(len(piece or b"") for piece in given_out) < len(data)
    assert f"expected {digest}, found {Digest.of(bytes(damaged))}" in str(caught.value)


@pytest.mark.parametrize("size", [0, 100, (1 << 20) + 1])
def test_a_blob_of_the_wrong_length_is_damaged(store: LocalStore, weights: Path, size: int) -> None:
    digest = store.put_file(weights).digest
    path = store.path_of(digest)
    assert path is not None
    path.chmod(0o644)
    os.truncate(path, size)

    with pytest.raises(IntegrityError, match=digest.hex):
        store.open(digest).read()


# --- a store that cannot take it ------------------------------------------------------------------------------------


def test_reading_a_store_that_is_not_there_says_what_to_check(store: LocalStore) -> None:
    with pytest.raises(NotFoundError, match=r"check `store` in registry\.yaml"):
        store.size_of(ABSENT)
    with pytest.raises(NotFoundError, match=r"check `store` in registry\.yaml"):
        store.open(ABSENT)


def test_a_blob_that_is_not_there_is_named(store: LocalStore, weights: Path) -> None:
    store.put_file(weights)
    with pytest.raises(NotFoundError, match=f"{ABSENT} is not in the store"):
        store.open(ABSENT)


def test_a_store_is_not_made_where_the_folder_around_it_is_missing(tmp_path: Path, weights: Path) -> None:
    with pytest.raises(NotFoundError, match="the folder around it does not exist"):
        LocalStore(tmp_path / "unmounted" / "store").put_file(weights)
    assert not (tmp_path / "unmounted").exists()


def test_a_file_in_the_place_of_the_store_is_an_error(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "store").write_text("not a folder")
    with pytest.raises(UnavailableError, match="cannot write"):
        LocalStore(tmp_path / "store").put_file(weights)
    with pytest.raises(NotFoundError):
        LocalStore(tmp_path / "store").size_of(ABSENT)


PUT_AND_TELL = """
from gitreg.errors import GitregError
from gitreg.objects import LocalStore
try:
    LocalStore(Path(sys.argv[1])).put_file(Path(sys.argv[2]))
except GitregError as error:
    print(type(error).__name__, error)
"""


def test_an_unwritable_store_is_unavailable(store: LocalStore, weights: Path) -> None:
    store.folder.mkdir(mode=0o555)
    store.folder.parent.chmod(0o755)
    # By relative names: the user that root becomes may not pass through the folders above.
    # What is imported late is imported before.
    first = f"import gitreg.objects.intake\nimport gitreg.objects.local\nos.chdir({str(store.folder.parent)!r})\n"
    drop = f"{first}if os.getuid() == 0: os.setuid(65534)\n"
    output = in_child(PUT_AND_TELL.replace("try:", f"{drop}try:", 1), "store", "weights.bin").communicate()[0]

    assert "UnavailableError cannot write in 'store': Permission denied" in output


@pytest.mark.parametrize(("size", "room"), [(1 << 20, 300_000), (40 << 20, 10_000_000)])
def test_a_file_size_limit_reads_as_no_room_and_nothing_is_left(
    store: LocalStore, weights: Path, size: int, room: int
) -> None:
    os.truncate(weights, size)
    limit = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
    output = in_child(limit + PUT_AND_TELL, store.folder, weights).communicate()[0]

    assert output.startswith("UnavailableError no room left")
    assert files_of(store.folder) == []


@pytest.mark.parametrize("size", [1 << 20, 40 << 20])
def test_a_full_disk_is_unavailable_and_nothing_is_left(store: LocalStore, weights: Path, size: int) -> None:
    os.truncate(weights, size)
    store.folder.mkdir()
    mounted = f"mount -t tmpfs -o size=512k none {store.folder}"
    unshare = ["unshare", "--map-root-user", "--mount", "sh", "-c"]
    if not shutil.which("unshare") or subprocess.run([*unshare, mounted], check=False, capture_output=True).returncode:
        pytest.skip("no user namespaces here")
    code = f"import sys\nfrom pathlib import Path\n{PUT_AND_TELL}"
    then = f'{mounted} && "$@" && find {store.folder} -type f | wc -l'
    command = [*unshare, then, "sh", sys.executable, "-c", code, str(store.folder), str(weights)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    assert output.startswith("UnavailableError no room left")
    assert output.endswith("free some space and run it again\n0\n")


@pytest.mark.parametrize("call", ["fsync", "link", "fchmod", "open"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS])
def test_any_step_that_fails_leaves_nothing(
    store: LocalStore, weights: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int
) -> None:
    store.put(io.BytesIO(b"the folders are there"))
    before = files_of(store.folder)
    real = getattr(os, call)

    def fail(path: object, *arguments: object, **options: object) -> object:
        if call == "open" and path == weights:
            return real(path, *arguments, **options)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(UnavailableError, match=os.strerror(code)):
        store.put_file(weights)
    monkeypatch.undo()

    assert files_of(store.folder) == before


def test_a_file_system_without_hard_links_will_do(
    store: LocalStore, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(errno.EPERM, "no hard links")

    monkeypatch.setattr(os, "link", refuse)
    blob = store.put_file(weights)

    assert store.open(blob.digest).read() == weights.read_bytes()
    assert len(files_of(store.folder)) == 1


# --- many processes, and dead ones ----------------------------------------------------------------------------------

PUT_MANY = """
import io
from gitreg.objects import LocalStore
store = LocalStore(Path(sys.argv[1]))
for number in range(60):
    store.put(io.BytesIO(b"%d" % number * 50_000))
"""


def test_processes_that_store_the_same_files_at_once_agree(store: LocalStore) -> None:
    children = [in_child(PUT_MANY, store.folder) for _ in range(4)]
    outputs = [child.communicate()[0] for child in children]

    assert outputs == [""] * 4
    assert len(files_of(store.folder)) == 60
    for name in files_of(store.folder):
        assert hash_file(store.folder / name).digest.hex == Path(name).name


PUT_STDIN = """
from gitreg.objects import LocalStore
LocalStore(Path(sys.argv[1])).put(sys.stdin.buffer)
"""


def killed_in_the_middle(store: LocalStore) -> Path:
    """Kill a process that has stored half of a stream, and name its temporary file."""
    child = in_child(PUT_STDIN, store.folder)
    assert child.stdin is not None
    child.stdin.write("half" * 2_000_000)
    child.stdin.flush()
    deadline = time.monotonic() + 30
    while not (left := [path for path in store.folder.glob("tmp/*") if path.stat().st_size > 0]):
        assert time.monotonic() < deadline
        assert child.poll() is None
        time.sleep(0.01)
    child.kill()
    child.communicate()
    return left[0]


def test_a_killed_writer_leaves_nothing_visible(store: LocalStore, weights: Path) -> None:
    left = killed_in_the_middle(store)

    assert files_of(store.folder) == [f"tmp/{left.name}"]
    store.put_file(weights)
    assert left.exists()  # its writer might still be alive


def test_what_a_killed_writer_left_is_removed_a_day_later(store: LocalStore, weights: Path) -> None:
    left = killed_in_the_middle(store)
    yesterday = time.time() - 24 * 60 * 60 - 60
    os.utime(left, (yesterday, yesterday))
    LocalStore(store.folder).put_file(weights)

    assert not left.exists()


# --- URIs -----------------------------------------------------------------------------------------------------------


def folder_of(store: Store) -> Path:
    assert isinstance(store, LocalStore)
    return store.folder


@pytest.mark.parametrize(
    ("uri", "folder"),
    [
        ("file:../store", "store"),
        ("file:store", "models.git/store"),
        ("file:../my%20store", "my store"),
        ("file:../grüße", "grüße"),
    ],
)
def test_a_relative_store_counts_from_the_git_directory(tmp_path: Path, uri: str, folder: str) -> None:
    (tmp_path / "models.git").mkdir()
    assert folder_of(open_store(uri, tmp_path / "models.git")) == tmp_path / folder


def test_a_relative_store_counts_from_the_real_git_directory(tmp_path: Path) -> None:
    (tmp_path / "a" / "models.git").mkdir(parents=True)
    (tmp_path / "link.git").symlink_to("a/models.git")
    assert folder_of(open_store("file:../store", tmp_path / "link.git")) == tmp_path / "a" / "store"


@pytest.mark.parametrize("uri", ["file:///srv/store", "file:/srv/store", "file://localhost/srv/store"])
def test_an_absolute_store_is_where_it_says(tmp_path: Path, uri: str) -> None:
    assert folder_of(open_store(uri, tmp_path)) == Path("/srv/store")


@pytest.mark.parametrize(
    "uri",
    ["", "../store", "/srv/store", "file:", "file://", "file://host/store", "http://x/y", "file:a%00b", "file:a\nb"],
)
def test_what_is_no_store_is_refused_with_the_way_to_write_one(tmp_path: Path, uri: str) -> None:
    with pytest.raises(InvalidError, match=r"write file:"):
        open_store(uri, tmp_path)


@given(uri=st.text(max_size=40) | st.text(max_size=40).map("file:".__add__))
def test_any_text_is_a_store_or_a_clear_error(uri: str) -> None:
    with suppress(GitregError):
        open_store(uri, Path("/nowhere"))
