"""`compare`, `plot`, and lineage as a graph."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Result


def test_versions_stand_side_by_side(gitreg: Callable[..., Result], registry: Path) -> None:
    shown = gitreg("compare", "risk/fraud@prod", "@1.1.0")

    assert shown.code == 0
    assert shown.lines[0].split() == ["1.0.0", "1.1.0"]
    assert [line.split() for line in shown.lines if line.startswith("auc")] == [["auc", "0.9", "0.95", "(+0.05)", "*"]]
    assert "epochs" not in shown.out
    assert "finetuned-from" in shown.out


def test_the_comparison_as_a_page_says_what_the_table_says(gitreg: Callable[..., Result], own_registry: Path) -> None:
    evil = "<script>alert(1)</script>"
    assert gitreg("update", "risk/fraud@1.1.0", "--label", f"note={evil}").code == 0

    page = gitreg("compare", "risk/fraud@prod", "@1.1.0", "--format", "html").out
    table = gitreg("compare", "risk/fraud@prod", "@1.1.0").out

    assert page.startswith("<!doctype html>")
    assert '<td>auc</td><td class="number">0.9</td><td class="number">0.95 (+0.05) *</td>' in page
    assert evil in table
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page


def test_the_comparison_as_json(gitreg: Callable[..., Result], registry: Path) -> None:
    shown = gitreg("compare", "risk/fraud@1.0.0", "risk/fraud@1.1.0", "--minimize", "auc", "--json")

    rows = {row["name"]: row for row in json.loads(shown.out)["metrics"]}
    assert rows["auc"]["best"] == [0]
    assert rows["loss"]["best"] == []
    assert gitreg("compare", "risk/fraud@1.0.0", "@1.1.0", "--minimize", "metrics.auc", "--json").out == shown.out


def test_what_cannot_be_compared_is_said(gitreg: Callable[..., Result], registry: Path) -> None:
    assert gitreg("compare", "risk/fraud@1.0.0").code == 2
    both = gitreg("compare", "risk/fraud@1.0.0", "@1.1.0", "--minimize", "auc", "--maximize", "auc")
    assert (both.code, "'auc' cannot be both" in both.err) == (2, True)
    assert gitreg("compare", "risk/fraud@1.0.0", "@9.9.9").code == 3


def test_a_metric_is_drawn(gitreg: Callable[..., Result], registry: Path) -> None:
    shown = gitreg("plot", "risk/fraud", "auc")

    assert shown.code == 0
    assert shown.lines[-1].split() == ["1.0.0", "1.1.0"]
    assert gitreg("plot", "risk/fraud", "metrics.auc").out == shown.out, "as searches write it"


def test_a_chart_is_written_and_its_numbers_told(gitreg: Callable[..., Result], registry: Path, tmp_path: Path) -> None:
    shown = gitreg("plot", "risk/fraud", "auc", "loss", "-o", tmp_path / "fraud.svg", "--json")

    assert (tmp_path / "fraud.svg").read_bytes().startswith(b"<?xml")
    assert json.loads(shown.out)["metrics"] == {"auc": [0.9, 0.95], "loss": [1, 1]}


def test_a_metric_that_nobody_measured_is_named(gitreg: Callable[..., Result], registry: Path) -> None:
    shown = gitreg("plot", "risk/fraud", "acu")

    assert (shown.code, shown.err) == (
        3,
        "gitreg: no version of risk/fraud has a metric 'acu'; did you mean auc?\n",
    )


def test_lineage_as_a_graph(gitreg: Callable[..., Result], registry: Path) -> None:
    dot = gitreg("lineage", "risk/fraud@1.1.0", "--format", "dot")
    mermaid = gitreg("lineage", "risk/fraud@1.1.0", "--format", "mermaid")
    svg = gitreg("lineage", "risk/fraud@1.1.0", "--format", "svg")
    page = gitreg("lineage", "risk/fraud@1.1.0", "--format", "html")

    assert '"risk/fraud@1.0.0" -> "risk/fraud@1.1.0" [label="finetuned-from"];' in dot.out
    assert mermaid.lines[0] == "flowchart LR"
    assert svg.out.startswith("<?xml")
    assert page.out.startswith("<!doctype html>")
