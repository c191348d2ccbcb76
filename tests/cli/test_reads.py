from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.cli.conftest import WEIGHTS, Result

if TYPE_CHECKING:
    from pathlib import Path

Gitreg = Callable[..., Result]

READS: list[list[str]] = [
    ["list"],
    ["list", "risk"],
    ["show", "risk/fraud@prod"],
    ["show", "risk/fraud", "--card"],
    ["versions", "risk/fraud"],
    ["search", "metrics.auc>0.91"],
    ["diff", "risk/fraud@1.0.0", "@1.1.0"],
    ["lineage", "risk/fraud@champion"],
    ["status"],
    ["status", "prod", "risk/fraud"],
    ["history", "risk/fraud"],
    ["history", "risk/fraud", "staging"],
    ["log"],
    ["log", "risk/fraud", "-n", "2"],
    ["access", "explain", "nobody", "risk/fraud", "prod"],
    ["access", "codeowners"],
    ["audit", "verify"],
    ["doctor"],
    ["config"],
    ["completion", "zsh"],
    ["mark"],
]


@pytest.mark.parametrize("args", READS, ids=" ".join)
def test_every_answer_is_text_for_people_and_one_json_document(registry: Path, gitreg: Gitreg, args: list[str]) -> None:
    shown = gitreg(*args)
    assert (shown.code, shown.err) == (0, "")
    assert "\x1b" not in shown.out
    assert "[" not in shown.out[:1]
    as_json = gitreg(*args, "--json")
    assert (as_json.code, as_json.err) == (0, "")
    json.loads(as_json.out)


def test_the_direction_of_an_order_needs_no_quotes(registry: Path, gitreg: Gitreg) -> None:
    def order(*direction: str) -> list[str]:
        found = json.loads(gitreg("search", "metrics.auc>0", "--order-by", *direction, "--json").out)["versions"]
        return [f"{each['model']}@{each['version']}" for each in found]

    assert order("metrics.auc", "desc") == order("metrics.auc desc")
    assert order("metrics.auc", "desc")[0] != order("metrics.auc", "asc")[0]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["show", "risk/nothing"], 3),
        (["show", "risk/fraud@9.9.9"], 3),
        (["show", "Risk/Fraud"], 2),
        (["show", "risk/fraud@"], 2),
        (["versions", "risk/fraudd"], 3),
        (["list", "nothing"], 3),
        (["status", "prd"], 3),
        (["history", "risk/fraud", "prd"], 3),
        (["search", "auc"], 2),
        (["search", "metrics.auc>high"], 2),
        (["list", "--at", "yesterday"], 2),
        (["list", "--at", "2001-01-01"], 3),
        (["diff", "risk/fraud@1.0.0", "@9.9.9"], 3),
    ],
)
def test_a_wrong_question_is_answered_with_the_code_of_its_class(
    registry: Path, gitreg: Gitreg, args: list[str], code: int
) -> None:
    result = gitreg(*args)
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("gitreg: ")


def test_list_tells_the_latest_version_and_what_is_deployed(registry: Path, gitreg: Gitreg) -> None:
    header, row = gitreg("list").lines
    assert header.split() == ["MODEL", "LATEST", "VERSIONS", "DEPLOYED", "ALIASES", "DESCRIPTION"]
    assert row.split("  ")[0] == "risk/fraud"
    assert "staging=1.1.0 prod=1.0.0  champion=1.1.0  Scores card payments." in row


def test_show_lays_everything_out(registry: Path, gitreg: Gitreg) -> None:
    result = gitreg("show", "risk/fraud@champion")
    assert result.lines[0] == "risk/fraud@1.1.0"
    fields = dict(line.split(":", 1) for line in result.lines if ":" in line and not line.startswith(" "))
    assert {
        key: fields[key].strip() for key in ("lifecycle", "deployed", "aliases", "license", "labels", "parents")
    } == {
        "lifecycle": "active",
        "deployed": "staging",
        "aliases": "champion",
        "license": "Apache-2.0",
        "labels": "team=risk",
        "parents": "risk/fraud@1.0.0 (finetuned-from)",
    }
    assert any(line.split()[:4] == ["model.safetensors", "16", "B", "safetensors"] for line in result.lines)
    assert fields["auc"].strip() == "0.95"
    assert fields["hyperparameters"].strip() == "epochs=20 optimizer=adam"
    assert any(line.split() == ["ledger", "2026.01", "-", "-"] for line in result.lines)


