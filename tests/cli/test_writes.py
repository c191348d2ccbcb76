from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from gitreg.cli.written import done, pull_request
from tests.cli.conftest import Result

if TYPE_CHECKING:
    from pathlib import Path

Gitreg = Callable[..., Result]
COMMIT = r"\(commit [0-9a-f]{8} on main\)\n"


def _git(registry: Path, *args: str) -> str:
    return subprocess.run(["git", "-C", registry, *args], check=True, capture_output=True, text=True).stdout


def test_a_model_goes_its_whole_way(own_registry: Path, gitreg: Gitreg, weights: Path) -> None:
    steps = {
        f"register risk/fraud {weights} --bump minor --metric auc=0.97 --no-code": "registered risk/fraud@1.2.0",
        "update risk/fraud@1.2.0 --metric f1=0.5 --label stage=new": "updated risk/fraud@1.2.0",
        "update risk/fraud --task tabular-classification": "updated risk/fraud",
        "alias risk/fraud@1.2.0 challenger": "pointed alias challenger of risk/fraud at 1.2.0",
        "alias risk/fraud challenger --remove": "removed alias challenger of risk/fraud",
        "deploy risk/fraud@1.2.0 staging --reason retrain": "deployed risk/fraud@1.2.0 to staging",
        "approve risk/fraud@1.2.0 prod --comment fine": "approved risk/fraud@1.2.0 for prod",
        "promote risk/fraud staging": "promoted risk/fraud@1.2.0 from staging to prod",
        "report risk/fraud@1.2.0 prod --state failed --detail oom": "reported risk/fraud@1.2.0 failed in prod",
        "rollback risk/fraud prod --reason oom": "rolled back risk/fraud to 1.0.0 in prod",
        "rollback risk/fraud staging --to 1": "rolled back risk/fraud to 1.0.0 in staging",
        "undeploy risk/fraud staging": "undeployed risk/fraud@1.0.0 from staging",
        "yank risk/fraud@1.2.0 --reason leak": "yanked risk/fraud@1.2.0",
        "archive risk/fraud@1.2.0": "archived risk/fraud@1.2.0",
        "delete risk/fraud@1.2.0 --reason gdpr": "deleted risk/fraud@1.2.0",
        "delete risk/fraud@1.2.0 --undo": "restored risk/fraud@1.2.0",
    }
    for line, said in steps.items():
        result = gitreg(*line.split())
        assert (result.code, result.err) == (0, ""), line
        assert re.fullmatch(re.escape(said) + " " + COMMIT, result.out), result.out


