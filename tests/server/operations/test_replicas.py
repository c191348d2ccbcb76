"""Several servers: over one repository, and over a clone that follows it."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.marks import PRIMARY, server_marks
from gitreg.git import Repository
from gitreg.server.operations.replica import Replica, primary_of
from tests.gate.support import version_file
from tests.gate_hooks.support import run
from tests.server.githttp.site import ALICE, BOB, make_registry, running
from tests.server.serving import HOST
from tests.servers.clients import NEW_VERSION, Clone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.server.githttp.site import Site


@pytest.fixture(scope="module")
def made(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_registry(folder / "models.git")
    return folder


@pytest.fixture
def primary(made: Path, tmp_path: Path) -> Iterator[Site]:
    run(["cp", "-a", str(made), str(tmp_path / "srv")], tmp_path)
    with running(tmp_path / "srv" / "models.git") as site:
        yield site


def test_of_pushes_to_two_servers_over_one_repository_one_wins_and_none_is_lost(primary: Site, tmp_path: Path) -> None:
    with running(primary.registry.path) as second:
        second.tokens = primary.tokens
        clones = [site.clone(ALICE, tmp_path / str(number)) for number, site in _numbered(tmp_path, primary, second)]
        for number, clone in enumerate(clones):
            clone.commit(version_file(f"4.{number}.0"))
        with ThreadPoolExecutor(len(clones)) as pool:
            pushed = list(pool.map(Clone.push, clones))
        assert [each.accepted for each in pushed].count(True) == 1
        late = clones[[each.accepted for each in pushed].index(False)]
        late.git("pull", "--quiet", "--rebase")
        assert late.push().accepted
    assert len(primary.registry.git("rev-list", "--first-parent", "main").split()) == 3
    entries = [entry for entry in primary.registry.log() if entry["verdict"] == "accepted"]
    assert primary.registry.tip() == entries[-1]["updates"][0]["new"]


def _numbered(folder: Path, *sites: Site) -> list[tuple[int, Site]]:
    for number, _ in enumerate(sites):
        (folder / str(number)).mkdir()
    return list(enumerate(sites))


@pytest.fixture
def replica(primary: Site, tmp_path: Path) -> Iterator[Site]:
    """Serve a mirror of the primary, as docs/operations.md says."""
    mirror = tmp_path / "replica.git"
    run(["git", "clone", "--quiet", "--mirror", primary.url(BOB), str(mirror)], tmp_path, environment={"no_proxy": "*"})
    tokens = mirror / "gitreg"
    tokens.mkdir()
    run(["cp", "-a", str(primary.registry.path / "gitreg" / "tokens"), str(tokens)], tmp_path)
    address = f"http://{HOST}:{primary.port}"
    run(["git", "config", PRIMARY, address], mirror)
    with Repository.open(mirror) as repository:
        assert primary_of(repository) == address
        assert not server_marks(repository)
    with ExitStack() as stack:
        site = stack.enter_context(running(mirror, wrap=lambda app: Replica(app, address)))
        site.tokens = primary.tokens
        yield site


def _fetch(replica: Site) -> None:
    run(["git", "remote", "update", "--prune"], replica.registry.path, environment={"no_proxy": "*"})


def test_a_replica_shows_what_it_has_fetched_and_pushes_through_it_reach_the_primary(
    primary: Site, replica: Site, tmp_path: Path
) -> None:
    token = primary.token(ALICE)  # made after the replica's copy of the tokens
    run(["cp", "-a", str(primary.registry.path / "gitreg" / "tokens"), str(replica.registry.path / "gitreg")], tmp_path)
    clone = replica.clone(ALICE, tmp_path)
    # A password in the URL is the replica's alone; a helper answers for the primary as well.
    clone.git("remote", "set-url", "origin", replica.url(None))
    helper = tmp_path / "helper"
    helper.write_text(f"#!/bin/sh\necho username=alice\necho password={token}\n")
    helper.chmod(0o700)
    clone.git("config", "credential.helper", str(helper))
    commit = clone.commit(NEW_VERSION)

    pushed = clone.push()

    assert pushed.accepted, pushed.said
    assert primary.registry.tip() == commit
    assert replica.registry.tip() != commit
    assert not [each for each in replica.endings if each.asked.is_push]
    _fetch(replica)
    assert replica.registry.tip() == commit
    again = replica.clone(BOB, tmp_path)
    assert again.git("rev-parse", "HEAD").stdout.strip() == commit


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/models/register?dry_run=true"), ("PUT", "/uploads/sha256/x"), ("DELETE", "/deployments/a/b/c")],
)
def test_writes_are_told_where_to_go(replica: Site, primary: Site, method: str, path: str) -> None:
    with closing(http.client.HTTPConnection(HOST, replica.port, timeout=60)) as connection:
        connection.request(method, path, body=b"{}")
        answer = connection.getresponse()
        assert answer.status == 307
        assert answer.getheader("Location") == f"http://{HOST}:{primary.port}{path}"
        assert b"is a replica" in answer.read()
