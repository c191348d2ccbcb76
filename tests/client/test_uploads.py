"""A large file goes on where it broke off."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from gitreg.client.http import Http
from gitreg.client.tokens import Token
from gitreg.client.weights import ServedStore
from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from tests.client.front import CUT_WITHIN, Front, standing
from tests.server.serving import wait_for

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.rest.client import Rest

SIZE = 4 << 20


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take small files for large ones, and wait for nothing."""
    monkeypatch.setattr("gitreg.client.weights.RESUMED_FROM", 1000)
    monkeypatch.setattr("gitreg.client.weights._PAUSES", (0.01,) * 1000)


@pytest.fixture
def store(front: Front, served: Rest) -> Iterator[ServedStore]:
    http = Http(front.url, lambda: Token(served.token("root")))
    http.get("/")
    yield ServedStore(http)
    http.close()


@pytest.fixture
def cut(front: Front, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Cut off as many uploads as there are items in the list."""
    left: list[bool] = []

    def before() -> None:
        if front.seen[-1][0] == "PUT" and left:
            left.pop()
            front.faults.append(CUT_WITHIN)

    monkeypatch.setattr(front, "before", before)
    return left


def _file(folder: Path, data: bytes) -> io.FileIO:
    path = folder / "weights.bin"
    path.write_bytes(data)
    return path.open("rb", buffering=0)


def _ranges(front: Front) -> list[str]:
    return [headers.get("content-range", "") for headers in front.ways("PUT")]


def _data(name: str, size: int = SIZE) -> bytes:
    return (hashlib.sha256(name.encode()).digest() * (size // 32 + 1))[:size]


def test_of_a_large_file_that_broke_off_the_rest_is_sent(
    store: ServedStore, cut: list[bool], front: Front, served: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = _data("rest")
    asked = {"digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": SIZE}
    cut.append(True)
    monkeypatch.setattr("gitreg.client.weights._PAUSES", ())
    with _file(tmp_path, data) as file, pytest.raises(UnavailableError):
        store.put_open(file)
    wait_for(lambda: served.ask("POST", "/uploads", json=asked).json()["received"] > 0)
    assert served.ask("POST", "/uploads", "alice", json=asked).json()["received"] == 0

    monkeypatch.setattr("gitreg.client.weights._PAUSES", (0.01,) * 1000)
    told: list[int] = []
    with _file(tmp_path, data) as file:
        assert store.put_open(file, moved=told.append).size == SIZE
    assert sum(told) == SIZE
    first, *_, last = _ranges(front)
    assert first == f"bytes 0-{SIZE - 1}/{SIZE}"
    assert last.endswith(f"-{SIZE - 1}/{SIZE}")
    assert not last.startswith("bytes 0-")
    assert served.serving.registry.store.size_of(Digest(hashlib.sha256(data).hexdigest())) == SIZE
    assert not list((served.path / "gitreg" / "uploads").iterdir())


def test_a_file_gets_there_however_often_it_breaks_off(
    store: ServedStore, cut: list[bool], served: Rest, tmp_path: Path
) -> None:
    data = _data("often")
    cut += [True] * 6
    told: list[int] = []
    with _file(tmp_path, data) as file:
        blob = store.put_open(file, moved=told.append)
    assert not cut
    assert sum(told) == SIZE
    with served.serving.registry.store.open(blob.digest) as stored:
        assert stored.read() == data


def test_a_small_file_is_sent_whole(store: ServedStore, front: Front, tmp_path: Path) -> None:
    with _file(tmp_path, b"small") as file:
        store.put_open(file)
    assert _ranges(front) == [""]


def test_a_server_that_takes_no_parts_gets_all_of_it(tmp_path: Path) -> None:
    data = _data("older")
    there = iter([{"present": False}, {"present": True}])

    def says(path: str) -> tuple[int, dict[str, str], bytes]:
        body = b"{}" if path != "/uploads" else json.dumps(next(there)).encode()
        return 201, {"content-type": "application/json"}, body

    with standing(says=says) as older, _file(tmp_path, data) as file:
        ServedStore(Http(older.url)).put_open(file)
    assert _ranges(older) == [""]


def test_a_server_that_takes_long_to_store_is_asked_until_it_has(
    store: ServedStore, front: Front, served: Rest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitreg.server.uploads.STORING", 0.0)
    with _file(tmp_path, _data("slow")) as file:
        digest = store.put_open(file).digest
    wait_for(lambda: served.serving.registry.store.size_of(digest) == SIZE)
    assert front.ways("PUT")


def test_who_waits_for_ever_for_a_file_to_be_stored_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gitreg.client.weights._STORED_WITHIN", -1.0)

    def says(path: str) -> tuple[int, dict[str, str], bytes]:
        said = {"present": False, "received": SIZE}
        return (201 if path == "/uploads" else 202), {"content-type": "application/json"}, json.dumps(said).encode()

    with (
        standing(says=says) as never,
        _file(tmp_path, _data("never")) as file,
        pytest.raises(UnavailableError, match="does not come to store"),
    ):
        ServedStore(Http(never.url)).put_open(file)
    assert _ranges(never)[0] == f"bytes */{SIZE}"
