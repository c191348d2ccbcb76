from __future__ import annotations

import re
import subprocess
import sys
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum
from textwrap import dedent
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gitreg import wire
from gitreg.digest import Digest
from gitreg.errors import InvalidError, Problem
from gitreg.names import AliasName, ModelName, Version
from gitreg.wire import Document, Mark, dump, field_name, load, load_plain, plain

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

MANIFEST = b"""\
api_version: gitreg/v1
kind: ModelVersion
model: risk/fraud-detector
version: 1.4.0
created: 2026-01-31T12:00:00Z
author:
  name: Alice Doe
  email: alice@example.org
description: |
  Retrained on January's ledger.

  Scores # payments: faster.
artifacts:
  - path: model.safetensors
    digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    size: 90868376
training:
  datasets:
    - name: ledger
      version: "2026.01"
  hyperparameters:
    learning_rate: 1.0e-05
    layers:
      - - 1
        - 2
      - []
      - {}
    note: "no"
    nothing: null
    early: true
metrics:
  accuracy: 0.934
"""


@pytest.fixture
def without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", False)


def problem_in(data: bytes | str, path: str | None = "f.yaml") -> Problem:
    with pytest.raises(InvalidError) as caught:
        load(data.encode() if isinstance(data, str) else data, path)
    [problem] = caught.value.problems
    return problem


