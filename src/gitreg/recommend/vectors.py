"""Turn texts into vectors by a static model: a table of one vector a token, averaged. No network, no GPU, no pickle.

The model is the one that the package `wordllama` ships (MIT licence), of which only the two files are read, or a folder
that a user names, as Model2Vec and WordLlama lay theirs out: `tokenizer.json` beside `model.safetensors`.
"""

from __future__ import annotations

import stat
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gitreg.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

EXTRA = "pip install 'gitreg[recommend]'"
LARGEST_TABLE = 1 << 30  # bytes
LARGEST_TOKENIZER = 64 << 20
_PACKAGE = "wordllama"
_PACKAGED = ("weights/l2_supercat_256.safetensors", "tokenizers/l2_supercat_tokenizer_config.json")
_TABLES = ("embeddings", "embedding.weight")  # Model2Vec, WordLlama
_BATCH = 1024


class StaticModel:
    """A table of vectors and the tokenizer that it belongs to."""

    def __init__(self, name: str, table: NDArray[Any], tokenizer: Tokenizer, identity: str) -> None:
        import numpy as np

        self.name = name
        self.identity = identity  # of the files: vectors of another identity are not comparable
        self._table = table  # of float16, if that is what the file has: few rows are ever looked at
        self._tokenizer = tokenizer
        # Model2Vec leaves out what its tokenizer does not know; WordLlama's spells it in bytes.
        self._unknown = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "")
        # What all vectors have in common says nothing. The table's mean and not the documents': a document's vector
        # depends on its own text alone, so it can be kept, and two documents are as like as among a thousand.
        self._middle = table.mean(axis=0, dtype=np.float32)
        if not np.isfinite(self._middle).all():
            raise InvalidError(f"{name} has vectors that are not finite")

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Give a vector of length 1 for each text (of length 0 where a text has no known token)."""
        import numpy as np

        vectors = np.zeros((len(texts), self._table.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), _BATCH):
            batch = self._tokenizer.encode_batch_fast(list(texts[start : start + _BATCH]), add_special_tokens=False)
            for place, encoded in enumerate(batch, start):
                known = [token for token in encoded.ids if token != self._unknown]
                if known:
                    vectors[place] = self._table[known].mean(axis=0, dtype=np.float32) - self._middle
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: NDArray[np.float32] = vectors / np.maximum(lengths, np.float32(1e-9))
        return unit


def packaged() -> StaticModel | None:
    """Open the model of the optional package; None where the extra is not installed."""
    if find_spec("numpy") is None or find_spec("safetensors") is None or find_spec("tokenizers") is None:
        return None
    found = find_spec(_PACKAGE)  # finds, and does not import: the package would load a dozen others
    for folder in (found.submodule_search_locations or ()) if found else ():
        table, tokenizer = (Path(folder) / name for name in _PACKAGED)
        if table.is_file() and tokenizer.is_file():
            return _open(f"{_PACKAGE} {table.stem}", table, tokenizer)
    return None


def named(folder: Path) -> StaticModel:
    """Open the model in a folder; InvalidError says what is wrong with it."""
    if find_spec("safetensors") is None or find_spec("tokenizers") is None:
        raise InvalidError(f"{folder} cannot be read without safetensors and tokenizers", hint=EXTRA)
    return _open(str(folder), folder / "model.safetensors", folder / "tokenizer.json")


def _open(name: str, table: Path, tokenizer: Path) -> StaticModel:
    stamps = _stamp(table, LARGEST_TABLE), _stamp(tokenizer, LARGEST_TOKENIZER)
    return _opened(name, table, tokenizer, stamps)


def _stamp(file: Path, largest: int) -> tuple[int, ...]:
    """Refuse what is no file of a bearable size; tell a changed file from the one before."""
    try:
        status = file.stat()
    except OSError as error:
        raise NotFoundError(f"{file} cannot be read: {error.strerror}", hint="name a folder with both files") from error
    if not stat.S_ISREG(status.st_mode) or status.st_size > largest:
        raise InvalidError(f"{file} is not a regular file of at most {largest >> 20} MiB")
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


@lru_cache(maxsize=2)
def _opened(name: str, table: Path, tokenizer: Path, stamps: object) -> StaticModel:
    """Read both files, once in a process as long as they stay the same."""
    from tokenizers import Tokenizer

    vectors = _table(table)
    try:
        tokens = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # its Rust code raises nothing narrower
        raise InvalidError(f"{tokenizer} is not a tokenizer: {error}") from error
    tokens.no_padding()
    tokens.no_truncation()
    try:
        tokens.encode("\u2603", add_special_tokens=False)
    except Exception as error:  # as above
        raise InvalidError(f"{tokenizer} has no token for what it does not know: {error}") from error
    if tokens.get_vocab_size() > len(vectors):
        raise InvalidError(
            f"{tokenizer} knows {tokens.get_vocab_size()} tokens, {table} has {len(vectors)} vectors",
            hint="take both files from one model",
        )
    return StaticModel(name, vectors, tokens, f"{name} {stamps}")


def _table(file: Path) -> NDArray[Any]:
    """Read the one table of a safetensors file: a vector a token."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="np") as tensors:
            names = list(tensors.keys())
            if len(names) != 1 or names[0] not in _TABLES:
                raise InvalidError(
                    f"{file}: found the tensors {', '.join(names)[:200] or 'none'}",
                    hint=f"allowed: one, {' or '.join(_TABLES)}, with a vector for each token",
                )
            table: NDArray[Any] = tensors.get_tensor(names[0])
    except (SafetensorError, AttributeError, TypeError) as error:  # the latter two: types that NumPy does not have
        raise InvalidError(f"{file} is not a table of vectors that can be read: {error}") from error
    if table.ndim != 2 or not table.size or table.dtype.kind != "f":  # noqa: PLR2004 - rows and columns
        raise InvalidError(f"{file}: found {table.dtype} of shape {table.shape}, allowed: a table of floats")
    return table
