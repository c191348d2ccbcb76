"""An index in an object store is published and read as one in a folder is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

import gitreg
from gitreg.errors import NotFoundError
from gitreg.objects import open_bucket
from gitreg.published.publish import Destination, publish
from tests.objects.clouds import ACCOUNT, KEY, azurite, azurite_program, moto

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.registry import Registry


def test_an_index_in_a_bucket(bare: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing123")
    with moto() as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        bucket = open_bucket("s3://bucket/models", tmp_path)
        publish(bare.snapshot, Destination(bucket=bucket, prefix="index/"))
        with gitreg.open("s3://bucket/models/index") as reader:
            assert reader.show("risk/fraud@prod") == bare.show("risk/fraud@prod")
        bare.alias("risk/fraud@1.0.0", "old")
        to = Destination(bucket=open_bucket("s3://bucket/models/index", tmp_path))
        assert publish(bare.snapshot, to, anew=True).files_written == 5
        assert publish(bare.snapshot, to).files_written == 0
        bare.alias("risk/fraud@1.0.0", "older")
        publish(bare.snapshot, to)
        assert publish(bare.snapshot, to, grace=0).files_removed == 1 + 1  # of the publication before, and of the first
        assert gitreg.open("s3://bucket/models/index").models() == bare.models()


def test_an_index_in_azure(bare: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    program = azurite_program()
    if program is None:
        pytest.skip("no azurite here: make azurite")
    with azurite(program) as url:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", url)
        at = "az://container/models/index"
        assert bare.publish_index(at).changed
        assert not bare.publish_index(at).changed
        with gitreg.open(at) as reader:
            assert reader.show("risk/fraud@prod") == bare.show("risk/fraud@prod")
        bare.alias("risk/fraud@1.0.0", "old")
        assert not bare.published(at).current
        assert bare.publish_index(at).changed
        assert gitreg.open(at).models() == bare.models()
        with pytest.raises(NotFoundError, match=r"there is no head\.json in the index .*; check the address"):
            gitreg.open(f"{at}x").models()
