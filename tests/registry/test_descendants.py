"""What came from a version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gitreg.errors import InvalidError, NotFoundError
from gitreg.git import Repository
from gitreg.names import Selector
from gitreg.reader import Snapshot
from gitreg.registry import LineageNode, descendants
from tests.index.conftest import SETTINGS, START, Writer

if TYPE_CHECKING:
    from pathlib import Path

    from gitreg.registry import Registry


def _manifest(number: int, *parents: str, lifecycle: str = "active") -> str:
    lines = [f"  - {{model: a/b, version: {each}.0.0, relation: from-{each}}}" for each in parents]
    head = f"kind: ModelVersion\nmodel: a/b\nversion: {number}.0.0\ncreated: 2026-01-01T00:00:00Z\n"
    rest = f"author: {{name: A, email: a@example.org}}\nlifecycle: {lifecycle}\n"
    return head + rest + "\n".join(["parents:" if lines else "", *lines, ""])


def _family(folder: Path, files: dict[int, str], depth: int = 20) -> LineageNode:
    writer = Writer(folder)
    paths: dict[str, str | None] = {f"models/a/b/{number}.0.0.yaml": text for number, text in files.items()}
    writer.commit(START, {"registry.yaml": SETTINGS, **paths})
    with Repository.open(folder) as repository:
        snapshot = Snapshot(repository, writer.tip())
        return descendants.descendants(snapshot, Selector.parse("a/b@1.0.0"), depth, now=True)


def _shown(node: LineageNode) -> list[str]:
    said = ", ".join(each for each in (node.relation, node.state) if each)
    name = node.name.partition("@")[2] + (f" ({said})" if said else "")
    return [name, *(f"  {line}" for child in node.children for line in _shown(child))]


def test_what_came_from_a_version_is_told_with_its_relation(reading: Registry) -> None:
    node = reading.lineage("risk/fraud@1.0.0", down=True)
    assert (node.name, node.parents) == ("risk/fraud@1.0.0", ())
    (child,) = node.children
    assert (child.name, child.relation, child.state) == ("risk/fraud@1.1.0", "finetuned-from", None)
    assert [each.name for each in child.children] == ["vision/ocr@0.1.0"]
    assert reading.lineage("vision/ocr@0.1.0", down=True).children == ()
    with pytest.raises(NotFoundError):
        reading.lineage("vision/ocr@9.9.9", down=True)


def test_a_family_that_meets_again_is_shown_once_and_where_it_is_nearest(tmp_path: Path) -> None:
    node = _family(
        tmp_path / "own.git",
        {
            1: _manifest(1),
            2: _manifest(2, "1"),
            3: _manifest(3, "2", "1", lifecycle="deprecated"),
            4: _manifest(4, "3"),
            10: _manifest(10, "1"),
        },
    )
    assert _shown(node) == [
        "1.0.0",
        "  2.0.0 (from-1)",
        "    3.0.0 (from-2, what came from it is shown above)",
        "  3.0.0 (from-1, deprecated)",
        "    4.0.0 (from-3)",
        "  10.0.0 (from-1)",
    ]


def test_a_circle_ends(tmp_path: Path) -> None:
    node = _family(tmp_path / "own.git", {1: _manifest(1, "2"), 2: _manifest(2, "1", "1")})
    lines = _shown(node)
    assert lines[:3] == ["1.0.0", "  2.0.0 (from-1)", "    1.0.0 (from-2, what came from it is shown above)"]
    assert lines[3:] == ["  2.0.0 (from-1, what came from it is shown above)"]


def test_what_is_deeper_or_more_than_is_shown_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {1: _manifest(1), 2: _manifest(2, "1"), 3: _manifest(3, "2"), 4: _manifest(4, "2")}
    cut = "what came from it is more, or deeper, than is shown"
    assert _shown(_family(tmp_path / "deep.git", files, 1)) == ["1.0.0", f"  2.0.0 (from-1, {cut})"]
    monkeypatch.setattr(descendants, "MOST", 2)
    assert _shown(_family(tmp_path / "many.git", files)) == ["1.0.0", f"  2.0.0 (from-1, {cut})"]
    with pytest.raises(InvalidError, match="33 generations down"):
        _family(tmp_path / "far.git", files, 33)