# ------------------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *((word, None) for word in ("", "~", "null", "Null", "NULL")),
        *((word, True) for word in ("true", "True", "TRUE")),
        *((word, False) for word in ("false", "False", "FALSE")),
        *((word, word) for word in ("no", "yes", "on", "Off", "y", "nUll", "tRUE")),
        ("12", 12),
        ("-12", -12),
        ("+12", 12),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0", 0),
        (str(2**63 - 1), 2**63 - 1),
        (str(-(2**63)), -(2**63)),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1e3", -1000.0),
        ("1e-05", 1e-05),
        ("0x", "0x"),
        ("0o8", "0o8"),
        ("-0x1F", "-0x1F"),
        ("0b1", "0b1"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1.4.0", "1.4.0"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("\u0661", "\u0661"),  # a digit, but not ASCII's
        ("'12'", "12"),
        ('"12"', "12"),
        ("!!str 12", "12"),
        ("!!int 12", 12),
        ('!!int "12"', 12),
        ("!!float 12", 12.0),
        ("!!null null", None),
        ("!!bool true", True),
        ("!!seq [1]", [1]),
        ("!!map {b: 1}", {"b": 1}),
        ("[1, [a, {b: c}]]", [1, ["a", {"b": "c"}]]),
        ("|\n  one\n  two", "one\ntwo"),
        (">\n  one\n  two\n", "one two\n"),
        ('"\\u2028\\t\\U0001F600"', "\u2028\t\U0001f600"),
        ("caf\u00e9 \U0001f600", "caf\u00e9 \U0001f600"),
        ("=", "="),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_values_have_the_core_types_of_yaml_1_2(
    monkeypatch: pytest.MonkeyPatch, text: str, value: object, fast: bool
) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", fast and yaml.__with_libyaml__)
    data = f"a: {text}".encode()
    assert repr(load(data).value) == repr({"a": value})
    assert repr(load_plain(data)) == repr({"a": value})


@pytest.mark.parametrize(
    "text",
    [
        "---\na: 1\n",
        "# about\n\n---\na: 1\n...\n",
        "%YAML 1.2\n---\na: 1\n",
        "# 100 %\n%YAML 1.2\n---\na: 1\n",
        "{a: 1}",
        "{'a': 1, }",
        "? a\n: 1\n",
        "!!str a: 1\n",
        "a: 1\r\n",
        "a: 1 # one",
        "a: 1 #\ttab",
    ],
)
def test_any_way_of_writing_a_mapping_is_read(text: str) -> None:
    assert load(text.encode()).value == {"a": 1}


def test_everything_has_a_place() -> None:
    document = load(MANIFEST, "m.yaml")
    assert document.path == "m.yaml"
    assert document.mark(()) == Mark(1, 1)
    assert document.mark(("version",)) == Mark(4, 1)
    assert document.mark(("author", "email")) == Mark(8, 3)
    assert document.mark(("metrics",)) == Mark(31, 1)
    assert document.mark(("artifacts", 0)) == Mark(14, 5)
    assert document.mark(("training", "datasets", 0, "version")) == Mark(20, 7)


def test_an_unknown_place_is_that_of_what_is_around_it() -> None:
    document = load(b"a:\n  b:\n    - c\n")
    assert document.mark(("a", "b", 7, "x")) == document.mark(("a", "b")) == Mark(2, 3)
    assert document.mark(("z",)) == Mark(1, 1)
    assert Document({}).mark(("z",)) is None


def test_the_source_of_what_is_no_text_is_kept() -> None:
    document = load(b"a: 2026.10\nb: [0x1F, x, '1', ~, !!int 07]\n")
    assert document.sources == {("a",): "2026.10", ("b", 0): "0x1F", ("b", 3): "~", ("b", 4): "07"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ((), ""),
        (("version",), "version"),
        (("training", "datasets", 0, "version"), "training.datasets[0].version"),
        (("labels", "a.b"), "labels['a.b']"),
        (("labels", ""), "labels['']"),
        ((0, "a-b"), "[0].a-b"),
    ],
)
def test_fields_are_named_as_people_name_them(path: wire.Path, name: str) -> None:
    assert field_name(path) == name


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("text", "line", "column", "said"),
    [
        # what the text is made of
        (b"\xff\xfea\x00:\x00", 1, 1, "UTF-16 or UTF-32; save it as UTF-8"),
        (b"\x00a\x00:", 1, 1, "UTF-16 or UTF-32; save it as UTF-8"),
        (b"\xef\xbb\xbfa: 1", 1, 1, "byte order mark; save it as UTF-8 without BOM"),
        (b"a: 1\nb: caf\xe9", 2, 7, "the byte 0xe9 is not UTF-8; save the file as UTF-8"),
        ("\u00e9: 1\nb: \x1b[2J", 2, 4, "control character U+001B; leave it out"),
        ("a: 1\nb: \x7f", 2, 4, "control character U+007F"),
        ("a: \x85", 1, 4, "control character U+0085"),
        ("a: \u2028", 1, 4, 'U+2028; write it as "\\u2028" inside double quotes, or leave it out'),
        ("a: \ufeff", 1, 4, 'U+FEFF; write it as "\\uFEFF"'),
        ("a: \uffff", 1, 4, "U+FFFF"),
        ("a: 1\rb: 2", 1, 5, "U+000D; end lines with a line feed"),
        ('a: 1\nb: "\\e[2J"', 2, 4, "b: the text holds the control character U+001B"),
        ('a: !!str "\\0"', 1, 4, "a: the text holds the control character U+0000"),
        ('a: "\\U00110000"', 1, None, "found an escape that is no character"),
        # what the document is
        ("", None, None, "the file is empty; fields are written as `name: value`"),
        ("# nothing\n", None, None, "the file is empty"),
        ("- a\n- b\n", 1, 1, "found a list, want fields; they are written as `name: value`"),
        ("text", 1, 1, "found a lone value, want fields"),
        ("a: 1\n---\nb: 2\n", 2, 1, "a second document begins here; a file holds one"),
        ("a: 1\n...\n---\n", 3, 1, "a second document begins here"),
        ("# x\n%TAG ! tag:x,2026:\n---\na: 1\n", 2, 1, "found the directive '%TAG ! tag:x,2026:'; leave the line out"),
        ("%YAML 1.1\n---\na: 1\n", 1, 1, "leave the line out; gitreg reads YAML 1.2"),
        # what YAML has and gitreg has not
        ("a: 1\nb: &x 1", 2, 4, "b: found the anchor &x; leave it out, and write values where they go"),
        ("a: &x [1]", 1, 4, "a: found the anchor &x"),
        ("a: &x {b: 1}", 1, 4, "a: found the anchor &x"),
        ("&x a: 1", 1, 1, "found the anchor &x"),
        ("a: *x", 1, 4, "a: found the alias *x; write the value out again"),
        ("*x : 1", 1, 1, "found the alias *x as a key; write the key out"),
        ("a: 1\n<<: {b: 1}", 2, 1, "found the merge key <<; write the fields out"),
        ("a: !mine 1", 1, 4, "a: found the tag '!mine'; leave the tag out"),
        ("a: ! 1", 1, 4, "a: found the tag '!'; leave the tag out"),
        ("a: !mine [1]", 1, 4, "a: found the tag '!mine'"),
        ("a: !!python/object:os.system x", 1, 4, "found the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: !!timestamp 2026-01-31", 1, 4, "found the tag 'tag:yaml.org,2002:timestamp'"),
        ("a: !!binary aGk=", 1, 4, "found the tag 'tag:yaml.org,2002:binary'"),
        ("a: !!set {b}", 1, 4, "found the tag 'tag:yaml.org,2002:set'"),
        ("a: !!int 1.5", 1, 4, "a: '1.5' is no !!int; leave the tag out"),
        ("a: !!int true", 1, 4, "a: 'true' is no !!int"),
        ("a: !!float x", 1, 4, "a: 'x' is no !!float"),
        ("a: !!seq {}", 1, 4, "a: a mapping cannot be a tag:yaml.org,2002:seq"),
        ("a: !!map x", 1, 4, "a: 'x' is no !!map"),
        # keys
        ("a: 1\nb:\n  c: 1\n  c: 2", 4, 3, "b: the key 'c' stands here twice, first in line 3; leave one out"),
        ("{a: 1, 'a': 2}", 1, 8, "the key 'a' stands here twice, first in line 1"),
        ("1: a", 1, 1, 'found 1 as a key, which is not text; write it in quotes: "1"'),
        ("true: a", 1, 1, 'found true as a key, which is not text; write it in quotes: "true"'),
        ("? \n: a", 1, None, "found an empty word as a key"),
        ("? [a]\n: 1", 1, 3, "found a list as a key; keys are text"),
        ("? {a: b}\n: 1", 1, 3, "found a mapping as a key; keys are text"),
        (f"{'k' * 129}: 1", 1, 1, "has 129 characters, and 128 are allowed"),
        # numbers
        ("a: 9223372036854775808", 1, 4, 'does not fit in 64 bits; if it is text, write it in quotes: "9223372036854'),
        ("a: -9223372036854775809", 1, 4, "does not fit in 64 bits"),
        ("a: 0xFFFFFFFFFFFFFFFF", 1, 4, "does not fit in 64 bits"),
        (f"a: {'1' * 65}", 1, 4, "has 65 characters, and 64 are allowed; if it is text, write it in quotes"),
        (f"a: 0.{'1' * 63}", 1, 4, "has 65 characters"),
        ("a: 1e999", 1, 4, "the number 1e999 is too large to be read"),
        ("a: .inf", 1, 4, 'a: .inf is not a finite number; if it is text, write it in quotes: ".inf"'),
        ("a: [-.Inf]", 1, 5, "a[0]: -.Inf is not a finite number"),
        ("a: .nan", 1, 4, ".nan is not a finite number"),
        # what no parser takes
        ("a:\n\t- b", 2, 1, "found a tab; indent and separate with spaces"),
        ("a:\tb", 1, 3, "found a tab; indent and separate with spaces"),
        ("a: b: c", 1, 5, "found ': ' where no field can begin; put text that holds ': ' in quotes"),
        ("a: 1\nb", 2, 1, "a field wants a ':' and a space after its name; write it as `name: value`"),
        ("a:\n  b: 1\n c: 2", 3, 2, "the indentation does not fit the lines above"),
        ("a: 1\n  b: 2", 2, None, "found ': ' where no field can begin"),
        ("a: 1\nb: [1, 2", 2, None, "a list that opened with [ wants a comma or ] here"),
        ("a: {b: 1", 1, None, "fields that opened with { want a comma or } here"),
        ("a: 1\nb: 'x\nc: 1\n", 2, 4, "a quote that opened here is never closed; close it"),
        ('a: "x\n---\n', 1, 4, "a quote that opened here is never closed"),
        ('a: "C:\\new\\dir"', 1, None, "found an unknown escape; write \\\\ for a backslash, or use single quotes"),
        ('a: "\\xZZ"', 1, None, "found an unknown escape"),
        ("a: @me", 1, 4, "text cannot begin with '@'; put it in quotes"),
        ("a: `x`", 1, 4, "text cannot begin with '`'; put it in quotes"),
        ("a: %x", 1, 4, "text cannot begin with '%'; put it in quotes"),
        ("a: - b", 1, 4, "found '- ' where no list can begin; begin the list on a line of its own"),
        ("a: ? b", 1, None, "found '? ' where no field can begin"),
        ("a: | x", 1, None, "text begins right after | or >; begin it on the next line, indented"),
        ("a: **bold**", 1, None, "found a * that begins an alias; put text that begins with * in quotes"),
        ("a: & b", 1, None, "found a & that begins an anchor; put text that begins with & in quotes"),
        ("a: !<x", 1, None, "found a ! that begins a tag; put text that begins with ! in quotes"),
        ("a: ]", 1, 4, "found no value where one has to be; put text that begins with , ] } - or ? in quotes"),
        ("{a: 1}\nb: 2", 2, None, "found something after the end of the fields"),
    ],
)
@pytest.mark.parametrize("fast", [True, False])
def test_a_refusal_says_where_and_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    text: str | bytes,
    line: int | None,
    column: int | None,
    said: str,
    fast: bool,
) -> None:
    monkeypatch.setattr(yaml, "__with_libyaml__", fast and yaml.__with_libyaml__)
    problem = problem_in(text)
    assert said in str(problem)
    assert problem.path == "f.yaml"
    assert line is None or problem.line == line
    assert column is None or problem.column == column


