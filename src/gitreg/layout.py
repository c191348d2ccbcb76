"""Which path and which ref means what in a registry repository."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Self

from gitreg.errors import InvalidError
from gitreg.names import EnvironmentName, ModelName, UserName, Version, folded
from gitreg.records import dataclass

MAIN = "refs/heads/main"
SETTINGS = "registry.yaml"
ACCESS = "access.yaml"
ALLOWED_SIGNERS = "keys/allowed_signers"
MODELS = "models"
DEPLOYMENTS = "deployments"
STATUS = "status"
APPROVALS = "approvals"
KEYS = "keys"
# The artifact that is a signature of the others, in the format of OpenSSF model-signing.
MODEL_SIGNATURE = "model.sig"
GOVERNED = frozenset({MODELS, DEPLOYMENTS, STATUS, APPROVALS, KEYS})
_TAKEN = GOVERNED | {SETTINGS, ACCESS}
DEPLOY_TAGS = "refs/tags/deploy/"
PROPOSALS = "refs/heads/proposals/"


class Kind(StrEnum):
    """What a path holds."""

    SETTINGS = "settings"
    ACCESS = "access"
    KEYS = "keys"
    MODEL = "model"
    CARD = "card"
    VERSION = "version"
    DEPLOYMENT = "deployment"
    STATUS = "status"
    APPROVAL = "approval"
    FREE = "free"


@dataclass(frozen=True, slots=True)
class Place:
    """A path of the registry, understood."""

    kind: Kind
    path: str
    model: ModelName | None = None
    version: Version | None = None
    environment: EnvironmentName | None = None
    user: UserName | None = None


def model_path(model: ModelName) -> str:
    """Name the file that describes a model."""
    return f"{MODELS}/{model}/model.yaml"


def card_path(model: ModelName) -> str:
    """Name the model card."""
    return f"{MODELS}/{model}/README.md"


def version_path(model: ModelName, version: Version) -> str:
    """Name the manifest of a version."""
    return f"{MODELS}/{model}/{version}.yaml"


def deployment_path(environment: EnvironmentName, model: ModelName) -> str:
    """Name the pointer of a model in an environment."""
    return f"{DEPLOYMENTS}/{environment}/{model}.yaml"


def status_path(environment: EnvironmentName, model: ModelName) -> str:
    """Name the reported status of a model in an environment."""
    return f"{STATUS}/{environment}/{model}.yaml"


def approvals_path(model: ModelName, version: Version, environment: EnvironmentName) -> str:
    """Name the folder of the approvals of a version for an environment."""
    return f"{APPROVALS}/{model}/{version}/{environment}"


def approval_path(model: ModelName, version: Version, environment: EnvironmentName, user: UserName) -> str:
    """Name one user's approval."""
    return f"{approvals_path(model, version, environment)}/{user}.yaml"


def place(path: str) -> Place:
    """Understand a path; raise InvalidError for one in a governed folder that no rule names."""
    top, _, rest = path.partition("/")
    if path == SETTINGS:
        return Place(Kind.SETTINGS, path)
    if path == ACCESS:
        return Place(Kind.ACCESS, path)
    if top not in GOVERNED:
        if folded(top) in _TAKEN:
            raise InvalidError(f"{path!r} is in the place of {folded(top)} where case does not count", hint="rename it")
        if folded(path.rpartition("/")[2]) == ".gitmodules":
            raise InvalidError(f"{path!r} speaks of submodules, which a registry has none of", hint="leave it out")
        return Place(Kind.FREE, path)
    parts = rest.split("/") if rest else []
    understand = {
        MODELS: _in_models,
        DEPLOYMENTS: _in_deployments,
        STATUS: _in_status,
        APPROVALS: _in_approvals,
        KEYS: _in_keys,
    }[top]
    found = understand(path, parts)
    if found is None:
        raise InvalidError(f"{path!r} is not a path that {top}/ may hold", hint=f"{top}/ holds {_SHAPES[top]}")
    return found


