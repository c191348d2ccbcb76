from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import GitregError, InvalidError
from gitreg.objects import open_store
from gitreg.objects.addresses import parse
from gitreg.objects.bucket import Address

HERE = Path("/srv/models.git")


@pytest.mark.parametrize(
    ("uri", "address", "canonical"),
    [
        ("s3://bucket/prefix", Address("s3", "bucket", "prefix"), "s3://bucket/prefix"),
        ("gs://my.bucket_1/a/b/", Address("gs", "my.bucket_1", "a/b"), "gs://my.bucket_1/a/b"),
        ("az://container", Address("az", "container", ""), "az://container"),
        ("az://container/", Address("az", "container", ""), "az://container"),
    ],
)
def test_a_bucket_and_a_prefix_are_named(uri: str, address: Address, canonical: str) -> None:
    assert parse(uri, HERE) == address
    assert open_store(uri, HERE).uri == canonical


@pytest.mark.parametrize(
    "uri", ["s3://key:secret@bucket/x", "gs://token@bucket", "az://a:b@c@d/x", "s3://b/x?sig=secret"]
)
def test_credentials_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidError, match=r"credentials|query") as caught:
        parse(uri, HERE)
    assert "secret" not in str(caught.value)
    assert "token@" not in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "s3:bucket",
        "s3:///prefix",
        "s3://",
        "s3://b/../x",
        "s3://bucket//x",
        "s3://bucket/a b",
        "s3://bucket/%2e%2e",
        "s3://bucket/.x",
        "s3://bucket/x\\y",
        "s3://bucket/x#y",
        "http://bucket/x",
        "s3://" + "b" * 300,
        "s3://bucket/" + "x" * 600,
    ],
)
def test_what_no_store_would_take_is_refused_with_the_way_to_write_one(uri: str) -> None:
    with pytest.raises(InvalidError, match=r"write |use letters"):
        parse(uri, HERE)


@given(st.sampled_from(["s3://", "gs://", "az://", "s3:"]), st.text(max_size=40))
def test_any_text_is_an_address_that_stays_in_its_bucket_or_a_clear_error(scheme: str, rest: str) -> None:
    with suppress(GitregError):
        found = parse(scheme + rest, HERE)
        assert isinstance(found, Address)
        assert parse(found.uri, HERE) == found
        assert "@" not in found.bucket
        assert ".." not in found.prefix.split("/")
