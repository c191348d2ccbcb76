"""Make a throw-away repository beside a real one, to write commits that only a push makes real."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Self

from gitreg.git.commits import quoted
from gitreg.git.repository import Repository, create

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# No hook of the user's runs here, no rubbish is collected; what is written is read once, by a push.
_SETTINGS = (
    ("core.hooksPath", os.devnull),
    ("core.compression", "1"),
    ("core.alternateRefsPrefixes", "refs/heads/main"),
    ("fastimport.unpackLimit", "1"),
    ("pack.compression", "1"),
)


class Scratch(Repository):
    """A temporary bare repository; closing it deletes it."""

    @classmethod
    def beside(
        cls,
        alternate: Repository | None = None,
        *,
        object_format: str = "sha1",
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Make one that sees the objects of `alternate` without copying them, and has its object format.

        It acts as the same user: the alternate's own configuration of identity, credentials and URLs counts here.
        `object_format` counts where there is no alternate. Its folder is readable by this user alone.
        """
        import tempfile

        folder = Path(tempfile.mkdtemp(prefix="gitreg-"))
        try:
            create(folder, object_format=alternate.object_format if alternate else object_format)
            config: Iterable[tuple[str, str]] = _SETTINGS
            if alternate:
                _point(folder, alternate)
                config = (*alternate.access_config(), *_SETTINGS)
            return cls.open(folder, environment=environment, config=config)
        except BaseException:
            _remove(folder)
            raise

    def close(self) -> None:
        """End its process and delete it."""
        super().close()
        _remove(self.git_dir)


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
