"""Set up the desk at which a push is judged: its repository, its store, who marks deployments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gitreg.gate_hooks.marks import server_marks
from gitreg.gate_hooks.push import Desk

if TYPE_CHECKING:
    from gitreg.git import Repository


def server_desk(repository: Repository) -> Desk:
    """Judge on the server: the store of registry.yaml, tags written by the server unless configured otherwise."""
    return Desk(repository, server_marks=server_marks(repository))
