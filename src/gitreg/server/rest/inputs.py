"""Say what the writes take as JSON; fields that are not named here are errors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, model_validator

Text = Annotated[str, Field(max_length=20_000)]
Word = Annotated[str, Field(min_length=1, max_length=255)]
ModelText = Annotated[
    str,
    Field(
        max_length=127,
        pattern="^[a-z0-9][a-z0-9_-]{0,62}/[a-z0-9][a-z0-9_-]{0,62}([.][a-z0-9_-]+)*$",
        description="`project/name`",
        examples=["risk/fraud"],
    ),
]
Selecting = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="A version, `latest`, a range, an alias or an environment.",
        examples=["1.4.0"],
    ),
]
Exact = Annotated[
    str,
    Field(
        min_length=1,
        max_length=128,
        description="A version, as in SemVer 2.0.0, in lower case and without build metadata.",
        examples=["1.4.0"],
        json_schema_extra={"pattern": r"^(0|[1-9][0-9]*)([.](0|[1-9][0-9]*)){2}(-[0-9a-z.-]+)?$"},
    ),
]
EnvironmentText = Annotated[str, Field(max_length=63, pattern="^[a-z0-9][a-z0-9_-]*$", examples=["prod"])]


def _whole(value: object) -> object:
    """Take 7.0 for 7, as JSON Schema does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_whole)
Labels = Annotated[dict[str, Annotated[str, Field(max_length=1000)]], Field(max_length=1000)]
Metrics = Annotated[dict[str, FiniteFloat], Field(max_length=10_000, examples=[{"auc": 0.981}])]
Anything = dict[str, Any]
_NULL: dict[str, Any] = {"type": "null"}
_CANARY = ("canary_version", "canary_percent")
Reason = Annotated[Text | None, Field(description="Why: it stands in the history.", examples=["January retrain"])]


def _having(*names: str) -> dict[str, Any]:
    """Describe an object that has these fields, as each is described elsewhere."""
    return {"required": list(names), "properties": {name: {"not": _NULL} for name in names}}


def _either(one: str, other: str) -> dict[str, Any]:
    """Describe an object that has one of two fields."""
    both = [(one, other), (other, one)]
    return {"anyOf": [{**_having(has), "properties": {has: {"not": _NULL}, lacks: _NULL}} for has, lacks in both]}


class Input(BaseModel):
    """What every body has in common."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Artifact(Input):
    """A file of a version, whose bytes are in the store already (`POST /uploads`).

    `format` and `inspection` are what the client found in it: claims, as all of a manifest is.
    """

    path: Annotated[str, Field(min_length=1, max_length=1024, examples=["model.safetensors"])]
    digest: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    size: Annotated[int, Field(ge=0, le=1 << 53), WHOLE]
    format: Annotated[str | None, Field(max_length=63, examples=["safetensors"])] = None
    inspection: Anything | None = None


class Register(Input):
    """A version to register; its model is made where it is new."""

    model: ModelText
    version: Exact | None = None
    bump: Annotated[Literal["major", "minor", "patch"] | None, Field(description="In the place of a version.")] = None
    artifacts: Annotated[list[Artifact], Field(max_length=10_000)] = []
    external: Annotated[
        Anything | None,
        Field(description="In the place of artifacts.", examples=[{"provider": "example", "id": "scorer-2"}]),
    ] = None
    description: Text | None = None
    metrics: Metrics = {}
    hyperparameters: Anything = {}
    datasets: Annotated[list[Anything], Field(max_length=1000)] = []
    framework: Annotated[str | None, Field(max_length=255, examples=["pytorch==2.13.0"])] = None
    code: Annotated[Anything | None, Field(description="`repository`, `commit`, `dirty`.")] = None
    labels: Labels = {}
    license: Annotated[str | None, Field(max_length=255, examples=["Apache-2.0"])] = None
    parents: Annotated[
        list[Word], Field(max_length=100, description="`project/model@version[:relation]`", examples=[[]])
    ] = []
    base: Annotated[str | None, Field(max_length=2000)] = None
    evaluations: Annotated[list[Anything], Field(max_length=1000)] = []
    signature: Anything | None = None
    created: Annotated[str | None, Field(max_length=40, description="RFC 3339 in UTC; now, where left out.")] = None
    model_description: Text | None = None
    task: Annotated[str | None, Field(max_length=255)] = None
    owners: Annotated[list[Word], Field(max_length=100)] = []

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                _either("version", "bump"),
                {
                    "anyOf": [
                        {
                            "required": ["artifacts"],
                            "properties": {"artifacts": {"minItems": 1}, "external": {"enum": [None, {}]}},
                        },
                        {
                            "required": ["external"],
                            "properties": {
                                "external": {"type": "object", "minProperties": 1},
                                "artifacts": {"maxItems": 0},
                            },
                        },
                    ]
                },
            ],
            "examples": [
                {
                    "model": "risk/fraud",
                    "version": "1.4.0",
                    "external": {"provider": "example", "id": "scorer-2"},
                    "metrics": {"auc": 0.981},
                    "license": "Apache-2.0",
                    "description": "Retrained on January's ledger.",
                }
            ],
        }
    )

    @model_validator(mode="after")
    def _one_of_each(self) -> Register:
        if bool(self.version) == bool(self.bump):
            raise ValueError("name a version, or how to bump the highest one: major, minor or patch; not both")
        if bool(self.artifacts) == bool(self.external):
            raise ValueError("a version has either artifacts or an external provider")
        return self


class Pointer(Input):
    """What shall run in an environment."""

    version: Selecting
    reason: Reason = None
    canary_version: Selecting | None = None
    canary_percent: Annotated[int | None, Field(ge=1, le=99), WHOLE] = None

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [_having(*_CANARY), {"properties": dict.fromkeys(_CANARY, _NULL)}]}
    )


class Deploy(Pointer):
    """A version to deploy."""

    model: ModelText
    environment: EnvironmentText


class Rollback(Input):
    """A deployment to go back from; without `to`, to the state before."""

    model: ModelText
    environment: EnvironmentText
    to: Annotated[str | None, Field(max_length=128, description="A version, or a deployment's number.")] = None
    reason: Reason = None


class Promote(Input):
    """What runs in `source` shall run in `target`, or in the environment after it."""

    model: ModelText
    source: EnvironmentText
    target: EnvironmentText | None = None
    reason: Reason = None


class Undeploy(Input):
    """A model to take out of an environment."""

    model: ModelText
    environment: EnvironmentText
    reason: Reason = None


class Verdict(Input):
    """The caller's own verdict on a version for an environment."""

    reject: bool = False
    comment: Text | None = None