_SHAPES = {
    MODELS: "<project>/<model>/model.yaml, README.md and <version>.yaml",
    DEPLOYMENTS: "<environment>/<project>/<model>.yaml",
    STATUS: "<environment>/<project>/<model>.yaml",
    APPROVALS: "<project>/<model>/<version>/<environment>/<user>.yaml",
    KEYS: "allowed_signers",
}


def _stem(name: str) -> str | None:
    return name.removesuffix(".yaml") if name.endswith(".yaml") else None


def _in_models(path: str, parts: list[str]) -> Place | None:
    if len(parts) != len(("project", "model", "file")):
        return None
    model = ModelName(parts[0], parts[1])
    if parts[2] == "model.yaml":
        return Place(Kind.MODEL, path, model)
    if parts[2] == "README.md":
        return Place(Kind.CARD, path, model)
    stem = _stem(parts[2])
    return Place(Kind.VERSION, path, model, Version(stem)) if stem else None


def _in_environment(kind: Kind, path: str, parts: list[str]) -> Place | None:
    stem = _stem(parts[-1]) if len(parts) == len(("environment", "project", "model")) else None
    if stem is None:
        return None
    return Place(kind, path, ModelName(parts[1], stem), environment=EnvironmentName(parts[0]))


def _in_deployments(path: str, parts: list[str]) -> Place | None:
    return _in_environment(Kind.DEPLOYMENT, path, parts)


def _in_status(path: str, parts: list[str]) -> Place | None:
    return _in_environment(Kind.STATUS, path, parts)


def _in_approvals(path: str, parts: list[str]) -> Place | None:
    stem = _stem(parts[-1]) if len(parts) == len(("project", "model", "version", "environment", "user")) else None
    if stem is None:
        return None
    return Place(
        Kind.APPROVAL,
        path,
        ModelName(parts[0], parts[1]),
        Version(parts[2]),
        EnvironmentName(parts[3]),
        UserName(stem),
    )


def _in_keys(path: str, parts: list[str]) -> Place | None:
    return Place(Kind.KEYS, path) if parts == ["allowed_signers"] else None


_DEPLOY_TAG = re.compile(r"refs/tags/deploy/([^/]+)/([^/]+)/([^/]+)/([1-9][0-9]{0,8})", re.ASCII)


@dataclass(frozen=True, slots=True)
class DeployTag:
    """The ref of the n-th deployment (from 1) of a model in an environment."""

    environment: EnvironmentName
    model: ModelName
    number: int

    @classmethod
    def parse(cls, ref: str) -> Self:
        """Read `refs/tags/deploy/<environment>/<project>/<model>/<n>`."""
        match = _DEPLOY_TAG.fullmatch(ref)
        if not match:
            raise InvalidError(f"{ref!r} is not a deploy tag", hint="deploy/<environment>/<project>/<model>/<n>")
        return cls(EnvironmentName(match[1]), ModelName(match[2], match[3]), int(match[4]))

    @property
    def name(self) -> str:
        """The tag's name, without `refs/tags/`."""
        return f"deploy/{self.environment}/{self.model}/{self.number}"

    @property
    def ref(self) -> str:
        """The full ref."""
        return f"refs/tags/{self.name}"


def deploy_tag_prefix(environment: EnvironmentName, model: ModelName) -> str:
    """Name the ref prefix, with its slash, of the deploy tags of a model in an environment."""
    return f"{DEPLOY_TAGS}{environment}/{model}/"


_PROPOSAL = re.compile(r"refs/heads/proposals/([^/]+)/(.+)", re.DOTALL)


def proposal_user(ref: str) -> UserName:
    """Name the user whose proposal a ref is; raise InvalidError for another ref."""
    match = _PROPOSAL.fullmatch(ref)
    if not match:
        raise InvalidError(f"{ref!r} is not a proposal", hint="proposals/<user>/<anything>")
    return UserName(match[1])
