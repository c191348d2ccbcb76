from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from gitreg.git import Repository
from gitreg.objects import LocalStore
from gitreg.registry.setup import InitRequest, init
from gitreg.settings import Settings
from tests.gate.support import SETTINGS, start
from tests.gate_hooks.signing import People, SignedServer, opened
from tests.gate_hooks.support import Server, run
from tests.once import pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.gate.support import Files


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a registry with its store and a client once; tests get copies."""
    return _template(tmp_path_factory.mktemp("template"), start(), "GL_USER")


def _template(folder: Path, files: Files, identity: str, object_format: str = "sha1") -> Path:
    source = folder / "source"
    for path, data in files.items():
        file = source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    run(["git", "init", "--quiet", "--bare", f"--object-format={object_format}", "registry.git"], folder)
    init(InitRequest(path=folder / "registry.git", bare=True, identity=identity, source=source))
    shutil.rmtree(source)
    weights = folder / "weights"
    weights.write_bytes(b"weights")
    LocalStore(folder / "store").put_file(weights)
    pack(folder / "registry.git")
    run(["git", "clone", "--quiet", "--bare", "--template=", "registry.git", "client.git"], folder)
    return folder


@pytest.fixture
def server(template: Path, tmp_path: Path) -> Iterator[Server]:
    """A registry where alice registers, bob deploys, carol rolls back, dana approves, erin deletes; root is admin."""
    folder = tmp_path / "srv"
    shutil.copytree(template, folder, symlinks=True)
    with Repository.open(folder / "client.git") as client:
        yield Server(folder / "registry.git", client)


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> People:
    """People with SSH keys."""
    return People(tmp_path_factory.mktemp("keys"))


def _signed_files(people: People, **settings: str) -> Files:
    keys = people.lines("root", "alice", "bob", "carol", "dana").encode()
    changed = Settings.from_data({**SETTINGS.to_data(), "identity": "signature", **settings})
    return {**start(), "registry.yaml": changed.to_bytes(), "keys/allowed_signers": keys}


@pytest.fixture(scope="session")
def signed_template(tmp_path_factory: pytest.TempPathFactory, people: People) -> Path:
    return _template(tmp_path_factory.mktemp("signed"), _signed_files(people), "signature")


@pytest.fixture
def signed_server(signed_template: Path, tmp_path: Path, people: People) -> Iterator[SignedServer]:
    """The registry of `server`, whose actors are who signed; root, alice, bob, carol and dana have keys."""
    folder = tmp_path / "srv"
    shutil.copytree(signed_template, folder, symlinks=True)
    server = opened(folder, people)
    with server.client:
        yield server


@pytest.fixture
def sha256_server(tmp_path: Path, people: People) -> Iterator[SignedServer]:
    """The same, with SHA-256 object ids."""
    server = opened(_template(tmp_path, _signed_files(people), "signature", "sha256"), people)
    with server.client:
        yield server


@pytest.fixture
def tagging_server(tmp_path: Path, people: People) -> Iterator[SignedServer]:
    """The same, where clients write deploy tags, which are signed."""
    server = opened(_template(tmp_path, _signed_files(people, deploy_tags="signed"), "signature"), people)
    server.git("config", "gitreg.deploytags", "client")
    server.git("config", "--unset-all", "receive.hideRefs")
    with server.client:
        yield server
