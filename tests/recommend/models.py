"""Small static models for tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from safetensors.numpy import save_file
from tokenizers import Tokenizer, models, pre_tokenizers

if TYPE_CHECKING:
    from pathlib import Path

VOCABULARY = ("toxic", "abusive", "comments", "rain", "radar", "forecast", "weather", "-")
_VECTORS = ((4, 1, 0), (4, 1.2, 0), (0.5, 3, 1), (-4, 0, 1), (-4, 0.2, 1), (-3, 0, 2), (-4, -0.2, 1), (9, 9, 9))


def write_model(folder: Path, *, name: str = "embedding.weight") -> Path:
    """Write a model whose words lie on two heaps: abuse and weather."""
    folder.mkdir(exist_ok=True)
    save_file({name: np.array(_VECTORS, dtype=np.float16)}, folder / "model.safetensors")
    tokenizer = Tokenizer(models.WordLevel(dict(zip(VOCABULARY, range(len(VOCABULARY)), strict=True)), unk_token="-"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
