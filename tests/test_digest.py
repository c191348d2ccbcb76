"""Digests: SHA-256, written one way."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import InvalidError


@given(st.binary(max_size=100))
def test_a_digest_is_the_sha_256_of_the_bytes(data: bytes) -> None:
    digest = Digest.of(data)
    assert str(digest) == f"sha256:{hashlib.sha256(data).hexdigest()}"
    assert Digest.parse(str(digest)) == digest
    assert digest.short == digest.hex[:12]


def test_the_empty_input_has_the_digest_of_the_standard() -> None:
    assert Digest.of(b"").hex == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "0" * 64,
        "md5:" + "0" * 64,
        "sha256:" + "0" * 63,
        "sha256:" + "A" * 64,
        "SHA256:" + "0" * 64,
        "sha256:" + "0" * 64 + "\n",
        "sha256: " + "0" * 64,
        "sha256:" + "\u0661" * 64,
        "x" * 10_000,
    ],
)
def test_anything_else_is_no_digest(text: str) -> None:
    with pytest.raises(InvalidError) as refused:
        Digest.parse(text)
    assert len(str(refused.value)) < 300