def test_a_refusal_names_the_file_and_reads_well() -> None:
    with pytest.raises(InvalidError) as caught:
        load(b"a: 1\na: 2\n", "models/risk/x/1.0.0.yaml")
    assert str(caught.value).splitlines() == [
        "models/risk/x/1.0.0.yaml cannot be read",
        "  models/risk/x/1.0.0.yaml:2: the key 'a' stands here twice, first in line 1; leave one out",
    ]
    with pytest.raises(InvalidError, match=r"\Athe text cannot be read\n  line 1: found"):
        load(b"1: 2\n")


def test_lists_and_mappings_may_be_nested_sixteen_deep() -> None:
    def nested(depth: int) -> bytes:  # the top mapping is the first of them
        return b"a: " + b"[" * (depth - 1) + b"]" * (depth - 1)

    assert load(nested(wire.MAX_DEPTH)).value["a"]
    problem = problem_in(nested(wire.MAX_DEPTH + 1))
    assert "more than 16 deep in each other; flatten them" in problem.message
    assert (problem.line, problem.column) == (1, 3 + wire.MAX_DEPTH)
    block = "\n".join(f"{' ' * i}a:" for i in range(wire.MAX_DEPTH + 1)) + f"\n{' ' * 40}b: 1"
    assert problem_in(block).line == wire.MAX_DEPTH + 1


