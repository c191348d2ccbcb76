from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from gitreg.errors import IntegrityError, InvalidError
from gitreg.git import Repository, packs
from gitreg.git.create import create
from tests.git.support import MAIN, advance

if TYPE_CHECKING:
    from pathlib import Path

A, B = "a" * 40, "b" * 64
V2, V3 = b"# v2 git bundle\n", b"# v3 git bundle\n"


def test_a_header_names_what_a_bundle_builds_on_and_its_refs() -> None:
    data = V2 + f"-{A} a comment\n-{A}\n{A} refs/heads/main\n\nPACK".encode()
    file = io.BytesIO(data)
    assert packs.read_header(file, "sha1") == packs.Header((A, A), {MAIN: A})
    assert file.read() == b"PACK"
    data = V3 + f"@object-format=sha256\n{B} refs/heads/main\n\n".encode()
    assert packs.read_header(io.BytesIO(data), "sha256").refs == {MAIN: B}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "no git bundle of version 2 or 3"),
        (b"# v9 git bundle\n\n", "no git bundle of version 2 or 3"),
        (V2, "header"),
        (V2 + f"{A} {MAIN}".encode(), "header"),
        (V2 + b"main refs/heads/main\n\n", "header"),
        (V3 + b"@filter=blob:none\n\n", "header"),
        (V3 + b"@object-format=sha256\n\n", "object ids of sha256, and the registry of sha1"),
        (V2 + f"-{A} ".encode() + b"x" * 10_000 + b"\n\n", "header"),
        (V2 + f"-{A}\n".encode() * 1001 + b"\n", "header"),
    ],
)
def test_what_is_no_header_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(InvalidError, match=words):
        packs.read_header(io.BytesIO(data), "sha1")


@pytest.mark.parametrize("buffering", [0, -1])
def test_a_pack_is_taken_from_where_the_file_stands(repository: Repository, tmp_path: Path, buffering: int) -> None:
    tip = advance(repository, {"a": b"1"})
    path = tmp_path / "history"
    repository.run(["bundle", "create", "--quiet", str(path), MAIN])
    create(tmp_path / "other", bare=True)
    with Repository.open(tmp_path / "other") as other, path.open("rb", buffering=buffering) as file:
        assert other.objects.info(tip) is None
        assert packs.read_header(file, "sha1").refs == {MAIN: tip}
        packs.take_pack(other, file, path.stat().st_size)
        assert other.objects.info(tip) is not None


def test_a_pack_that_is_cut_off_is_refused(repository: Repository, tmp_path: Path) -> None:
    advance(repository, {"a": b"1"})
    path = tmp_path / "history"
    repository.run(["bundle", "create", "--quiet", str(path), MAIN])
    path.write_bytes(path.read_bytes()[:-10])
    create(tmp_path / "other", bare=True)
    with Repository.open(tmp_path / "other") as other, path.open("rb") as file:
        packs.read_header(file, "sha1")
        with pytest.raises(IntegrityError, match="git refuses the history"):
            packs.take_pack(other, file, path.stat().st_size)


def test_a_long_history_is_taken_and_one_that_cannot_be_is_not(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packs, "_ALLOCATION", 600_000)  # git's table of the objects alone is larger
    tip = advance(repository, {str(number): str(number).encode() for number in range(12_000)})
    path = tmp_path / "history"
    repository.run(["bundle", "create", "--quiet", str(path), MAIN])
    data = path.read_bytes()
    create(tmp_path / "other", bare=True)
    with Repository.open(tmp_path / "other") as other:
        with path.open("rb") as file:
            packs.read_header(file, "sha1")
            packs.take_pack(other, file, path.stat().st_size)
        assert other.objects.info(tip) is not None
        path.write_bytes(data.replace(b"PACK\0\0\0\2\0", b"PACK\0\0\0\2\x7f", 1))
        with path.open("rb") as file:
            packs.read_header(file, "sha1")
            with pytest.raises(IntegrityError, match="says that it has 2,130,7"):
                packs.take_pack(other, file, path.stat().st_size)
