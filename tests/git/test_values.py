from __future__ import annotations

import subprocess
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import IntegrityError, InvalidError
from gitreg.git import Signature
from gitreg.git.values import parse_commit, parse_tag, subject_of, trailers_of

OID = b"1" * 40
WHO = b"Alice Doe <alice@example.org> 1767225600 +0100"


def _commit(*headers: bytes, message: bytes = b"Message\n") -> bytes:
    return b"\n".join(headers) + b"\n\n" + message


def test_a_signature_survives_a_round_trip() -> None:
    signature = Signature.parse(WHO)
    assert signature == Signature("Alice Doe", "alice@example.org", 1767225600, 60)
    assert signature.line() == WHO
    assert signature.when.isoformat() == "2026-01-01T01:00:00+01:00"


@pytest.mark.parametrize(("zone", "minutes"), [(b"+0000", 0), (b"-0330", -210), (b"+0545", 345), (b"-0000", 0)])
def test_zones_are_minutes_east(zone: bytes, minutes: int) -> None:
    signature = Signature.parse(b"A <a@b> 0 " + zone)
    assert signature.offset == minutes
    assert signature.when.utcoffset() == timedelta(minutes=minutes)


@pytest.mark.parametrize(
    "line",
    [b"", b"Alice", b"A <a@b>", b"A <a@b> x +0000", b"A <a@b> 1 +00", b"A <a\n@b> 1 +0000", b"A <a@b> 1 +0000\n"],
)
def test_a_line_that_is_no_signature_is_invalid(line: bytes) -> None:
    with pytest.raises(InvalidError):
        Signature.parse(line)


@pytest.mark.parametrize(
    ("name", "email"), [("", "a@b"), ("A", ""), ("A\nparent x", "a@b"), ("A <x>", "a@b"), ("A", "a@b>"), ("A\0", "a@b")]
)
def test_an_author_that_git_cannot_write_is_invalid(name: str, email: str) -> None:
    with pytest.raises(InvalidError):
        Signature(name, email, 0).line()


def test_a_time_outside_the_calendar_is_invalid() -> None:
    with pytest.raises(InvalidError):
        _ = Signature("A", "a@b", 10**17).when


def test_a_signed_commit_with_a_merge_is_read() -> None:
    data = _commit(
        b"tree " + OID,
        b"parent " + b"2" * 40,
        b"parent " + b"3" * 40,
        b"author " + WHO,
        b"committer " + WHO,
        b"gpgsig -----BEGIN SSH SIGNATURE-----\n U1NI\n \n -----END SSH SIGNATURE-----",
        message=b"Merge\n\nparent 444\n",
    )
    commit = parse_commit("f" * 40, data)
    assert commit.parents == ("2" * 40, "3" * 40)
    assert commit.signed
    assert commit.message == "Merge\n\nparent 444\n"


def test_a_commit_says_how_its_message_is_encoded() -> None:
    headers = (b"tree " + OID, b"author " + WHO, b"committer " + WHO)
    latin = parse_commit("f" * 40, _commit(*headers, b"encoding ISO-8859-1", message="Größe".encode("latin-1")))
    assert latin.message == "Größe"
    unknown = parse_commit("f" * 40, _commit(*headers, b"encoding x-unknown", message="Größe".encode()))
    assert unknown.message == "Größe"
    broken = parse_commit("f" * 40, _commit(*headers, message=b"\xff"))
    assert broken.message == "\ufffd"


@pytest.mark.parametrize(
    "headers",
    [
        (b"author " + WHO, b"committer " + WHO),
        (b"tree " + OID, b"tree " + OID, b"author " + WHO, b"committer " + WHO),
        (b"tree xyz", b"author " + WHO, b"committer " + WHO),
        (b"tree " + OID, b"parent abc", b"author " + WHO, b"committer " + WHO),
        (b"tree " + OID, b"author nobody", b"committer " + WHO),
        (b"tree " + OID, b"author " + WHO),
    ],
)
def test_a_malformed_commit_is_named(headers: tuple[bytes, ...]) -> None:
    with pytest.raises(IntegrityError, match=r"commit f+ is malformed"):
        parse_commit("f" * 40, _commit(*headers))


