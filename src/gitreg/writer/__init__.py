"""Commit a change to a registry, wherever it is, and get it onto main."""

from __future__ import annotations

from gitreg.writer.publish import Mode, Plan, Planner, Written, publish
from gitreg.writer.target import Target, open_target

__all__ = ["Mode", "Plan", "Planner", "Target", "Written", "open_target", "publish"]
