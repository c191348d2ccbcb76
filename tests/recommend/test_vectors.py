from __future__ import annotations

import json
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from gitreg.errors import InvalidError, NotFoundError
from gitreg.recommend import vectors
from tests.recommend.models import write_model

if TYPE_CHECKING:
    from pathlib import Path


def test_texts_of_like_words_are_near(tmp_path: Path) -> None:
    model = vectors.named(write_model(tmp_path))
    toxic, abusive, rain, nothing = model.vectors(["toxic", "abusive", "rain", "unheard"])
    assert toxic @ abusive > 0.9
    assert toxic @ rain < 0
    assert not nothing.any()
    assert np.linalg.norm(toxic) == pytest.approx(1)


def test_a_model_is_read_once_and_again_where_it_changed(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    model = vectors.named(folder)
    assert vectors.named(folder) is model
    write_model(tmp_path, name="embeddings")
    assert vectors.named(folder) is not model


def test_a_vector_depends_on_its_own_text_alone(tmp_path: Path) -> None:
    model = vectors.named(write_model(tmp_path))
    together = model.vectors(["toxic comments", "rain", "toxic"] * 700)
    assert np.array_equal(together[0], model.vectors(["toxic comments"])[0])
    assert np.array_equal(together[2097:], together[:3])


def test_a_table_is_read_by_the_name_that_model2vec_gives_it(tmp_path: Path) -> None:
    one, other = (vectors.named(write_model(tmp_path / name, name=name)) for name in ("embeddings", "embedding.weight"))
    assert np.array_equal(one.vectors(["toxic rain"]), other.vectors(["toxic rain"]))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"other": np.zeros((9, 2), np.float32)}, "found the tensors other; allowed: one, embeddings or"),
        (
            {"embeddings": np.zeros((9, 2), np.float32), "mapping": np.zeros(9, np.int64)},
            "found the tensors .*mapping",
        ),
        ({"embeddings": np.zeros((9, 2), np.int32)}, "found int32 of shape"),
        ({"embeddings": np.zeros(9, np.float32)}, r"of shape \(9,\), allowed: a table"),
        ({"embeddings": np.full((9, 2), np.nan, np.float32)}, "vectors that are not finite"),
        (
            {"embeddings": np.zeros((2, 2), np.float32)},
            "knows 8 tokens, .* has 2 vectors; take both files from one model",
        ),
    ],
)
def test_a_table_that_does_not_fit_is_refused(tmp_path: Path, table: dict[str, Any], message: str) -> None:
    folder = write_model(tmp_path)
    save_file(table, folder / "model.safetensors")
    with pytest.raises(InvalidError, match=message):
        vectors.named(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04.", b"\xff" * 100, b"\x10\0\0\0\0\0\0\0{}"])
def test_a_damaged_table_is_refused(tmp_path: Path, content: bytes) -> None:
    folder = write_model(tmp_path)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(InvalidError, match="not a table of vectors that can be read"):
        vectors.named(folder)


@pytest.mark.parametrize("content", ["", "{}", json.dumps({"model": {"type": "Unheard"}})])
def test_a_damaged_tokenizer_is_refused(tmp_path: Path, content: str) -> None:
    folder = write_model(tmp_path)
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(InvalidError, match=r"tokenizer\.json is not a tokenizer"):
        vectors.named(folder)


def test_a_tokenizer_that_fails_on_unknown_words_is_refused_at_once(tmp_path: Path) -> None:
    folder = write_model(tmp_path)
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["model"]["unk_token"] = "unheard"
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InvalidError, match="has no token for what it does not know"):
        vectors.named(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_file_that_is_missing_or_too_large_is_told(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path)
    (folder / name).unlink()
    with pytest.raises(NotFoundError, match=f"{name} cannot be read: No such file"):
        vectors.named(folder)
    (folder / name).mkdir()
    with pytest.raises(InvalidError, match=f"{name} is not a regular file"):
        vectors.named(folder)
    monkeypatch.setattr(vectors, "LARGEST_TABLE", 10)
    monkeypatch.setattr(vectors, "LARGEST_TOKENIZER", 10)
    with pytest.raises(InvalidError, match="is not a regular file of at most 0 MiB"):
        vectors.named(write_model(tmp_path / "large"))


def test_without_the_extra_there_is_no_packaged_model_and_a_named_one_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "find_spec", lambda _name: None)
    assert vectors.packaged() is None
    with pytest.raises(InvalidError, match=r"pip install 'gitreg\[recommend\]'"):
        vectors.named(tmp_path)


@pytest.mark.skipif(find_spec("wordllama") is None, reason="the package has no wheel for this Python")
def test_the_packaged_model_knows_what_words_mean() -> None:
    model = vectors.packaged()
    assert model is not None
    assert model.name == "wordllama l2_supercat_256"
    need, near, far = model.vectors(["abusive comments", "insulting remarks of readers", "rain radar"])
    assert need @ near > 0.3
    assert need @ far < 0.1
