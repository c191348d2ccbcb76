"""URLs that a cloud's store signs: they read one blob, and nothing else."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from gitreg.digest import Digest
from gitreg.objects import open_store
from gitreg.objects.signing_urls import signed_url
from tests.objects.clouds import ACCOUNT, KEY, Recorder, azurite, azurite_program, serving

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.objects import Store

DATA = b"weights in a cloud"
BLOB = Digest.of(DATA)


def stored(uri: str, folder: Path) -> Store:
    file = folder / "weights"
    file.write_bytes(DATA)
    store = open_store(uri, folder)
    store.put_file(file)
    return store


def test_azure_gives_one_blob_to_read_for_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = azurite_program()
    if program is None:
        pytest.skip("no azurite here: make azurite")
    with azurite(program) as endpoint, httpx.Client(trust_env=False) as client:
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", ACCOUNT)
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", KEY)
        monkeypatch.setenv("AZURE_STORAGE_ENDPOINT", endpoint)
        store = stored("az://container/models", tmp_path)
        url = signed_url(store, BLOB, 900)
        assert url
        assert client.get(url).content == DATA
        assert client.get(url, headers={"Range": "bytes=0-6"}).content == DATA[:7]
        assert client.get(url.partition("?")[0]).status_code == 403
        assert client.get(url.replace(BLOB.hex, "0" * 64)).status_code == 403
        put = client.put(url, content=b"other", headers={"x-ms-blob-type": "BlockBlob"})
        assert (put.status_code, client.delete(url).status_code) == (403, 403)
        assert client.get(url).content == DATA


def test_google_is_sent_what_its_documentation_asks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 4 of its signatures, computed anew: cloud.google.com/storage/docs/authentication/canonical-requests."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    recorder, account = Recorder(), tmp_path / "account.json"
    said = {
        "client_email": "models@example.org",
        "private_key_id": "1",
        "private_key": key.private_bytes(*form).decode(),
    }
    account.write_text(json.dumps({"gcs_base_url": recorder.url, **said}))
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(account))
    monkeypatch.setenv("GOOGLE_BASE_URL", recorder.url)
    with serving(recorder):
        url = signed_url(stored("gs://bucket/models", tmp_path), BLOB, 900)
        assert url
        assert httpx.get(url, trust_env=False).content == DATA

    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query, strict_parsing=True))
    signature = bytes.fromhex(query.pop("X-Goog-Signature"))
    scope = f"{query['X-Goog-Date'][:8]}/auto/storage/goog4_request"
    assert query["X-Goog-Credential"] == f"models@example.org/{scope}"
    assert (query["X-Goog-Expires"], query["X-Goog-SignedHeaders"]) == ("900", "host")
    assert parts.path == f"/bucket/models/blobs/sha256/{BLOB.hex[:2]}/{BLOB.hex}"
    asked = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in sorted(query.items()))
    # The client signs for Google's own host, wherever the settings send it.
    canonical = f"GET\n{parts.path}\n{asked}\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    signed = f"GOOG4-RSA-SHA256\n{query['X-Goog-Date']}\n{scope}\n{hashed}"
    key.public_key().verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
