"""What docs/operations.md says of backup and restore, done as it stands there, while pushes go on."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.examine import examine
from gitreg.git import Repository
from gitreg.server.auth.token_file import TokenFile
from tests.gate.support import version_file
from tests.gate_hooks.support import run
from tests.server.githttp.site import ALICE, BOB, make_registry, running
from tests.servers.clients import TO_STAGING
from tests.servers.programs import program

if TYPE_CHECKING:
    from tests.server.githttp.site import Site
    from tests.servers.clients import Clone

PAGE = Path(__file__).parents[3] / "docs" / "operations.md"


def _block(kind: str, *places: tuple[str, Path]) -> str:
    """Give the commands that the page prints, with the test's own places."""
    (text,) = re.findall(rf"^```sh {kind}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    for old, new in places:
        assert old in text
        text = text.replace(old, str(new))
    return f"set -eu\n{text}"


def _sh(text: str, folder: Path) -> None:
    path = f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
    run(["sh", "-c", text], folder, environment={"PATH": path})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give a folder in which `gitreg` is this one."""
    program("flock", "util-linux")
    (tmp_path / "bin").mkdir()
    command = tmp_path / "bin" / "gitreg"
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m gitreg "$@"\n')
    command.chmod(0o700)
    return tmp_path


def test_a_backup_taken_while_pushes_go_on_is_restored_whole(folder: Path) -> None:
    server, backup, restored = folder / "srv", folder / "backup", folder / "restored"
    server.mkdir()
    restored.mkdir()
    make_registry(server / "models.git")
    with running(server / "models.git") as site:
        token = site.token(ALICE)
        bob = site.clone(BOB, folder)
        bob.commit(TO_STAGING)
        assert bob.push().accepted
        (backup / "gitreg").mkdir(parents=True)
        (backup / "store").mkdir()
        run(["git", "clone", "--quiet", "--mirror", str(server / "models.git"), str(backup / "models.git")], folder)
        places = (("/srv/gitreg", server), ("/backup", backup))
        clone = site.clone(ALICE, folder)
        pushed, stop = list[bool](), threading.Event()
        thread = threading.Thread(target=_push_on, args=(clone, pushed, stop))
        thread.start()
        try:
            _wait_for_push(site, pushed)
            for _ in range(2):
                _sh(_block("backup", *places), folder)
        finally:
            stop.set()
            thread.join()
        assert all(pushed)

    _sh(_block("restore", ("/srv/gitreg", restored), ("/backup", backup)), folder)

    with Repository.open(restored / "models.git") as repository:
        assert [each for each in examine(repository) if not each.fine] == []
        assert repository.config("gitreg.identity") == "GITREG_USER"
        assert repository.config("remote.origin.url") is None
    with closing(TokenFile(restored / "models.git")) as tokens:
        found, _ = tokens.find(token, time.time())
        assert found is not None
    # It goes on where it was: with the same token, on the same history.
    with running(restored / "models.git") as site:
        site.tokens["alice"] = token
        clone = site.clone(ALICE, restored)
        assert "deploy/staging/risk/fraud/1" in clone.git("tag", "--list").stdout
        clone.commit(version_file("9.0.0"))
        assert clone.push().accepted
    run([str(folder / "bin" / "gitreg"), "--registry", str(restored / "models.git"), "audit", "verify"], folder)


def _push_on(clone: Clone, pushed: list[bool], stop: threading.Event) -> None:
    """Push one version after the other."""
    number = 0
    while not stop.is_set():
        clone.commit(version_file(f"5.0.{number}"))
        pushed.append(clone.push().accepted)
        number += 1


def _wait_for_push(site: Site, pushed: list[bool]) -> None:
    end = time.monotonic() + 30
    while not pushed:
        assert time.monotonic() < end, site.endings
        time.sleep(0.01)
