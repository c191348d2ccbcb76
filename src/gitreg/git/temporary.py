"""Make a throw-away repository beside a real one, to write commits that only a push makes real."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.git.commits import quoted
from gitreg.git.create import create
from gitreg.git.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Mapping

# No hook of the user's runs here, no rubbish is collected; what is written is read once, by a push.
_SETTINGS: tuple[tuple[str, str], ...] = (
    ("core.hooksPath", os.devnull),
    ("core.attributesFile", os.devnull),
    ("core.autocrlf", "false"),
    ("core.excludesFile", os.devnull),
    ("core.safecrlf", "false"),
    ("core.compression", "1"),
    ("core.alternateRefsPrefixes", "refs/heads/main"),
    ("fastimport.unpackLimit", "1"),
    ("pack.compression", "1"),
)


class Scratch(Repository):
    """A temporary bare repository; closing it deletes it."""

    def close(self) -> None:
        """End its process and delete it."""
        super().close()
        _remove(self.git_dir)


def scratch(
    alternate: Repository | Path | None = None,
    *,
    object_format: str = "sha1",
    environment: Mapping[str, str] | None = None,
) -> Scratch:
    """Make one that sees the objects of `alternate` without copying them, and has its object format.

    It acts as the same user: the alternate's own configuration of identity, credentials and URLs counts here.
    `object_format` counts where there is no alternate. Its folder is readable by this user alone.
    """
    import tempfile

    if isinstance(alternate, Path):
        with Repository.open(alternate, environment=environment) as opened:
            return scratch(opened, environment=environment)
    folder = Path(tempfile.mkdtemp(prefix="gitreg-"))
    try:
        shape = alternate.object_format if alternate else object_format
        create(folder, bare=True, object_format=shape, environment=environment)
        config = _SETTINGS
        if alternate:
            _point(folder, alternate)
            config = (*alternate.access_config(), *_SETTINGS)
        return Scratch.open(folder, environment=environment, config=config)
    except BaseException:
        _remove(folder)
        raise


def _point(folder: Path, alternate: Repository) -> None:
    """Name the objects of the alternate, and where its history is cut off."""
    line = quoted(str(alternate.common_dir / "objects")) + b"\n"
    (folder / "objects" / "info").mkdir(exist_ok=True)
    (folder / "objects" / "info" / "alternates").write_bytes(line)
    if alternate.is_shallow:
        (folder / "shallow").write_bytes((alternate.common_dir / "shallow").read_bytes())


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
