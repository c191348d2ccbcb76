"""The rules of a registry, said a second time: slowly, in plain dicts, from the design and not from the gate.

Whatever the gate decides about a push, this page has to decide alike; `test_differential.py` compares them over
thousands of generated pushes. Nothing of gitreg is imported here. A verdict is the set of the codes of docs/gate.md
that apply; an empty set accepts.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

import yaml
import yaml12

Data = dict[str, Any]
Files = Mapping[str, bytes]
Pointers = Mapping[tuple[str, str], Sequence[Data | None]]


class File(NamedTuple):
    """What an edit puts at a path."""

    data: bytes
    mode: str = "100644"


Edits = Mapping[str, File | None]


@dataclass(frozen=True)
class World:
    """A registry and what its server knows: `main`, every state that each pointer has had, the store, the clock."""

    files: dict[str, bytes]
    pointers: dict[tuple[str, str], list[Data | None]] = field(default_factory=dict)
    blobs: dict[str, int] | None = field(default_factory=dict)  # None: the store does not answer
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)


class RefusedError(Exception):
    """A file is not what it has to be; the argument is the code."""


# --------------------------------------------------------------------------------------------------- a push, a commit


def judge(world: World, commits: Sequence[Edits], actor: str) -> set[str]:
    """Name every rule that a push breaks; rules and settings are those from before the push, for all its commits."""
    access, settings = parse("access.yaml", world.files["access.yaml"]), settings_of(world.files)
    touched = {path for edits in commits for path in edits}
    found = set()
    if any(map(is_policy, touched)) and not all(map(is_policy, touched)):
        found.add("policy-mixed")
    for edits in commits:
        found |= Judgement(world, edits, actor, access, settings).reasons()
        world = advance(world, edits)
    return found


def advance(world: World, edits: Edits) -> World:
    """Apply a commit: its files, and one more state for each pointer that it changes."""
    files = after_edits(world.files, edits)
    pointers = {names: list(states) for names, states in world.pointers.items()}
    for path in edits:
        if top_of(path) == "deployments":
            old, new = (read_or_none(path, each.get(path)) for each in (world.files, files))
            if pointer_state(old) != pointer_state(new) or (old is None) != (new is None):
                environment, model = pointer_names(path)
                pointers.setdefault((environment, model), []).append(new)
    return World(files, pointers, world.blobs, world.now)


def after_edits(files: Files, edits: Edits) -> dict[str, bytes]:
    after = dict(files)
    for path, file in edits.items():
        after.pop(path, None)
        if file is not None:
            after[path] = file.data
    return after


class Judgement:
    """One commit against its first parent."""

    def __init__(self, world: World, edits: Edits, actor: str, access: Data, settings: Data) -> None:
        self.world, self.edits, self.actor, self.access, self.settings = world, edits, actor, access, settings
        self.before, self.after = world.files, after_edits(world.files, edits)
        self.found: set[str] = set()

    def reasons(self) -> set[str]:
        if not self.edits:
            self.want("admin")
        for path, file in self.edits.items():
            try:
                self.check_path(path, file)
            except RefusedError as refused:
                self.found.add(str(refused))
                if str(refused) == "path-mismatch" and path in self.before:
                    self.found.add("version-immutable")  # where it is a version, its name changes
        self.check_one_pointer()
        if any(map(is_policy, self.edits)):
            self.check_keys()
        return self.found

    def refuse_if(self, broken: object, code: str) -> None:
        if broken:
            self.found.add(code)

    def want(self, *actions: str, model: str | None = None, environment: str | None = None) -> None:
        """Require any one of some actions."""
        allowed = any(may(self.access, self.actor, action, model, environment) for action in actions)
        self.refuse_if(not allowed, "access-denied")

    def check_path(self, path: str, file: File | None) -> None:
        if file is not None:
            governed = top_of(path) in GOVERNED or is_policy(path)
            modes = {"100644"} if governed else {"100644", "100755", "120000"}  # a submodule is no file at all
            self.refuse_if(len(file.data) > 1024 * 1024, "file-too-large")
            self.refuse_if(file.mode not in modes, "file-mode")
            if len(file.data) > 1024 * 1024 or file.mode not in modes:
                return
        place = understand(path)
        old = read_or_none(path, self.before.get(path))
        new = None if file is None else parse(path, file.data)
        rule: Callable[..., None] = {
            "registry": self.registry,
            "access": self.rules,
            "keys": self.keys,
            "model": self.model,
            "card": self.card,
            "version": self.version,
            "deployment": self.deployment,
            "status": self.status,
            "approval": self.approval,
            "free": self.free,
        }[place.kind]
        rule(place, old, new)

    # ------------------------------------------------------------------------------------------------ rules, settings

    def free(self, _place: Place, _old: Data | None, _new: Data | None) -> None:
        self.want("admin")

    def keys(self, _place: Place, _old: Data | None, _new: Data | None) -> None:
        self.want("admin")

    def rules(self, _place: Place, _old: Data | None, new: Data | None) -> None:
        self.want("admin")
        self.refuse_if(new is None, "policy-missing")
        if new is not None:
            named = {each for grant in new["grants"] for each in grant["to"]}.union(*new.get("groups", {}).values())
            self.refuse_if(not any(may(new, user, "admin", None) for user in named), "last-admin")

    def registry(self, _place: Place, old: Data | None, new: Data | None) -> None:
        self.want("admin")
        self.refuse_if(new is None, "policy-missing")
        if new is None:
            return
        gone = environments_of(old or {}) - environments_of(new)
        for environment in gone:
            used = [f"deployments/{environment}/", f"status/{environment}/"]
            self.refuse_if(any(path.startswith(tuple(used)) for path in self.after), "environment-in-use")
        for path in self.after:
            if understand(path).kind == "model":
                aliases = parse(path, self.after[path]).get("aliases", {})
                self.refuse_if(environments_of(new) & set(aliases), "alias-reserved")

    def check_keys(self) -> None:
        """Where signatures are asked for, a key of somebody who can use it has to be there and to count now."""
        settings = read_or_none("registry.yaml", self.after.get("registry.yaml")) or {}
        access = read_or_none("access.yaml", self.after.get("access.yaml"))
        identity, tags = settings.get("identity") == "signature", settings.get("deploy_tags") == "signed"
        data = self.after.get("keys/allowed_signers")
        if data is None:
            self.refuse_if(identity or tags, "policy-missing")
            return
        keys = read_or_none("keys/allowed_signers", data)
        if keys is None:
            self.refuse_if(identity or tags, "file-invalid")
            return
        counting = {user for user, since, until in keys["signers"] if since <= self.world.now <= until}
        self.refuse_if(
            identity and access and not any(may(access, user, "admin", None) for user in counting), "last-admin"
        )
        self.refuse_if(tags and not counting, "policy-missing")

    # ------------------------------------------------------------------------------------------------ models, versions

    def has_model(self, model: str) -> bool:
        return f"models/{model}/model.yaml" in self.after

    def model(self, place: Place, old: Data | None, new: Data | None) -> None:
        model = place.model
        if new is None:
            others = [path for path in self.after if path.startswith(f"models/{model}/")]
            self.refuse_if(others, "model-missing")
            self.want("update", model=model)
            return
        aliases, aliases_before = new.get("aliases", {}), (old or {}).get("aliases", {})
        if old is None:
            self.want("register", model=model)
        elif aliases == aliases_before or without(old, "aliases") != without(new, "aliases"):
            self.want("update", model=model)
        if aliases != aliases_before:
            self.want("alias", model=model)
        for alias, version in aliases.items():
            self.refuse_if(alias in environments_of(self.settings), "alias-reserved")
            self.refuse_if(self.manifest(model, version) is None, "version-unknown")

    def card(self, place: Place, _old: Data | None, new: Data | None) -> None:
        self.want("update", model=place.model)
        self.refuse_if(new is not None and not self.has_model(place.model), "model-missing")

    def manifest(self, model: str, version: str) -> Data | None:
        """Read a version as it is after the commit; None where there is none, or a tombstone."""
        path = f"models/{model}/{version}.yaml"
        found = read_or_none(path, self.after.get(path))
        return found if found and found["kind"] == "ModelVersion" else None

    def version(self, place: Place, old: Data | None, new: Data | None) -> None:
        model = place.model
        if new is None:
            self.found.add("version-removed")
            return
        self.refuse_if(not self.has_model(model), "model-missing")
        was, becomes = (each["kind"] if each else None for each in (old, new))
        if becomes == "Tombstone":
            self.delete(place, old, new)
        elif was == "Tombstone":
            self.restore(place, old or {}, new)
        elif was is None:
            self.register(place, new)
        else:
            self.edit(model, old or {}, new)

    def register(self, place: Place, new: Data) -> None:
        self.want("register", model=place.model)
        self.refuse_if(new.get("lifecycle", "active") != "active", "version-state")
        self.refuse_if(time_of(new["created"]) > self.world.now + timedelta(days=1), "time-in-future")
        self.check_demands(place, new)

    def check_demands(self, place: Place, new: Data) -> None:
        """Check what the registry demands of a version that comes in, for the first time or again."""
        self.refuse_if(any(not has(new, name) for name in self.settings.get("required", [])), "metadata-missing")
        for artifact in new.get("artifacts", []):
            self.refuse_if(not self.format_allowed(artifact), "format-refused")
        if self.settings.get("signatures") == "required" and new.get("artifacts"):
            signed = [each["size"] > 0 for each in new["artifacts"] if each["path"] == "model.sig"]
            self.refuse_if(not any(signed), "model-unsigned")
        self.check_artifacts(new)
        self.check_parents(place, new)

    def restore(self, place: Place, tombstone: Data, new: Data) -> None:
        """Only the very bytes that were deleted come back."""
        self.want("register", model=place.model)
        self.refuse_if(digest(self.after[place.path]) != tombstone["manifest_digest"], "tombstone")
        self.check_demands(place, new)

    def format_allowed(self, artifact: Data) -> bool:
        name = artifact.get("format")
        if "formats" not in self.settings:
            pickled = re.search(r"\.(pkl|pickle|joblib|pt|pth|ckpt)$", artifact["path"].lower())
            return name not in {"pickle", "torch", "joblib", "torchscript"} and not (name is None and pickled)
        return name in self.settings["formats"] or name in {"json", "yaml", "text"}

    def check_artifacts(self, new: Data) -> None:
        for artifact in new.get("artifacts", []):
            if self.world.blobs is None:
                self.found.add("store-unavailable")
                return
            size = self.world.blobs.get(artifact["digest"])
            self.refuse_if(size is None, "blob-missing")
            self.refuse_if(size is not None and size != artifact["size"], "blob-size")

    def check_parents(self, place: Place, new: Data) -> None:
        """Every parent is a version that is there, and nothing is its own ancestor."""
        seen: set[tuple[str, str]] = set()
        todo = [(each["model"], each["version"]) for each in new.get("parents", [])]
        for parent in todo:
            self.refuse_if(self.manifest(*parent) is None, "parent-unknown")
        while todo:
            parent = todo.pop()
            if parent not in seen:
                seen.add(parent)
                todo += [(each["model"], each["version"]) for each in (self.manifest(*parent) or {}).get("parents", [])]
        self.refuse_if((place.model, place.version) in seen, "parent-unknown")

    def edit(self, model: str, old: Data, new: Data) -> None:
        fixed = [
            "model",
            "version",
            "created",
            "author",
            "artifacts",
            "external",
            "training",
            "parents",
            "base",
            "signature",
        ]
        self.refuse_if(any(not same(old.get(name), new.get(name)) for name in fixed), "version-immutable")
        self.refuse_if(not kept(old.get("metrics"), new.get("metrics")), "measurement-rewritten")
        for evaluation in old.get("evaluations") or []:
            self.refuse_if(
                not any(
                    same(without(evaluation, "metrics"), without(each, "metrics"))
                    and kept(evaluation["metrics"], each["metrics"])
                    for each in new.get("evaluations") or []
                ),
                "measurement-rewritten",
            )
        for name in self.settings.get("required", []):
            self.refuse_if(has(old, name) and not has(new, name), "metadata-missing")
        lifecycles = {old.get("lifecycle", "active"), new.get("lifecycle", "active")}
        if len(lifecycles) > 1:
            for lifecycle, action in (("yanked", "yank"), ("archived", "archive")):
                if lifecycle in lifecycles:
                    self.want(action, model=model)
        if same(without(old, "lifecycle"), without(new, "lifecycle")):
            special = len(lifecycles) > 1 and lifecycles & {"yanked", "archived"}
        else:
            special = set()
        if not special:
            self.want("update", model=model)

    def delete(self, place: Place, old: Data | None, new: Data) -> None:
        self.want("delete", model=place.model)
        if old is None or old["kind"] == "Tombstone":
            self.found.add("tombstone")
            return
        self.refuse_if(new["manifest_digest"] != digest(self.before[place.path]), "tombstone")
        described = read_or_none(f"models/{place.model}/model.yaml", self.after.get(f"models/{place.model}/model.yaml"))
        self.refuse_if(place.version in (described or {}).get("aliases", {}).values(), "version-in-use")
        for environment in environments_of(self.settings):
            self.refuse_if(place.version in running(self.pointer(environment, place.model)), "version-in-use")

    # ------------------------------------------------------------------------------------------------ deployments

    def pointer(self, environment: str, model: str) -> Data | None:
        path = f"deployments/{environment}/{model}.yaml"
        return read_or_none(path, self.after.get(path))

    def returns(self, place: Place, old: Data | None, new: Data | None) -> bool:
        """Whether a pointer goes back to a state that it has had before the one it has now; removed is one of them."""
        if new is None:
            return True
        states = [pointer_state(each) for each in self.world.pointers.get((place.environment, place.model), [])]
        return pointer_state(new) != pointer_state(old) and pointer_state(new) in states

    def deployment(self, place: Place, old: Data | None, new: Data | None) -> None:
        model, environment = place.model, place.environment
        returns = self.returns(place, old, new)
        self.want("deploy", *(["rollback"] if returns else []), model=model, environment=environment)
        rule = next((each for each in self.settings.get("environments", []) if each["name"] == environment), None)
        self.refuse_if(rule is None, "environment-unknown")
        if pointer_state(old) == pointer_state(new):
            return  # written otherwise, and the pointer does not change
        for role in ("version", "canary_version"):
            version = (new or {}).get(role)
            if version is None:
                continue
            manifest = self.manifest(model, version)
            if manifest is None:
                self.found.add("version-unknown")
                continue
            self.refuse_if(manifest.get("lifecycle", "active") not in {"active", "deprecated"}, "version-state")
            wider = role == "canary_version" and (new or {})["canary_percent"] > (old or {}).get("canary_percent", 0)
            if version == (old or {}).get(role) and not wider:
                continue  # it runs on, in the part that it has
            approving, rejecting = self.verdicts(model, version, environment)
            self.refuse_if(rejecting, "approvals")
            if rule is not None and not returns and version not in running(old):
                first = rule.get("after")
                self.refuse_if(first and version not in running(self.pointer(first, model)), "order")
                self.refuse_if(len(approving) < rule.get("approvals", 0), "approvals")

    def verdicts(self, model: str, version: str, environment: str) -> tuple[set[str], set[str]]:
        """Name who approves and who rejects these very bytes, of those who may approve there."""
        names: dict[str, set[str]] = {"approve": set(), "reject": set()}
        folder = f"approvals/{model}/{version}/{environment}/"
        for path, data in self.after.items():
            found = read_or_none(path, data) if path.startswith(folder) else None
            if (
                found
                and found["manifest_digest"] == digest(self.after[f"models/{model}/{version}.yaml"])
                and may(self.access, found["user"], "approve", model, environment)
            ):
                names[found["verdict"]].add(found["user"])
        return names["approve"], names["reject"]

    def check_one_pointer(self) -> None:
        restores = []
        for path in self.edits:
            if top_of(path) == "deployments" and well_placed(path):
                old, new = (read_or_none(path, files.get(path)) for files in (self.before, self.after))
                if pointer_state(old) != pointer_state(new):
                    restores.append(self.returns(understand(path), old, new))
        self.refuse_if(len(restores) > 1 and not all(restores), "one-pointer")

    def status(self, place: Place, _old: Data | None, new: Data | None) -> None:
        self.want("report", model=place.model, environment=place.environment)
        if new is not None:
            self.refuse_if(place.environment not in environments_of(self.settings), "environment-unknown")
            path = f"models/{place.model}/{new['version']}.yaml"  # what was deleted may still be reported to run
            self.refuse_if(read_or_none(path, self.after.get(path)) is None, "version-unknown")
            self.refuse_if(time_of(new["reported"]) > self.world.now + timedelta(days=1), "time-in-future")

    def approval(self, place: Place, _old: Data | None, new: Data | None) -> None:
        self.want("approve", model=place.model, environment=place.environment)
        self.refuse_if(place.user != self.actor, "approval-foreign")
        if new is not None:
            self.refuse_if(place.environment not in environments_of(self.settings), "environment-unknown")
            if self.manifest(place.model, place.version) is None:
                self.found.add("version-unknown")
            else:
                data = self.after[f"models/{place.model}/{place.version}.yaml"]
                self.refuse_if(new["manifest_digest"] != digest(data), "approval-stale")


# --------------------------------------------------------------------------------------------------- who may do what


def may(access: Data, user: str, action: str, model: str | None, environment: str | None = None) -> bool:
    """Default deny; a denial beats any grant; `admin` stands for all actions."""
    subjects = {user} | {f"group:{name}" for name, users in access.get("groups", {}).items() if user in users}

    def speaks(rule: Data, *, everywhere: bool) -> bool:
        if not subjects & set(rule["to"]) or not {action, "admin"} & set(rule["actions"]):
            return False
        if "environments" in rule and environment is not None and environment not in rule["environments"]:
            return False
        if "models" not in rule:
            return everywhere or "admin" in rule["actions"]
        return model is not None and any(matches(pattern, model) for pattern in rule["models"])

    denied = any(speaks(rule, everywhere=True) for rule in access.get("deny", []))
    return not denied and any(speaks(rule, everywhere=False) for rule in access["grants"])


def matches(pattern: str, model: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", "[^/]*"), model) is not None


# --------------------------------------------------------------------------------------------------- paths


class Place(NamedTuple):
    """What a path is for; the fields that its kind does not have are empty."""

    kind: str
    path: str
    model: str = ""
    version: str = ""
    environment: str = ""
    user: str = ""


WORD = r"[a-z0-9][a-z0-9_-]{0,62}"
MODEL = rf"{WORD}/(?!.*\.lock$)(?=.{{1,63}}$)[a-z0-9][a-z0-9_-]*(\.[a-z0-9_-]+)*"
USER = r"(?!.*\.\.)(?!.*\.lock$)[a-z0-9][a-z0-9._@+-]{0,126}"
NUMBER = "(0|[1-9][0-9]*)"
PRERELEASE = "(0|[1-9][0-9]*|[0-9]*[a-z-][0-9a-z-]*)"
VERSION = rf"(?=.{{1,128}}$){NUMBER}\.{NUMBER}\.{NUMBER}(-{PRERELEASE}(\.{PRERELEASE})*)?"
DIGEST = "sha256:[0-9a-f]{64}"
GOVERNED = {"models", "deployments", "status", "approvals", "keys"}


def is_(pattern: str, text: object) -> bool:
    return isinstance(text, str) and text.isprintable() and re.fullmatch(pattern, text, re.ASCII) is not None


def top_of(path: str) -> str:
    return path.partition("/")[0]


def is_policy(path: str) -> bool:
    return path in {"access.yaml", "registry.yaml"} or top_of(path) == "keys"


def well_placed(path: str) -> bool:
    try:
        understand(path)
    except RefusedError:
        return False
    return True


def pointer_names(path: str) -> tuple[str, str]:
    place = understand(path)
    return place.environment, place.model


def understand(path: str) -> Place:  # noqa: C901 - the design's list of paths, in its order
    """Tell what a path holds; in governed folders only what the design lists."""
    if path in {"registry.yaml", "access.yaml"}:
        return Place(path.removesuffix(".yaml"), path)
    if path == "keys/allowed_signers":
        return Place("keys", path)
    top, *rest = path.split("/")
    if top not in GOVERNED:
        if top.lower() in GOVERNED | {"registry.yaml", "access.yaml"}:
            raise RefusedError("file-invalid")
        return Place("free", path)
    stem = rest[-1].removesuffix(".yaml") if rest and rest[-1].endswith(".yaml") else None
    place = None
    if top == "models" and len(rest) == 3:
        model = f"{rest[0]}/{rest[1]}"
        if rest[2] == "README.md":
            place = Place("card", path, model)
        elif stem == "model":
            place = Place("model", path, model)
        elif stem and is_(VERSION, stem):
            place = Place("version", path, model, stem)
    elif top in {"deployments", "status"} and len(rest) == 3 and stem and is_(WORD, rest[0]):
        place = Place(top.removesuffix("s") if top != "status" else top, path, f"{rest[1]}/{stem}", environment=rest[0])
    elif top == "approvals" and len(rest) == 5 and is_(VERSION, rest[2]) and is_(WORD, rest[3]) and is_(USER, stem):
        place = Place("approval", path, f"{rest[0]}/{rest[1]}", rest[2], rest[3], stem or "")
    if place is None or not is_(MODEL, place.model):
        raise RefusedError("file-invalid")
    return place


# --------------------------------------------------------------------------------------------------- files


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def without(data: Data, *names: str) -> Data:
    return {name: value for name, value in data.items() if name not in names}


def same(one: object, other: object) -> bool:
    """Whether two values say the same; nothing, an empty list and an empty mapping do."""
    return json.dumps(one or None, sort_keys=True) == json.dumps(other or None, sort_keys=True)


def kept(old: Data | None, new: Data | None) -> bool:
    return all(name in (new or {}) and (new or {})[name] == value for name, value in (old or {}).items())


def has(data: Data, dotted: str) -> bool:
    """Whether a field such as `training.datasets` is there, and not empty."""
    value: object = data
    for name in dotted.split("."):
        if not isinstance(value, dict) or name not in value:
            return False
        value = value[name]
    return value not in (None, "", [], {})


def running(pointer: Data | None) -> list[str]:
    return [pointer[name] for name in ("version", "canary_version") if name in pointer] if pointer else []


def pointer_state(pointer: Data | None) -> tuple[object, ...]:
    return tuple((pointer or {}).get(name) for name in ("version", "canary_version", "canary_percent"))


def environments_of(settings: Data) -> set[str]:
    return {each["name"] for each in settings.get("environments", [])}


def settings_of(files: Files) -> Data:
    return parse("registry.yaml", files["registry.yaml"])


def time_of(text: str) -> datetime:
    return datetime.fromisoformat(text)


def read_or_none(path: str, data: bytes | None) -> Data | None:
    try:
        return None if data is None else parse(path, data)
    except RefusedError:
        return None


@lru_cache(4096)
def parse(path: str, data: bytes) -> Data:
    """Read a file, check its fields and that they agree with its path."""
    place = understand(path)
    if place.kind in {"free", "card"}:
        return {}
    if place.kind == "keys":
        return {"signers": signers(data.decode())}
    value = strict_yaml(data)
    kind = "tombstone" if place.kind == "version" and value.get("kind") == "Tombstone" else place.kind
    if not SHAPES[kind](value) or not FURTHER.get(kind, lambda _value: True)(value):
        raise RefusedError("file-invalid")
    for name in ("model", "version", "environment", "user"):
        told_by_path = getattr(place, name)
        if told_by_path and value[name] != told_by_path:
            raise RefusedError("path-mismatch")
    return value


def signers(text: str) -> list[tuple[str, datetime, datetime]]:
    """Read who has a key for git, and from when to when; a part of the format is enough for what is generated here."""
    found = []
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    keys = [line.split()[-1] for line in lines]
    if len(set(keys)) < len(keys):
        raise RefusedError("file-invalid")
    for each in lines:
        match = re.fullmatch(rf'({USER}) (?:([a-z-]+)="([^"]*)" )?ssh-ed25519 [A-Za-z0-9+/]{{68}}', each)
        if not match:
            raise RefusedError("file-invalid")
        user, option, value = match.groups()
        since, until = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
        if option in {"valid-after", "valid-before"}:
            moment = datetime.strptime(value, "%Y%m%dZ").replace(tzinfo=UTC)
            since, until = (moment, until) if option == "valid-after" else (since, moment)
        if option != "namespaces" or "git" in value.split(","):
            found.append((user, since, until))
    return found


def strict_yaml(data: bytes) -> Data:
    """Read one document of the core schema without anchors, aliases, tags, merge keys or duplicate keys."""
    try:
        text = data.decode()
        events = list(yaml.parse(text, Loader=yaml.CSafeLoader))
        fancy = any(
            isinstance(each, yaml.AliasEvent) or getattr(each, "anchor", None) or getattr(each, "tag", None)
            for each in events
        )
        if fancy or sum(isinstance(each, yaml.DocumentStartEvent) for each in events) != 1:
            raise RefusedError("file-invalid")
        check_keys(yaml.compose(text, Loader=yaml.CBaseLoader))
        value: object = yaml12.parse_yaml(text)
    except (UnicodeDecodeError, yaml.YAMLError, ValueError) as error:
        raise RefusedError("file-invalid") from error
    if not isinstance(value, dict):
        raise RefusedError("file-invalid")
    return value


def check_keys(node: yaml.Node | None) -> None:
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value]
        if len(set(keys)) < len(keys) or "<<" in keys:
            raise RefusedError("file-invalid")
        for _, item in node.value:
            check_keys(item)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            check_keys(item)


# --------------------------------------------------------------------------------------------------- fields

Check = Callable[[Any], bool]
ACTIONS = [
    *("read", "register", "update", "alias", "approve", "deploy"),
    *("rollback", "report", "yank", "archive", "delete", "admin"),
]
FORMATS = [
    *("safetensors", "onnx", "gguf", "numpy", "npz", "keras", "hdf5", "tflite", "coreml"),
    *("openvino", "torchscript", "pickle", "torch", "joblib", "zip"),
    *("tar", "json", "yaml", "text", "other"),
]


def text(pattern: str = r"[\s\S]*", most: int = 10_000) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most and re.fullmatch(pattern, value) is not None


def word(pattern: str) -> Check:
    return lambda value: is_(pattern, value)


def whole(least: int, most: int) -> Check:
    return lambda value: type(value) is int and least <= value <= most


def number(value: object) -> bool:
    return type(value) in {int, float}


def one_of(*allowed: object) -> Check:
    return lambda value: isinstance(value, str) and value in allowed


def many(check: Check, least: int = 0, *, unique: bool = False) -> Check:
    return lambda value: (
        isinstance(value, list)
        and len(value) >= least
        and all(map(check, value))
        and not (unique and len({json.dumps(each) for each in value}) < len(value))
    )


def mapping(key: Check, item: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(key, value)) and all(map(item, value.values()))


def fields(required: Mapping[str, Check], optional: Mapping[str, Check] | None = None) -> Check:
    """Make the check of a mapping: each required field, no unknown one, each of its own kind."""
    known = {**required, **(optional or {})}
    return lambda value: (
        isinstance(value, dict)
        and all(name in value for name in required)
        and all(name in known and known[name](item) for name, item in value.items())
    )


def is_time(value: object) -> bool:
    if not is_(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?Z", value):
        return False
    try:
        time_of(str(value))
    except ValueError:
        return False
    return True


def any_json(value: object) -> bool:
    return value is None or isinstance(value, (str, int, float, list, dict))


def header(kind: str) -> dict[str, Check]:
    return {"api_version": one_of("gitreg/v1"), "kind": one_of(kind)}


line = text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]+", 500)
uri = text(r"[A-Za-z][A-Za-z0-9+.-]*:[^\s\x00-\x1f\x7f-\x9f]+", 2048)
labels = mapping(word("[A-Za-z0-9][A-Za-z0-9._/-]{0,62}"), text(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*", 255))
metrics = mapping(line, number)
environment_name, model_name, user_name, version_number = word(WORD), word(MODEL), word(USER), word(VERSION)
grantee = word(rf"group:{WORD}|{USER}")
dataset = fields({"name": line}, {"version": line, "digest": word(DIGEST), "uri": uri})
tensor = fields({"name": line, "dtype": line, "shape": many(any_json)})
duration = word(r"[1-9][0-9]{0,4}[hdw]")
held = word(r"[a-z0-9_*-]{1,63}/[a-z0-9._*-]{1,63}")
pattern = word(r"[a-z0-9*][a-z0-9_*-]{0,62}/[a-z0-9*][a-z0-9_.*-]{0,62}")
rule = fields(
    {"to": many(grantee, 1, unique=True), "actions": many(one_of(*ACTIONS), 1, unique=True)},
    {"models": many(pattern, 1, unique=True), "environments": many(environment_name, 1, unique=True)},
)

SHAPES: dict[str, Check] = {
    "registry": fields(
        {**header("Registry"), "name": word(WORD)},
        {
            "description": text(),
            "store": uri,
            "environments": many(
                fields({"name": environment_name}, {"after": environment_name, "approvals": whole(0, 100)})
            ),
            "required": many(word(r"[a-z][a-z_]*(\.[A-Za-z_][A-Za-z0-9_-]*)*"), unique=True),
            "formats": many(one_of(*FORMATS), 1, unique=True),
            "identity": one_of("signature"),
            "deploy_tags": one_of("signed"),
            "signatures": one_of("required"),
            "retention": fields(
                {}, {"grace": duration, "deleted": duration, "trash": duration, "hold": many(held, unique=True)}
            ),
        },
    ),
    "access": fields(
        {**header("Access"), "grants": many(rule, 1)},
        {"groups": mapping(word(WORD), many(user_name, unique=True)), "deny": many(rule)},
    ),
    "model": fields(
        {**header("Model"), "model": model_name},
        {
            "description": text(),
            "owners": many(grantee, 1, unique=True),
            "task": word("[a-z0-9][a-z0-9-]{0,62}"),
            "aliases": mapping(lambda name: is_(WORD, name) and name != "latest", version_number),
            "labels": labels,
        },
    ),
    "version": fields(
        {
            **header("ModelVersion"),
            "model": model_name,
            "version": version_number,
            "created": is_time,
            "author": fields({"name": line, "email": text(r"[^\s<>@]+@[^\s<>@]+", 254)}),
        },
        {
            "description": text(),
            "artifacts": many(
                fields(
                    {"path": line, "digest": word(DIGEST), "size": whole(0, 2**63 - 1)}, {"format": one_of(*FORMATS)}
                ),
                1,
            ),
            "external": fields({"provider": line, "id": line}, {"endpoint": uri}),
            "training": fields(
                {},
                {
                    "datasets": many(dataset, 1),
                    "framework": fields({"name": line}, {"version": line}),
                    "code": fields(
                        {"commit": word("[0-9a-f]{40}|[0-9a-f]{64}")},
                        {"repository": text(r"\S+", 2048), "dirty": lambda value: isinstance(value, bool)},
                    ),
                    "hyperparameters": mapping(line, any_json),
                },
            ),
            "metrics": metrics,
            "evaluations": many(fields({"dataset": dataset, "metrics": metrics}, {"split": line})),
            "signature": fields({}, {"inputs": many(tensor), "outputs": many(tensor)}),
            "parents": many(
                fields({"model": model_name, "version": version_number, "relation": word("[a-z][a-z0-9-]{0,62}")})
            ),
            "base": fields({"uri": uri}),
            "license": line,
            "labels": labels,
            "lifecycle": one_of("active", "deprecated", "yanked", "archived"),
        },
    ),
    "tombstone": fields(
        {
            **header("Tombstone"),
            "model": model_name,
            "version": version_number,
            "manifest_digest": word(DIGEST),
            "reason": text(r"[\s\S]+", 2000),
        }
    ),
    "deployment": fields(
        {
            **header("Deployment"),
            "environment": environment_name,
            "model": model_name,
            "version": version_number,
        },
        {"canary_version": version_number, "canary_percent": whole(1, 99)},
    ),
    "status": fields(
        {
            **header("Status"),
            "environment": environment_name,
            "model": model_name,
            "version": version_number,
            "state": one_of("live", "failed"),
            "reported": is_time,
        },
        {"endpoint": uri, "detail": text(most=2000)},
    ),
    "approval": fields(
        {
            **header("Approval"),
            "model": model_name,
            "version": version_number,
            "environment": environment_name,
            "user": user_name,
            "verdict": one_of("approve", "reject"),
            "manifest_digest": word(DIGEST),
        },
        {"comment": text(most=2000)},
    ),
}


def no_nested_groups(access: Data) -> bool:
    """Groups exist and hold users; what has no environment names none; a grant names models, unless it is admin's."""
    groups = access.get("groups", {})
    rules = [*access["grants"], *access.get("deny", [])]
    named = [each for rule_ in rules for each in rule_["to"]]
    in_environments = {"approve", "deploy", "rollback", "report"}
    return (
        all(each.removeprefix("group:") in groups for each in named if each.startswith("group:"))
        and not set(groups) & set(named)
        and not any(user in groups for users in groups.values() for user in users)
        and all(in_environments & set(each["actions"]) for each in rules if "environments" in each)
        and all("models" in each or "admin" in each["actions"] for each in access["grants"])
    )


def environments_in_order(settings: Data) -> bool:
    """Each environment is there once, and comes after one that stands before it."""
    names: list[str] = []
    for each in settings.get("environments", []):
        if each["name"] in names or each.get("after", each["name"]) not in [*names, each["name"]]:
            return False
        if each.get("after") == each["name"]:
            return False
        names.append(each["name"])
    return True


FURTHER: dict[str, Check] = {
    "access": no_nested_groups,
    "registry": environments_in_order,
    "version": lambda value: (
        ("artifacts" in value) != ("external" in value)
        and len({each["path"] for each in value.get("artifacts", [])}) == len(value.get("artifacts", []))
        and not any(
            same((each["model"], each["version"]), (value["model"], value["version"]))
            for each in value.get("parents", [])
        )
    ),
    "deployment": lambda value: (
        ("canary_version" in value) == ("canary_percent" in value) and value.get("canary_version") != value["version"]
    ),
}
