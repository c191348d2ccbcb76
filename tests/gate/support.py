"""A small registry in memory, and the verdict on a change of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gitreg.access import Access, Action, Grant
from gitreg.changes import FileEntry, PathEdit
from gitreg.deployment import Approval, Deployment, Status, Verdict
from gitreg.deployment import State as Reported
from gitreg.digest import Digest
from gitreg.errors import UnavailableError
from gitreg.gate import Commit, Policy, Violation, judge
from gitreg.layout import approval_path, deployment_path, model_path, status_path, version_path
from gitreg.manifest import Manifest, Model, Tombstone
from gitreg.names import AliasName, EnvironmentName, ModelName, UserName, Version
from gitreg.settings import EnvironmentRule, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1_767_225_600  # 2026-01-01
FRAUD = ModelName("risk", "fraud")
STAGING, PROD = EnvironmentName("staging"), EnvironmentName("prod")
BLOB = Digest.of(b"weights")
BLOB_SIZE = len(b"weights")
ALICE, BOB, CAROL, DANA, ERIN, ROOT = map(UserName, ["alice", "bob", "carol", "dana", "erin", "root"])

Files = dict[str, bytes]
Edits = Mapping[str, bytes | None]

SETTINGS = Settings(
    name="acme",
    store="file:../store",
    environments=(EnvironmentRule(name=STAGING), EnvironmentRule(name=PROD, after=STAGING)),
)


def only(who: UserName, *actions: Action, environments: tuple[EnvironmentName, ...] = ()) -> Access:
    """Grant a user these actions on every model; root is admin."""
    grant = Grant(to=(who,), actions=actions, models=("*/*",), environments=environments)
    return Access(grants=(grant, Grant(to=(ROOT,), actions=(Action.ADMIN,))))


ACCESS = Access(
    grants=(
        Grant(to=(ALICE,), actions=(Action.REGISTER, Action.UPDATE, Action.ALIAS), models=("risk/*",)),
        Grant(to=(BOB,), actions=(Action.DEPLOY,), models=("risk/*",)),
        Grant(to=(CAROL,), actions=(Action.ROLLBACK,), models=("risk/*",)),
        Grant(to=(DANA,), actions=(Action.APPROVE, Action.REPORT), models=("risk/*",)),
        Grant(to=(ERIN,), actions=(Action.YANK, Action.ARCHIVE, Action.DELETE), models=("risk/*",)),
        Grant(to=(ROOT,), actions=(Action.ADMIN,)),
    )
)


@dataclass
class MemoryState:
    """The files of one commit."""

    files: Files

    def read(self, path: str) -> bytes | None:
        return self.files.get(path)

    def names(self, folder: str) -> Sequence[str]:
        start = f"{folder}/"
        return sorted({path[len(start) :].partition("/")[0] for path in self.files if path.startswith(start)})


@dataclass
class MemoryFacts:
    """What the server knows beside the two states."""

    now: int = NOW
    sizes: dict[Digest, int] = field(default_factory=lambda: {BLOB: BLOB_SIZE})
    pointers: dict[tuple[str, ModelName], list[Deployment | None]] = field(default_factory=dict)
    reachable: bool = True

    def earlier(self, environment: EnvironmentName, model: ModelName) -> Sequence[Deployment | None]:
        return self.pointers.get((environment, model), [])

    def blob_size(self, digest: Digest) -> int | None:
        if not self.reachable:
            raise UnavailableError("no route to the store")
        return self.sizes.get(digest)


def manifest(version: str = "1.0.0", model: ModelName = FRAUD, /, **changes: object) -> Manifest:
    """Make a manifest; `changes` replace top-level fields of its plain data, None removes one."""
    data: dict[str, Any] = {
        "api_version": "gitreg/v1",
        "kind": "ModelVersion",
        "model": str(model),
        "version": version,
        "created": "2025-12-31T12:00:00Z",
        "author": {"name": "Alice", "email": "alice@example.org"},
        "artifacts": [{"path": "model.safetensors", "digest": str(BLOB), "size": BLOB_SIZE, "format": "safetensors"}],
        "metrics": {"auc": 0.9},
        **changes,
    }
    return Manifest.parse(Manifest.from_data({k: v for k, v in data.items() if v is not None}).to_bytes(), "made.yaml")


def version_file(version: str = "1.0.0", model: ModelName = FRAUD, /, **changes: object) -> Files:
    return {version_path(model, Version(version)): manifest(version, model, **changes).to_bytes()}


def model_file(
    model: ModelName = FRAUD,
    aliases: Mapping[str, str] | None = None,
    *,
    description: str = "Scores payments.",
    task: str | None = None,
) -> Files:
    named = {AliasName(name): Version(version) for name, version in (aliases or {}).items()}
    value = Model(model=model, description=description, task=task, aliases=named)
    return {model_path(model): value.to_bytes()}


def pointer(version: str, environment: EnvironmentName = STAGING, canary: str | None = None) -> Deployment:
    return Deployment(
        environment=environment,
        model=FRAUD,
        version=Version(version),
        canary_version=Version(canary) if canary else None,
        canary_percent=10 if canary else None,
    )


def pointer_file(version: str, environment: EnvironmentName = STAGING, canary: str | None = None) -> Files:
    return {deployment_path(environment, FRAUD): pointer(version, environment, canary).to_bytes()}


def tombstone_file(version: str = "1.0.0", data: bytes | None = None, reason: str = "leaked data") -> Files:
    """Make the tombstone of a version whose file held `data`."""
    digest = Digest.of(manifest(version).to_bytes() if data is None else data)
    value = Tombstone(model=FRAUD, version=Version(version), manifest_digest=digest, reason=reason)
    return {version_path(FRAUD, Version(version)): value.to_bytes()}


def approval_file(
    version: str = "1.0.0",
    user: UserName = DANA,
    *,
    environment: EnvironmentName = PROD,
    verdict: Verdict = Verdict.APPROVE,
    data: bytes | None = None,
) -> Files:
    value = Approval(
        model=FRAUD,
        version=Version(version),
        environment=environment,
        user=user,
        verdict=verdict,
        manifest_digest=Digest.of(manifest(version).to_bytes() if data is None else data),
    )
    return {approval_path(FRAUD, Version(version), environment, user): value.to_bytes()}


def status_file(version: str = "1.0.0", reported: str = "2025-12-31T12:00:00Z") -> Files:
    value = Status(environment=STAGING, model=FRAUD, version=Version(version), state=Reported.LIVE, reported=reported)
    return {status_path(STAGING, FRAUD): value.to_bytes()}


def start(*parts: Files) -> Files:
    """Make the state before: rules, settings, the model, version 1.0.0, and what else is given."""
    files = {"registry.yaml": SETTINGS.to_bytes(), "access.yaml": ACCESS.to_bytes()}
    for part in (model_file(), version_file(), *parts):
        files |= part
    return files


def entry(data: bytes | None, mode: str = "100644") -> FileEntry | None:
    return None if data is None else FileEntry(mode, Digest.of(data).hex[:40], len(data))


def commit(before: Files, edits: Edits, modes: Mapping[str, str] | None = None) -> Commit:
    """Make a commit of edits (None removes) upon a state."""
    after = {path: data for path, data in {**before, **edits}.items() if data is not None}
    changed = tuple(
        PathEdit(path, entry(before.get(path)), entry(data, (modes or {}).get(path, "100644")))
        for path, data in sorted(edits.items())
    )
    return Commit("c" * 40, changed, MemoryState(before), MemoryState(after))


@dataclass(frozen=True)
class Judge:
    """Who judges, and by which rules: the test changes what it is about."""

    who: UserName | None = ROOT
    access: Access = ACCESS
    settings: Settings = SETTINGS
    facts: MemoryFacts = field(default_factory=MemoryFacts)
    transition: bool = True

    def violations(self, before: Files, edits: Edits, modes: Mapping[str, str] | None = None) -> list[Violation]:
        policy = Policy(self.access, self.settings)
        made = commit(before, edits, modes)
        return judge(made, policy, self.who, self.facts, transition=self.transition)

    def codes(self, before: Files, edits: Edits, modes: Mapping[str, str] | None = None) -> list[str]:
        return [str(each.code) for each in self.violations(before, edits, modes)]