def test_a_file_may_have_a_mebibyte() -> None:
    data = b"a: 1\n#" + b"x" * (wire.MAX_BYTES - 6)
    assert load(data).value == {"a": 1}
    assert "1,048,577 bytes, and 1,048,576 are allowed" in problem_in(data + b"x").message


def test_a_file_may_hold_fifty_thousand_keys_and_values() -> None:
    data = b"a: [" + b"1, " * (wire.MAX_NODES - 3) + b"]"
    assert len(load(data).value["a"]) == wire.MAX_NODES - 3
    assert "more than 50,000 keys and values" in problem_in(data.replace(b"]", b"1]")).message


@pytest.mark.parametrize(
    "data",
    [b"a: " + b"[" * 500_000, b"a:\n" + b"- " * 500_000, b"a: " + b"1" * 1_000_000, b"a: 0x" + b"f" * 1_000_000],
)
def test_bombs_are_refused_before_they_grow(data: bytes) -> None:
    assert problem_in(data).line in {1, 2}


# ----------------------------------------------------------------------------------------------------- the two parsers

TOKENS = [
    *":-?,[]{}#&*!|>'\"%@` \n\\~<=+.01abx\u00e9\u3000\u200d\xa0\t",
    *(
        ": ",
        "- ",
        "? ",
        " #",
        "\r\n",
        "---\n",
        "...\n",
        "|\n",
        ">-\n",
        "|2\n",
        "|+\n",
        "!!str ",
        "!!int ",
        "! ",
        "<<: ",
    ),
    *("&a ", "*a ", '"\\u0041"', "\\x41", "\\ud83d", "\\U00110000", "null", "0x1F", "1e3", "\\\n", "!<x> ", "!a%41 "),
]
SEEDS = [
    MANIFEST.decode(),
    "a: [1, 'b', {c: \"d\\n\"}]\nb:\n- x\n- - y\n  - z\ne: !!str 1\n? g\n: h\n",
    "c: |\n  text\n   more\n\nd: >-\n  folded\n  text\n",
    "%YAML 1.2\n---\na: {b: c, d: [e, f]} # comment\n...\n",
    "{a: 1, 'b': [x, y: z], \"c\": d}\n",
    "a:\n  - b: 1\n    c: 2\n  -\n    - d\n  - ? e\n    : f\n# end\n",
]


