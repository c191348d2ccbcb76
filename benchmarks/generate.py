"""Generate a registry as it stands after years: any number of versions and deploy tags, valid by the gate.

    python -m benchmarks.generate FOLDER --versions 100000

makes `FOLDER/registry.git`, bare and with its hooks, and `FOLDER/store`. Every registration and every deployment is a
commit of its own on main; every deployment has its deploy tag, in packed refs, and its entry in the audit log.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import random
import struct
import subprocess
import sys
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import IO

USERS = ("alice", "bob", "carol", "dana", "erin", "frank")
RELEASE_MANAGER = "mallory"
ADMIN = "root"
IDENTITY = "GL_USER"
START = 1_672_531_200  # 2023-01-01T00:00:00Z
INTERVAL = 180  # seconds from one commit to the next, where all of them lie in the past then
_SPAN = 94_000_000  # git walks the whole history for a commit that is older than its parents
_PROJECTS = ("risk", "search", "vision", "pricing", "fraud", "support", "supply", "growth", "speech")
_TASKS = ("ranker", "scorer", "detector", "classifier", "forecaster", "encoder", "tagger", "segmenter")
_BLOBS = 8
_BLOB_BYTES = 64 * 1024

REGISTRY_YAML = """\
api_version: gitreg/v1
kind: Registry
name: generated
store: file:../store
environments:
  - name: staging
  - name: prod
    after: staging
required:
  - training.datasets
  - metrics
  - license
formats:
  - safetensors
  - onnx
"""
ACCESS_YAML = f"""\
api_version: gitreg/v1
kind: Access
groups:
  scientists: [{", ".join(USERS)}]
  release: [{RELEASE_MANAGER}]
grants:
  - to: ["group:scientists"]
    actions: [register, update, alias]
    models: ["*/*"]
  - to: ["group:release"]
    actions: [deploy, rollback]
    models: ["*/*"]
    environments: [staging, prod]
  - to: [{ADMIN}]
    actions: [admin]
deny:
  - to: [{USERS[-1]}]
    actions: [deploy]
    models: ["*/*"]
    environments: [prod]
"""
_MANIFEST = """\
# yaml-language-server: $schema=../../../.gitreg/schemas/manifest.schema.json
api_version: gitreg/v1
kind: ModelVersion
model: {model}
version: {version}
created: {created}
author:
  name: {name}
  email: {user}@example.org
description: Retrained on the ledger of week {week}.
artifacts:
  - path: config.json
    digest: sha256:{config_digest}
    size: {config_size}
    format: json
  - path: model.safetensors
    digest: sha256:{digest}
    size: {size}
    format: safetensors
training:
  datasets:
    - name: ledger
      version: week-{week}
      digest: sha256:{dataset}
      uri: s3://datasets/ledger/{week}
  framework:
    name: pytorch
    version: 2.13.0
  code:
    repository: https://git.example.org/{project}/training
    commit: "{code}"
  hyperparameters:
    batch_size: 256
    epochs: {epochs}
    learning_rate: 0.001
metrics:
  accuracy: {accuracy}
  auc: {auc}
  f1: {f1}
license: Apache-2.0
labels:
  team: {project}
lifecycle: active
"""
_MODEL = """\
api_version: gitreg/v1
kind: Model
model: {model}
description: Scores what {project} asks about.
owners:
  - {user}
task: tabular-classification
labels:
  domain: {project}
"""
_POINTER = """\
api_version: gitreg/v1
kind: Deployment
environment: {environment}
model: {model}
version: {version}
"""


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated registry: its bare repository, its store, its first commit and its tip, its models, what it holds."""

    repository: Path
    store: Path
    first: str
    tip: str
    models: tuple[str, ...]
    versions: int
    tags: int


@dataclass(frozen=True, slots=True)
class Event:
    """One commit to make, at a time in seconds since 1970; `number` is that of the deploy tag, 0 for a registration."""

    model: str
    version: str
    user: str
    index: int
    time: int
    environment: str = ""
    previous: str = ""
    action: str = ""
    number: int = 0

    @property
    def subject(self) -> str:
        """The first line of its commit."""
        if not self.number:
            return f"Register {self.model} {self.version}"
        if self.action == "rollback":
            return f"Roll back {self.model} to {self.version} in {self.environment}"
        way = "from staging to prod" if self.action == "promote" else f"to {self.environment}"
        return f"{self.action.capitalize()} {self.model}@{self.version} {way}"

    @property
    def tag(self) -> str:
        """The name of its deploy tag."""
        return f"deploy/{self.environment}/{self.model}/{self.number}"


