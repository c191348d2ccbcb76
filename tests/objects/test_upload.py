from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from threading import Barrier, Lock
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from gitreg.errors import ConflictError
from gitreg.objects import LocalStore, Source, collect, hash_file, store_sources, upload
from gitreg.objects.digests import Digests
from gitreg.objects.streams import copy
from gitreg.objects.upload import AT_ONCE, FAR

if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.objects import Blob
    from gitreg.objects.streams import SteadyFile


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    save_file({"w": np.arange(200_000, dtype=np.float32)}, path / "model.safetensors")
    (path / "config.json").write_text('{"layers": 2}')
    (path / "vocab.txt").write_text("a\nb\n")
    for number in range(6):
        (path / f"shard-{number}").write_bytes(bytes([number]) * 700_000)
    return path


def test_files_are_stored_with_name_digest_size_and_format(store: LocalStore, folder: Path) -> None:
    stored = store_sources(store, collect([folder]))

    assert {file.path: file.format for file in stored if not file.path.startswith("shard")} == {
        "config.json": "json",
        "model.safetensors": "safetensors",
        "vocab.txt": "text",
    }
    assert [file.path for file in stored] == sorted(path.name for path in folder.iterdir())
    for file in stored:
        assert (file.digest, file.size) == (hash_file(folder / file.path).digest, (folder / file.path).stat().st_size)
        assert store.size_of(file.digest) == file.size


def test_one_file_is_stored_as_many_are(store: LocalStore, folder: Path) -> None:
    (stored,) = store_sources(store, collect([folder / "config.json"]))
    assert (stored.path, stored.format, stored.size) == ("config.json", "json", 13)


@pytest.mark.parametrize("only", ["", "shard-1"])
def test_progress_hears_every_byte_of_every_file(store: LocalStore, folder: Path, only: str) -> None:
    heard: Counter[str] = Counter()
    stored = store_sources(store, collect([folder / only]), lambda path, moved: heard.update({path: moved}))
    assert heard == {file.path: file.size for file in stored}


def test_the_first_failure_stops_the_rest_and_leaves_no_temporary_files(store: LocalStore, folder: Path) -> None:
    sources = collect([folder])
    large = folder / "zz-large"
    with large.open("wb") as file:
        file.truncate(1 << 30)

    def touch(path: str, _moved: int) -> None:
        if path == "shard-0":
            (folder / path).write_bytes(b"another run writes its model")

    with pytest.raises(ConflictError, match="shard-0"):
        store_sources(store, [*sources, Source("zz-large", large)], touch)
    assert not list(store.folder.glob("tmp/*"))


def test_an_interrupt_stops_the_workers(store: LocalStore, folder: Path) -> None:
    def interrupt(_path: str, _moved: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store_sources(store, collect([folder]), interrupt)
    assert not list(store.folder.glob("tmp/*"))


class Far(LocalStore):
    """A store whose bucket is no folder of this machine, and which tells how many files are on their way at once."""

    def __init__(self, folder: Path, together: int) -> None:
        super().__init__(folder)
        self.bucket.path_of = lambda _key: None  # type: ignore[assignment, method-assign]
        self.most = 0
        self._now = 0
        self._lock = Lock()
        self._barrier = Barrier(together)

    def put_open(self, source: io.FileIO, *, moved: Callable[[int], None] | None = None) -> Blob:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        self._barrier.wait(60)
        with self._lock:
            self._now -= 1
        return copy(source, None, moved)


@pytest.mark.parametrize(("large", "together"), [(1 << 20, FAR), (1, AT_ONCE)])
def test_to_a_store_far_away_many_small_files_go_at_once_and_few_large_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int, together: int
) -> None:
    monkeypatch.setattr(upload, "LARGE", large)
    folder = tmp_path / "out"
    folder.mkdir()
    for number in range(2 * FAR):
        (folder / f"{number:02}").write_bytes(bytes([number]) * 10)
    store = Far(tmp_path / "store", together)
    stored = store_sources(store, collect([folder]))

    assert store.most == together
    assert [file.digest for file in stored] == [hash_file(folder / file.path).digest for file in stored]


STORE = """
import sys
from pathlib import Path
from gitreg.objects import LocalStore, collect, store_sources
from gitreg.objects.digests import Digests
store_sources(LocalStore(Path(sys.argv[1])), collect([Path(sys.argv[2])]), None, Digests(Path(sys.argv[3])))
"""


def test_a_killed_upload_goes_on_where_it_was(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, known = tmp_path / "out", tmp_path / "digests"
    folder.mkdir()
    for number in range(10):
        (folder / f"shard-{number}").write_bytes(random.Random(number).randbytes(6 << 20))
    child = subprocess.Popen([sys.executable, "-c", STORE, str(store.folder), str(folder), str(known)])
    deadline = time.monotonic() + 60
    while len([path for path in known.rglob("[!.]*") if path.is_file()]) < 3:  # a draft's name begins with a dot
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.kill()
    assert child.wait() == -signal.SIGKILL

    sent: list[str] = []
    real = LocalStore.put_open

    def put_open(self: LocalStore, source: SteadyFile, *, moved: Callable[[int], None] | None = None) -> Blob:
        sent.append(source.path.name)
        return real(self, source, moved=moved)

    monkeypatch.setattr(LocalStore, "put_open", put_open)
    stored = store_sources(store, collect([folder]), None, Digests(known))

    assert len(sent) <= 7
    for file in stored:
        assert store.open(file.digest).readall() == (folder / file.path).read_bytes()