@st.composite
def bent(draw: st.DrawFn) -> str:
    """Bend a good file in a few places."""
    text = draw(st.sampled_from(SEEDS))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        cut = draw(st.sampled_from([0, 0, 0, 1, 2, 5]))
        text = text[:at] + draw(st.sampled_from(["", *TOKENS])) + text[at + cut :]
    return text


def answers(text: str) -> Iterator[tuple[object, ...]]:
    for fast in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(yaml, "__with_libyaml__", fast)
            try:
                document = load(text.encode())
            except InvalidError as error:
                yield "refused", error.problems[0].line is not None
            else:
                yield repr(document.value), document.marks, document.sources


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="needs libyaml")
@given(st.one_of(bent(), st.lists(st.sampled_from(TOKENS), max_size=12).map("".join)))
def test_libyaml_and_the_pure_parser_give_the_same_answers(text: str) -> None:
    fast, pure = answers(text)
    assert fast == pure


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="needs libyaml")
@pytest.mark.parametrize(
    "text",
    [
        "a:\tb",
        "a: b\tc",
        "a: [b?, c]",
        "{a: https://example.org/?q=1}",
        "{a:, b: 1}",
        "{a: [b:], c: d}",
        "a: |#\n  x",
        "a: >#-\n  x",
        '"\\ud83d\\ude00": 1',
        '"\\U00110000": 1',
        "---\n%FOO x\n",
        "%FOO x\n---\na: 1",
        "a: !x, b",
    ],
)
def test_the_parsers_agree_where_they_are_known_to_differ(text: str) -> None:
    fast, pure = answers(text)
    assert fast == pure


# ------------------------------------------------------------------------------------------------------------- writing


def test_the_canonical_form() -> None:
    assert dump(load(MANIFEST).value) == MANIFEST


def test_keys_keep_the_order_they_are_given_in() -> None:
    assert dump(OrderedDict(b=1, a=2)) == b"b: 1\na: 2\n"


