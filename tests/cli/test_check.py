from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.cli import markdown, verdict
from gitreg.cli.comparison import Comparison, Deployed
from gitreg.gate import Code, Violation
from gitreg.names import EnvironmentName, ModelName, Version
from tests.cli.conftest import EVIL, Result

if TYPE_CHECKING:
    from pathlib import Path

Gitreg = Callable[..., Result]

VIOLATIONS = [
    Violation(
        Code.FILE_INVALID,
        "found 3, want text",
        remedy="quote it",
        commit="ab" * 20,
        path="models/risk/fraud/1.0.0.yaml",
        line=7,
        field="description",
    ),
    Violation(Code.ACCESS_DENIED, "mallory may not"),
    Violation(Code.ACCESS_DENIED, "mallory may not"),
    Violation(Code.FILE_MODE, f"100%\r\n::error::{EVIL}", path=f"a:b,c%\n{EVIL}"),
]


@pytest.fixture
def clone(own_registry: Path, gitreg: Gitreg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Clone the registry, without its hooks, and stand in it."""
    path = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", own_registry, path], check=True)
    monkeypatch.delenv("GITREG_REGISTRY")
    monkeypatch.chdir(path)
    subprocess.run(["git", "config", "gitreg.store", f"file:{own_registry.parent / 'store'}"], check=True)
    return path


def _commit(path: Path, files: dict[str, str], message: str = "Change it") -> None:
    for name, text in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text(text)
    subprocess.run(["git", "-C", path, "add", "--all"], check=True)
    subprocess.run(["git", "-C", path, "commit", "-q", "-m", message], check=True)


def _pointer(version: str) -> dict[str, str]:
    return {
        "deployments/prod/risk/fraud.yaml": "api_version: gitreg/v1\nkind: Deployment\nenvironment: prod\n"
        f"model: risk/fraud\nversion: {version}\n"
    }


def test_a_sound_checkout_is_accepted(clone: Path, gitreg: Gitreg) -> None:
    assert gitreg("check", "--no-store") == Result(0, "accepted: no violations\n", "")
    assert gitreg("check", clone, "--no-store", "--json").out == '{\n  "accepted": true,\n  "violations": []\n}\n'


def test_a_broken_checkout_is_refused_with_file_line_and_remedy(clone: Path, gitreg: Gitreg) -> None:
    (clone / "models/risk/fraud/model.yaml").write_text("api_version: gitreg/v1\nkind: Model\nmodell: risk/fraud\n")
    result = gitreg("check", ".", "--no-store")
    assert result.code == 2
    assert "models/risk/fraud/model.yaml:3" in result.out
    assert re.search(r"^refused: \d+ violations?$", result.lines[-1])


def test_a_range_is_judged_as_a_push_would_be(clone: Path, gitreg: Gitreg) -> None:
    _commit(clone, _pointer("1.1.0"))
    assert gitreg("check", "--base", "origin/main", "--no-store").code == 0
    result = gitreg("check", "--base", "origin/main", "--as", "mallory", "--no-store")
    assert result.code == 5
    assert result.lines[0].startswith("[access-denied] deployments/prod/risk/fraud.yaml: mallory may not deploy")


def test_the_report_compares_with_what_is_deployed_now(clone: Path, gitreg: Gitreg, tmp_path: Path) -> None:
    _commit(clone, _pointer("1.1.0"))
    report = tmp_path / "report.md"
    assert gitreg("check", "--base", "origin/main", "--no-store", "--report", report).code == 0
    assert report.read_text().splitlines() == [
        "### gitreg",
        "",
        "The gate would accept this.",
        "",
        "#### `risk/fraud@1.1.0`: `deployed to prod`",
        "",
        "| metric | this version | `prod` now: `1.0.0` | delta |",
        "| --- | ---: | ---: | ---: |",
        "| `auc` | 0.95 | 0.9 | +0.05 |",
        "| `loss` | 1 | 1 | +0 |",
    ]


def test_the_report_is_about_what_a_branch_brings_when_main_has_moved_on(
    clone: Path, own_registry: Path, gitreg: Gitreg, tmp_path: Path
) -> None:
    subprocess.run(["git", "checkout", "-q", "-b", "work"], check=True)
    _commit(clone, {"README.md": "changed\n"})
    assert gitreg("--registry", own_registry, "deploy", "risk/fraud@1.1.0", "prod").code == 0
    subprocess.run(["git", "fetch", "-q"], check=True)
    report = tmp_path / "report.md"
    gitreg("check", "--base", "origin/main", "--no-store", "--report", report)
    assert "risk/fraud" not in report.read_text()


@pytest.mark.parametrize("flag", [["--head", "HEAD"], ["--as", "root"], ["--report", "x.md"]])
def test_flags_about_a_range_need_its_beginning(clone: Path, gitreg: Gitreg, flag: list[str]) -> None:
    result = gitreg("check", *flag)
    assert result.code == 2
    assert flag[0] in result.err


def test_an_unknown_commit_and_a_folder_that_is_none_are_not_found(clone: Path, gitreg: Gitreg, tmp_path: Path) -> None:
    assert gitreg("check", "--base", "nothing").code == 3
    assert gitreg("check", tmp_path / "nothing").code == 3


def test_a_report_that_cannot_be_written_is_said(clone: Path, gitreg: Gitreg, tmp_path: Path) -> None:
    _commit(clone, _pointer("1.1.0"))
    result = gitreg("check", "--base", "origin/main", "--no-store", "--report", tmp_path / "no" / "x.md")
    assert result.code == 7
    assert "--report" in result.err


@pytest.mark.parametrize("form", ["text", "json", "github", "sarif", "gitlab"])
def test_every_format_says_that_nothing_is_wrong(form: str) -> None:
    assert verdict.FORMATS[form]([])


def test_annotations_cannot_be_broken_out_of() -> None:
    lines = verdict.github(VIOLATIONS).splitlines()
    assert len(lines) == len(VIOLATIONS) + 1
    assert lines[0] == (
        "::error file=models/risk/fraud/1.0.0.yaml,line=7,title=gitreg file-invalid::"
        "description: found 3, want text (commit ababababab); quote it"
    )
    assert all(line.startswith("::error ") for line in lines[:-1])
    properties = lines[3].removeprefix("::error ").split("::")[0]
    assert [each.partition("=")[0] for each in properties.split(",")] == ["file", "title"]
    assert "100%25 ::error::evil" in lines[3]


def test_sarif_names_rules_and_places() -> None:
    document = json.loads(verdict.sarif(VIOLATIONS))
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["access-denied", "file-invalid", "file-mode"]
    assert all(rules[result["ruleIndex"]] == result["ruleId"] for result in run["results"])
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "models/risk/fraud/1.0.0.yaml"}, "region": {"startLine": 7}}
    assert "locations" not in run["results"][1]
    assert re.fullmatch(
        r"[A-Za-z0-9_.~/%-]+", run["results"][3]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
    )


def test_gitlab_issues_have_fingerprints_of_their_own_that_outlive_a_moved_line() -> None:
    issues = json.loads(verdict.gitlab(VIOLATIONS))
    assert len({issue["fingerprint"] for issue in issues}) == len(VIOLATIONS)
    moved = replace(VIOLATIONS[0], line=99)
    assert json.loads(verdict.gitlab([moved]))[0]["fingerprint"] == issues[0]["fingerprint"]
    assert issues[0]["location"] == {"path": "models/risk/fraud/1.0.0.yaml", "lines": {"begin": 7}}


@given(st.text(st.characters(codec=None)))
def test_pushed_text_stays_in_its_code_span_and_its_cell(text: str) -> None:
    shown = markdown.code(text)
    assert shown == "n/a" or re.fullmatch(r"`[^`|\n]+`", shown)


def test_markdown_of_pushed_names_is_not_taken_for_markup() -> None:
    evil = {f"{EVIL}\n# title": 1.0, "@admin": 2.0}
    comparison = Comparison(
        model=ModelName("risk", "fraud"),
        version=Version("2.0.0"),
        events=("registered",),
        metrics=evil,
        deployed=(Deployed(environment=EnvironmentName("prod"), version=Version("1.0.0"), metrics={}),),
    )
    text = markdown.report([VIOLATIONS[3]], [comparison])
    outside = re.sub(r"`[^`\n]*`", "", text)
    assert "<b>" not in outside
    assert "@admin" not in outside
    assert "\n# title" not in text
    assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))
