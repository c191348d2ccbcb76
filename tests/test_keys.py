"""The strict reading of keys/allowed_signers."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg import keys
from gitreg.errors import InvalidError
from gitreg.keys import AllowedSigners, decode_base64, fingerprint, key_type, strings

if TYPE_CHECKING:
    from pathlib import Path

PATH = "keys/allowed_signers"


def packed(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def number(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big")


def line(blob: bytes, user: str = "alice", options: str = "", kind: str | None = None) -> str:
    name = kind or strings(blob, 1).values[0].decode()
    return " ".join([user, *([options] if options else []), name, base64.b64encode(blob).decode()])


ED25519 = packed(b"ssh-ed25519", b"p" * 32)
OTHER = packed(b"ssh-ed25519", b"q" * 32)
RSA = packed(b"ssh-rsa", number(65_537), number((1 << 2047) + 1))
P256 = packed(b"ecdsa-sha2-nistp256", b"nistp256", b"\4" + b"p" * 64)
P384 = packed(b"ecdsa-sha2-nistp384", b"nistp384", b"\4" + b"p" * 96)
P521 = packed(b"ecdsa-sha2-nistp521", b"nistp521", b"\4" + b"p" * 132)
SK = packed(b"sk-ssh-ed25519@openssh.com", b"p" * 32, b"ssh:")
SK256 = packed(b"sk-ecdsa-sha2-nistp256@openssh.com", b"nistp256", b"\4" + b"p" * 64, b"ssh:")
EVERY = [ED25519, RSA, P256, P384, P521, SK, SK256]


def parse(text: str) -> AllowedSigners:
    return AllowedSigners.parse(text.encode(), PATH)


def problems(text: str | bytes) -> list[str]:
    with pytest.raises(InvalidError) as caught:
        AllowedSigners.parse(text.encode() if isinstance(text, str) else text, PATH)
    assert caught.value.problems
    return [str(each) for each in caught.value.problems]


def test_keys_are_found_with_their_users_and_times() -> None:
    found = parse(
        "# the keys of our people\n\n"
        f"{line(ED25519)} alice's laptop\n"
        "  "
        + line(RSA, "bob", 'namespaces="git,file"')
        + "\n"
        + line(P256, "carol", 'valid-after="20260101Z",valid-before="202601020304Z"')
        + "\n"
        + line(P384, "carol", 'VALID-BEFORE="20260102030405Z",namespaces="file"')
    )

    assert [(key.user, key.type, key.line) for key in found.keys.values()] == [
        ("alice", "ssh-ed25519", 3),
        ("bob", "ssh-rsa", 4),
        ("carol", "ecdsa-sha2-nistp256", 5),
        ("carol", "ecdsa-sha2-nistp384", 6),
    ]
    carol = found.find(P256)
    assert carol is not None
    assert (carol.valid_after, carol.valid_before) == (1_767_225_600, 1_767_323_040)
    assert found.find(OTHER) is None
    assert found.users_at(1_767_225_600) == {"alice", "bob", "carol"}
    assert found.users_at(1_767_225_599) == {"alice", "bob"}
    assert found.users_at(1_767_323_040) == {"alice", "bob", "carol"}
    assert found.users_at(1_767_323_041) == {"alice", "bob"}


def test_nothing_is_a_list_of_nothing() -> None:
    assert parse("").keys == {}
    assert parse("\n\n# nobody\n").users_at(0) == frozenset()


@pytest.mark.parametrize("blob", EVERY, ids=lambda blob: strings(blob, 1).values[0].decode())
def test_a_key_of_each_type_is_read_and_nothing_more(blob: bytes) -> None:
    kind = key_type(blob)

    assert kind in keys.KEY_TYPES
    [key] = parse(line(blob)).keys.values()
    assert key.public_line() == line(blob).partition(" ")[2]
    for wrong in (blob + b"\0", blob[:-1], blob + packed(b"x")):
        with pytest.raises(InvalidError):
            key_type(wrong)


@pytest.mark.parametrize(
    ("blob", "said"),
    [
        (b"", "cut off"),
        (b"\xff\xff\xff\xff", "cut off"),
        (packed(b"ssh-dss", b"1"), "no type of key"),
        (packed(b"ssh-ed25519-cert-v01@openssh.com", b"1"), "no type of key"),
        (packed(b"\xff\x1b[31m", b"1"), "no type of key"),
        (packed(b"ssh-ed25519", b"p" * 31), "wrong length"),
        (packed(b"ecdsa-sha2-nistp256", b"nistp384", b"\4" + b"p" * 64), "not on the curve"),
        (packed(b"ecdsa-sha2-nistp256", b"nistp256", b"\2" + b"p" * 32), "uncompressed"),
        (packed(b"ecdsa-sha2-nistp256", b"nistp256", b"\2" + b"p" * 64), "uncompressed"),
        (packed(b"ssh-rsa", number(65_537), number((1 << 1023) + 1)), "1024 bits"),
        (packed(b"ssh-rsa", number(65_537), number((1 << 2046) + 1)), "2047 bits"),
        (packed(b"ssh-rsa", number(65_537), number((1 << 16_384) + 1)), "16385 bits"),
        (packed(b"ssh-rsa", number(65_537), b"\0" + number((1 << 2047) + 1)), "shortest form"),
        (packed(b"ssh-rsa", number(65_537), b"\x80" + b"\1" * 256), "shortest form"),
        (packed(b"ssh-rsa", b"\0\3", number((1 << 2047) + 1)), "shortest form"),
        (packed(b"ssh-rsa", b"", number((1 << 2047) + 1)), "shortest form"),
        (packed(b"ssh-rsa", b"\0", number((1 << 2047) + 1)), "shortest form"),
        (packed(b"ssh-rsa", number(1), number((1 << 2047) + 1)), "no RSA key"),
        (packed(b"ssh-rsa", number(65_536), number((1 << 2047) + 1)), "no RSA key"),
        (packed(b"ssh-rsa", number(65_537), number(1 << 2047)), "no RSA key"),
        (packed(b"ssh-rsa", number((1 << 64) + 1), number((1 << 2047) + 1)), "no RSA key"),
        (packed(b"sk-ssh-ed25519@openssh.com", b"p" * 32, b""), "application"),
        (packed(b"sk-ssh-ed25519@openssh.com", b"p" * 32, b"x" * 256), "application"),
    ],
)
def test_other_keys_are_refused(blob: bytes, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        key_type(blob)


GOOD = line(ED25519)
KEY = GOOD.partition(" ")[2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"alice,bob {KEY}", "several users"),
        (f"* {KEY}", "pattern"),
        (f"ali?e {KEY}", "pattern"),
        (f"!alice {KEY}", "pattern"),
        (f'"alice" {KEY}', "pattern or quoted"),
        (f"Alice {KEY}", "not a user name"),
        (f"../alice {KEY}", "not a user name"),
        (f"group:team {KEY}", "not a user name"),
        (KEY, "no `user"),
        ("alice", "no `user"),
        ("alice ssh-ed25519", "no `user"),
        (f"alice\t{KEY}", "cannot be seen"),
        (GOOD + "\r", "cannot be seen"),
        (f"alice\N{NO-BREAK SPACE}{KEY}", "cannot be seen"),
        ("\N{ZERO WIDTH NO-BREAK SPACE}" + GOOD, "cannot be seen"),
        (f"# \N{RIGHT-TO-LEFT OVERRIDE} {GOOD}", "cannot be seen"),
        (GOOD + " \x1b[31m", "cannot be seen"),
        ("alice ssh-dss AAAA", "no type of key"),
        (line(ED25519, kind="ssh-rsa"), "the line says ssh-rsa, the key is ssh-ed25519"),
        (line(SK, kind="ssh-ed25519"), "the key is sk-ssh-ed25519"),
        (GOOD[:-1], "it is"),
        (GOOD + "=", "base64"),
        (GOOD.replace(GOOD[-1], "!"), "no `user"),
        (f"alice cert-authority {KEY}", "cert-authority is refused"),
        (f'alice cert-authority,namespaces="git" {KEY}', "cert-authority is refused"),
        (f'alice namespaces="git",cert-authority {KEY}', "cert-authority is refused"),
        (f'alice CERT-AUTHORITY,namespaces="git" {KEY}', "cert-authority is refused"),
        (f'alice no-touch-required="x" {KEY}', "is no option"),
        (f"alice no-touch-required {KEY}", "no `user"),
        (f"alice namespaces=git {KEY}", "no `user"),
        (f'alice namespaces="*" {KEY}', "without patterns"),
        (f'alice namespaces="" {KEY}', "without patterns"),
        (f'alice namespaces="!git" {KEY}', "without patterns"),
        (f'alice namespaces="git," {KEY}', "without patterns"),
        (f'alice namespaces="git", {KEY}', "end with a comma"),
        (f'alice namespaces="git",,valid-after="20260101Z" {KEY}', "no option"),
        (f'alice namespaces="git"valid-after="20260101Z" {KEY}', "no option"),
        (f'alice namespaces="git",namespaces="file" {KEY}', "twice"),
        (f'alice valid-after,namespaces="git" {KEY}', 'without ="value"'),
        (f'alice valid-after="20260101" {KEY}', 'write valid-after="20260101Z" for UTC'),
        (f'alice valid-before="202601011200" {KEY}', "has no Z"),
        (f'alice valid-before="2026-01-01Z" {KEY}', "no YYYYMMDDZ"),
        (f'alice valid-before="2026010112Z" {KEY}', "no YYYYMMDDZ"),
        (f'alice valid-before="20260230Z" {KEY}', "no time that a calendar knows"),
        (f'alice valid-before="20260101240000Z" {KEY}', "no time that a calendar knows"),
        (f'alice valid-before="\u0662\u0660\u0662\u0666\u0660\u0661\u0660\u0661Z" {KEY}', "no YYYYMMDDZ"),
        (f'alice valid-before="19700101Z" {KEY}', "not after 1970"),
        (f'alice valid-before="19690101Z" {KEY}', "not after 1970"),
        (f'alice valid-after="20260102Z",valid-before="20260102Z" {KEY}', "would never count"),
    ],
)
def test_a_line_with_more_than_one_meaning_is_refused(text: str, said: str) -> None:
    [found] = problems(f"# first\n{text}\n")

    assert found.startswith(f"{PATH}:2: ")
    assert said in found


def test_everything_that_is_wrong_is_told_with_its_line() -> None:
    found = problems(f"nonsense\n{GOOD}\n{GOOD}\n* {KEY}\n{line(ED25519, 'bob')}\n")

    assert [each.split(": ")[0] for each in found] == [f"{PATH}:{number}" for number in (1, 3, 4, 5)]
    assert "the key of line 2 again" in found[1]
    assert "the key of line 2 again" in found[3]


def test_bytes_that_are_no_text_are_refused() -> None:
    assert "no UTF-8" in problems(b"\xff\xfe\n")[0]
    assert parse(f"# Jürgen\n{GOOD} Jürgens Rechner\n").find(ED25519) is not None


def test_sizes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "at most 1048576 are read" in problems("#" * (1 << 20) + "\n")[0]
    assert "a line has at most 16384" in problems("#" * 16_385)[0]
    monkeypatch.setattr(keys, "MAX_KEYS", 1)
    assert "more than 1 keys" in problems(f"{GOOD}\n{line(OTHER)}\n")[0]


def test_a_hostile_line_takes_no_time() -> None:
    for text in ('alice a"' * 2000, "alice " + 'a=""' * 4000 + " x", "alice " + 'a="x",' * 2500 + KEY):
        assert problems(text[:16_000])


def test_a_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    for kind in ("ed25519", "ecdsa", "rsa"):
        path = tmp_path / kind
        bits = ["-b", "2048"] if kind == "rsa" else []
        subprocess.run(["ssh-keygen", "-q", "-t", kind, *bits, "-N", "", "-f", str(path)], check=True)
        public = (tmp_path / f"{kind}.pub").read_text()
        shown = subprocess.run(["ssh-keygen", "-l", "-f", str(path)], check=True, capture_output=True, text=True)

        [key] = parse(f"alice {public}").keys.values()

        assert fingerprint(key.blob) in shown.stdout
        assert public.startswith(key.public_line())


@given(st.binary(max_size=300))
def test_any_bytes_are_a_key_or_refused(data: bytes) -> None:
    try:
        kind = key_type(data)
    except InvalidError:
        return
    assert kind in keys.KEY_TYPES


@given(st.text(max_size=200))
def test_any_text_is_a_list_or_refused_with_its_problems(text: str) -> None:
    try:
        AllowedSigners.parse(text.encode("utf-8", "replace"), PATH)
    except InvalidError:
        assert problems(text.encode("utf-8", "replace"))


@given(st.binary(max_size=100))
def test_base64_is_read_in_one_spelling_only(data: bytes) -> None:
    text = base64.b64encode(data).decode()
    assert decode_base64(text) == data
    for other in (text + "\n", " " + text, text + "=", text.rstrip("=") if "=" in text else text + "A"):
        with pytest.raises(InvalidError):
            decode_base64(other)


def test_padding_bits_are_no_room_for_another_spelling() -> None:
    with pytest.raises(InvalidError):
        decode_base64("QR==")
    assert decode_base64("QQ==") == b"A"
