"""Keep a hash-chained log of every decision beside the repository, prove it, and give it away; see docs/audit.md."""

from __future__ import annotations

from gitreg.gate_hooks.audit.entry import ADOPT, GENESIS, INIT, Entry, source_of
from gitreg.gate_hooks.audit.log import actors_of, append, audit_path, begin, check, decided, head, head_path, position

__all__ = [
    "ADOPT",
    "GENESIS",
    "INIT",
    "Entry",
    "actors_of",
    "append",
    "audit_path",
    "begin",
    "check",
    "decided",
    "head",
    "head_path",
    "position",
    "source_of",
]
