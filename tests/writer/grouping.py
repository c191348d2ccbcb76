"""Changes to hand to a group writer, and what became of them."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from gitreg.gate_hooks.audit import audit_path, proof
from gitreg.git import Repository, Signature
from gitreg.layout import model_path, version_path
from gitreg.names import ModelName, Selector, UserName, Version
from gitreg.registry import plans
from gitreg.wire import dump
from gitreg.writer import Plan
from gitreg.writer.group import Change

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from gitreg.gate_hooks.audit.result import Verified
    from gitreg.reader import Snapshot
    from gitreg.writer.plan import Planner

SOURCE = {"identity": "token:t1", "address": "192.0.2.7"}


def change(planner: Planner, actor: str = "root", **more: Any) -> Change:  # noqa: ANN401 - the fields of a change
    author = Signature(f"{actor.title()} Doe", f"{actor}@example.org", 1_767_225_600, 60)
    return Change(planner=planner, actor=UserName(actor), author=author, source=SOURCE, **more)


def registering(version: str, model: str = "risk/fraud", note: str = "A version.") -> Planner:
    """Plan a version that lies behind somebody's API, and its model where it is new."""

    def planner(at: Snapshot) -> Plan:
        name = ModelName.parse(model)
        data = {
            "api_version": "gitreg/v1",
            "kind": "ModelVersion",
            "model": model,
            "version": version,
            "created": "2026-01-31T12:00:00Z",
            "author": {"name": "Alice Doe", "email": "alice@example.org"},
            "description": note,
            "external": {"provider": "example", "id": "m"},
            "license": "MIT",
            "lifecycle": "active",
        }
        edits: dict[str, bytes | None] = {version_path(name, Version(version)): dump(data)}
        if at.read(model_path(name)) is None:
            head = {"api_version": "gitreg/v1", "kind": "Model", "model": model, "description": "One of many."}
            edits[model_path(name)] = dump(head)
        return Plan(edits=edits, subject=f"Register {model} {version}")

    return planner


def deploying(selector: str, environment: str) -> Planner:
    return lambda at: plans.deploy(at, Selector.parse(selector), environment, reason="it is better")


def entries(path: Path) -> list[dict[str, Any]]:
    """Read the audit log, without the entry that began it."""
    return [json.loads(line) for line in audit_path(path).read_text().splitlines()][1:]


def check_proof(path: Path) -> Verified:
    """Prove the audit log, which must be whole."""
    with Repository.open(path) as repository:
        found = proof.verify(repository)
    assert not found.damage, found.findings
    return found


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait for a condition, however slow the machine is."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.02)
