"""The example registry comes about by real pushes, step by step, and is what its folder shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.gate_hooks.check import check_folder
from gitreg.registry import open_registry
from gitreg.registry.example import begin, example_folder, replay, steps
from tests.registries import MAIN, git

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.registry import Registry


@pytest.mark.slow
def test_every_step_is_a_push_that_the_gate_accepts_and_the_end_is_the_folder(tmp_path: Path) -> None:
    first, *rest = steps()
    path = begin(tmp_path, first)
    for step, result in replay(path, rest):
        assert result.accepted, f"{step.subject} by {step.user}: {result.message}"
    assert int(git(path, "rev-list", "--count", "--first-parent", MAIN)) == len(rest) + 1
    with open_registry(path) as registry:
        _is_the_folder(registry)
        # The owners of its files follow from its rules.
        assert registry.codeowners() == (example_folder() / "CODEOWNERS").read_text("utf-8")
        _has_answers(registry)


def _is_the_folder(registry: Registry) -> None:
    snapshot = registry.snapshot()
    listed = git(registry.target.repository.git_dir, "ls-tree", "-r", "--name-only", "-z", MAIN).split("\0")[:-1]
    paths = {path for path in listed if not path.startswith(".gitreg/schemas/")}
    assert paths == {path for step in steps() for path in step.files}
    assert {path: snapshot.read(path) for path in paths} == {
        path: (example_folder() / path).read_bytes() for path in paths
    }


def _has_answers(registry: Registry) -> None:
    assert len(registry.models()) >= 3
    assert registry.status("prod")
    for summary in registry.models():
        assert all(record.marked for record in registry.history(str(summary.model)))
        for row in registry.versions(str(summary.model)):
            assert registry.lineage(f"{row.model}@{row.version}").name == f"{row.model}@{row.version}"
    assert not any("invalid" in change for entry in registry.log(limit=None) for change in entry.changes)


def test_a_check_of_its_folder_finds_nothing() -> None:
    assert check_folder(example_folder()) == []