def test_versions_come_highest_first(registry: Path, gitreg: Gitreg) -> None:
    assert [line.split()[0] for line in gitreg("versions", "risk/fraud").lines] == ["VERSION", "1.1.0", "1.0.0"]


def test_diff_tells_deltas_and_needs_the_model_once(registry: Path, gitreg: Gitreg) -> None:
    spellings = ["@1.1.0", "1.1.0", "risk/fraud@1.1.0", "champion"]
    results = {gitreg("diff", "risk/fraud@1.0.0", spelling).out for spelling in spellings}
    assert len(results) == 1
    lines = [line.split() for line in results.pop().splitlines()]
    assert ["auc", "0.9", "0.95", "+0.05"] in lines
    assert ["loss", "1", "1", "+0"] in lines


def test_lineage_is_a_tree(registry: Path, gitreg: Gitreg) -> None:
    assert gitreg("lineage", "risk/fraud@1.1.0").lines == ["risk/fraud@1.1.0", "└─ risk/fraud@1.0.0 (finetuned-from)"]


def test_status_tells_what_is_meant_to_run_and_what_was_reported(registry: Path, gitreg: Gitreg) -> None:
    rows = [line.split()[:6] for line in gitreg("status").lines[1:]]
    assert rows == [
        ["staging", "risk/fraud", "1.1.0", "-", "active", "-"],
        ["prod", "risk/fraud", "1.0.0", "-", "active", "live"],
    ]
    assert len(gitreg("status", "prod").lines) == 2
    assert len(gitreg("status", "prod", "staging", "risk/fraud").lines) == 3


def test_history_counts_deployments_up(registry: Path, gitreg: Gitreg) -> None:
    rows = [line.split() for line in gitreg("history", "risk/fraud", "staging").lines[1:]]
    assert [row[1:6] for row in rows] == [
        ["staging", "2", "deploy", "1.1.0", "1.0.0"],
        ["staging", "1", "deploy", "1.0.0", "-"],
    ]


def test_log_is_bounded(registry: Path, gitreg: Gitreg) -> None:
    assert len(gitreg("log", "-n", "3").lines) == 4
    assert len(gitreg("log", "-n", "0").lines) == 9


def test_pull_brings_the_files_and_leaves_them_alone_when_they_are_there(
    registry: Path, gitreg: Gitreg, tmp_path: Path
) -> None:
    folder = tmp_path / "pulled"
    for _ in range(2):
        result = gitreg("pull", "risk/fraud@prod", "-o", folder)
        assert (result.code, result.err) == (0, "")
        assert result.out == f"pulled risk/fraud@1.0.0 into {folder} (1 file, 16 B, verified)\n"
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_pull_does_not_write_over_other_files(registry: Path, gitreg: Gitreg, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("mine")
    assert gitreg("pull", "risk/fraud", "-o", tmp_path).code == 4
    assert gitreg("pull", "risk/fraud", "-o", tmp_path, "--force").code == 0
    assert gitreg("pull", "risk/fraud", "-o", tmp_path, "--only", "*.onnx").code == 3


def test_a_models_card_is_shown_as_it_is_written(own_registry: Path, gitreg: Gitreg, tmp_path: Path) -> None:
    assert gitreg("show", "risk/fraud", "--card").out == "this model has no card\n"
    card = tmp_path / "card.md"
    card.write_text("# Fraud\n\n  indented\n")
    assert gitreg("update", "risk/fraud", "--card", card).code == 0
    assert gitreg("show", "risk/fraud@prod", "--card").out == "# Fraud\n\n  indented\n"
