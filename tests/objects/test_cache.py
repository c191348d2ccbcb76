"""The cache: read once, shared by processes, within its limit, and nothing in use ever removed."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple, NoReturn

import pytest

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError, UnavailableError
from gitreg.objects import Cache, LocalStore, StoredFile, pull
from gitreg.objects import cache as cache_module
from gitreg.objects import destination as destination_module
from gitreg.objects import stamps as stamps_module
from gitreg.objects.eviction import parse_size
from gitreg.objects.locks import open_locked
from gitreg.objects.partial import SMALL, partial
from gitreg.objects.streams import Blob
from tests.objects.faulty import FaultyStore, content, flip, keep

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer


@pytest.fixture
def faulty(tmp_path: Path) -> FaultyStore:
    return FaultyStore(tmp_path / "store")


LARGE = SMALL + 1


WORTH = stamps_module.WORTH


def read_count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count how often a file is read through to be verified."""
    from gitreg.objects import destination, streams

    counted: list[int] = []

    def counting(source: streams.Readable, sink: BinaryIO | None = None) -> streams.Blob:
        counted.extend([1] * (sink is None))
        return streams.copy(source, sink)

    monkeypatch.setattr(cache_module, "copy", counting)
    monkeypatch.setattr(destination, "copy", counting)
    return counted


def age(cache: Cache, *digests: Digest, by: float = 1000) -> None:
    """Let blobs have been used longer ago, the first most."""
    for number, digest in enumerate(digests):
        when = time.time() - by * (len(digests) - number)
        cache.stamps.touch(digest)
        os.utime(cache.stamps.path_of(digest), (when, when))


# --- what was verified is not read again ------------------------------------------------------------------------------


