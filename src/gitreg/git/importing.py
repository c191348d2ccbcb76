"""Write series of commits through one `git fast-import` that stays open between them."""

from __future__ import annotations

import contextlib
import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from gitreg.errors import UnavailableError
from gitreg.git.commits import FAST_IMPORT, commands
from gitreg.git.process import Answers, CutOffError, Drain, failure, stop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from gitreg.git.commits import Draft
    from gitreg.git.repository import Repository
    from gitreg.git.values import Oid

FSYNC = "objects,derived-metadata,reference"
"""What git syncs before it says that it is done, as a value of core.fsync: all that a registry is made of."""

# What git is told so that commits are on the disk before anybody hears of them. A pack has one file to sync, and the
# loose objects of a commit six or more; so everything goes into packs, which `upkeep` rolls up.
DURABLE = (("core.fsync", FSYNC), ("fastimport.unpackLimit", "1"))
# Most of it is folders, which are object ids, and these no effort makes smaller.
_COMMAND = ("-c", "pack.compression=1", *FAST_IMPORT)
_WRITTEN = b"progress written"
_TREE = b"040000 tree "
_PATIENCE = 120.0  # seconds without a byte from git
# After so many series the process is started anew: it keeps every pack that it has written, and remembers each object.
_MOST_SERIES = 50


class Series(NamedTuple):
    """Commits that were written, oldest first, and the tree of the last."""

    oids: list[Oid]
    tree: Oid


class Importer:
    """One writer of commits; not shared between threads. The repository is opened with `DURABLE`."""

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: Drain | None = None
        self._answers: Answers | None = None
        self._series = 0

    def write(self, parent: Oid, drafts: Sequence[Draft]) -> Series:
        """Write commits one upon the other, synced to the disk; no ref moves.

        The drafts name their authors and committers. A process that has ended meanwhile is replaced, once.
        """
        series = self.begin(parent, drafts)
        self.finish()
        return series

    def begin(self, parent: Oid, drafts: Sequence[Draft]) -> Series:
        """Write commits as `write` does; they are on the disk once `finish`, which has to follow, has returned."""
        stream = b"".join(commands(parent, drafts))
        was_open = self._process is not None
        try:
            return self._begin(stream, len(drafts))
        except UnavailableError:
            if not was_open:
                raise
            return self._begin(stream, len(drafts))

    def finish(self) -> None:
        """Wait until what was begun is on the disk; UnavailableError where it may not be."""
        if self._answers is None:
            raise UnavailableError("no series of commits was begun")
        try:
            line = self._answers.line()
            # The names of the packs too: a pack is renamed once it is whole.
            sync_folder(self._repository.common_dir / "objects" / "pack")
        except (CutOffError, OSError) as error:
            raise self._died(error) from error
        except BaseException:
            self._drop()
            raise
        if line != _WRITTEN:
            self._drop()
            raise UnavailableError(f"git fast-import answered {line[:80]!r} in place of the end")

    def _begin(self, stream: bytes, count: int) -> Series:
        if self._series >= _MOST_SERIES:
            self.close()
        answers, process = self._started()
        self._series += 1
        try:
            asked = b'ls :%d ""\ncheckpoint\n%s\n' % (count, _WRITTEN)
            process.stdin.write(stream + asked)  # type: ignore[union-attr] # it has pipes
            process.stdin.flush()  # type: ignore[union-attr]
            oids = [answers.line().decode("ascii") for _ in range(count)]
            tree = answers.line()
        except (CutOffError, OSError) as error:
            raise self._died(error) from error
        except BaseException:
            self._drop()
            raise
        return Series(oids, tree.removeprefix(_TREE).rstrip(b"\t").decode("ascii"))

    def _started(self) -> tuple[Answers, subprocess.Popen[bytes]]:
        if self._process is None or self._answers is None:
            self._process = process = self._repository.runner.start(_COMMAND, stdin=True)
            self._errors = Drain(process.stderr)
            self._answers = Answers(process.stdout, _PATIENCE)  # type: ignore[arg-type] # it has pipes
            self._series = 0
        return self._answers, self._process

    def _died(self, how: Exception) -> UnavailableError:
        """Put the process away after it broke off, and say why it did."""
        process, errors = self._process, self._errors
        if process is None or errors is None:
            return UnavailableError(f"git fast-import did not answer: {how}")
        stop(process)
        said = errors.text()
        self._drop()
        if not said.strip():
            return UnavailableError(f"git fast-import did not answer: {how}", hint="try again")
        found = failure(_COMMAND, process.returncode, said)
        return UnavailableError(found.message, hint="nothing was written; `git fsck` tells whether it is damaged")

    def _drop(self) -> None:
        """End the process in the middle of what it does."""
        process, self._process, self._answers = self._process, None, None
        if process is not None:
            stop(process)
            (self._repository.git_dir / f"fast_import_crash_{process.pid}").unlink(missing_ok=True)
        if self._errors is not None:
            self._errors.close()
            self._errors = None

    def close(self) -> None:
        """End the process; the next series starts another."""
        process = self._process
        if process is not None and process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.write(b"done\n")
                process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_PATIENCE)
        self._drop()


def sync_folder(path: Path) -> None:
    """Get the names in a folder onto the disk."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_remains(repository: Repository) -> None:
    """Remove what fast-import leaves where it was killed: reports, and marks that nobody else takes off its packs."""
    for path in repository.git_dir.glob("fast_import_crash_*"):
        path.unlink(missing_ok=True)
    for path in (repository.common_dir / "objects" / "pack").glob("*.keep"):
        with contextlib.suppress(OSError):
            if path.read_bytes().startswith(b"fast-import"):
                path.unlink()
