"""`gitreg serve` as it runs: two workers over one repository, and a stop in the middle of a push."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from gitreg.git import Repository
from gitreg.layout import MAIN
from gitreg.server.auth.limits import Table
from tests.attacks import raw
from tests.gate.support import version_file
from tests.gate_hooks.support import Server, run
from tests.server.githttp.site import ALICE, Site, make_registry
from tests.server.serving import HOST, PATIENCE, wait_for
from tests.servers.clients import NEW_VERSION, Clone

# uvicorn ends by the signal that it was sent, once everything is put away.
ENDED = {0, -signal.SIGTERM}

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def made(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make_registry(folder / "models.git")
    return folder


@contextlib.contextmanager
def _served(made: Path, folder: Path, *options: str) -> Iterator[tuple[Site, subprocess.Popen[bytes]]]:
    """Run the server in a process of its own."""
    run(["cp", "-a", str(made), str(folder / "srv")], folder)
    path, log = folder / "srv" / "models.git", folder / "log"
    command = [sys.executable, "-m", "gitreg", "serve", str(path), "--port", "0", *options]
    with Repository.open(path) as repository, log.open("wb") as errors:
        site = Site(Server(path, repository))
        site.token(ALICE)
        process = subprocess.Popen(command, stdout=errors, stderr=errors, start_new_session=True)
        try:
            wait_for(lambda: process.poll() is not None or b"serving http://" in log.read_bytes())
            found = re.search(rb"serving http://127\.0\.0\.1:(\d+)/", log.read_bytes())
            assert found, log.read_text()
            site.port = int(found[1])
            wait_for(lambda: process.poll() is not None or _is_up(site))
            yield site, process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _is_up(site: Site) -> bool:
    try:
        return site.ask("GET", "/healthz")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def _metrics(site: Site) -> str:
    return site.ask("GET", "/metrics", [site.basic(ALICE)])[2].decode()


def test_two_workers_over_one_repository_lose_nothing_and_count_together(made: Path, tmp_path: Path) -> None:
    with _served(made, tmp_path, "--workers", "2") as (site, process):
        before = site.registry.tip()
        clones = []
        for number in range(2):
            (tmp_path / str(number)).mkdir()
            clones.append(site.clone(ALICE, tmp_path / str(number)))

        def push(number: int) -> None:
            """Push two versions, each again where somebody was first."""
            clone = clones[number]
            for patch in range(2):
                clone.commit(version_file(f"4.{number}.{patch}"))
                for _ in range(20):
                    if clone.push().accepted:
                        break
                    clone.git("pull", "--quiet", "--rebase")
                else:
                    pytest.fail("the push never came first")

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(push, range(2)))

        assert len(site.registry.git("rev-list", f"{before}..main").split()) == 4
        accepted = [entry for entry in site.registry.log() if entry["verdict"] == "accepted"]
        assert accepted[-1]["updates"][0]["new"] == site.registry.tip()
        line = re.compile(r'gitreg_git_requests_total\{outcome="accepted",service="receive-pack"\} (\d+)')
        # Whichever worker is asked.
        for _ in range(4):
            (count,) = map(int, line.findall(_metrics(site)))
            assert count == 4
        status, headers, said = site.ask("GET", "/readyz", [("X-Request-Id", "mine")])
        assert (status, json.loads(said)["ready"], headers["x-request-id"]) == (200, True, "mine")
        process.send_signal(signal.SIGTERM)
        assert process.wait(2 * PATIENCE) in ENDED


def test_workers_whose_supervisor_is_killed_finish_and_end(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with _served(made, tmp_path, "--workers", "2") as (site, process):
        assert site.ask("GET", "/models", [("Authorization", "Bearer gitreg_wrong")])[0] == 401
        (table,) = tmp_path.glob("gitreg-workers-*/rate-failures")
        assert len(Table(table)) == 1  # whichever worker it was
        with site.connect() as connection:
            commit, request = _push_of(site, site.clone(ALICE, tmp_path))
            connection.sendall(request[:-100])
            wait_for(lambda: any((site.registry.path / "objects").glob("tmp_objdir*")))
            process.kill()
            process.wait()
            wait_for(lambda: not _takes_connections(site))
            connection.sendall(request[-100:])
            said = _whole_answer(connection)
        assert b"ok refs/heads/main" in said
        wait_for(lambda: not _group_lives(process.pid))
        assert site.registry.tip() == commit


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _whole_answer(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(4096), b""))


def _push_of(site: Site, clone: Clone) -> tuple[str, bytes]:
    """Give a commit, and the request that pushes it."""
    before, commit = site.registry.tip(), clone.commit(NEW_VERSION)
    command = ["git", "pack-objects", "--revs", "--stdout", "-q"]
    asked = f"{commit}\n^{before}\n".encode()
    pack = subprocess.run(command, cwd=clone.path, input=asked, capture_output=True, check=True).stdout
    body = raw.pkt(f"{before} {commit} {MAIN}\0report-status".encode()) + raw.FLUSH + pack
    head = [
        "POST /registry.git/git-receive-pack HTTP/1.1",
        "Host: x",
        "Content-Type: application/x-git-receive-pack-request",
        f"{': '.join(site.basic(ALICE))}",
        f"Content-Length: {len(body)}",
    ]
    return commit, "\r\n".join([*head, "", ""]).encode() + body


def test_a_server_that_is_stopped_finishes_what_it_has_begun_and_takes_nothing_new(made: Path, tmp_path: Path) -> None:
    with _served(made, tmp_path) as (site, process), site.connect() as connection:
        commit, request = _push_of(site, site.clone(ALICE, tmp_path))
        connection.sendall(request[:-100])
        wait_for(lambda: any((site.registry.path / "objects").glob("tmp_objdir*")))
        process.send_signal(signal.SIGTERM)
        wait_for(lambda: not _takes_connections(site))
        connection.sendall(request[-100:])
        said = _whole_answer(connection)
        assert b"200 OK" in said
        assert b"ok refs/heads/main" in said
        assert process.wait(2 * PATIENCE) in ENDED
        assert site.registry.tip() == commit
    lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines() if line.startswith("{")]
    (line,) = [each for each in lines if each.get("path") == "/registry.git/git-receive-pack"]
    assert (line["user"], line["status"], line["route"]) == ("alice", 200, "/registry.git/git-receive-pack")
    assert line["caller"].startswith("token:")
    assert site.token(ALICE) not in (tmp_path / "log").read_text()


def _takes_connections(site: Site) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((HOST, site.port), timeout=5):
        return True
    return False