@pytest.mark.usefixtures("trusted")
def test_what_nobody_touched_since_it_was_verified_is_not_read_again(
    store: LocalStore, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = store.put(io.BytesIO(content(WORTH)))
    files = [StoredFile("a", blob.digest, blob.size, "other")]
    pull(files, store, cache, tmp_path / "to")
    cache = Cache(cache.folder)  # another process
    counted = read_count(monkeypatch)
    pull(files, store, cache, tmp_path / "to")
    pull(files, store, cache, tmp_path / "other")
    pull(files, store, cache, tmp_path / "copy", link=False)
    pull(files, store, cache, tmp_path / "copy", link=False)
    assert counted == []


@pytest.mark.parametrize("where", ["cache", "to"])
@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("size", [1000, WORTH])
def test_a_flipped_bit_is_found_whoever_hides_it(
    store: LocalStore, cache: Cache, tmp_path: Path, *, where: str, hidden: bool, size: int
) -> None:
    blob = store.put(io.BytesIO(content(size)))
    files = [StoredFile("a", blob.digest, blob.size, "other")]
    pull(files, store, cache, tmp_path / "to", link=False)
    path = cache.path_of(blob.digest) if where == "cache" else tmp_path / "to/a"
    before = path.stat()
    flip(path, 500)
    if hidden:
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    pull(files, store, cache, tmp_path / "to", force=True, link=False)
    pull(files, store, cache, tmp_path / "again", link=False)

    assert (tmp_path / "to/a").read_bytes() == (tmp_path / "again/a").read_bytes() == content(size)


@pytest.mark.usefixtures("trusted")
def test_after_a_restart_of_the_machine_everything_is_read_once(
    store: LocalStore, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = store.put(io.BytesIO(content(WORTH)))
    pull([StoredFile("a", blob.digest, blob.size, "other")], store, cache, tmp_path / "to")
    cache = Cache(cache.folder)
    monkeypatch.setattr("gitreg.objects.stamps._boot", lambda: "another start")
    counted = read_count(monkeypatch)
    assert [cache.find(blob.digest) is not None for _ in range(2)] == [True, True]
    assert counted == [1]


@pytest.mark.usefixtures("trusted")
def test_stamps_that_are_rubbish_are_none(
    store: LocalStore, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = store.put(io.BytesIO(content(WORTH)))
    pull([StoredFile("a", blob.digest, blob.size, "other")], store, cache, tmp_path / "to")
    cache = Cache(cache.folder)
    cache.stamps.path_of(blob.digest).write_bytes(bytes(range(256)) * 1000)
    counted = read_count(monkeypatch)
    assert cache.find(blob.digest) is not None
    assert counted == [1]


def test_a_symlink_or_a_pipe_in_the_place_of_a_blob_is_not_read(faulty: FaultyStore, cache: Cache) -> None:
    digest = keep(faulty, b"bytes")
    path = cache.path_of(digest)
    path.parent.mkdir(parents=True)
    for pipe in (False, True):
        if pipe:
            os.mkfifo(path)
        else:
            path.symlink_to("/dev/zero")
        assert cache.find(digest) is None
        assert cache.fetch(digest, faulty).read_bytes() == b"bytes"
        path.unlink()


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES])
def test_a_cache_that_may_only_be_read_is_read(
    faulty: FaultyStore, cache: Cache, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    digest = keep(faulty, b"bytes")
    cache.fetch(digest, faulty)

    def refuse(*_arguments: object, **_options: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("gitreg.objects.eviction.open_locked", refuse)
    for name in ("utime", "mkdir"):
        monkeypatch.setattr(os, name, refuse)
    monkeypatch.setattr("gitreg.objects.locks.open_locked", refuse)
    limited = Cache(cache.folder, limit=1)
    with limited.using():
        assert limited.find(digest) == cache.path_of(digest)
    limited.make_room(10)
    assert cache.path_of(digest).exists()
    with pytest.raises(UnavailableError, match="cannot write in"):
        limited.prune(1)


# --- what changes while it is pulled ----------------------------------------------------------------------------------


@pytest.fixture(params=[1000, WORTH])
def written(request: pytest.FixtureRequest, store: LocalStore, cache: Cache, tmp_path: Path) -> Iterator[Written]:
    """Pull two files, and open one of them for writing in the folder: it may be the cache's own file."""
    blobs = [store.put(io.BytesIO(content(request.param, seed))) for seed in range(2)]
    files = [StoredFile(name, blob.digest, blob.size, "other") for name, blob in zip("ab", blobs, strict=True)]
    pull(files, store, cache, tmp_path / "one")
    time.sleep(0.05)  # beyond a tick of the clock
    (tmp_path / "one/a").chmod(0o644)
    with (tmp_path / "one/a").open("r+b", buffering=0) as file:
        yield Written(files, content(request.param, 0), file)


class Written(NamedTuple):
    """Files of a version, the true bytes of the first, and that one open in an older folder."""

    files: list[StoredFile]
    true: bytes
    file: io.FileIO

    def spoil(self) -> None:
        self.file.seek(5)
        self.file.write(b"wrong")


@pytest.mark.parametrize("link", [True, False])
def test_what_is_written_between_check_and_placing_is_not_given_out(
    store: LocalStore, cache: Cache, tmp_path: Path, written: Written, link: bool
) -> None:
    told: list[str] = []

    def check(path: str, _count: int) -> None:
        if path == "b" and told == ["a"]:  # the first was found right by now
            written.spoil()
        told.append(path)

    pull(written.files, store, Cache(cache.folder), tmp_path / "two", link=link, progress=check)
    pull(written.files, store, Cache(cache.folder), tmp_path / "three", link=link)

    assert told == ["a", "b"]
    assert [(tmp_path / folder / "a").read_bytes() for folder in ("two", "three")] == [written.true] * 2


def test_what_is_written_while_it_is_linked_is_not_stamped(
    store: LocalStore, cache: Cache, tmp_path: Path, written: Written, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.link

    def late(source: str, name: str, **options: Any) -> None:  # noqa: ANN401 - those of os.link
        if name == "a":
            written.spoil()
        real(source, name, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", late)
        pull(written.files, store, Cache(cache.folder), tmp_path / "two")
    assert (Cache(cache.folder).find(written.files[0].digest) is None) or not linked(cache, tmp_path / "one/a")
    pull(written.files, store, Cache(cache.folder), tmp_path / "three")
    assert (tmp_path / "three/a").read_bytes() == written.true


def linked(cache: Cache, path: Path) -> bool:
    return any(path.samefile(each) for each in cache.folder.glob("blobs/sha256/*/*"))


def test_bytes_that_are_read_wrong_as_they_are_copied_are_not_given_out(
    store: LocalStore, cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = store.put(io.BytesIO(content(WORTH)))
    cache.fetch(blob.digest, store)

    def bad(_source: object, sink: BinaryIO) -> Blob:
        sink.write(content(WORTH, 7))
        return Blob(Digest.of(content(WORTH, 7)), WORTH)

    monkeypatch.setattr("fcntl.ioctl", refuse)  # no clones
    monkeypatch.setattr(destination_module, "copy", bad)
    with pytest.raises(IntegrityError, match=f"{blob.digest} read as .* as it was copied"):
        pull([StoredFile("a", blob.digest, blob.size, "other")], store, cache, tmp_path / "to", link=False)
    assert not list((tmp_path / "to").iterdir())


def refuse(*_arguments: object, **_options: object) -> NoReturn:
    raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))


def test_a_blob_that_is_removed_between_check_and_placing_is_brought_again(
    store: LocalStore, cache: Cache, tmp_path: Path, written: Written
) -> None:
    def check(path: str, _count: int) -> None:
        if path == "b":
            cache.path_of(written.files[0].digest).unlink()

    pull(written.files, store, cache, tmp_path / "two", progress=check)
    assert (tmp_path / "two/a").read_bytes() == written.true


# --- many processes ---------------------------------------------------------------------------------------------------


FETCH = """
import sys, time
from pathlib import Path
from gitreg.digest import Digest
from gitreg.objects import Cache
from tests.objects.faulty import FaultyStore
store = FaultyStore(Path(sys.argv[1]))
def slow(key, start, true):
    for piece in true:
        time.sleep(0.002)
        yield piece
store.faulty.fault = slow
path = Cache(Path(sys.argv[2])).fetch(Digest(sys.argv[3]), store)
print(store.faulty.given)
"""


def test_processes_that_want_the_same_blob_fetch_it_once_together(
    faulty: FaultyStore, cache: Cache, request: pytest.FixtureRequest
) -> None:
    data = content(20_000_000)
    digest = keep(faulty, data)
    command = [sys.executable, "-c", FETCH, str(faulty.folder), str(cache.folder), digest.hex]
    environment = {**os.environ, "PYTHONPATH": str(request.config.rootpath)}
    children = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(4)]

    assert sum(int(child.communicate()[0]) for child in children) == len(data)
    assert cache.path_of(digest).read_bytes() == data


def test_a_blob_whose_fetcher_stands_still_is_fetched_beside_it(
    faulty: FaultyStore, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = keep(faulty, content(LARGE))
    monkeypatch.setattr(cache_module, "_STUCK", 0.2)
    with partial(cache.folder, digest, LARGE) as held:
        assert held is not None
        assert cache.fetch(digest, faulty).read_bytes() == content(LARGE)
    left = sorted(path.name for path in (cache.folder / "partial").iterdir())
    assert left == [digest.hex, f"{digest.hex}.journal"]


def test_a_blob_that_another_process_finishes_is_taken_from_it(faulty: FaultyStore, cache: Cache) -> None:
    digest = keep(faulty, content(LARGE))
    found: list[Path] = []
    with partial(cache.folder, digest, LARGE) as held:
        assert held is not None
        waiting = threading.Thread(target=lambda: found.append(cache.fetch(digest, faulty)))
        waiting.start()
        time.sleep(0.1)
        held.write(0, content(LARGE))
        held.publish(cache.path_of(digest), 0o444)
    waiting.join(10)
    assert found == [cache.path_of(digest)]
    assert faulty.faulty.given == 0


# --- the limit --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("500", 500),
        ("500B", 500),
        ("10K", 10 << 10),
        ("10KiB", 10 << 10),
        ("10kb", 10_000),
        ("1.5 GiB", 3 << 29),
        ("50G", 50 << 30),
        ("2TB", 2 * 10**12),
        (" 1 MiB ", 1 << 20),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "much", "1.2345G", "10XB", "1e9", "10iB", "٣", "1 G i B", "9" * 30])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(InvalidError, match="is not a size"):
        parse_size(text)


def test_a_limit_that_is_no_size_names_its_variable() -> None:
    with pytest.raises(InvalidError, match="GITREG_CACHE_SIZE: 'much' is not a size"):
        Cache.of_user({"GITREG_CACHE": "/c", "GITREG_CACHE_SIZE": "much"})
    assert Cache.of_user({"GITREG_CACHE": "/c", "GITREG_CACHE_SIZE": "1MiB"}).limit == 1 << 20


def test_what_was_used_longest_ago_goes_first(faulty: FaultyStore, cache: Cache) -> None:
    digests = [keep(faulty, content(1000, seed)) for seed in range(5)]
    for digest in digests:
        cache.fetch(digest, faulty)
    age(cache, *digests)
    cache.find(digests[0])  # used again
    planned = cache.prune(2500, dry_run=True)
    assert (planned.blobs, planned.freed, planned.left) == (3, 3000, 2000)
    assert all(cache.path_of(digest).exists() for digest in digests)

    assert cache.prune(2500) == planned
    assert [cache.path_of(digest).exists() for digest in digests] == [True, False, False, False, True]
    assert not cache.stamps.path_of(digests[1]).exists()


def test_a_pull_keeps_to_the_limit_and_what_it_gave_out_is_whole(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache", limit=2500)
    blobs = [store.put(io.BytesIO(content(1000, seed))) for seed in range(5)]
    for number, blob in enumerate(blobs):
        pull([StoredFile("a", blob.digest, blob.size, "other")], store, cache, tmp_path / str(number))
        time.sleep(0.02)  # uses are told apart by the clock of files
    assert [cache.path_of(blob.digest).exists() for blob in blobs] == [False, False, False, True, True]
    assert [(tmp_path / str(n) / "a").read_bytes() for n in range(5)] == [content(1000, n) for n in range(5)]


def test_a_version_larger_than_the_limit_is_pulled_and_then_leaves_the_cache(store: LocalStore, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", limit=500)
    blobs = [store.put(io.BytesIO(content(1000, seed))) for seed in range(3)]
    files = [StoredFile(f"{n}", blob.digest, blob.size, "other") for n, blob in enumerate(blobs)]
    pull(files, store, cache, tmp_path / "to")
    assert [(tmp_path / "to" / f"{n}").read_bytes() for n in range(3)] == [content(1000, n) for n in range(3)]
    assert cache.usage().bytes == 0


def test_what_a_process_uses_is_never_removed(faulty: FaultyStore, cache: Cache) -> None:
    old, used = (keep(faulty, content(1000, seed)) for seed in range(2))
    for digest in (old, used):
        cache.fetch(digest, faulty)
    age(cache, old, used)
    with cache.using():
        cache.find(used)
        assert cache.usage().in_use == 1
        assert cache.prune(0).blobs == 1
        assert (cache.path_of(old).exists(), cache.path_of(used).exists()) == (False, True)
    assert cache.prune(0).blobs == 1
    assert not list((cache.folder / "users").iterdir())


def test_what_a_killed_process_used_may_go(faulty: FaultyStore, cache: Cache) -> None:
    digest = keep(faulty, content(1000))
    code = (
        "import os, sys; from pathlib import Path; from gitreg.objects import Cache; from gitreg.digest import Digest\n"
        "cache = Cache(Path(sys.argv[1]))\n"
        "with cache.using():\n    cache.find(Digest(sys.argv[2])); os.kill(os.getpid(), 9)"
    )
    cache.fetch(digest, faulty)
    subprocess.run([sys.executable, "-c", code, str(cache.folder), digest.hex], check=False)
    assert len(list((cache.folder / "users").iterdir())) == 1
    assert cache.prune(0).blobs == 1
    assert not list((cache.folder / "users").iterdir())


def test_what_killed_processes_left_of_their_use_is_removed_by_the_next(cache: Cache) -> None:
    (cache.folder / "users").mkdir(parents=True)
    (cache.folder / "users" / "99-dead").touch()
    with cache.using():
        assert len(list((cache.folder / "users").iterdir())) == 1
        with cache.using():
            assert len(list((cache.folder / "users").iterdir())) == 2
    assert not list((cache.folder / "users").iterdir())


def test_unfinished_blobs_count_and_go_but_for_those_being_fetched(cache: Cache) -> None:
    left, held = Digest("a" * 64), Digest("b" * 64)
    with partial(cache.folder, left, LARGE) as into:
        assert into is not None
        into.write(0, content(50_000))
    with partial(cache.folder, held, LARGE) as into, partial(cache.folder, left, 50_000, own=True) as small:
        assert into is not None
        assert small is not None
        into.write(0, content(50_000))
        small.write(0, content(50_000))
        assert (cache.usage().partial, cache.usage().partial_bytes >= 150_000) == (3, True)
        assert cache.prune(0).partial == 1
        assert small.path.exists()
        small.path.unlink()
        assert sorted(path.name for path in (cache.folder / "partial").iterdir()) == [held.hex, f"{held.hex}.journal"]


def test_an_unfinished_blob_that_nobody_went_on_with_for_a_week_goes(cache: Cache) -> None:
    for name, days in (("a", 8), ("b", 6)):
        with partial(cache.folder, Digest(name * 64), LARGE) as into:
            assert into is not None
        when = time.time() - days * 24 * 60 * 60
        os.utime(cache.folder / "partial" / (name * 64), (when, when))
    assert cache.prune(1 << 30).partial == 1
    assert {path.name[0] for path in (cache.folder / "partial").iterdir()} == {"b"}


def test_folders_that_were_given_out_stay_for_a_day_and_links_count_once(
    store: LocalStore, cache: Cache, tmp_path: Path
) -> None:
    blob = store.put(io.BytesIO(content(1000)))
    for name in ("old", "new"):
        pull([StoredFile("a", blob.digest, blob.size, "other")], store, cache, cache.folder / "versions" / name)
    when = time.time() - 2 * 24 * 60 * 60
    os.utime(cache.folder / "versions/old", (when, when))
    linked = cache.path_of(blob.digest).stat().st_nlink > 1
    assert cache.usage().bytes == (1000 if linked else 3000)
    pruned = cache.prune(0)
    assert (pruned.versions, pruned.left) == (1, 1000)
    assert (cache.folder / "versions/new/a").read_bytes() == content(1000)


def test_an_empty_cache_is_shown_and_pruned_without_being_made(cache: Cache) -> None:
    assert (cache.usage().bytes, cache.usage().blobs, cache.prune(0).freed) == (0, 0, 0)
    assert not cache.folder.exists()


EVICTING = """
import random, sys
from pathlib import Path
from gitreg.digest import Digest
from gitreg.objects import Cache, LocalStore, StoredFile, pull
store, cache, to, seed, *digests = sys.argv[1:]
rng = random.Random(int(seed))
for turn in range(12):
    chosen = rng.sample(digests, 4)
    files = [StoredFile(d[:8], Digest(d), 30_000, "other") for d in chosen]
    pull(files, LocalStore(Path(store)), Cache(Path(cache), limit=100_000), Path(to) / str(turn), link=bool(turn % 2))
"""


def test_processes_that_fetch_and_evict_at_once_all_get_the_right_bytes(
    store: LocalStore, cache: Cache, tmp_path: Path
) -> None:
    contents = {store.put(io.BytesIO(content(30_000, seed))).digest.hex: content(30_000, seed) for seed in range(8)}
    children = [
        subprocess.Popen(
            [
                sys.executable,
                "-c",
                EVICTING,
                *map(str, (store.folder, cache.folder, tmp_path / f"to{n}", n)),
                *contents,
            ],
            stderr=subprocess.PIPE,
            text=True,
        )
        for n in range(4)
    ]
    assert [child.communicate()[1] for child in children] == [""] * 4
    by_name = {digest[:8]: data for digest, data in contents.items()}
    pulled = [path for n in range(4) for path in (tmp_path / f"to{n}").rglob("*") if path.is_file()]
    assert len(pulled) == 4 * 12 * 4
    assert all(path.read_bytes() == by_name[path.name] for path in pulled)
    assert cache.prune(100_000).left <= 100_000


def test_an_interrupt_ends_the_fetching_and_leaves_what_came(faulty: FaultyStore, cache: Cache) -> None:
    digest = keep(faulty, content(40_000_000))
    told = 0

    def interrupt(count: int) -> None:
        nonlocal told
        told += count
        if told > 20_000_000:
            raise KeyboardInterrupt

    def slow(_key: str, _start: int, true: Iterator[ReadableBuffer]) -> Iterator[ReadableBuffer]:
        for piece in true:
            time.sleep(0.001)
            yield piece

    faulty.faulty.fault = slow
    with pytest.raises(KeyboardInterrupt):
        cache.fetch(digest, faulty, moved=interrupt)
    assert not cache.path_of(digest).exists()
    assert not [each for each in threading.enumerate() if each.name.startswith("gitreg-fetch")]
    opened = open_locked(cache.folder / "partial" / f"{digest.hex}.journal")
    assert opened is not None  # nobody holds it any more
    os.close(opened)


def test_a_cache_that_cannot_be_written_says_so(faulty: FaultyStore, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(UnavailableError, match="cannot write in"):
        Cache(tmp_path / "file" / "cache").fetch(keep(faulty, b"bytes"), faulty)
