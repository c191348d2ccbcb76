"""Read a registry at one commit, and the history that led there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.reader.parsed import Parsed, PlainFile
from gitreg.reader.snapshot import Overlay, RegistryFiles, Snapshot, VersionFile

if TYPE_CHECKING:
    from gitreg.reader.history import DeploymentRecord, LogEntry, commit_before, deployments, log, pointer_at

__all__ = [
    "DeploymentRecord",
    "LogEntry",
    "Overlay",
    "Parsed",
    "PlainFile",
    "RegistryFiles",
    "Snapshot",
    "VersionFile",
    "commit_before",
    "deployments",
    "log",
    "pointer_at",
]


def __getattr__(name: str) -> object:
    """Import the history when it is first asked for: the present needs none of it."""
    if name in __all__:
        from gitreg.reader import history

        return getattr(history, name)
    raise AttributeError(f"module 'gitreg.reader' has no attribute {name!r}")
