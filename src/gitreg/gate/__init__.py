"""Judge a change: (state before, state after, who, facts) → violations. Pure; does no I/O of its own."""

from __future__ import annotations

from gitreg.gate.case import Case, Commit, Facts, Limits, Policy
from gitreg.gate.judge import judge, judge_mixture, judge_paths
from gitreg.gate.refs import DeployMark, PushedTag, RefUpdate, judge_mark, judge_refs, parse_updates
from gitreg.gate.violation import Code, Violation, refusal

__all__ = [
    "Case",
    "Code",
    "Commit",
    "DeployMark",
    "Facts",
    "Limits",
    "Policy",
    "PushedTag",
    "RefUpdate",
    "Violation",
    "judge",
    "judge_mark",
    "judge_mixture",
    "judge_paths",
    "judge_refs",
    "parse_updates",
    "refusal",
]
