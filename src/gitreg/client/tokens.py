"""Find the token for a server: in the environment, or in a file that nobody else may read."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from gitreg.config import user_config
from gitreg.errors import DeniedError, InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Mapping

TOKEN, TOKEN_FILE = "GITREG_TOKEN", "GITREG_TOKEN_FILE"
_MOST = 16 << 10


def token(environ: Mapping[str, str] | None = None) -> str | None:
    """Give the token: GITREG_TOKEN, else of the file that GITREG_TOKEN_FILE or `gitreg.tokenfile` names."""
    environ = os.environ if environ is None else environ
    if said := environ.get(TOKEN):
        return _checked(said, TOKEN)
    named = environ.get(TOKEN_FILE) or user_config("gitreg.tokenfile")
    return _checked(_read(Path(named).expanduser()), named) if named else None


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            found = os.fstat(file.fileno())
            data = file.read(_MOST)
    except OSError as error:
        raise NotFoundError(f"the token file {str(path)!r} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_mode & 0o077:
        raise DeniedError(f"others may read the token file {str(path)!r}", hint=f"chmod 600 {path}")
    return data.decode("ascii", "replace")


def _checked(text: str, where: str) -> str:
    found = text.strip()
    if not found or not found.isascii() or not found.isprintable() or " " in found:
        raise InvalidError(f"{where} holds no token", hint="make one on the server: gitreg server token create")
    return found