class Tagged(NamedTuple):
    """What happened, as a commit, and the head of the audit log after it."""

    event: Event
    commit: str
    head: str


def model_names(versions: int) -> tuple[str, ...]:
    """Name the models: as many as each gets versions, in as many projects as each gets models."""
    count = max(1, round(math.sqrt(versions)))
    projects = max(1, round(math.sqrt(count)))
    return tuple(
        f"{_PROJECTS[index % projects % len(_PROJECTS)]}-{index % projects:02}/"
        f"{_TASKS[index // projects % len(_TASKS)]}-{index:04}"
        for index in range(count)
    )


def version_of(step: int) -> str:
    """Name the version of a model that is registered at a step, from 0."""
    return f"{1 + step // 20}.{step % 20}.0"


def events(versions: int, tags: int) -> Iterator[Event]:
    """Tell what happens: models register in turn; every second version goes to staging, to prod, and some come back."""
    names, index, made = model_names(versions), 0, 0
    every = max(1, min(INTERVAL, _SPAN // max(1, versions + tags)))
    current: dict[tuple[str, str], str] = {}
    numbers: dict[tuple[str, str], int] = {}
    for place in range(versions):
        model, step = names[place % len(names)], place // len(names)
        version = version_of(step)
        yield Event(model, version, USERS[place % len(USERS)], index, START + every * (index + 1))
        index += 1
        moves = [("staging", version, "deploy"), ("prod", version, "promote")] if step % 2 == 0 else []
        if step % 8 == 6:
            moves.append(("prod", version_of(step - 2), "rollback"))
        for environment, to, action in moves[: max(0, tags - made)]:
            where = (environment, model)
            numbers[where] = numbers.get(where, 0) + 1
            previous = current.get(where, "")
            when = START + every * (index + 1)
            yield Event(model, to, RELEASE_MANAGER, index, when, environment, previous, action, numbers[where])
            current[where] = to
            index += 1
            made += 1


class Blobs:
    """A few real blobs in the store, which all manifests share."""

    def __init__(self, store: Path) -> None:
        chance = random.Random(1)
        self.config = self._put(store, b'{"threshold": 0.5}\n')
        self.weights = [self._put(store, self._safetensors(chance)) for _ in range(_BLOBS)]

    @staticmethod
    def _safetensors(chance: random.Random) -> bytes:
        head = json.dumps({"weight": {"dtype": "F32", "shape": [_BLOB_BYTES // 4], "data_offsets": [0, _BLOB_BYTES]}})
        return struct.pack("<Q", len(head)) + head.encode() + chance.randbytes(_BLOB_BYTES)

    @staticmethod
    def _put(store: Path, data: bytes) -> tuple[str, int]:
        digest = hashlib.sha256(data).hexdigest()
        path = store / "blobs" / "sha256" / digest[:2] / digest
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return digest, len(data)


def moment(seconds: int) -> str:
    """Write seconds since 1970 as RFC 3339."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def manifest_text(  # noqa: PLR0913 - what manifests differ by
    model: str, version: str, blobs: Blobs, *, index: int, user: str = USERS[0], time: int | None = None
) -> str:
    """Write the manifest of a version; `index` makes it differ from others, `time` is in seconds since 1970."""
    weights, config = blobs.weights[index % _BLOBS], blobs.config
    odd = (index * 2654435761) % 2**32  # Knuth's multiplicative hash: every index another number
    return _MANIFEST.format(
        model=model,
        version=version,
        created=moment(START + INTERVAL * (index + 1) if time is None else time),
        name=user.capitalize(),
        user=user,
        week=index % 5000,
        config_digest=config[0],
        config_size=config[1],
        digest=weights[0],
        size=weights[1],
        dataset=f"{odd:08x}" * 8,
        project=model.partition("/")[0],
        code=f"{odd:08x}" * 5,
        epochs=1 + odd % 50,
        accuracy=0.5 + odd % 4000 / 10000,
        auc=0.6 + odd % 3000 / 10000,
        f1=0.4 + odd % 5000 / 10000,
    )


def _files(event: Event, blobs: Blobs) -> dict[str, str]:
    project = event.model.partition("/")[0]
    if event.number:
        text = _POINTER.format(environment=event.environment, model=event.model, version=event.version)
        return {f"deployments/{event.environment}/{event.model}.yaml": text}
    number, user = event.index, event.user
    manifest = manifest_text(event.model, event.version, blobs, index=number, user=user, time=event.time)
    files = {f"models/{event.model}/{event.version}.yaml": manifest}
    if event.version == version_of(0):
        files[f"models/{event.model}/model.yaml"] = _MODEL.format(model=event.model, project=project, user=event.user)
    return files


def _commit(event: Event, blobs: Blobs) -> bytes:
    who = f"{event.user.capitalize()} <{event.user}@example.org> {event.time} +0000"
    trailer = f"\nAction: {event.action}\n" if event.action == "promote" else ""
    message = f"{event.subject}\n{trailer}"
    parts = [
        f"commit refs/heads/main\nmark :{event.index + 1}\nauthor {who}\ncommitter {who}\n",
        f"data {len(message)}\n{message}\n",
    ]
    parts += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in _files(event, blobs).items()]
    return "".join(parts).encode("ascii")


def generate(folder: Path, versions: int, tags: int | None = None) -> Generated:
    """Make a registry with this many versions and deploy tags (by default as many) in a folder.

    What happens is told anew for each thing that is written: of a million versions nothing but the refs is held.
    """
    tags = versions if tags is None else tags
    folder.mkdir(parents=True, exist_ok=True)
    repository, store = folder / "registry.git", folder / "store"
    first = _init(folder, repository)
    marks = _import(repository, first, events(versions, tags), Blobs(store))
    _pack_tip(repository)
    made = sum(1 for event in events(versions, tags) if event.number)
    happened = zip(events(versions, tags), _commits(marks), strict=True)
    _write_tags(repository, _logged(repository, first, happened), made)
    marks.unlink()
    tip = git(repository, "rev-parse", "refs/heads/main")
    (repository / "gitreg" / "marked").write_text(f"{tip}\n")
    return Generated(repository, store, first, tip, model_names(versions), versions, made)


def git(repository: Path, *args: str, **more: object) -> str:
    """Run git in a repository and give what it says."""
    found = subprocess.run(["git", "-C", str(repository), *args], check=True, capture_output=True, text=True, **more)  # type: ignore[call-overload]
    return str(found.stdout).strip()


def _init(folder: Path, repository: Path) -> str:
    rules = folder / "rules"
    rules.mkdir()
    (rules / "registry.yaml").write_text(REGISTRY_YAML)
    (rules / "access.yaml").write_text(ACCESS_YAML)
    command = [sys.executable, "-m", "gitreg", "init", str(repository), "--bare", "--from", str(rules)]
    environment = {
        **os.environ,
        **identity(),
        "GIT_AUTHOR_DATE": f"@{START} +0000",
        "GIT_COMMITTER_DATE": f"@{START} +0000",
    }
    subprocess.run([*command, "--identity", IDENTITY], check=True, capture_output=True, env=environment)
    return git(repository, "rev-parse", "refs/heads/main")


def identity() -> dict[str, str]:
    """Say who commits, in the variables that git reads."""
    return {f"GIT_{role}_{part}": value for role in ("AUTHOR", "COMMITTER") for part, value in _WHO}


_WHO = (("NAME", ADMIN), ("EMAIL", f"{ADMIN}@example.org"))


def _import(repository: Path, first: str, happened: Iterable[Event], blobs: Blobs) -> Path:
    """Write every commit; give the file that names them."""
    marks = repository / "imported"
    command = ["git", "-C", str(repository), "-c", "pack.compression=1", "-c", "fastimport.unpackLimit=0"]
    command += ["fast-import", "--quiet", "--done", f"--export-marks={marks}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        stream: IO[bytes] = process.stdin  # type: ignore[assignment] # it is a pipe
        stream.write(f"feature done\nreset refs/heads/main\nfrom {first}\n\n".encode())
        for event in happened:
            stream.write(_commit(event, blobs))
        stream.write(b"done\n")
    if process.returncode:
        raise SystemExit("git fast-import failed")
    return marks


def _commits(marks: Path) -> Iterator[str]:
    """Give the commits in the order of their marks, as git writes them."""
    with marks.open() as file:
        for number, line in enumerate(file, 1):
            mark, oid = line.split()
            if mark != f":{number}":
                raise SystemExit(f"git fast-import wrote the mark {mark} in the place of :{number}")
            yield oid


def _pack_tip(repository: Path) -> None:
    """Store the folders of the tip whole, as `git gc` does: fast-import leaves the newest at the end of long deltas."""
    listed = git(repository, "ls-tree", "-r", "-t", "main").splitlines()
    folders = [line.split()[2] for line in listed if line.split()[1] == "tree"]
    folders.append(git(repository, "rev-parse", "main^{tree}"))
    command = ["pack-objects", "-q", "--window=0", "--no-reuse-delta", "objects/pack/pack"]
    git(repository, *command, input="\n".join(folders) + "\n")


def _logged(repository: Path, first: str, happened: Iterable[tuple[Event, str]]) -> Iterator[Tagged]:
    """Write the audit log that these pushes would have left; give each with the head of the chain after it."""
    log = repository / "gitreg" / "audit.jsonl"
    head, old, number = json.loads(log.read_text())["hash"], first, 1
    with log.open("a") as file:
        for number, (event, new) in enumerate(happened, 2):
            members: dict[str, object] = {
                "actor": event.user,
                "models": [event.model],
                "previous": head,
                "seq": number,
                "source": {"identity": "GL_USER"},
                "time": moment(event.time),
                "updates": [{"new": new, "old": old, "ref": "refs/heads/main"}],
                "verdict": "accepted",
                "violations": [],
            }
            head = hashlib.sha256(_canonical(members).encode()).hexdigest()
            file.write(_canonical({**members, "hash": head}) + "\n")
            old = new
            yield Tagged(event, new, head)
    (repository / "gitreg" / "audit.head").write_text(2 * f"{number:020} {head} {number:020}\n")


def _canonical(members: dict[str, object]) -> str:
    return json.dumps(members, sort_keys=True, separators=(",", ":"))


def _tag_object(event: Event, commit: str, head: str) -> bytes:
    trailers = {
        "Model": event.model,
        "Version": event.version,
        "Environment": event.environment,
        "Action": event.action,
        "Previous": event.previous,
        "Actor": event.user,
        "Reason": event.subject,
        "Audit": head,
    }
    lines = [
        f"object {commit}",
        "type commit",
        f"tag {event.tag}",
        f"tagger gitreg <gitreg@localhost> {event.time} +0000",
    ]
    lines += ["", event.subject, "", *(f"{key}: {value}" for key, value in trailers.items() if value), ""]
    return "\n".join(lines).encode("ascii")


def _write_tags(repository: Path, happened: Iterable[Tagged], count: int) -> None:
    """Write the tag objects as one pack and their refs as packed refs: one by one they would take hours."""
    lines: list[str] = []
    command = ["git", "-C", str(repository), "index-pack", "--stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        stream: IO[bytes] = process.stdin  # type: ignore[assignment] # it is a pipe
        sha1 = hashlib.sha1(usedforsecurity=False)

        def put(data: bytes) -> None:
            sha1.update(data)
            stream.write(data)

        put(b"PACK" + struct.pack(">II", 2, count))
        for event, commit, head in happened:
            if event.number:
                data = _tag_object(event, commit, head)
                oid = hashlib.sha1(b"tag %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
                lines.append(f"refs/tags/{event.tag} {oid} {commit}")
                put(_packed_head(len(data)) + zlib.compress(data, 1))
        stream.write(sha1.digest())
    if process.returncode:
        raise SystemExit("git index-pack failed")
    lines.sort(key=lambda line: line.partition(" ")[0])
    with (repository / "packed-refs").open("w") as file:
        file.write("# pack-refs with: peeled fully-peeled sorted \n")
        for line in lines:
            ref, oid, commit = line.split()
            file.write(f"{oid} {ref}\n^{commit}\n")


def _packed_head(size: int) -> bytes:
    """Write the head of a tag in a pack: https://git-scm.com/docs/pack-format."""
    kind, rest = 4, size >> 4
    head = [kind << 4 | size & 15 | (0x80 if rest else 0)]
    while rest:
        head.append(rest & 127 | (0x80 if rest > 127 else 0))
        rest >>= 7
    return bytes(head)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.generate", description="Generate a large registry.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--versions", type=int, default=1000)
    parser.add_argument("--tags", type=int, help="how many deploy tags; as many as versions by default")
    args = parser.parse_args()
    began = time.perf_counter()
    made = generate(args.folder, args.versions, args.tags)
    seconds = time.perf_counter() - began
    held = f"{made.versions:,} versions of {len(made.models)} models, {made.tags:,} deploy tags"
    print(f"{made.repository}: {held}, {seconds:.1f} s")


if __name__ == "__main__":
    main()
