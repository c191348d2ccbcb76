"""`gitreg demo`: a registry at work, with real weights, real pushes and real refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.errors import ConflictError, IntegrityError
from gitreg.git.environment import sealed_environment
from gitreg.registry.example import IDENTITY, begin, replay, steps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MODEL = "vision/digit-reader"
GOOD, BAD = "1.1.0", "1.2.0"


class Stage:
    """The demo's folder, and what is said and run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.registry = folder / "registry.git"
        self.started = time.monotonic()

    def title(self, text: str) -> None:
        """Begin a chapter."""
        click.echo(f"\n{click.style(f'== {text}', bold=True)}")

    def run(self, args: Sequence[str], *, user: str, cwd: Path | None = None, refused: bool = False) -> str:
        """Show a command, run it as a user, show what it says; IntegrityError where it ends otherwise than expected."""
        shown = " ".join(args)
        click.echo(click.style(f"{user}$ {shown}", fg="cyan"))
        command = [sys.executable, "-m", "gitreg", *args[1:]] if args[0] == "gitreg" else list(args)
        done = subprocess.run(
            command,
            cwd=cwd or self.folder,
            env=self._environment(user),
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        said = (done.stdout + done.stderr).rstrip()
        click.echo("\n".join(f"  {line}" for line in said.splitlines()))
        if (done.returncode != 0) != refused:
            raise IntegrityError(f"`{shown}` ended with exit code {done.returncode}", hint=f"see {self.folder}")
        return said

    def _environment(self, user: str) -> Mapping[str, str]:
        person = {"NAME": user.capitalize(), "EMAIL": f"{user}@example.org"}
        return {
            **sealed_environment({**os.environ}),
            IDENTITY: user,
            "GITREG_REGISTRY": str(self.registry),
            "GITREG_CACHE": str(self.folder / "cache"),
            **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in person.items()},
        }

    def clone(self, user: str) -> Path:
        """Give a user a clone by plain git."""
        path = self.folder / user
        self.run(["git", "clone", "--quiet", "registry.git", user], user=user)
        return path


@click.command("demo")
@click.option("--folder", type=click.Path(path_type=Path), help="Where to build it; it must not exist yet.")
def demo(folder: Path | None) -> None:
    """Build a registry from the example, deploy, break, roll back, and show it all."""
    if folder is not None and folder.exists():
        raise ConflictError(f"{folder} exists", hint="name a new folder, or remove it")
    place = Path(tempfile.mkdtemp(prefix="gitreg-demo-")) if folder is None else folder.absolute()
    place.mkdir(parents=True, exist_ok=True)
    stage = Stage(place)
    _history(stage)
    _refusals(stage)
    _deployments(stage)
    _incident(stage)
    _questions(stage)
    _farewell(stage)


def _history(stage: Stage) -> None:
    stage.title("A bare registry with its hooks, and the first weeks of a team's work, each line a push through the gate")
    first, *rest = steps()
    begin(stage.folder, first)
    click.echo(f"  {stage.registry}  (weights: {stage.folder / 'store'})")
    click.echo(f"  {first.user:<8} {first.subject}")
    for step, result in replay(stage.registry, rest):
        if not result.accepted:
            raise IntegrityError(f"{step.user}: {step.subject} was refused: {result.message}")
        click.echo(f"  {step.user:<8} {step.subject}")


def _refusals(stage: Stage) -> None:
    stage.title("Bob pushes a manifest that breaks the schema: refused")
    clone = stage.clone("bob")
    manifest = clone / "models" / "health" / "progression" / "1.0.0.yaml"
    new = manifest.with_name("1.1.0.yaml")
    text = manifest.read_text().replace("version: 1.0.0", "version: 1.1.0", 1)
    new.write_text(text.replace("license:", "licence:").replace("lifecycle: active", "lifecycle: activ"))
    stage.run(["git", "add", "models"], user="bob", cwd=clone)
    stage.run(["git", "commit", "--quiet", "-m", "Register health/progression 1.1.0"], user="bob", cwd=clone)
    stage.run(["git", "push", "--quiet", "origin", "main"], user="bob", cwd=clone, refused=True)

    stage.title("Alice may register her team's models, not deploy them: refused")
    clone = stage.clone("alice")
    pointer = clone / "deployments" / "prod" / f"{MODEL}.yaml"
    pointer.write_text(pointer.read_text().replace(f"version: {GOOD}", f"version: {BAD}", 1))
    stage.run(["git", "commit", "--quiet", "-am", f"Deploy {MODEL}@{BAD} to prod"], user="alice", cwd=clone)
    stage.run(["git", "push", "--quiet", "origin", "main"], user="alice", cwd=clone, refused=True)