def test_every_kind_of_metadata_is_recorded(own_registry: Path, gitreg: Gitreg, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("epochs: 20\nlayers: [1, 2]\n")
    (tmp_path / "evaluations.json").write_text(
        '[{"dataset": {"name": "ledger"}, "split": "test", "metrics": {"auc": 1}}]'
    )
    result = gitreg(
        *("register", "risk/new", weights, "--version", "1.0.0", "--metrics", "-", "--metric", "auc=0.5"),
        *("--params", tmp_path / "params.yaml", "--param", "epochs=30", "--dataset", "ledger@2026.01,uri=s3://b/k"),
        *("--evaluations", tmp_path / "evaluations.json", "--label", "team=risk", "--framework", "pytorch==2.13.0"),
        *("--license", "MIT", "--parent", "risk/fraud@1.0.0:distilled-from", "--base", "hf://org/model@main"),
        *(
            "--created",
            "2026-01-31T12:00:00Z",
            "--model-description",
            "New.",
            "--task",
            "scoring",
            "--no-code",
            "--json",
        ),
        stdin='{"auc": 0.1, "loss": 2}',
    )
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["subject"].startswith("Register risk/new")
    manifest = json.loads(gitreg("show", "risk/new", "--json").out)["manifest"]
    assert manifest["metrics"] == {"auc": 0.5, "loss": 2}
    assert manifest["training"]["hyperparameters"] == {"epochs": 30, "layers": [1, 2]}
    assert manifest["training"]["datasets"] == [{"name": "ledger", "version": "2026.01", "uri": "s3://b/k"}]
    assert manifest["training"]["framework"] == {"name": "pytorch", "version": "2.13.0"}
    assert manifest["evaluations"][0]["split"] == "test"
    assert manifest["created"] == "2026-01-31T12:00:00Z"
    assert manifest["base"] == "hf://org/model@main"
    assert manifest["parents"][0]["relation"] == "distilled-from"


def test_an_external_model_needs_no_files(own_registry: Path, gitreg: Gitreg) -> None:
    result = gitreg("register", "risk/api", "--version", "1.0.0", "--external", "openai:gpt-5", "--no-code")
    assert (result.code, result.err) == (0, "")
    assert "external:" in gitreg("show", "risk/api").out
    assert gitreg("pull", "risk/api").code == 2


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (["register", "risk/fraud", "WEIGHTS", "--version", "1.0.0"], 4),
        (["register", "risk/fraud", "WEIGHTS"], 2),
        (["register", "risk/fraud", "WEIGHTS", "--version", "1.0.0", "--bump", "minor"], 2),
        (["register", "risk/fraud", "WEIGHTS", "--version", "V1"], 2),
        (["register", "Risk/Fraud", "WEIGHTS", "--version", "2.0.0"], 2),
        (["register", "risk/fraud", "nothing-here", "--version", "2.0.0"], 3),
        (["register", "risk/fraud", "--version", "2.0.0"], 2),
        (["register", "risk/fraud", "WEIGHTS", "--version", "2.0.0", "--metric", "auc=high"], 2),
        (["register", "risk/fraud", "WEIGHTS", "--version", "2.0.0", "--metrics", "nothing-here"], 2),
        (["register", "risk/fraud", "WEIGHTS", "--version", "2.0.0", "--parent", "risk/fraud@9.0.0"], 3),
        (["deploy", "risk/fraud@9.0.0", "prod"], 3),
        (["deploy", "risk/fraud@1.1.0", "prd"], 3),
        (["deploy", "risk/fraud@1.1.0", "prod", "--canary", "1.0.0"], 2),
        (["delete", "risk/fraud@1.0.0"], 4),
        (["yank", "risk/fraud@latest"], 2),
        (["alias", "risk/fraud", "champion"], 2),
        (["alias", "risk/fraud@1.0.0", "latest"], 2),
        (["update", "risk/fraud@1.0.0"], 2),
        (["update", "risk/fraud@1.0.0", "--task", "x"], 2),
        (["update", "risk/fraud", "--license", "MIT"], 2),
        (["update", "risk/fraud@1.0.0", "--lifecycle", "yanked"], 2),
        (["promote", "risk/fraud", "prod"], 2),
        (["rollback", "risk/fraud", "prod"], 4),
        (["rollback", "risk/fraud", "staging", "--to", "7"], 3),
        (["undeploy", "risk/other", "prod"], 3),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_refused_write_has_the_code_of_its_class_and_changes_nothing(
    registry: Path, gitreg: Gitreg, weights: Path, args: list[str], code: int
) -> None:
    before = _git(registry, "for-each-ref")
    result = gitreg(*(weights if arg == "WEIGHTS" else arg for arg in args))
    assert (result.code, result.out) == (code, "")
    assert result.err.startswith("gitreg: ")
    assert _git(registry, "for-each-ref") == before


def test_a_dry_run_shows_the_change_and_the_verdict_and_does_nothing(registry: Path, gitreg: Gitreg) -> None:
    before = _git(registry, "for-each-ref")
    result = gitreg("deploy", "risk/fraud@1.1.0", "prod", "--dry-run")
    assert result.code == 0
    assert "-version: 1.0.0" in result.lines
    assert "+version: 1.1.0" in result.lines
    assert result.lines[-1] == "the gate would accept this; nothing was changed"
    assert _git(registry, "for-each-ref") == before


def test_a_dry_run_that_the_gate_would_refuse_says_so_and_has_its_code(
    own_registry: Path, gitreg: Gitreg, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    assert gitreg("clone", own_registry, clone).code == 0
    args = ("--registry", clone, "deploy", "risk/fraud@1.1.0", "prod", "--dry-run", "--as", "mallory")
    result = gitreg(*args)
    assert result.code == 5
    assert "the gate would refuse this: 1 violation" in result.out
    assert "[access-denied]" in result.out
    as_json = gitreg(*args, "--json")
    assert as_json.code == 5
    assert [each["code"] for each in json.loads(as_json.out)["violations"]] == ["access-denied"]


def test_a_write_that_changes_nothing_says_so(registry: Path, gitreg: Gitreg) -> None:
    result = gitreg("deploy", "risk/fraud@1.0.0", "prod")
    assert (result.code, result.out) == (0, "nothing to do: the registry says so already\n")
    assert result.err.startswith("note: ")


def test_a_proposal_is_pushed_to_a_branch_and_tells_the_way_on(own_registry: Path, gitreg: Gitreg) -> None:
    main = _git(own_registry, "rev-parse", "main")
    result = gitreg("deploy", "risk/fraud@1.1.0", "prod", "--propose")
    assert (result.code, result.err) == (0, "")
    branch = _git(own_registry, "for-each-ref", "--format=%(refname:short)", "refs/heads/proposals/").strip()
    assert branch in result.lines[0]
    assert f"git fetch origin {branch} && git merge --no-ff FETCH_HEAD" in result.out
    assert _git(own_registry, "rev-parse", "main") == main


@pytest.mark.parametrize(
    ("origin", "first", "count"),
    [
        ("git@github.com:acme/models.git", "gh pr create --base main --head x", 1),
        ("https://github.example.org/acme/models", "gh pr create --base main --head x", 1),
        ("ssh://git@gitlab.com:22/acme/models.git", "glab mr create", 1),
        ("/srv/github/models.git", "git fetch origin x", 3),
        ("ssh://git@host/gitlab/models.git", "git fetch origin x", 3),
    ],
)
def test_the_forge_is_told_by_the_host_alone(origin: str, first: str, count: int) -> None:
    ways = pull_request("x", origin)
    assert ways[0].startswith(first)
    assert len(ways) == count


def test_a_subject_becomes_what_was_done() -> None:
    assert done("Register risk/fraud 1.4.0") == "registered risk/fraud@1.4.0"
    assert done("Register risk/fraud@1.4.0") == "registered risk/fraud@1.4.0"
    assert done("Something else") == "Something else"


def test_init_makes_a_registry_that_can_be_written_to(gitreg: Gitreg, tmp_path: Path, weights: Path) -> None:
    for args in (
        ["init", "--bare", tmp_path / "a.git"],
        ["server", "init", tmp_path / "b.git"],
        ["init", tmp_path / "c"],
    ):
        made = gitreg(*args)
        assert (made.code, made.err) == (0, "")
        path = args[-1]
        assert gitreg("--registry", path, "register", "a/b", weights, "--version", "1.0.0", "--no-code").code == 0
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").touch()
    assert gitreg("init", tmp_path / "other").code == 4


def test_doctor_finds_an_emptied_hook_and_puts_it_right(own_registry: Path, gitreg: Gitreg) -> None:
    (own_registry / "hooks" / "pre-receive").write_text("")
    result = gitreg("doctor")
    assert result.code == 6
    assert "wrong  pre-receive" in result.out
    assert gitreg("doctor", "--fix").code == 0
    assert gitreg("doctor").code == 0


def test_an_altered_audit_log_is_found(own_registry: Path, gitreg: Gitreg) -> None:
    path = own_registry / "gitreg" / "audit.jsonl"
    path.write_text(path.read_text().replace('"accepted"', '"refused"', 1))
    result = gitreg("audit", "verify")
    assert result.code == 6
    assert "was altered" in result.out


def test_model_files_are_refused_in_an_ordinary_repository(gitreg: Gitreg, weights: Path, tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text("pass\n")
    assert gitreg("no-model-files", tmp_path / "code.py") == Result(0, "", "")
    result = gitreg("no-model-files", tmp_path / "code.py", weights)
    assert result.code == 1
    assert "gitreg register" in result.out
    assert gitreg("no-model-files", tmp_path / "code.py", "--max-megabytes", "0").code == 1


def test_config_is_read_and_written_where_git_keeps_it(
    own_registry: Path, gitreg: Gitreg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gitreg("config", "user").code == 3
    assert gitreg("config", "user", "alice") == Result(0, "alice\n", "")
    assert _git(own_registry, "config", "--local", "gitreg.user") == "alice\n"
    assert gitreg("config", "gitreg.user", "--unset") == Result(0, "", "")
    assert gitreg("config", "usr").err == "gitreg: there is no setting 'usr'; did you mean gitreg.user?\n"
    monkeypatch.delenv("GITREG_REGISTRY")
    monkeypatch.chdir(tmp_path)
    assert gitreg("config", "user", "bob").code == 2
    assert gitreg("config", "--global", "registry", own_registry).code == 0
    assert gitreg("list").code == 0
