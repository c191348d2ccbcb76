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
    assert result.lines[0].startswith("[actor-unknown] mallory is not named in access.yaml")


def test_an_empty_name_is_refused_and_does_not_leave_the_access_rules_out(clone: Path, gitreg: Gitreg) -> None:
    _commit(clone, _pointer("1.1.0"))
    result = gitreg("check", "--base", "origin/main", "--as", "", "--no-store")
    assert (result.code, result.out) == (2, "")


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


# What people push, as git lets it through: paths of any bytes but zero, messages that quote them.
TEXTS = st.text(st.characters(exclude_characters="\0", codec=None), min_size=1)
ANYTHING = st.lists(
    st.builds(
        Violation,
        st.sampled_from(Code),
        TEXTS,
        remedy=st.none() | TEXTS,
        commit=st.none() | st.just("ab" * 20),
        path=st.none() | TEXTS,
        line=st.none() | st.integers(1, 10**6),
        field=st.none() | TEXTS,
    ),
    max_size=5,
)
COMMAND = re.compile(r"::error (?P<properties>[^:]*)::(?P<message>.*)")


@given(ANYTHING)
def test_nothing_that_was_pushed_becomes_a_workflow_command(violations: list[Violation]) -> None:
    lines = verdict.github(violations).split("\n")
    assert len(lines) == len(violations) + 1
    for line, violation in zip(lines, violations, strict=False):
        found = COMMAND.fullmatch(line)
        assert found, line
        properties = dict(each.partition("=")[::2] for each in found["properties"].split(","))
        assert set(properties) <= {"file", "line", "title"}
        assert properties["title"] == f"gitreg {violation.code}"
        # Nothing in them is read twice: every per cent sign begins an escape of ours.
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", line)
        assert line.isprintable()
    assert re.fullmatch(r"accepted: no violations|refused: \d+ violations?", lines[-1])


def test_sarif_names_rules_and_places() -> None:
    document = json.loads(verdict.sarif(VIOLATIONS))
    (run,) = document["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert rules == ["access-denied", "file-invalid", "file-mode"]
    places = [result["locations"][0]["physicalLocation"] for result in run["results"]]
    assert places[0] == {"artifactLocation": {"uri": "models/risk/fraud/1.0.0.yaml"}, "region": {"startLine": 7}}
    assert places[1] == {"artifactLocation": {"uri": "registry.yaml"}}


@given(ANYTHING)
def test_sarif_has_what_the_standard_asks_for(violations: list[Violation]) -> None:
    """By hand after the schema of SARIF 2.1.0: required members, and no others than it knows."""
    document = json.loads(verdict.sarif(violations))
    assert document.keys() == {"$schema", "version", "runs"}
    assert document["version"] == "2.1.0"
    (run,) = document["runs"]
    assert run.keys() == {"tool", "columnKind", "results"}
    driver = run["tool"]["driver"]
    assert driver.keys() == {"name", "version", "rules"}
    ids = [rule["id"] for rule in driver["rules"]]
    assert ids == sorted({str(violation.code) for violation in violations})
    assert all(
        rule.keys() == {"id", "shortDescription"} and rule["shortDescription"]["text"] for rule in driver["rules"]
    )
    for result, violation in zip(run["results"], violations, strict=True):
        assert result.keys() == {"ruleId", "ruleIndex", "level", "message", "partialFingerprints", "locations"}
        assert ids[result["ruleIndex"]] == result["ruleId"] == str(violation.code)
        assert (result["level"], result["message"].keys()) == ("error", {"text"})
        (fingerprint,) = result["partialFingerprints"].values()
        assert re.fullmatch(r"[0-9a-f]{64}", fingerprint)
        (location,) = result["locations"]
        place = location["physicalLocation"]
        # A relative reference without a scheme, in the characters of RFC 3986.
        assert re.fullmatch(r"(?:[A-Za-z0-9_.~/-]|%[0-9A-F]{2})+", place["artifactLocation"]["uri"])
        assert place.get("region", {"startLine": 1})["startLine"] >= 1


@given(ANYTHING)
def test_gitlab_issues_have_what_a_code_quality_report_asks_for(violations: list[Violation]) -> None:
    issues = json.loads(verdict.gitlab(violations))
    assert len({issue["fingerprint"] for issue in issues}) == len(issues) == len(violations)
    for issue, violation in zip(issues, violations, strict=True):
        assert issue.keys() == {"description", "check_name", "fingerprint", "severity", "location"}
        assert issue["check_name"] == str(violation.code)
        assert issue["severity"] in {"info", "minor", "major", "critical", "blocker"}
        assert issue["location"]["path"]
        assert issue["location"]["lines"]["begin"] >= 1


def test_fingerprints_outlive_a_moved_line() -> None:
    moved = replace(VIOLATIONS[0], line=99, commit="cd" * 20)
    issues = json.loads(verdict.gitlab(VIOLATIONS))
    assert json.loads(verdict.gitlab([moved]))[0]["fingerprint"] == issues[0]["fingerprint"]
    assert issues[0]["location"] == {"path": "models/risk/fraud/1.0.0.yaml", "lines": {"begin": 7}}
    results = [json.loads(verdict.sarif([each]))["runs"][0]["results"][0] for each in (moved, VIOLATIONS[0])]
    assert results[0]["partialFingerprints"] == results[1]["partialFingerprints"]


@given(ANYTHING)
def test_text_and_json_say_everything_a_line_each(violations: list[Violation]) -> None:
    assert len(verdict.text(violations).split("\n")) == len(violations) + 1
    told = json.loads(verdict.as_json(violations))
    assert told["accepted"] is not bool(violations)
    assert [each["code"] for each in told["violations"]] == [str(violation.code) for violation in violations]


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
