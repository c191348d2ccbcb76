"""Make registries in memory, and read what is in them."""

from __future__ import annotations

import base64
import hashlib
import json
from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.differential.oracle import File, World, advance, parse

if TYPE_CHECKING:
    from random import Random

Data = dict[str, Any]

MODELS = ("risk/fraud", "risk/score.v2", "vision/cats")
VERSIONS = ("1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0")
ENVIRONMENTS = ("staging", "prod", "edge")
ACTIONS = ["register", "update", "alias", "approve", "deploy", "rollback", "report", "yank", "archive", "delete"]
WEIGHTS = [b"weights %d" % number for number in range(4)]
HUGE = b"#" * (1024 * 1024 + 1)

SETTINGS: Data = {
    "api_version": "gitreg/v1",
    "kind": "Registry",
    "name": "acme",
    "store": "file:../store",
    "environments": [{"name": "staging"}, {"name": "prod", "after": "staging", "approvals": 1}, {"name": "edge"}],
    "required": ["metrics", "license"],
}
# Every action has somebody who may do nothing else, so that a right which is wanted and not looked at shows.
ACCESS: Data = {
    "api_version": "gitreg/v1",
    "kind": "Access",
    "groups": {"reviewers": ["dana", "erin"], "contractors": ["bob"], "nobody": []},
    "grants": [
        {"to": ["alice"], "actions": ["register", "update", "alias"], "models": ["risk/*", "vision/*"]},
        {"to": ["register"], "actions": ["register"], "models": ["*/*"]},
        {"to": ["update"], "actions": ["update"], "models": ["*/*"]},
        {"to": ["alias"], "actions": ["alias"], "models": ["*/*"]},
        {"to": ["bob"], "actions": ["deploy"], "models": ["*/*"]},
        {"to": ["carol"], "actions": ["rollback"], "models": ["*/*"], "environments": ["staging", "prod"]},
        {"to": ["group:reviewers"], "actions": ["approve"], "models": ["*/*"], "environments": ["prod"]},
        {"to": ["frank"], "actions": ["approve", "deploy", "update"], "models": ["*/*"], "environments": ["edge"]},
        {"to": ["ci"], "actions": ["report"], "models": ["*/*"]},
        {"to": ["yuri"], "actions": ["yank"], "models": ["*/*"]},
        {"to": ["archie"], "actions": ["archive"], "models": ["*/*"]},
        {"to": ["dele"], "actions": ["delete"], "models": ["*/*"]},
        {"to": ["chief"], "actions": ["admin"], "models": ["risk/*"]},
        {"to": ["mallory"], "actions": ["read"], "models": ["*/*"]},
        {"to": ["root"], "actions": ["admin"]},
    ],
    "deny": [
        {"to": ["group:contractors"], "actions": ["deploy"], "models": ["vision/*"], "environments": ["prod"]},
        {"to": ["register"], "actions": ["register"], "models": ["risk/*.v*"]},
    ],
}
ACTORS = [
    *("alice", "register", "update", "alias", "bob", "carol", "dana", "erin", "frank"),
    *("ci", "yuri", "archie", "dele", "chief", "mallory", "root", "stranger"),
]
ABLE = {
    "register": ["alice", "register"],
    "update": ["alice", "update"],
    "alias": ["alice", "alias"],
    "approve": ["dana", "erin"],
    "deploy": ["bob"],
    "rollback": ["carol"],
    "report": ["ci"],
    "yank": ["yuri"],
    "archive": ["archie"],
    "delete": ["dele"],
    "admin": ["root"],
}


def write(data: Data) -> bytes:
    """Write a file as somebody does who has no gitreg: JSON is YAML as well."""
    return (json.dumps(data, indent=1) + "\n").encode()


