"""Many writers at once, in processes of their own: nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from gitreg.registry import open_registry
from tests.registries import MAIN, git, weights_of

if TYPE_CHECKING:
    from tests.registries import Forge

REGISTER = """\
import sys
from pathlib import Path
from gitreg.registry import RegisterRequest, open_registry
path = Path(sys.argv[2])
request = RegisterRequest(model="risk/fraud", paths=(path,), bump="minor", license="MIT", code=False,
                          labels={"writer": path.stem})
print(open_registry(sys.argv[1]).register(request).subject)
"""


@pytest.mark.slow
def test_of_twenty_registrations_at_once_none_is_lost(forge: Forge) -> None:
    count = 20
    before = int(git(forge.bare, "rev-list", "--count", MAIN))
    # A third each: on the repository itself, by its URL, and in one clone, where they also fetch one ref together.
    places = [str(forge.bare), forge.bare.as_uri(), str(forge.clone())]
    writers = []
    for number in range(count):
        weights = Path(f"{number}.safetensors")
        weights.write_bytes(weights_of(bytes([number])))
        # Separate caches: no queue on this machine keeps them apart.
        environment = {**os.environ, "GITREG_CACHE": str(forge.folder / f"cache{number}")}
        command = [sys.executable, "-c", REGISTER, places[number % 3], str(weights)]
        writers.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
    said = [writer.communicate(timeout=300) for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * count, [errors.decode()[-400:] for _, errors in said]
    assert int(git(forge.bare, "rev-list", "--count", MAIN)) == before + count
    with open_registry(forge.bare) as registry:
        rows = registry.versions("risk/fraud")
        assert {row.labels["writer"] for row in rows if "writer" in row.labels} == set(map(str, range(count)))
        assert [str(row.version) for row in rows[:count]] == [f"2.{minor}.0" for minor in range(count - 1, -1, -1)]
        assert (
            len({registry.show(f"risk/fraud@{row.version}").manifest.artifacts[0].digest for row in rows[:count]})
            == count
        )
    git(forge.bare, "fsck", "--strict", "--no-dangling")
