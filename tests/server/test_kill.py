"""Kill `gitreg serve` under load: what it answered is on main, once, and a retry with its key does nothing twice."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING

import httpx

from tests.registries import MAIN, git
from tests.server.githttp.site import make_registry
from tests.server.rest.client import registering
from tests.server.rest.test_serve import started, token
from tests.server.serving import PATIENCE, wait_for
from tests.writer.grouping import check_proof

if TYPE_CHECKING:
    from pathlib import Path

CALLERS = 4
ENOUGH = 20


class Callers:
    """Callers that register one version after the other, until the server is gone."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.url, self.headers = url, headers
        self.answered: dict[str, str] = {}
        self.open: set[str] = set()

    def register(self, version: str) -> httpx.Response:
        headers = {**self.headers, "Idempotency-Key": f"key of {version}"}
        body = registering("risk/killed", version)
        return httpx.post(
            f"{self.url}/models/register", json=body, headers=headers, trust_env=False, timeout=2 * PATIENCE
        )

    def run(self, caller: int) -> None:
        for number in itertools.count():
            version = f"1.{caller}.{number}"
            self.open.add(version)
            try:
                answer = self.register(version)
            except httpx.HTTPError:
                return
            assert answer.status_code == 201, answer.text
            self.answered[version] = answer.json()["commit"]
            self.open.discard(version)


def test_a_killed_server_keeps_what_it_answered_and_a_retry_repeats_nothing(tmp_path: Path) -> None:
    path = tmp_path / "models.git"
    make_registry(path)
    headers = token(path)
    with started(path, tmp_path / "log") as (process, url):
        callers = Callers(url, headers)
        threads = [threading.Thread(target=callers.run, args=(number,)) for number in range(CALLERS)]
        for thread in threads:
            thread.start()
        wait_for(lambda: len(callers.answered) >= ENOUGH)
        process.kill()
        for thread in threads:
            thread.join(2 * PATIENCE)
    before = dict(callers.answered)
    with started(path, tmp_path / "again") as (_, url):
        callers.url = url
        for version in sorted(callers.open):
            answer = callers.register(version)
            # Of one that was begun and never answered nobody can tell for a while what became of it.
            assert answer.status_code in {201, 409}, answer.text
            if answer.status_code == 201:
                callers.answered[version] = answer.json()["commit"]
        again = callers.register(min(before))
        assert (again.status_code, again.json()["commit"]) == (201, before[min(before)])
    landed = git(path, "log", "--first-parent", "--format=%H %s", MAIN).splitlines()
    for version, commit in callers.answered.items():
        assert [line for line in landed if line.endswith(f" Register risk/killed {version}")] == [
            f"{commit} Register risk/killed {version}"
        ]
    git(path, "fsck", "--strict", "--no-dangling")
    check_proof(path)