def test_a_header_becomes_comments() -> None:
    header = "yaml-language-server: $schema=../x.json\n\nsecond"
    assert dump({"a": 1}, header=header) == b"# yaml-language-server: $schema=../x.json\n#\n# second\na: 1\n"
    with pytest.raises(InvalidError, match=r"U\+0007"):
        dump({"a": 1}, header="bell \a")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("text", "text"),
        ("1.4.0", "1.4.0"),
        ("1.4.0-rc.1", "1.4.0-rc.1"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("sha256:0a", "sha256:0a"),
        ("s3://bucket/key#x", "s3://bucket/key#x"),
        ("caf\u00e9 \u6a21\u578b \U0001f600", "caf\u00e9 \u6a21\u578b \U0001f600"),
        ('it\'s "so"', 'it\'s "so"'),
        ("4e9c0b1", "4e9c0b1"),
        *(
            (text, f'"{text}"')
            for text in (
                "",
                "~",
                "null",
                "Null",
                "yes",
                "No",
                "ON",
                "y",
                "true",
                "=",
                "<<",
                "12",
                "+1",
                "-1",
                "010",
                "0o17",
                "0x1F",
                "0b1",
                "1_000",
                "1,000",
                "1.5",
                ".5",
                "1.",
                ".",
                "1e3",
                "1:30",
                "190:20:30.5",
                ".inf",
                "-.Inf",
                ".NaN",
                "2026-01-31",
                "2026-1-1",
                "2026-01-31 12:00:00",
                "2026-01-31T12:00:00+01:00",
                "1" * 80,
                "- a",
                "-",
                "---",
                "...",
                "?x",
                ":x",
                "a: b",
                "a:",
                "a #b",
                "#a",
                "&a",
                "*a",
                "!a",
                "|",
                ">",
                "'a'",
                "%a",
                "@a",
                "`a",
                "[a",
                "{a",
                ",a",
                "]",
                "}",
                " a",
                "a ",
                "a\u200db",
            )
        ),
        ('"', '"\\""'),
        ("a\\\tb: c", '"a\\\\\\tb: c"'),
        ("\r\n", '"\\r\\n"'),
        ("a\u2028\xad\u202e\ufeff", '"a\\u2028\\u00AD\\u202E\\uFEFF"'),
        ("a\nb", "|-\n  a\n  b"),
        ("a\n\n b: #\n", None),
        ("a\n\nb: #\n", "|\n  a\n\n  b: #"),
        ("a\u200d\nb\xa0c", "|-\n  a\u200d\n  b\xa0c"),
        ("\n", '"\\n"'),
        ("\na", '"\\na"'),
        (" a\nb", '" a\\nb"'),
        ("a \nb", '"a \\nb"'),
        ("a\n\n", '"a\\n\\n"'),
        ("a\n\tb", '"a\\n\\tb"'),
        (None, "null"),
        (True, "true"),
        (12, "12"),
        (-(2**63), str(-(2**63))),
        (1.0, "1.0"),
        (-0.0, "-0.0"),
        (1e16, "1.0e+16"),
        (1.5e-07, "1.5e-07"),
        (5e-324, "5.0e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (np.float64(0.5), "0.5"),
        (AliasName("champion"), "champion"),
        ([], "[]"),
        ({}, "{}"),
        ((), "[]"),
        ((1, 2), None),
    ],
)
def test_a_value_is_written_so_that_every_reader_reads_it_alike(value: object, written: str | None) -> None:
    data = dump({"a": value})
    if written is not None:
        assert data.decode() == f"a: {written}\n"
    assert load(data).value == {"a": list(value) if isinstance(value, tuple) else value}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"a": float("nan")}, "nan is not a finite number"),
        ({"a": [float("-inf")]}, "-inf is not a finite number"),
        ({"a": 2**63}, "does not fit in 64 bits"),
        ({"a": "\x1b[2J"}, r"control character U\+001B"),
        ({"a": "x\n\x00"}, r"control character U\+0000"),
        ({"a": "\ud800"}, r"control character U\+D800"),
        ({"\x00": 1}, r"control character U\+0000"),
        ({1: "a"}, "1 cannot be a key; keys are text"),
        ({"k" * 129: 1}, "129 characters, and 128 are allowed"),
        ({"a": b"bytes"}, "a bytes cannot be written"),
        ({"a": {1, 2}}, "a set cannot be written"),
        ({"a": datetime(2026, 1, 31, tzinfo=UTC)}, "a datetime cannot be written"),
        (["a"], "found a list, want fields"),
        ({"a": "x" * wire.MAX_BYTES}, "bytes, and 1,048,576 are allowed"),
        ({"a": [1] * wire.MAX_NODES}, "more than 50,000 keys and values"),
    ],
)
def test_what_could_not_be_read_back_is_not_written(value: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        dump(value)


@pytest.mark.parametrize("innermost", [1, [], {}])
def test_writing_keeps_to_the_depth_of_reading(innermost: object) -> None:
    def nested(depth: int) -> dict[str, object]:
        value: object = innermost
        for _ in range(depth - 1 - isinstance(innermost, (list, dict))):
            value = [value]
        return {"a": value}

    deepest = nested(wire.MAX_DEPTH)
    assert load(dump(deepest)).value == deepest
    with pytest.raises(InvalidError, match="more than 16 deep in each other"):
        dump(nested(wire.MAX_DEPTH + 1))


BAD_CHARACTERS = "".join(map(chr, [*range(9), 11, 12, *range(14, 32), *range(0x7F, 0xA0), 0xFFFE, 0xFFFF]))
CHARACTERS = st.one_of(
    st.characters(exclude_categories=["Cs"], exclude_characters=BAD_CHARACTERS),
    st.sampled_from(":-?,[]{}#&*!|>'\"%@` \n\t\r0123456789.eE+_xob~<=yn\u2028\u2029\ufeff\u202e\xa0\xad"),
)
WORDS = st.sampled_from(
    (
        *("yes", "No", "ON", "y", "null", "~", ".inf", ".", "..", "...", "<<", "=", "-", "--", "---"),
        *("1e3", "1e", "0x1F", "0b1", "0o7", "1_000", "1:30", "1__", "-0", "1,000", "1.4.0"),
        *("2026-01-31", "2026-01-31T12:00:00Z", "2026-01-31 1:00:00"),
    )
)
TEXTS = st.one_of(
    st.text(CHARACTERS, max_size=20), WORDS, st.tuples(WORDS, st.text(CHARACTERS, max_size=3)).map("".join)
)
SCALARS = st.one_of(
    TEXTS,
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=10,
)
DOCUMENTS = st.dictionaries(TEXTS, VALUES, max_size=5)


@given(DOCUMENTS)
def test_what_is_written_reads_back_alike_with_either_parser(value: dict[str, object]) -> None:
    data = dump(value)
    document = load(data)
    assert repr(document.value) == repr(value)  # the order of keys, 1 and 1.0 and True, 0.0 and -0.0
    assert dump(document.value) == data
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(yaml, "__with_libyaml__", False)
        assert repr(load(data).value) == repr(value)


def without_times(value: object) -> object:
    """Spell times so that no reader of YAML 1.1 takes them for more than text."""
    if isinstance(value, str):
        return "a time" if re.fullmatch(r"\d{4}-\d\d-\d\dT.*Z", value, re.ASCII) else value
    if isinstance(value, list):
        return [without_times(item) for item in value]
    if isinstance(value, dict):
        return {without_times(key): without_times(item) for key, item in value.items()}
    return value


@given(DOCUMENTS.map(without_times))
def test_readers_of_yaml_1_1_read_the_same(value: dict[str, object]) -> None:
    assert repr(yaml.safe_load(dump(value))) == repr(value)


@given(st.randoms(use_true_random=False))
def test_no_bytes_make_it_fail_otherwise(source: random.Random) -> None:
    data = bytearray(MANIFEST)
    for _ in range(source.randrange(1, 4)):
        data[source.randrange(len(data))] = source.randrange(256)
    with suppress(InvalidError):
        load(bytes(data))


# --------------------------------------------------------------------------------------------------------------- plain


class Colour(Enum):
    RED = "red"


@dataclass(frozen=True, slots=True)
class Thing:
    name: AliasName
    model: ModelName
    version: Version
    digest: Digest
    when: datetime
    colour: Colour
    nothing: str | None = None
    parts: tuple[int, ...] = ()


def test_values_become_what_json_can_say() -> None:
    thing = Thing(
        AliasName("champion"),
        ModelName("risk", "x"),
        Version("1.0.0"),
        Digest.of(b""),
        datetime(2026, 1, 31, 13, tzinfo=timezone(timedelta(hours=1))),
        Colour.RED,
    )
    value = plain({"thing": thing, ModelName("a", "b"): [{"y", "x"}, frozenset({1}), date(2026, 1, 31)]})
    assert value == {
        "thing": {
            "name": "champion",
            "model": "risk/x",
            "version": "1.0.0",
            "digest": str(Digest.of(b"")),
            "when": "2026-01-31T12:00:00Z",
            "colour": "red",
            "parts": [],
        },
        "a/b": [["x", "y"], [1], "2026-01-31"],
    }
    assert type(value["thing"]["name"]) is str
    assert load(dump(value)).value == value


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (True, True),
    ],
)
def test_numbers_of_numpy_become_plain_ones(value: object, made: object) -> None:
    assert repr(plain(value)) == repr(made)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"bytes", "a bytes cannot be written"),
        (object(), "a object cannot be written"),
        (Thing, "a type cannot be written"),
        ({1: 2}, "1 cannot be a key"),
        (datetime(2026, 1, 31), "has no time zone"),  # noqa: DTZ001
    ],
)
def test_what_has_no_plain_form_is_refused(value: object, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        plain(value)


# --------------------------------------------------------------------------------------------------------------- speed


def test_the_parser_is_imported_when_something_is_read() -> None:
    code = dedent("""\
        import sys
        from gitreg.wire import dump, load
        dump({"a": 1})
        assert "yaml" not in sys.modules
        load(b"a: 1")
        assert "yaml" in sys.modules
    """)
    subprocess.run([sys.executable, "-c", code], check=True)


def test_it_works_without_libyaml(without_libyaml: None) -> None:
    assert load(MANIFEST).value["version"] == "1.4.0"
