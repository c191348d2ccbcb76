"""Bring objects that a partial clone left with its server, many in one fetch.

git brings what is missing by itself, yet one fetch for each object that is asked for. Whoever knows which many will be
asked for says so here first.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.errors import GitregError, UnavailableError
from gitreg.git.catfile import PARTIAL, WHOLE
from gitreg.git.process import Runner

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gitreg.git.values import Oid

_TOGETHER = 50_000  # objects in one fetch
# As git's own promisor-remote.c fetches them: exactly these, whatever else this clone has or lacks.
_FETCH = (
    "fetch",
    "--quiet",
    "--no-tags",
    "--no-prune",
    "--no-write-fetch-head",
    "--no-auto-maintenance",
    "--recurse-submodules=no",
    "--filter=blob:none",
    "--refmap=",
    "--stdin",
)


class Promised:
    """What one partial clone may still have to bring from the remote that promised it."""

    def __init__(self, runner: Runner, objects: Path, remote: str, object_format: str) -> None:
        self._runner = runner
        self._objects = objects
        self._remote = remote
        self._format = object_format

    def bring(self, oids: Sequence[Oid]) -> None:
        """Fetch those of these objects that are not here; UnavailableError where the server does not give them."""
        missing = self._missing(oids)
        for start in range(0, len(missing), _TOGETHER):
            wanted = "".join(f"{oid}\n" for oid in missing[start : start + _TOGETHER]).encode()
            command = ["-c", "fetch.negotiationAlgorithm=noop", *_FETCH, self._remote]
            try:
                self._runner.run(command, input=wanted, codes=(0,))
            except GitregError as error:
                raise UnavailableError(f"{PARTIAL}: {error.message}", hint=WHOLE) from error

    def _missing(self, oids: Sequence[Oid]) -> list[Oid]:
        """Tell what is not here, through a repository that knows of no server: git would fetch it to answer."""
        folder = Path(tempfile.mkdtemp(prefix="gitreg-"))
        try:
            for name in ("objects", "refs"):
                (folder / name).mkdir()
            (folder / "HEAD").write_text("ref: refs/heads/main\n")
            extension = f"\trepositoryformatversion = 1\n[extensions]\n\tobjectFormat = {self._format}\n"
            (folder / "config").write_text(f"[core]\n\tbare = true\n{extension}")
            alone = {**self._runner.environment, "GIT_DIR": str(folder), "GIT_OBJECT_DIRECTORY": str(self._objects)}
            alone.pop("GIT_WORK_TREE", None)
            asked = "".join(f"{oid}\n" for oid in dict.fromkeys(oids)).encode()
            command = ["cat-file", "--batch-check=%(objectname)", "--buffer"]
            said = Runner(folder, alone).run(command, input=asked, codes=(0,)).output.decode()
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return [oid for oid, missing, _ in (line.partition(" missing") for line in said.splitlines()) if missing]
