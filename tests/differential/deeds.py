"""What somebody may do to a registry, mostly as the rules want it: each deed with the right that it takes."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.differential.oracle import running
from tests.differential.worlds import (
    ACCESS,
    ACTIONS,
    ACTORS,
    ENVIRONMENTS,
    MODELS,
    SETTINGS,
    VERSIONS,
    WEIGHTS,
    Data,
    key_line,
    manifest,
    manifests_of,
    models_of,
    pointer,
    pointers_of,
    read,
    sha256,
    versions_of,
    without_none,
    write,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.differential.oracle import World


@dataclass
class Deed:
    """Something that somebody does: files, and the actions that it takes."""

    files: dict[str, Data | bytes | None] = field(default_factory=dict)
    actions: tuple[str, ...] = ()


class Hand:
    """Make deeds in one registry; each method makes one kind, mostly one that is allowed."""

    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random
        self.model = random.choice(models_of(world) or [MODELS[0]])
        self.versions = manifests_of(world, self.model)
        self.version = random.choice(self.versions) if self.versions else "1.0.0"
        self.environment = random.choice(ENVIRONMENTS)

    # versions

    def path(self, version: str | None = None, model: str | None = None) -> str:
        return f"models/{model or self.model}/{version or self.version}.yaml"

    def register(self) -> Deed:
        taken = versions_of(self.world, self.model)
        free = [version for version in (*VERSIONS, "3.0.0", "3.1.0") if version not in taken]
        version = self.random.choice(free or ["9.9.9"])
        made = manifest(self.model, version)
        made["training"]["datasets"] = [{"name": "ledger"}]
        if self.random.random() < 0.3:
            relation = {"relation": "finetuned-from"}
            made["parents"] = [{"model": self.model, "version": self.version} | relation]
        if self.random.random() < 0.2:
            made["lifecycle"] = self.random.choice(["active", "active", "yanked", "deprecated"])
        if self.random.random() < 0.3:
            choice = self.random.choice(["onnx", "pickle", "text", None, "torchscript"])
            made["artifacts"].append(self.artifact(self.random.choice(["second", "vocabulary.PKL"]), choice))
        if self.random.random() < 0.2:
            made["artifacts"][0] = self.artifact("model", "safetensors", self.random.choice(WEIGHTS))
        if self.random.random() < 0.1:
            made["artifacts"], made["external"] = None, {"provider": "openai", "id": "some-model"}
        return Deed({self.path(version): without_none(made)}, ("register",))

    def artifact(self, path: str, format_: str | None, weights: bytes = WEIGHTS[1]) -> Data:
        made: Data = {"path": path, "digest": sha256(weights), "size": len(weights)}
        return made | ({"format": format_} if format_ else {})

    def register_spoiled(self) -> Deed:
        """Register what breaks one rule beyond the schema."""
        deed = self.register()
        (made,) = (data for data in deed.files.values() if isinstance(data, dict))
        parent: Data = {"model": self.model, "version": made["version"], "relation": "finetuned-from"}
        spoil: list[Data] = [
            {"license": None, "metrics": None},
            {"training": {"datasets": []}},
            {"metrics": {"f1": 0.5}},
            {"created": "2026-01-01T23:59:59Z"},
            {"created": "2026-01-02T00:00:01Z"},
            {"created": "2099-02-30T00:00:00Z"},
            {"lifecycle": "archived"},
            {"parents": [parent]},
            {"parents": [parent | {"version": "7.7.7"}]},
            {"parents": [parent | {"model": "vision/dogs", "version": "1.0.0"}]},
            {"artifacts": [self.artifact("model", "safetensors", WEIGHTS[3])]},
            {"artifacts": [self.artifact("model", "safetensors") | {"size": 3}]},
            {"artifacts": [self.artifact("model", "onnx"), self.artifact("model", "onnx")]},
            {"external": {"provider": "openai", "id": "some-model"}},
        ]
        made.update(self.random.choice(spoil))
        return Deed({path: without_none(made) for path in deed.files}, deed.actions)

    def register_two(self) -> Deed:
        """Register two versions at once, one the parent of the other, or each of the other."""
        relation = {"model": self.model, "relation": "distilled-from"}
        one, two = (manifest(self.model, version) for version in ("4.0.0", "4.1.0"))
        for made in (one, two):
            made["training"]["datasets"] = [{"name": "ledger"}]
        two["parents"] = [relation | {"version": "4.0.0"}]
        if self.random.random() < 0.3:
            one["parents"] = [relation | {"version": "4.1.0"}]
        return Deed({self.path("4.0.0"): one, self.path("4.1.0"): two}, ("register",))

    def register_model(self) -> Deed:
        fresh = [model for model in (*MODELS, "vision/dogs", "risk/new.model") if model not in models_of(self.world)]
        model = self.random.choice(fresh or ["risk/taken"])
        described: Data = {"api_version": "gitreg/v1", "kind": "Model", "model": model, "owners": ["alice"]}
        made = manifest(model, "1.0.0")
        made["training"]["datasets"] = [{"name": "ledger"}]
        deed = Deed({f"models/{model}/model.yaml": described, self.path("1.0.0", model): made}, ("register",))
        if self.random.random() < 0.3:
            described["aliases"] = {"champion": self.random.choice(["1.0.0", "1.0.0", "5.0.0"])}
            deed.actions = ("register", "alias")
        if self.random.random() < 0.15:
            del deed.files[self.random.choice(list(deed.files))]
        return deed

    def edited(self, **changes: object) -> Deed:
        data = without_none(self.current() | changes)
        return Deed({self.path(): data}, ("update",))

    def current(self) -> Data:
        return read(self.world, self.path()) if self.versions else manifest(self.model, self.version)

    def describe(self) -> Deed:
        choices: list[Data] = [
            {"description": f"Retrained {self.random.random()}."},
            {"labels": {"team": self.random.choice(["risk", "fraud"])}},
            {"license": self.random.choice(["MIT", "Apache-2.0", "BSD-3-Clause", None])},
            {"parents": []},
        ]
        return self.edited(**self.random.choice(choices))

    def measure(self) -> Deed:
        """Add measurements, or rewrite them."""
        now = self.current()
        values = [0.5, 0.9, 1, 1.0, 2]
        metrics = now.get("metrics", {}) | {
            self.random.choice(["auc", "f1", "loss", "mse"]): self.random.choice(values)
        }
        if self.random.random() < 0.15:
            metrics = {name: metrics[name] for name in list(metrics)[1:]}
        evaluations = now.get("evaluations", [])
        if self.random.random() < 0.4:
            dataset = {"name": self.random.choice(["holdout", "drift"])}
            extra: Data = {
                "dataset": dataset,
                "metrics": {self.random.choice(["auc", "f1"]): self.random.choice(values)},
            }
            if self.random.random() < 0.5:
                extra["split"] = "test"
            options = [[*evaluations, extra], [extra, *evaluations], evaluations[1:], [extra, *evaluations[1:]]]
            evaluations = self.random.choice(options)
            if evaluations and self.random.random() < 0.3:
                evaluations = deepcopy(evaluations)
                evaluations[-1]["metrics"]["recall"] = 0.25
        return self.edited(metrics=metrics, evaluations=evaluations or None)

    def fixed(self) -> Deed:
        """Change what never changes."""
        artifacts: list[Data] = [self.artifact("model", "onnx", WEIGHTS[2])]
        choices: list[Data] = [
            {"created": "2025-12-30T12:00:00Z"},
            {"author": {"name": "Eve", "email": "eve@example.org"}},
            {"artifacts": artifacts},
            {"artifacts": None, "external": {"provider": "openai", "id": "x"}},
            {"training": {"hyperparameters": {"epochs": 21}}},
            {"training": None},
            {"parents": [{"model": self.model, "version": "1.0.0", "relation": "finetuned-from"}]},
            {"base": {"uri": "hf://org/model@main"}},
            {"signature": {"inputs": [{"name": "x", "dtype": "float32", "shape": [1]}]}},
        ]
        return self.edited(**self.random.choice(choices))

    def lifecycle(self) -> Deed:
        was = self.current().get("lifecycle", "active")
        becomes = self.random.choice(["active", "deprecated", "yanked", "archived"])
        deed = self.edited(lifecycle=becomes)
        if self.random.random() < 0.15:
            (path,) = deed.files
            deed = Deed({path: self.current() | {"lifecycle": becomes, "description": "Withdrawn."}})
        wanted = {"yanked": "yank", "archived": "archive"}
        deed.actions = tuple({wanted[each] for each in (was, becomes) if each in wanted}) or ("update",)
        return deed

    def delete(self) -> Deed:
        data = self.world.files.get(self.path(), b"")
        if self.random.random() < 0.1:
            data += b"\n"
        return Deed({self.path(): self.tombstone(data)}, ("delete",))

    def tombstone(self, data: bytes) -> Data:
        return {
            "api_version": "gitreg/v1",
            "kind": "Tombstone",
            "model": self.model,
            "version": self.version,
            "manifest_digest": sha256(data),
            "reason": self.random.choice(["leaked data", "asked for"]),
        }

    def delete_unused(self) -> Deed:
        """Delete together with all that points there."""
        deed = self.delete()
        described = self.world.files.get(f"models/{self.model}/model.yaml")
        if described:
            data = read(self.world, f"models/{self.model}/model.yaml")
            aliases = data.get("aliases", {})
            data["aliases"] = {name: version for name, version in aliases.items() if version != self.version}
            if data["aliases"] != aliases:
                deed.files[f"models/{self.model}/model.yaml"] = data
        for path in pointers_of(self.world):
            now = read(self.world, path)
            if now["model"] == self.model and self.version in running(now):
                deed.files[path] = None
        deed.actions = ("admin",) if len(deed.files) > 1 else ("delete",)
        return deed

    def restore(self) -> Deed:
        """Bring a deleted version back, from what its bytes may have been."""
        for model in models_of(self.world):
            for version, data in versions_of(self.world, model).items():
                if data["kind"] == "Tombstone":
                    self.model, self.version = model, version
                    lost = GRAVES.get(data["manifest_digest"], b"")
                    if self.random.random() < 0.2:
                        lost += b"# edited\n"
                    if self.random.random() < 0.2:
                        return Deed({self.path(): self.tombstone(b"another")}, ("delete",))
                    return Deed({self.path(): lost}, ("register",))
        return self.delete()

    def remove_version(self) -> Deed:
        return Deed({self.path(): None}, ("delete",))

    # models

    def alias(self) -> Deed:
        path = f"models/{self.model}/model.yaml"
        data = read(self.world, path)
        names = ["champion", "champion", "candidate", "old", "prod", "latest"]
        targets = [self.version, self.version, self.version, "6.6.6"]
        name, target = self.random.choice(names), self.random.choice(targets)
        data["aliases"] = data.get("aliases", {}) | {name: target}
        if self.random.random() < 0.2:
            data["aliases"].pop(self.random.choice(list(data["aliases"])))
        if self.random.random() < 0.1:
            data["description"] = "Scores."
        return Deed({path: data}, ("alias",))

    def describe_model(self) -> Deed:
        path = f"models/{self.model}/model.yaml"
        data = read(self.world, path) | {"description": f"Scores {self.random.random()}."}
        return Deed({path: data}, ("update",))

    def reformat(self) -> Deed:
        """Write a file anew without a change of what it says."""
        governed = [path for path in sorted(self.world.files) if path.count("/") > 1 and path.endswith(".yaml")]
        path = self.random.choice(governed)
        action = {"models": "update", "deployments": "deploy", "status": "report", "approvals": "approve"}
        return Deed({path: self.world.files[path] + b"# seen\n"}, (action[path.partition("/")[0]],))

    def card(self) -> Deed:
        path = f"models/{self.random.choice([self.model, self.model, 'vision/birds'])}/README.md"
        removes = path in self.world.files and self.random.random() < 0.3
        return Deed({path: None if removes else b"# Card %d\n" % self.random.randrange(1000)}, ("update",))

    def remove_model(self) -> Deed:
        files = [path for path in self.world.files if path.startswith(f"models/{self.model}/")]
        gone = files if self.random.random() < 0.4 else [f"models/{self.model}/model.yaml"]
        return Deed(dict.fromkeys(gone), ("admin",))

    def bare_model(self) -> Deed:
        """Make or unmake a model without versions."""
        path = "models/vision/empty/model.yaml"
        if path in self.world.files:
            return Deed({path: None}, ("admin",))
        return Deed({path: {"api_version": "gitreg/v1", "kind": "Model", "model": "vision/empty"}}, ("register",))

    # deployments

    def place(self, data: Data, *actions: str) -> Deed:
        path = f"deployments/{data['environment']}/{data['model']}.yaml"
        return Deed({path: data}, actions or ("deploy",))

    def deploy(self) -> Deed:
        return self.place(pointer(self.environment, self.model, self.random.choice(self.versions or ["1.0.0"])))

    def deploy_in_order(self) -> Deed:
        """Deploy where the version runs in the environment before."""
        staged = [path for path in pointers_of(self.world) if path.startswith("deployments/staging/")]
        if not staged:
            return self.deploy()
        before = read(self.world, self.random.choice(staged))
        return self.place(pointer("prod", before["model"], self.random.choice(running(before))))

    def canary(self) -> Deed:
        versions = [*(self.versions or ["1.0.0"]), self.version]
        version, canary = self.random.choice(versions), self.random.choice(versions)
        return self.place(
            pointer(self.environment, self.model, version, canary, self.random.choice([1, 10, 50, 99, 100]))
        )

    def canary_step(self) -> Deed:
        """Begin, widen, finish or end a canary of what runs."""
        running_now = pointers_of(self.world)
        if not running_now:
            return self.deploy()
        now = read(self.world, self.random.choice(running_now))
        version, canary = now["version"], now.get("canary_version")
        self.model = now["model"]
        other = self.random.choice(manifests_of(self.world, self.model) or ["1.0.0"])
        made = self.random.choice(
            [
                pointer(now["environment"], self.model, version, canary or other, self.random.randint(1, 99)),
                pointer(now["environment"], self.model, canary or other),
                pointer(now["environment"], self.model, canary or other, version, 5),
                pointer(now["environment"], self.model, version),
            ]
        )
        return self.place(made)

    def go_back(self) -> Deed:
        """Return a pointer to a state that it has had."""
        known = [names for names, states in sorted(self.world.pointers.items()) if any(states)]
        if not known:
            return self.deploy()
        names = self.random.choice(known)
        made = self.random.choice([each for each in self.world.pointers[names] if each])
        return self.place(deepcopy(made), "rollback")

    def undeploy(self) -> Deed:
        found = pointers_of(self.world)
        return Deed({self.random.choice(found): None}, ("rollback",)) if found else self.deploy()

    def several(self) -> Deed:
        """Change several pointers: all back, or some of them."""
        one, two = self.random.choice([self.go_back, self.undeploy]), self.random.choice([self.go_back, self.deploy])
        return Deed({**one().files, **two().files}, (self.random.choice(["rollback", "deploy"]),))

    # approvals and status

    def approve(self) -> Deed:
        return self.approval(self.random.choice(["approve", "approve", "reject"]))

    def approval(self, verdict: str) -> Deed:
        user = self.random.choice(["dana", "erin", "dana", "erin", "frank", "alice"])
        environment = self.random.choice(["prod", "prod", "prod", "edge"])
        data = self.world.files.get(self.path(), b"")
        if self.random.random() < 0.1:
            data += b" "
        made = {
            "api_version": "gitreg/v1",
            "kind": "Approval",
            "model": self.model,
            "version": self.version,
            "environment": environment,
            "user": user,
            "verdict": verdict,
            "manifest_digest": sha256(data),
        }
        path = f"approvals/{self.model}/{self.version}/{environment}/{user}.yaml"
        return Deed({path: made}, (f"as {user}" if self.random.random() < 0.9 else "approve",))

    def approve_staged(self) -> Deed:
        staged = [path for path in pointers_of(self.world) if path.startswith("deployments/staging/")]
        if staged:
            now = read(self.world, self.random.choice(staged))
            self.model, self.version = now["model"], now["version"]
        return self.approval("approve")

    def withdraw(self) -> Deed:
        found = [path for path in sorted(self.world.files) if path.startswith("approvals/")]
        if not found:
            return self.approve()
        path = self.random.choice(found)
        return Deed({path: None}, (f"as {path.rsplit('/', 1)[1].removesuffix('.yaml')}",))

    def report(self) -> Deed:
        path = f"status/{self.environment}/{self.model}.yaml"
        if path in self.world.files and self.random.random() < 0.2:
            return Deed({path: None}, ("report",))
        made = {
            "api_version": "gitreg/v1",
            "kind": "Status",
            "environment": self.environment,
            "model": self.model,
            "version": self.random.choice([self.version, self.version, self.version, "8.0.0"]),
            "state": self.random.choice(["live", "failed"]),
            "reported": self.random.choice(["2025-12-31T00:00:00Z", "2026-01-01T20:00:00.5Z", "2026-01-03T00:00:00Z"]),
        }
        return Deed({path: made}, ("report",))

    # rules, settings, the rest

    def rules(self) -> Deed:
        data = read(self.world, "access.yaml")
        more: Data = {"to": [self.random.choice(ACTORS)], "actions": [self.random.choice(ACTIONS)], "models": ["*/*"]}
        root: Data = {"to": ["root"], "actions": ["admin"]}
        without_root = [each for each in data["grants"] if each["to"] != ["root"]]
        choices: list[Callable[[], object]] = [
            lambda: data["grants"].append(more),
            lambda: data.setdefault("deny", []).append(more),
            lambda: data.__setitem__("grants", without_root),
            lambda: data.setdefault("deny", []).append(root),
            lambda: data.setdefault("deny", []).append({"to": ["stranger"], "actions": ["admin"]}),
            lambda: data["groups"].update(helpers=["zoe"]),
            lambda: data["groups"].update(contractors=["bob", "frank"]),
            lambda: data["groups"].update(root=["zoe"]),
            lambda: data["grants"].append(more | {"to": ["group:unknown"]}),
            lambda: data["grants"].append(more | {"to": ["group:nobody"], "actions": ["admin"]}),
            lambda: data["grants"].append(more | {"environments": ["staging"]}),
            lambda: data["grants"].append({"to": ["zoe"], "actions": ["deploy"]}),
        ]
        self.random.choice(choices)()
        if len(data["grants"]) > 22 or len(data.get("deny", [])) > 5:
            data = deepcopy(ACCESS)
        return Deed({"access.yaml": write(data)}, ("admin",))

    def settings(self) -> Deed:
        data = read(self.world, "registry.yaml")
        environments = deepcopy(data["environments"])
        choices: list[Data] = [
            {"environments": [*environments, {"name": "canary"}]},
            {"environments": [*environments, {"name": "champion"}]},
            {"environments": [*environments, {"name": "late", "after": "prod", "approvals": 2}]},
            {"environments": [*environments, {"name": "staging"}]},
            {"environments": [{"name": "first", "after": "later"}, {"name": "later"}, *environments]},
            {"environments": environments[:-1]},
            {"environments": environments[:1]},
            {"environments": environments[1:]},
            {"environments": SETTINGS["environments"]},
            {"description": "Models."},
            {"required": ["license"]},
            {"required": ["labels.team"]},
            {"required": []},
            {"formats": ["safetensors", "pickle"]},
            {"formats": None},
            {"identity": "signature"},
            {"deploy_tags": "signed"},
            {"signatures": "required"},
            {"signatures": None, "retention": {"deleted": "30d"}},
            {"identity": None, "deploy_tags": None},
        ]
        return Deed({"registry.yaml": without_none(data | self.random.choice(choices))}, ("admin",))

    def keys(self) -> Deed:
        path = "keys/allowed_signers"
        late = 'valid-before="20250101Z"'
        choices = [
            key_line("root") + key_line("alice"),
            b"# the keys\n" + key_line("alice", 'namespaces="git"'),
            key_line("root", late),
            key_line("root", 'valid-after="20250101Z"') + key_line("bob", late),
            key_line("root", 'namespaces="file"'),
            key_line("root") + key_line("root"),
            key_line("root").replace(b"root", b"*"),
            b"# nobody\n",
            b"root ssh-ed25519\n",
        ]
        if path in self.world.files and self.random.random() < 0.2:
            return Deed({path: None}, ("admin",))
        return Deed({path: self.random.choice(choices)}, ("admin",))

    def remove_rules(self) -> Deed:
        return Deed({self.random.choice(["access.yaml", "registry.yaml"]): None}, ("admin",))

    def free(self) -> Deed:
        path = self.random.choice(["README.md", "ci/run", ".gitreg/notes.txt", "CODEOWNERS", "docs/é.md"])
        removes = path in self.world.files and self.random.random() < 0.3
        return Deed({path: None if removes else b"%d\n" % self.random.randrange(1000)}, ("admin",))

    def stray(self) -> Deed:
        """Put a file where none of its kind belongs."""
        path = self.random.choice(
            [
                *("models/risk/fraud/1.0.yaml", "models/risk/fraud/v1.0.0.yaml", "models/risk/fraud/1.0.0+a.yaml"),
                *("models/risk/fraud/notes.txt", "models/risk/model.yaml", "models/risk/fraud/sub/1.0.0.yaml"),
                *("models/Risk/fraud/model.yaml", "Models/risk/fraud/model.yaml", "models/risk/fraud.lock/model.yaml"),
                *("models/risk/a..b/model.yaml", "models/risk/fraud/1.0.0.yml", "models/risk/fraud/1.0.0.YAML"),
                *("deployments/risk/fraud.yaml", "deployments/nowhere/risk/fraud.yaml", "deployments/staging/x.yaml"),
                *("status/nowhere/risk/fraud.yaml", "approvals/risk/fraud/1.0.0/prod/a..b.yaml"),
                *("approvals/risk/fraud/1.0.0/nowhere/dana.yaml", "approvals/risk/fraud/1.0.0/prod/Dana.yaml"),
                *("keys/dana.pub", "keys", "Keys/allowed_signers", "ACCESS.yaml", "registry.yaml/x", "models"),
            ]
        )
        return Deed({path: self.world.files.get("models/risk/fraud/1.0.0.yaml", b"a: 1\n")}, ("admin",))

    def nowhere(self) -> Deed:
        """Name an environment that the settings do not know."""
        self.environment = "nowhere"
        deed = self.random.choice([self.deploy, self.report])()
        return Deed(deed.files, ("admin",))

    def nothing(self) -> Deed:
        return Deed({}, ("admin",))


KINDS: dict[Callable[[Hand], Deed], int] = {
    Hand.register: 8,
    Hand.register_spoiled: 6,
    Hand.register_two: 1,
    Hand.register_model: 4,
    Hand.describe: 4,
    Hand.measure: 5,
    Hand.fixed: 3,
    Hand.lifecycle: 5,
    Hand.delete: 2,
    Hand.delete_unused: 3,
    Hand.restore: 5,
    Hand.remove_version: 1,
    Hand.alias: 5,
    Hand.describe_model: 2,
    Hand.reformat: 3,
    Hand.card: 3,
    Hand.remove_model: 1,
    Hand.bare_model: 2,
    Hand.deploy: 6,
    Hand.deploy_in_order: 6,
    Hand.canary: 4,
    Hand.canary_step: 6,
    Hand.go_back: 7,
    Hand.undeploy: 3,
    Hand.several: 3,
    Hand.approve: 4,
    Hand.approve_staged: 8,
    Hand.withdraw: 2,
    Hand.report: 4,
    Hand.rules: 4,
    Hand.settings: 4,
    Hand.keys: 2,
    Hand.remove_rules: 1,
    Hand.free: 3,
    Hand.stray: 2,
    Hand.nowhere: 1,
    Hand.nothing: 1,
}
GRAVES: dict[str, bytes] = {}
"""The bytes of deleted manifests, by digest: whoever restores one has them in a clone."""
