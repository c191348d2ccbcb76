"""Keep a hash-chained log of every decision beside the repository, prove it, and give it away; see docs/audit.md."""

from __future__ import annotations

from gitreg.gate_hooks.audit.entry import ADOPT, GENESIS, INIT, Entry, source_of
from gitreg.gate_hooks.audit.log import append, append_all, audit_path, begin, check, head_path
from gitreg.gate_hooks.audit.newest import actors_of, decided, head, position

__all__ = [
    "ADOPT",
    "GENESIS",
    "INIT",
    "Entry",
    "actors_of",
    "append",
    "append_all",
    "audit_path",
    "begin",
    "check",
    "decided",
    "head",
    "head_path",
    "position",
    "source_of",
]