def _deployments(stage: Stage) -> None:
    stage.title("Alice registers new weights; Carol deploys an approved version to staging, then to prod")
    weights = stage.folder / "candidate"
    stage.run(["gitreg", "pull", f"{MODEL}@{BAD}", "-o", str(weights)], user="alice")
    names = sorted(path.name for path in weights.iterdir() if path.suffix in {".safetensors", ".onnx"})
    register = ["gitreg", "register", MODEL, *(f"{weights}/{name}" for name in names), "--bump", "minor"]
    facts = ["--metric", "accuracy=0.9722", "--dataset", "digits@1.0", "--license", "Apache-2.0"]
    stage.run([*register, *facts, "--parent", f"{MODEL}@{BAD}", "--no-code"], user="alice")
    stage.run(["gitreg", "deploy", f"{MODEL}@{BAD}", "staging", "--reason", "Canary looks fine"], user="carol")
    stage.run(["gitreg", "promote", MODEL, "staging", "prod", "--reason", "October release"], user="carol")


def _incident(stage: Stage) -> None:
    stage.title("An incident: the serving side reports a failure, and Frank, on call, reverts with plain git")
    stage.run(
        ["gitreg", "report", f"{MODEL}@{BAD}", "prod", "--state", "failed", "--detail", "sevens read as ones"],
        user="ci-bot",
    )
    clone = stage.clone("frank")
    pointer = f"deployments/prod/{MODEL}.yaml"
    commit = stage.run(["git", "log", "-1", "--format=%H", "--", pointer], user="frank", cwd=clone).strip()
    stage.run(["git", "revert", "--no-edit", commit], user="frank", cwd=clone)
    stage.run(["git", "push", "--quiet", "origin", "main"], user="frank", cwd=clone)
    stage.run(["gitreg", "report", f"{MODEL}@{GOOD}", "prod", "--endpoint", "https://digits.example.org"], user="ci-bot")


def _questions(stage: Stage) -> None:
    stage.title("What ran, what runs, who did it")
    shape = "--format=%(refname:short) %(contents:trailers:key=Action) %(contents:trailers:key=Actor)"
    stage.run(["git", "for-each-ref", shape.replace("Action)", "Action,valueonly,separator=)").replace(
        "Actor)", "Actor,valueonly,separator=)"), f"refs/tags/deploy/prod/{MODEL}/"], user="dana", cwd=stage.registry)
    for args in (["status"], ["history", MODEL, "prod"], ["log", "-n", "8"], ["audit", "verify"]):
        stage.run(["gitreg", *args], user="dana")


def _farewell(stage: Stage) -> None:
    took = time.monotonic() - stage.started
    stage.title(f"Done in {took:.0f} s. The registry stays at {stage.registry}")
    executable = shutil.which("gitreg") or f"{sys.executable} -m gitreg"
    click.echo(f"""
  Try next (you are dana until you change {IDENTITY}):

    export GITREG_REGISTRY={stage.registry} {IDENTITY}=dana
    alias gitreg='{executable}'
    gitreg list
    gitreg show {MODEL}@prod
    gitreg diff {MODEL}@{GOOD} {MODEL}@{BAD}
    gitreg lineage {MODEL}@{BAD}
    gitreg search 'metrics.accuracy>0.95' deployed=prod
    gitreg status --at 2026-10-10
    git clone {stage.registry} && git -C registry log --stat

  Remove it all:  rm -rf {stage.folder}
""")
