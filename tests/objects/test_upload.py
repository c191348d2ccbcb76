from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file

from gitreg.errors import ConflictError
from gitreg.objects import LocalStore, Source, collect, hash_file, store_sources

if TYPE_CHECKING:
    from pathlib import Path


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
