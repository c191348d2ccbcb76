"""Replay what fuzzing has found, without the fuzzer."""

from __future__ import annotations

import pytest

from fuzz.targets import CORPUS, TARGETS


@pytest.mark.parametrize("name", TARGETS)
def test_every_input_of_the_corpus_keeps_the_promises(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())

    assert len(inputs) > 10
    for path in inputs:
        try:
            TARGETS[name](path.read_bytes())
        except Exception as error:
            error.add_note(f"{path.name}: {path.read_bytes()[:200]!r}")
            raise


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("yaml", b"a: >\n"),  # saphyr 0.2 reads a line break into it; the document's end has to be marked
        ("yaml", b"l: \n-: |\n -"),
        ("yaml", b"{\n ?/\r\n ar}"),  # PyYAML reads the key '/ ar', YAML 1.2 has '?/ ar': refused
    ],
)
def test_what_fuzzing_taught_about_the_other_parser_is_heeded(name: str, data: bytes) -> None:
    TARGETS[name](data)