class Approve(Verdict):
    """A version to approve or reject."""

    model: ModelText
    version: Selecting
    environment: EnvironmentText


class Live(Input):
    """What really runs somewhere."""

    version: Selecting
    state: Literal["live", "failed"] = "live"
    endpoint: Annotated[str | None, Field(max_length=2000)] = None
    detail: Text | None = None


class Report(Live):
    """What really runs somewhere, of which model."""

    model: ModelText
    environment: EnvironmentText


class Target(Input):
    """What an alias names."""

    version: Selecting


class Alias(Input):
    """An alias to set, move or remove."""

    model: ModelText
    alias: EnvironmentText
    version: Selecting | None = None
    remove: bool = False

    model_config = ConfigDict(
        json_schema_extra={
            "anyOf": [
                {**_having("version"), "properties": {"version": {"type": "string"}, "remove": {"const": False}}},
                {"required": ["remove"], "properties": {"version": _NULL, "remove": {"const": True}}},
            ]
        }
    )

    @model_validator(mode="after")
    def _named(self) -> Alias:
        if (self.version is None) != self.remove:
            raise ValueError("name the version, or `remove` the alias")
        return self


class Retire(Input):
    """A version to yank, archive or delete; or to bring back, with `undo`."""

    model: ModelText
    version: Exact
    undo: bool = False
    reason: Reason = None


class ImportOrigin(Input):
    """Where versions come from: what the commit will say."""

    url: Annotated[
        str, Field(min_length=1, max_length=2000, pattern=r"^[\x20-\x7e]+$", examples=["https://host/r.git"])
    ]
    commit: Annotated[str, Field(pattern="^(?:[0-9a-f]{40}|[0-9a-f]{64})$")]
    name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[\x20-\x7e]+$", examples=["corp"])]


class Described(Input):
    """A model that may be new here."""

    model: Annotated[str, Field(max_length=1 << 20, description="Its model.yaml.")]
    card: Annotated[str | None, Field(max_length=1_000_000, description="The model card, in Markdown.")] = None


class Import(Input):
    """Versions of another registry, whose files are in the store already."""

    origin: ImportOrigin
    versions: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=1 << 20)]],
        Field(min_length=1, max_length=1000, description="Their manifests, parents first; the last is the one wanted."),
    ]
    models: Annotated[dict[ModelText, Described], Field(max_length=1000)] = {}


class UpdateVersion(Input):
    """What may change of a version; what is left out stays as it is, metrics and evaluations are added to."""

    description: Text | None = None
    metrics: Metrics | None = None
    labels: Labels | None = None
    remove_labels: Annotated[list[Word], Field(max_length=1000)] = []
    license: Annotated[str | None, Field(max_length=255)] = None
    lifecycle: Literal["active", "deprecated"] | None = None
    evaluations: Annotated[list[Anything], Field(max_length=1000)] = []


class UpdateModel(Input):
    """What may change of a model; what is left out stays as it is."""

    description: Text | None = None
    task: Annotated[str | None, Field(max_length=255)] = None
    owners: Annotated[list[Word] | None, Field(max_length=100)] = None
    labels: Labels | None = None
    remove_labels: Annotated[list[Word], Field(max_length=1000)] = []
    card: Annotated[str | None, Field(max_length=1_000_000, description="The model card, in Markdown.")] = None
