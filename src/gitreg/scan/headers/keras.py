"""Find the code that a Keras model's configuration can hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gitreg.scan.headers.source import Source

_CHUNK = 4 * 1024 * 1024
_OVERLAP = 1024  # bytes: longer than the words, with every letter escaped


def _spelled(word: str) -> str:
    """Match a word in JSON, however its letters are escaped."""
    return "".join(rf"(?:{letter}|\\u00{ord(letter):02x})" for letter in word)


_LAMBDA = re.compile(
    f'"{_spelled("class_name")}"\\s*:\\s*"(?:{_spelled("Lambda")}|{_spelled("__lambda__")})"'.encode(), re.IGNORECASE
)


def code_in_layers(source: Source) -> tuple[str, ...]:
    """Tell a lambda, which a model's configuration holds as marshalled bytes, anywhere in a file."""
    for start in range(0, source.size, _CHUNK):
        if _LAMBDA.search(source.peek(start, _CHUNK + _OVERLAP)):
            return ("a Keras Lambda layer, which holds code",)
    return ()
