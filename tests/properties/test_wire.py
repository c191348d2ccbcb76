"""The strict reader of YAML, beside a parser that shares nothing with it."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.wire import MAX_BYTES, MAX_DEPTH, MAX_NODES, dump, load, load_plain
from tests.properties.reference import read_yaml

if TYPE_CHECKING:
    from collections.abc import Callable

SPECIAL = st.sampled_from(":-?,[]{}#&*!|>'\"%@` \n\t\r0123456789.eE+_xob~<=yn\\\u2028\ufeff\xa0\x85é")
TEXTS = st.text(SPECIAL, max_size=12) | st.sampled_from(
    [
        "no",
        "yes",
        "null",
        "~",
        "1e3",
        "0x1F",
        "1_000",
        "1:30",
        "2026-01-31",
        ".inf",
        "<<",
        "- a",
        "a: b",
        "a #b",
        "'",
        '"',
    ]
)
READABLE = TEXTS.filter(lambda text: not set(text) & set("\x85"))
SCALARS = st.one_of(
    READABLE,
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(READABLE, inner, max_size=4),
    max_leaves=12,
)
DOCUMENTS = st.dictionaries(READABLE, VALUES, max_size=5)


def read(data: bytes) -> object | None:
    try:
        return load(data).value
    except InvalidError:
        return None


def agree(data: bytes) -> None:
    """Hold what is accepted against what the other parser reads."""
    value = read(data)
    if value is not None:
        with suppress(ValueError):  # it is stricter with tabs, and with the indentation of a quoted text's later lines
            assert repr(read_yaml(data)) == repr(value)


@given(DOCUMENTS)
def test_an_independent_parser_reads_what_is_written(value: dict[str, object]) -> None:
    written = dump(value)

    assert repr(load(written).value) == repr(value)
    assert repr(read_yaml(written)) == repr(value)


@given(DOCUMENTS, st.sampled_from([None, 0, 2]))
def test_json_is_read_as_what_it_says(value: dict[str, object], indent: int | None) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=True)

    assert repr(read(text.encode())) == repr(value)
    assert repr(read_yaml(text.encode())) == repr(value)


# The other parser takes a no-break space around a plain word for white space, which YAML 1.2 does not.
PLAIN = st.text(SPECIAL.filter(lambda character: character != "\xa0"), min_size=1, max_size=10)


@given(st.dictionaries(st.sampled_from("abcdefgh"), PLAIN, min_size=1, max_size=4))
def test_plain_words_mean_the_same_to_an_independent_parser(fields: dict[str, str]) -> None:
    """Words that stand without quotes, as a person writes them: most are refused, or what they look like."""
    agree("".join(f"{name}: {word}\n" for name, word in fields.items()).encode())


def answer(reader: Callable[[], object]) -> object:
    """Give what a reader says: a value, or the problems of its refusal, each with its place."""
    try:
        return reader()
    except InvalidError as error:
        return [(problem.path, problem.line or pytest.fail("no place"), problem.message) for problem in error.problems]


@given(st.binary(max_size=200) | st.text(SPECIAL, max_size=60).map(str.encode))
def test_whatever_comes_in_both_readers_answer_alike_and_in_time(data: bytes) -> None:
    began = time.monotonic()
    places, values = answer(lambda: load(data, "some.yaml").value), answer(lambda: load_plain(data, "some.yaml"))

    assert repr(places) == repr(values)
    assert time.monotonic() - began < 5


# What is refused wherever it stands. Each is put into a place of a document that is read without it.

FORBIDDEN_VALUES = ["&a 1", "*a", "!x 1", "!!python/name:os 1", "{<<: {a: 1}}", "{a: 1, a: 2}", "{&a b: 1}", "{*a : 1}"]
FORBIDDEN_LINES = [
    "<<: {a: 1}",
    "<<: [{a: 1}]",
    "k: 1\n{pad}k: 2",
    "? [a]\n{pad}: 1",
    "1: a",
    "null: a",
    "true: a",
    "&a k: 1",
]
PATHS = st.lists(st.sampled_from(["mapping", "list"]), max_size=MAX_DEPTH - 3)


def nested(path: list[str], line: str | None, value: str | None) -> str:
    """Write a line of a mapping, or a value, at a place inside others, in block style."""
    text, pad = "top:\n", "  "
    for kind in path:
        text += f"{pad}other: 1\n{pad}field:\n" if kind == "mapping" else f"{pad}- 1\n{pad}-\n"
        pad += "  "
    return text + (f"{pad}last: {value}\n" if line is None else f"{pad}{line.replace('{pad}', pad)}\n")


@given(PATHS, st.sampled_from(FORBIDDEN_VALUES))
def test_anchors_aliases_tags_merges_and_duplicates_are_refused_as_values_everywhere(path: list[str], bad: str) -> None:
    assert read(nested(path, None, "1").encode()) is not None
    assert read(nested(path, None, bad).encode()) is None


@given(PATHS, st.sampled_from(FORBIDDEN_LINES))
def test_merges_duplicates_and_keys_that_are_no_text_are_refused_everywhere(path: list[str], bad: str) -> None:
    assert read(nested(path, "k: 1", None).encode()) is not None
    assert read(nested(path, bad, None).encode()) is None


@given(DOCUMENTS, st.sampled_from(["---\na: 1\n", "...\n---\na: 1\n", "...\n---\n", "--- a\n"]))
def test_a_second_document_is_refused(value: dict[str, object], second: str) -> None:
    assert read(dump(value) + second.encode()) is None


@given(DOCUMENTS, st.sampled_from(["%YAML 1.1\n---\n", "%TAG ! !x\n---\n", "%FOO\n---\n", "\ufeff"]))
def test_what_changes_the_meaning_of_a_document_is_refused_before_it(value: dict[str, object], head: str) -> None:
    assert read(head.encode() + dump(value)) is None


@given(st.integers(1, 2 * MAX_DEPTH), st.sampled_from(["[]", "{}"]))
def test_the_depth_is_bounded_in_every_style(depth: int, innermost: str) -> None:
    flow = "[" * (depth - 1) + innermost + "]" * (depth - 1)
    keys = "".join(f"{'  ' * level}k:\n" for level in range(1, depth)) + "  " * depth + f"k: {innermost}"
    wanted = depth + 1 <= MAX_DEPTH

    assert (read(f"a: {flow}\n".encode()) is not None) == wanted
    assert (read(f"a:\n{keys}\n".encode()) is not None) == (depth + 2 <= MAX_DEPTH)


@given(st.integers(-3, 3))
def test_the_number_of_keys_and_values_is_bounded_exactly(beyond: int) -> None:
    # The top, the key and the list are three; each item one more.
    data = b"a: [" + b"1," * (MAX_NODES - 3 + beyond) + b"]"

    assert (read(data) is not None) == (beyond <= 0)


@given(st.integers(-3, 3))
def test_the_size_is_bounded_exactly(beyond: int) -> None:
    data = b"a: 1\n#" + b"x" * (MAX_BYTES - 6 + beyond)

    assert (read(data) is not None) == (beyond <= 0)


@given(DOCUMENTS, st.data())
def test_a_document_with_any_byte_changed_is_refused_or_read_as_the_other_parser_reads_it(
    value: dict[str, object], data: st.DataObject
) -> None:
    written = bytearray(dump(value))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] = data.draw(st.integers(0, 255))
    written += b"\n"
    agree(bytes(written))


@pytest.mark.parametrize("text", ["{?a: 1}", "{?/ b}", 'a: {?"b": 1}', "a: [?b]", "a: [?b : 1]", "a: {x: 1, ?b : 2}"])
def test_a_question_mark_right_before_a_key_is_refused_because_readers_differ(text: str) -> None:
    assert read(text.encode()) is None


@pytest.mark.parametrize("text", ["? a\n: 1", "?a: 1", "a: {? b: 1}", "a?: 1", "a: [? b]", '"?": 1', "é: {? é: 1}"])
def test_other_question_marks_are_read(text: str) -> None:
    assert repr(read(text.encode())) == repr(read_yaml(text.encode()))
