"""The CI files that make a check the gate: how they are written, and what their scripts do."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from gitreg.layout import MAIN
from gitreg.resources import resource
from tests.gate_hooks.support import run
from tests.servers.clients import NEW_VERSION, VERSION_PATH, Clone, make_registry

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.gate.support import Edits

EXAMPLE = resource("example-registry")
WORKFLOWS = ("check.yml", "mark.yml")
REQUIREMENTS = ".gitreg/requirements.txt"
EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")


def _workflow(name: str) -> dict[Any, Any]:
    data = yaml.safe_load((EXAMPLE / ".github" / "workflows" / name).read_text())
    assert isinstance(data, dict)
    return data


def _jobs(name: str) -> dict[str, Any]:
    jobs = _workflow(name)["jobs"]
    assert isinstance(jobs, dict)
    return jobs


def _steps(name: str) -> list[dict[str, Any]]:
    return [step for job in _jobs(name).values() for step in job["steps"]]


def _gitlab() -> dict[str, Any]:
    data = yaml.safe_load((EXAMPLE / ".gitlab-ci.yml").read_text())
    assert isinstance(data, dict)
    return data


def _gitlab_scripts() -> list[str]:
    jobs = [job for job in _gitlab().values() if isinstance(job, dict)]
    return [line for job in jobs for part in ("before_script", "script") for line in job.get(part, ())]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_is_pinned_to_a_commit_and_says_its_version(name: str) -> None:
    text = (EXAMPLE / ".github" / "workflows" / name).read_text()
    used = re.findall(r"^ *-? *uses: (.*)$", text, re.MULTILINE)
    assert len(used) == sum("uses" in step for step in _steps(name)) > 0
    for each in used:
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", each)


def test_one_action_has_one_commit_in_all_files() -> None:
    used = {step["uses"] for name in WORKFLOWS for step in _steps(name) if "uses" in step}
    assert len({each.partition("@")[0] for each in used}) == len(used)


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_script_has_an_expression_in_it(name: str) -> None:
    scripts = [step["run"] for step in _steps(name) if "run" in step]
    assert scripts
    assert not [script for script in scripts if "${{" in script]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_no_job_may_more_than_it_needs(name: str) -> None:
    assert _workflow(name)["permissions"] == {}
    needed = {"gate": {"contents": "read"}, "comment": {"pull-requests": "write"}, "mark": {"contents": "read"}}
    for job, parts in _jobs(name).items():
        assert parts["permissions"] == needed[job]
        assert parts["timeout-minutes"] <= 10


def test_the_check_is_mains_own_and_takes_nothing_of_a_pull_request_out_of_git() -> None:
    on = _workflow("check.yml")[True]  # YAML 1.1 reads `on` so
    assert on.keys() == {"pull_request_target"}
    (checkout,) = [step for step in _steps("check.yml") if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"] == {"ref": "main", "fetch-depth": 0, "persist-credentials": False}
    text = (EXAMPLE / ".github" / "workflows" / "check.yml").read_text()
    assert "secrets." not in text
    assert not re.search(r"git (?:checkout|switch|merge|pull|reset|worktree|submodule)\b", text)


def test_marks_come_one_after_the_other_and_with_a_key_of_their_own() -> None:
    marks = _workflow("mark.yml")
    assert marks["concurrency"] == {"group": "mark", "cancel-in-progress": False}
    assert _jobs("mark.yml")["mark"]["environment"] == "mark"
    assert _gitlab()["mark"]["resource_group"] == "mark"


def test_whatever_is_installed_has_a_hash_and_comes_from_main() -> None:
    scripts = [step["run"] for name in WORKFLOWS for step in _steps(name) if "run" in step] + _gitlab_scripts()
    installing = [script for script in scripts if "pip install" in script]
    assert len(installing) == 4
    for script in installing:
        assert script.startswith("python -I -m pip install ")
        assert "--only-binary :all: --require-hashes" in " ".join(script.split())
        assert "requirements.txt" in script
    assert not [script for script in scripts if re.search(r"\b(?:curl|wget|npm|apt-get|npx|pipx)\b", script)]


def test_python_loads_nothing_from_the_current_folder() -> None:
    scripts = [step["run"] for name in WORKFLOWS for step in _steps(name) if "run" in step] + _gitlab_scripts()
    started = [match for script in scripts for match in re.findall(r"\bpython\b +(\S+)", script)]
    assert started == ["-I"] * 5


def test_gitlabs_gate_lays_out_no_file_of_a_branch() -> None:
    assert _gitlab()["gate"]["variables"] == {"GIT_STRATEGY": "none"}
    text = "\n".join(_gitlab_scripts())
    for strangers in ("COMMIT_MESSAGE", "COMMIT_TITLE", "MERGE_REQUEST_TITLE", "MERGE_REQUEST_DESCRIPTION", "AUTHOR"):
        assert strangers not in text
    # A branch's name is a stranger's too: it is only ever a value.
    assert re.findall(r".*SOURCE_BRANCH_NAME.*", text) == ["branch=${CI_MERGE_REQUEST_SOURCE_BRANCH_NAME#proposals/}"]
    assert "eval" not in text


@dataclass(frozen=True)
class Forge:
    """A forge's repository, somebody's clone, and a machine that runs jobs."""

    origin: Path
    clone: Clone
    runner: Path
    programs: Path

    def tip(self) -> str:
        return run(["git", "rev-parse", MAIN], self.origin).stdout.strip()

    def merge(self, edits: Edits) -> None:
        """Let something else come onto main."""
        self.clone.git("checkout", "--quiet", "--detach", "origin/main")
        self.clone.commit(edits)
        pushed = self.clone.push()
        assert pushed.accepted, pushed.said
        self.clone.git("fetch", "--quiet")

    def propose(self, *edits: Edits, onto: str = "origin/main") -> str:
        """Commit a branch, and put it where the forge keeps what is proposed."""
        self.clone.git("checkout", "--quiet", "--detach", onto)
        head = [self.clone.commit(each) for each in edits][-1]
        return self.offer(head)

    def offer(self, head: str) -> str:
        """Put a commit where GitHub and GitLab keep what is proposed."""
        for ref in ("refs/pull/7/head", "refs/merge-requests/7/head"):
            run(["git", "fetch", "--quiet", str(self.clone.path), f"+{head}:{ref}"], self.origin)
        return head

    def script(self, text: str, environment: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
        """Run a script as a runner's shell does; `python` there only pretends to install."""
        path = f"{self.programs}{os.pathsep}{os.environ['PATH']}"
        words = ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", "-c", text]
        return run(words, folder, environment={"PATH": path, **environment}, check=False)

    def github(self, head: str, author: str, sender: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the steps of the check from the checkout of main on."""
        checkout = self.runner / "checkout"
        run(["git", "clone", "--quiet", "--branch", "main", str(self.origin), str(checkout)], self.runner)
        values = {
            "github.event.pull_request.number": "7",
            "github.event.pull_request.head.sha": head,
            "github.event.pull_request.user.login": author,
            "github.event.sender.login": sender or author,
            "github.token": "token",
            "vars.STORE": f"file:{self.origin.parent / 'store'}",
        }
        done = None
        for step in _jobs("check.yml")["gate"]["steps"]:
            if "run" in step:
                environment = {
                    name: EXPRESSION.sub(lambda found: values[found[1]], text)
                    for name, text in step.get("env", {}).items()
                }
                done = self.script(step["run"], environment, checkout)
                if done.returncode:
                    break
        assert done is not None
        files = {path.name for path in checkout.iterdir()}
        assert files <= {".git", ".gitreg", "access.yaml", "models", "registry.yaml", "report.md"}
        return done

    def gitlab(self, head: str, branch: str, user: str) -> subprocess.CompletedProcess[str]:
        """Run the job that is the gate."""
        job = _gitlab()["gate"]
        project = self.runner / "project"
        project.mkdir()
        environment = {
            "CI_REPOSITORY_URL": str(self.origin),
            "CI_MERGE_REQUEST_IID": "7",
            "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": branch,
            "CI_COMMIT_SHA": head,
            "CI_PROJECT_DIR": str(project),
            "GITLAB_USER_LOGIN": user,
            "STORE": f"file:{self.origin.parent / 'store'}",
            "TMPDIR": str(self.runner),
        }
        return self.script("\n".join([*job["before_script"], *job["script"]]), environment, project)


@pytest.fixture
def forge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Forge]:
    """Make a registry that a forge hosts; who may push past its check is root, for the tests' sake."""
    monkeypatch.setenv("GL_USER", "root")
    origin = tmp_path / "srv" / "models.git"
    make_registry(origin, "GL_USER")
    programs = tmp_path / "programs"
    programs.mkdir()
    (tmp_path / "runner").mkdir()
    _program(programs / "gitreg", f'exec {shlex.quote(sys.executable)} -m gitreg "$@"')
    _program(programs / "python", f'echo "$@" >> {shlex.quote(str(tmp_path / "installed"))}')
    clone = Clone.of(str(origin), tmp_path / "clone")
    made = Forge(origin, clone, tmp_path / "runner", programs)
    made.merge({REQUIREMENTS: b"gitreg==0.1.0 --hash=sha256:0\n"})
    monkeypatch.delenv("GL_USER")
    yield made
    assert "pip install" in (tmp_path / "installed").read_text()


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_github_accepts_what_its_author_may_do(forge: Forge) -> None:
    done = forge.github(forge.propose(NEW_VERSION), "Alice")
    assert (done.returncode, done.stdout) == (0, "accepted: no violations\n"), done.stderr
    assert "would accept" in (forge.runner / "checkout" / "report.md").read_text()


@pytest.mark.parametrize(
    ("author", "sender"), [("bob", "bob"), ("alice", "bob"), ("bob", "alice"), ("mallory", "alice"), ("ghost[bot]", "")]
)
def test_github_refuses_where_author_or_pusher_may_not(forge: Forge, author: str, sender: str) -> None:
    done = forge.github(forge.propose(NEW_VERSION), author, sender or None)
    assert done.returncode != 0
    if author != "ghost[bot]":
        assert re.search(r"^::error .*title=gitreg (?:access-denied|actor-unknown)::", done.stdout, re.MULTILINE)


def test_a_pull_request_cannot_change_its_own_judge(forge: Forge) -> None:
    evil = {
        ".github/workflows/check.yml": b"on: push\n",
        REQUIREMENTS: b"evil\n",
        "gitreg.py": b"raise SystemExit(0)\n",
        "pip.py": b"raise SystemExit(0)\n",
        **NEW_VERSION,
    }
    done = forge.github(forge.propose(evil), "alice")
    assert done.returncode == 5
    for path in evil.keys() - NEW_VERSION.keys():
        assert f"file={path}" in done.stdout


@pytest.mark.parametrize("name", ["$(touch {0})", "`touch {0}`", "x; touch {0}", "--help", "a\n::warning::b", ""])
def test_a_strangers_name_is_only_ever_a_value(forge: Forge, tmp_path: Path, name: str) -> None:
    pwned = tmp_path / "pwned"
    head = forge.propose(NEW_VERSION)
    hostile = name.format(pwned)
    assert forge.github(head, hostile, "alice").returncode == 2
    assert forge.gitlab(head, f"proposals/{hostile}/x", "alice").returncode == 2
    assert not pwned.exists()


def test_github_refuses_merges_because_rebasing_would_take_them_apart(forge: Forge) -> None:
    side = forge.propose({VERSION_PATH: b"broken\n"}, NEW_VERSION)
    forge.clone.git("checkout", "--quiet", "--detach", "origin/main")
    forge.clone.git("merge", "--quiet", "--no-ff", "-m", "Merge", side)
    head = forge.offer(forge.clone.git("rev-parse", "HEAD").stdout.strip())
    done = forge.github(head, "alice")
    assert done.returncode == 1
    assert "holds a merge" in done.stdout


def test_what_is_behind_main_is_judged_by_nobodys_old_rules(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    head = forge.propose(NEW_VERSION)
    access = run(["git", "show", f"{MAIN}:access.yaml"], forge.origin).stdout
    monkeypatch.setenv("GL_USER", "root")
    forge.merge({"access.yaml": access.replace("alice", "erin").encode()})
    monkeypatch.delenv("GL_USER")
    done = forge.github(head, "erin")
    assert done.returncode == 2
    assert "title=gitreg main-rewound" in done.stdout
    assert forge.gitlab(head, "proposals/erin/x", "erin").returncode == 2


def test_gitlab_accepts_what_its_author_may_do(forge: Forge) -> None:
    done = forge.gitlab(forge.propose(NEW_VERSION), "proposals/alice/x", "Alice")
    assert done.returncode == 0, done.stderr
    assert json.loads((forge.runner / "project" / "quality.json").read_text()) == []


@pytest.mark.parametrize(
    ("branch", "user"),
    [("proposals/bob/x", "bob"), ("proposals/alice/x", "bob"), ("proposals/bob/x", "alice"), ("x", "alice")],
)
def test_gitlab_refuses_where_the_branchs_owner_or_who_pushed_may_not(forge: Forge, branch: str, user: str) -> None:
    done = forge.gitlab(forge.propose(NEW_VERSION), branch, user)
    assert done.returncode == 5, done.stderr
    (issue,) = json.loads((forge.runner / "project" / "quality.json").read_text())
    assert issue["check_name"] in {"access-denied", "actor-unknown"}
    assert "would refuse" in done.stdout