def sha256(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def manifest(model: str, version: str, **changes: object) -> Data:
    data: Data = {
        "api_version": "gitreg/v1",
        "kind": "ModelVersion",
        "model": model,
        "version": version,
        "created": "2025-12-31T12:00:00Z",
        "author": {"name": "Alice", "email": "alice@example.org"},
        "artifacts": [
            {"path": "model", "digest": sha256(WEIGHTS[0]), "size": len(WEIGHTS[0]), "format": "safetensors"}
        ],
        "training": {"hyperparameters": {"epochs": 20, "rate": 0.1}},
        "metrics": {"auc": 0.9, "loss": 1},
        "license": "Apache-2.0",
        **changes,
    }
    return {name: value for name, value in data.items() if value is not None}


def start(random: Random) -> World:
    """Make a registry with a few models, versions and deployments, different each time."""
    files = {"registry.yaml": write(settings(random)), "access.yaml": write(ACCESS), "README.md": b"# Models\n"}
    if random.random() < 0.5:
        files["keys/allowed_signers"] = key_line("root") + key_line("alice")
    for model in random.sample(MODELS, 2):
        files |= model_files(model, random)
    world = World(files, {}, {sha256(each): len(each) for each in WEIGHTS[:3]})
    for model in models_of(world):
        for environment in ENVIRONMENTS:
            if random.random() < 0.67:
                data = pointer(environment, model, random.choice(manifests_of(world, model)))
                world = advance(world, {f"deployments/{environment}/{model}.yaml": File(write(data))})
    if random.random() < 0.1:
        return replace(world, blobs=None)  # a store that does not answer
    return world


def settings(random: Random) -> Data:
    made = deepcopy(SETTINGS)
    if random.random() < 0.3:
        made["formats"] = ["safetensors", "onnx"]
    if random.random() < 0.3:
        made["required"] = ["training.datasets", "metrics.auc"]
    if random.random() < 0.2:
        made["environments"][1]["approvals"] = random.choice([0, 2])
    return made


def model_files(model: str, random: Random) -> dict[str, bytes]:
    versions = random.sample(VERSIONS, random.randint(1, 3))
    described: Data = {"api_version": "gitreg/v1", "kind": "Model", "model": model}
    if random.random() < 0.5:
        described["aliases"] = {"champion": versions[0]}
    files = {f"models/{model}/model.yaml": write(described)}
    for version in versions:
        training = {"datasets": [{"name": "ledger"}], "hyperparameters": {"epochs": 20}}
        made = manifest(model, version, training=training)
        if random.random() < 0.3:
            made["lifecycle"] = random.choice(["deprecated", "yanked", "archived"])
        if random.random() < 0.3:
            made["evaluations"] = [{"dataset": {"name": "holdout"}, "split": "test", "metrics": {"auc": 0.8}}]
        files[f"models/{model}/{version}.yaml"] = write(made)
    return files


def key_line(user: str, options: str = "") -> bytes:
    """Write a line of `keys/allowed_signers` with an ed25519 key that a user alone has."""
    blob = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + hashlib.sha256(user.encode()).digest()
    return f"{user} {options}{' ' if options else ''}ssh-ed25519 {base64.b64encode(blob).decode()}\n".encode()


# --------------------------------------------------------------------------------------------------- what is there


def models_of(world: World) -> list[str]:
    return sorted(
        path.removeprefix("models/").removesuffix("/model.yaml") for path in world.files if path.endswith("/model.yaml")
    )


def versions_of(world: World, model: str) -> dict[str, Data]:
    """Read every version and tombstone of a model."""
    folder = f"models/{model}/"
    return {
        path.removeprefix(folder).removesuffix(".yaml"): read(world, path)
        for path in sorted(world.files)
        if path.startswith(folder) and path.endswith(".yaml") and not path.endswith("/model.yaml")
    }


def manifests_of(world: World, model: str) -> list[str]:
    return [version for version, data in versions_of(world, model).items() if data["kind"] == "ModelVersion"]


def pointers_of(world: World) -> list[str]:
    return [path for path in sorted(world.files) if path.startswith("deployments/")]


def read(world: World, path: str) -> Data:
    return deepcopy(parse(path, world.files[path]))


def pointer(environment: str, model: str, version: str, canary: str | None = None, percent: int = 10) -> Data:
    data = {
        "api_version": "gitreg/v1",
        "kind": "Deployment",
        "environment": environment,
        "model": model,
        "version": version,
    }
    return data | ({"canary_version": canary, "canary_percent": percent} if canary else {})


def without_none(data: Data) -> Data:
    return {name: value for name, value in data.items() if value is not None}
