"""Read a registry at one commit, and the history that led there."""

from __future__ import annotations

from gitreg.reader.history import DeploymentRecord, LogEntry, commit_before, deployments, log, pointer_at
from gitreg.reader.snapshot import Snapshot, VersionFile

__all__ = [
    "DeploymentRecord",
    "LogEntry",
    "Snapshot",
    "VersionFile",
    "commit_before",
    "deployments",
    "log",
    "pointer_at",
]
