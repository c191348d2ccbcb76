"""`gitreg demo`: a registry at work, with real weights, real pushes and real refusals."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gitreg.errors import ConflictError, IntegrityError
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
        shown = shlex.join(args)
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
        for line in said.splitlines():
            click.echo(f"  {line.rstrip()}")
        if (done.returncode != 0) != refused:
            raise IntegrityError(f"`{shown}` ended with exit code {done.returncode}", hint=f"see {self.folder}")
        return said

    def _environment(self, user: str) -> Mapping[str, str]:
        person = {"NAME": user.capitalize(), "EMAIL": f"{user}@example.org"}
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
            # The user's own aliases, hooks and signing keys are nothing to a demo.
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
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
    """See a registry at work, in a folder of its own.

    Builds the example registry by real pushes of different users, shows two refused ones, deploys to staging and
    prod, has an incident, rolls back by plain `git revert`, and shows what the registry knows of it. The folder stays.
    """
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
    stage.title(
        "A bare registry with its hooks, and the first weeks of a team's work, each line a push through the gate"
    )
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
    lines = pointer.read_text().replace(f"version: {GOOD}", f"version: {BAD}", 1).splitlines(keepends=True)
    pointer.write_text("".join(line for line in lines if not line.startswith("canary")))
    stage.run(["git", "commit", "--quiet", "-am", f"Deploy {MODEL}@{BAD} to prod"], user="alice", cwd=clone)
    stage.run(["git", "push", "--quiet", "origin", "main"], user="alice", cwd=clone, refused=True)


def _deployments(stage: Stage) -> None:
    stage.title("Alice registers half-precision weights, made here from those of the newest version")
    stage.run(["gitreg", "pull", f"{MODEL}@{BAD}", "-o", "candidate", "--copy"], user="alice")
    error = halve(stage.folder / "candidate" / "model.safetensors", stage.folder / "half" / "model.safetensors")
    register = ["gitreg", "register", MODEL, "half/model.safetensors", "--version", "1.3.0-fp16"]
    facts = ["--metric", f"max_rounding_error={error:.3g}", "--dataset", "digits", "--license", "Apache-2.0"]
    parent = ["--parent", f"{MODEL}@{BAD}:quantized-from", "--no-code"]
    stage.run([*register, *facts, *parent], user="alice")

    stage.title("Carol deploys an approved version to staging, then to prod")
    stage.run(["gitreg", "deploy", f"{MODEL}@{BAD}", "staging", "--reason", "Canary looks fine"], user="carol")
    stage.run(["gitreg", "promote", MODEL, "staging", "prod", "--reason", "October release"], user="carol")


def halve(source: Path, target: Path) -> float:
    """Round the tensors of a safetensors file to 16 bits; give the largest rounding error of any weight.

    The format: https://huggingface.co/docs/safetensors, a JSON header behind its length, then the tensors.
    """
    data = source.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    codes = {"F32": "f", "F64": "d"}
    body, worst = bytearray(), 0.0
    for name, tensor in header.items():
        if name == "__metadata__":
            continue
        begin, end = tensor["data_offsets"]
        raw = data[8 + length + begin : 8 + length + end]
        if tensor["dtype"] in codes:
            values = [each for (each,) in struct.iter_unpack(f"<{codes[tensor['dtype']]}", raw)]
            raw = struct.pack(f"<{len(values)}e", *values)
            worst = max(worst, *(abs(a - b) for a, (b,) in zip(values, struct.iter_unpack("<e", raw), strict=True)))
            tensor["dtype"] = "F16"
        tensor["data_offsets"] = [len(body), len(body) + len(raw)]
        body += raw
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    target.parent.mkdir()
    target.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return worst


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
    stage.run(
        ["gitreg", "report", f"{MODEL}@{GOOD}", "prod", "--endpoint", "https://digits.example.org"], user="ci-bot"
    )


def _questions(stage: Stage) -> None:
    stage.title("What ran, what runs, who did it")
    shape = "--format=%(refname:short)  %(contents:trailers:key=Action,key=Version,key=Actor,separator=%x2C )"
    tags = ["git", "-C", "registry.git", "for-each-ref", shape, f"refs/tags/deploy/prod/{MODEL}/"]
    stage.run(tags, user="dana")
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
