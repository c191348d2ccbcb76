"""`gitreg serve`, as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from gitreg.cli.serve import _listen
from tests.server.githttp.site import make_registry
from tests.server.rest.client import make_token, registering
from tests.server.serving import PATIENCE, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def path(_sealed_session: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("serve") / "models.git"
    make_registry(found)
    return found


def command(path: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "gitreg", "serve", str(path), "--log-format", "text", *options]


@contextlib.contextmanager
def started(path: Path, log: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Start it on a free port, and give its address once it answers."""
    with log.open("wb") as file:
        process = subprocess.Popen(command(path, "--port", "0", *options), stderr=file, stdout=file)
    try:
        wait_for(lambda: address(log) or process.poll() is not None)
        found = address(log)
        assert found, log.read_text()
        wait_for(lambda: answers(found) or process.poll() is not None)
        assert process.poll() is None, log.read_text()
        yield process, found
    finally:
        process.kill()
        process.wait(PATIENCE)


def address(log: Path) -> str:
    match = re.search(r"^serving (http://\S+)/$", log.read_text(), re.MULTILINE)
    return match[1] if match else ""


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def token(path: Path) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_token(path, 'root')}"}


def test_it_serves_until_it_is_told_to_stop(path: Path, tmp_path: Path) -> None:
    with started(path, tmp_path / "log") as (process, url):
        headers = token(path)
        answer = httpx.post(
            f"{url}/models/register", json=registering("risk/served", "1.0.0"), headers=headers, trust_env=False
        )
        assert answer.status_code == 201, answer.text
        process.send_signal(signal.SIGTERM)
        assert process.wait(2 * PATIENCE) in {0, -signal.SIGTERM}
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_several_processes_serve_one_repository(path: Path, tmp_path: Path) -> None:
    with started(path, tmp_path / "log", "--workers", "2") as (process, url):
        headers = token(path)
        for number in range(6):  # each over a connection of its own, so that both get some
            body = registering("risk/several", f"1.{number}.0")
            answer = httpx.post(f"{url}/models/register", json=body, headers=headers, trust_env=False)
            assert answer.status_code == 201, answer.text
            shown = httpx.get(f"{url}/models/risk/several/versions/latest", headers=headers, trust_env=False)
            assert shown.json()["manifest"]["version"] == f"1.{number}.0"
        process.send_signal(signal.SIGTERM)
        assert process.wait(2 * PATIENCE) in {0, -signal.SIGTERM}
        assert "Traceback" not in (tmp_path / "log").read_text()


def test_answers_are_not_held_back_to_be_sent_together() -> None:
    async def is_sent_at_once() -> bool:
        found: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        async def met(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            found.set_result(bool(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)))
            writer.close()

        listener = _listen("127.0.0.1", 0)
        async with await asyncio.start_server(met, sock=listener):
            _, writer = await asyncio.open_connection(*listener.getsockname())
            sent_at_once = await found
            writer.close()
        return sent_at_once

    assert asyncio.run(is_sent_at_once())


def refused(path: Path, *options: str) -> str:
    done = subprocess.run(
        command(path, *options), capture_output=True, text=True, timeout=4 * PATIENCE, check=False, env=dict(os.environ)
    )
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_it_listens_beyond_this_machine_only_where_callers_can_be_known(tmp_path: Path) -> None:
    make_registry(tmp_path / "models.git")
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):  # noqa: S104 - it must refuse
        said = refused(tmp_path / "models.git", "--host", host)
        assert "nothing says how callers are known" in said
        assert "gitreg server token create" in said


def test_it_refuses_what_is_no_bare_registry(tmp_path: Path) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path / "work")], check=True)
    assert "work tree" in refused(tmp_path / "work")
    subprocess.run(["git", "init", "-q", "--bare", str(tmp_path / "empty.git")], check=True)
    assert "there is no branch main; gitreg server init" in refused(tmp_path / "empty.git")