@pytest.mark.parametrize("between", [(), (b"encoding UTF-8",), (b"gpgsig x\n y",)])
def test_a_parent_behind_the_committer_is_none_as_it_is_none_to_git(between: tuple[bytes, ...]) -> None:
    data = _commit(b"tree " + OID, b"author " + WHO, b"committer " + WHO, *between, b"parent " + OID)
    assert parse_commit("2" * 40, data).parents == ()


def test_a_parent_ahead_of_the_tree_makes_no_commit() -> None:
    data = _commit(b"parent " + OID, b"tree " + OID, b"author " + WHO, b"committer " + WHO)
    with pytest.raises(IntegrityError, match="begins with its tree"):
        parse_commit("2" * 40, data)


def test_a_commit_of_a_megabyte_is_read_in_no_time() -> None:
    """Each of these took seconds to minutes, growing with the square of the length."""
    head = (b"tree " + OID, b"author " + WHO, b"committer " + WHO)
    half = b"a" * 400_000
    started = time.process_time()
    parse_commit("2" * 40, _commit(*head, b"gpgsig x" + b"\n " * 500_000))
    parse_commit("2" * 40, _commit(*head, b"encoding punycode", message=half + b"-" + half))
    trailers_of("x\n\nReason: a\n" + " b\n" * 300_000)
    assert time.process_time() - started < 3


def test_a_tag_without_a_tagger_is_read() -> None:
    tag = parse_tag("f" * 40, b"object " + OID + b"\ntype commit\ntag v1\n\nOld\n")
    assert tag.tagger is None
    assert (tag.target_type, tag.name, tag.subject) == ("commit", "v1", "Old")


def test_a_malformed_tag_is_named() -> None:
    with pytest.raises(IntegrityError, match=r"tag f+ is malformed"):
        parse_tag("f" * 40, b"object nothing\ntype commit\ntag v1\n\nOld\n")


@given(st.binary(max_size=300))
def test_any_bytes_are_a_commit_or_an_error(data: bytes) -> None:
    for parse in (parse_commit, parse_tag):
        try:
            parse("f" * 40, data)
        except IntegrityError:
            continue


MESSAGES = [
    "Subject\n\nReason: x\n",
    "Subject\n\nBody text.\n\nReason: x\nAction: promote\n",
    "Reason: x\n",
    "Subject\nReason: x\n",
    "Subject\n\nReason: x\n\n\n",
    "Subject\n\nReason: x\n folded\n\tmore\n",
    "Subject\n\nnot a trailer\nReason: x\n",
    "Subject\n\nnot a trailer\nReason: x\nSigned-off-by: A <a@b>\n",
    "Subject\n\none\ntwo\nthree\nfour\nfive\nsix\nseven\nReason: x\nSigned-off-by: A <a@b>\n",
    "Subject\n\nReason:x\n",
    "Subject\n\nReason :  x  \n",
    "Subject\n\nReason:\n",
    "Subject\n\nReason: one\nReason: two\n",
    "Subject\n\nReason: x\n \nbody\n",
    "Subject\n\nBody\n---\nReason: x\n",
    "Subject\n\nBody\n\n \t\nReason: x\n",
    "Subject\n\nkey_with_underscore: x\n",
    "Subject\n\nhttps://example.org\n",
    "Subject\n\n(cherry picked from commit abc)\nReason: x\n",
    "Subject\n\n folded: x\nReason: y\n",
    "\n\nSubject\n\nReason: x\n",
    "",
]


@pytest.mark.parametrize("message", MESSAGES)
def test_trailers_are_read_as_git_reads_them(message: str) -> None:
    command = ["git", "interpret-trailers", "--parse", "--no-divider"]
    said = subprocess.run(command, input=message.encode(), capture_output=True, check=True).stdout.decode()
    expected = {}
    for line in said.splitlines():
        key, _, value = line.partition(":")
        expected[key.strip().capitalize()] = value.strip()
    assert trailers_of(message) == expected


def test_the_case_of_a_key_does_not_matter() -> None:
    assert trailers_of("S\n\naction: promote\nSIGNED-OFF-BY: A\n") == {"Action": "promote", "Signed-off-by": "A"}


@pytest.mark.parametrize(
    ("message", "subject"), [("One\n\nTwo", "One"), ("One\ntwo\n\nThree", "One two"), ("\n\nOne", "One"), ("", "")]
)
def test_the_subject_is_the_first_paragraph(message: str, subject: str) -> None:
    assert subject_of(message) == subject
