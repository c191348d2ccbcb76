"""The index of a bundle is read within bounds, and what it is made of is held to the rules of names."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from gitreg.digest import Digest
from gitreg.errors import IntegrityError, InvalidError
from gitreg.keep import bundle_index, tar
from gitreg.keep.bundle_index import Index
from gitreg.objects.streams import Blob

if TYPE_CHECKING:
    from collections.abc import Callable

BLOB = Blob(Digest.of(b"weights"), 7)
INDEX = Index(
    registry="acme",
    commit="a" * 40,
    since=None,
    versions={"risk/fraud": ("1.0.0", "1.1.0"), "a/b": ()},
    history=BLOB,
    blobs=(BLOB,),
)


def _changed(**members: Any) -> bytes:  # noqa: ANN401 - JSON
    return json.dumps(json.loads(INDEX.to_bytes()) | members).encode()


def test_an_index_is_read_as_it_was_written() -> None:
    assert Index.parse(INDEX.to_bytes()) == INDEX
    assert INDEX.models == ("a/b", "risk/fraud")
    assert INDEX.names == {"risk/fraud@1.0.0", "risk/fraud@1.1.0"}


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"format": "gitreg/bundle/v1"}',
        _changed(format="gitreg/bundle/v9"),
        _changed(commit="main"),
        _changed(commit=7),
        _changed(since="HEAD"),
        _changed(models=["risk/fraud"]),
        _changed(models={"../fraud": []}),
        _changed(models={"risk/fraud": "1.0.0"}),
        _changed(models={"risk/fraud": ["../1.0.0"]}),
        _changed(models={"risk/fraud": [1]}),
        _changed(blobs=[]),
        _changed(blobs={"sha256:../../x": 1}),
        _changed(blobs={str(BLOB.digest): -1}),
        _changed(blobs={str(BLOB.digest): True}),
        _changed(blobs={str(BLOB.digest): 1.5}),
        _changed(history={"digest": None, "size": 1}),
        "{'é'}".encode(),
    ],
)
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidError):
        Index.parse(data)


def _parsed(*_: object) -> None:
    raise AssertionError("it was parsed")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: b'{"a":[' + b"[],[]," * 300_000 + b"0]}", "values"),
        (lambda: b'{"a":[' + b"{}," * 300_000 + b"0]}", "values"),
        (lambda: b'{"a":"' + b"x" * bundle_index.MAX_INDEX + b'"}', "bytes"),
    ],
)
def test_an_index_that_would_fill_the_memory_is_not_parsed(
    data: Callable[[], bytes], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json, "loads", _parsed)
    with pytest.raises(InvalidError, match=words):
        Index.parse(data())


def test_a_bundle_of_more_blobs_than_are_read_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_index, "MAX_BLOBS", 0)
    with pytest.raises(InvalidError, match="put the models into several bundles"):
        INDEX.to_bytes()
    monkeypatch.undo()
    data = INDEX.to_bytes()
    monkeypatch.setattr(bundle_index, "MAX_BLOBS", 0)
    with pytest.raises(InvalidError, match="1 blobs, more than 0"):
        Index.parse(data)


@pytest.mark.parametrize(("size", "words"), [(4, "more than 4 bytes"), (9, "fewer than 9 bytes")])
def test_no_more_of_a_file_goes_into_a_tar_than_was_announced(size: int, words: str) -> None:
    sink = io.BytesIO()
    with pytest.raises(IntegrityError, match=words):
        tar.add(sink, "name", size, io.BytesIO(b"weights"))
    assert sink.getvalue()[tar.BLOCK :] == b"weights"[:size]
