"""Commit a change to a registry, wherever it is, and get it onto main.

`gitreg.writer.publish` is imported by whoever writes: reading needs neither it nor the gate.
"""

from __future__ import annotations

from gitreg.writer.plan import Mode, Plan, Planned, Planner, Written
from gitreg.writer.target import Target, open_target

__all__ = ["Mode", "Plan", "Planned", "Planner", "Target", "Written", "open_target"]
