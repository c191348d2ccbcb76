"""The parser of ref updates, beside an obvious reading of the same rules, and beside git."""

from __future__ import annotations

import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st

from gitreg.gate import Code, RefUpdate, parse_updates
from tests.properties.reference import MAX_REF, MAX_UPDATES, is_ref, read_updates

OIDS = st.sampled_from(["0" * 40, "a" * 40, "0123456789abcdef" * 2 + "01234567", "0" * 64, "b" * 64])
PARTS = st.sampled_from(
    [
        *(
            "main",
            "a",
            "A",
            ".",
            "..",
            "@",
            "@{",
            "{",
            "~",
            "^",
            ":",
            "?",
            "*",
            "[",
            "\\",
            " ",
            "\t",
            "-",
            "--all",
            "é",
        ),
        *("lock", ".lock", ".lock/", "\x7f", "\x00", "\x1f", "$(id)", ";", "|", "'", '"', "%", "\u202e", "HEAD"),
    ]
)
NAMES = st.lists(st.lists(PARTS, max_size=4).map("".join), min_size=1, max_size=5).map("/".join)
REFS = st.one_of(
    st.sampled_from(["refs/heads/main", "refs/tags/deploy/prod/risk/fraud/1", "refs/heads/proposals/alice/x"]),
    NAMES.map(lambda name: f"refs/{name}"),
    NAMES,
)
LINES = st.tuples(OIDS, OIDS, REFS).map(lambda line: " ".join(line).encode() + b"\n")


def agree(data: bytes) -> bool:
    """Hold the parser against the obvious reading; say whether both accept."""
    updates, violations = parse_updates(data)
    expected = read_updates(data)
    assert (violations == []) == (expected is not None)
    assert {each.code for each in violations} <= {Code.REF_MALFORMED}
    if expected is not None:
        assert updates == [RefUpdate(*line) for line in expected]
        assert [each.deletes for each in updates] == [set(new) == {"0"} for _, new, _ in expected]
        assert [each.creates for each in updates] == [set(old) == {"0"} for old, _, _ in expected]
    return expected is not None


@given(st.lists(LINES, max_size=5).map(b"".join))
def test_lines_are_read_as_an_obvious_reading_has_it(data: bytes) -> None:
    agree(data)


@given(st.lists(LINES, min_size=1, max_size=3).map(b"".join), st.data())
def test_a_line_with_bytes_changed_is_read_as_an_obvious_reading_has_it(lines: bytes, data: st.DataObject) -> None:
    mutated = bytearray(lines)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(mutated)))
        cut = data.draw(st.integers(0, 2))
        mutated[at : at + cut] = data.draw(
            st.binary(max_size=2) | st.sampled_from([b" ", b"\n", b"\0", b"/", b".", b"g"])
        )
    agree(bytes(mutated))


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    agree(data)


@given(st.integers(MAX_REF - 3, MAX_REF + 3))
def test_the_length_of_a_ref_is_bounded_exactly(length: int) -> None:
    ref = "refs/heads/".ljust(length, "x")

    assert agree(f"{'a' * 40} {'b' * 40} {ref}\n".encode()) == (length <= MAX_REF)


@given(st.integers(MAX_UPDATES - 2, MAX_UPDATES + 2))
@settings(max_examples=10)
def test_the_number_of_updates_is_bounded_exactly(count: int) -> None:
    lines = b"".join(b"%s %s refs/heads/proposals/a/%d\n" % (b"a" * 40, b"b" * 40, number) for number in range(count))

    assert agree(lines) == (count <= MAX_UPDATES)


@given(st.lists(NAMES.map(lambda name: f"refs/{name}"), min_size=20, max_size=40, unique=True))
@settings(max_examples=6)
def test_git_takes_every_ref_that_is_read_and_no_other_of_visible_ascii(refs: list[str]) -> None:
    asked = [ref for ref in refs if "\0" not in ref and len(ref) <= MAX_REF]
    script = 'for ref; do git check-ref-format "$ref" && echo yes || echo no; done'
    answer = subprocess.run(["sh", "-c", script, "sh", *asked], capture_output=True, text=True, check=True)
    for ref, said in zip(asked, answer.stdout.split(), strict=True):
        visible = all("!" <= mark <= "~" for mark in ref)
        assert is_ref(ref.encode()) == (said == "yes" and visible), ref
        assert agree(f"{'a' * 40} {'b' * 40} {ref}\n".encode()) == (said == "yes" and visible), ref
