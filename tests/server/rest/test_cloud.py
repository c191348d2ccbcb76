"""A registry whose weights lie in a cloud: what is downloaded comes from there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from gitreg.git import Repository
from tests.objects import clouds
from tests.server.githttp.site import make_registry
from tests.server.rest.client import serve

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_download_is_redirected_to_a_url_that_the_store_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with clouds.moto() as endpoint:
        settings = {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "testing",
            "AWS_REGION": "us-east-1",
        }
        for key, value in settings.items():
            monkeypatch.setenv(key, value)
        httpx.put(f"{endpoint}/weights", trust_env=False).raise_for_status()
        make_registry(tmp_path / "models.git")
        with Repository.open(tmp_path / "models.git") as repository:
            repository.run(["config", "gitreg.store", "s3://weights/models"])
        with serve(tmp_path / "models.git") as rest:
            file = rest.store(b"weights in a cloud")
            name = rest.model("1.0.0", artifacts=[{"path": "m.bin", **file, "format": "safetensors"}])
            path = f"/models/{name}/versions/1.0.0/files/m.bin"
            answer = rest.ask("GET", path)
            assert answer.status_code == 307
            assert answer.headers["cache-control"] == "no-store"
            url = answer.headers["location"]
            assert url.startswith(endpoint)
            assert httpx.get(url, trust_env=False).content == b"weights in a cloud"
            assert httpx.get(url.partition("?")[0], trust_env=False).status_code == 403
