"""Which path and which ref means what."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.errors import InvalidError
from gitreg.layout import (
    DeployTag,
    Kind,
    approval_path,
    card_path,
    deploy_tag_prefix,
    deployment_path,
    model_path,
    place,
    proposal_user,
    status_path,
    version_path,
)
from gitreg.names import EnvironmentName, ModelName, UserName, Version

MODEL, VERSION = ModelName("risk", "fraud.v2"), Version("1.4.0-rc.1")
PROD, DANA = EnvironmentName("prod"), UserName("dana@example.org")
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,8}", fullmatch=True)
MODELS = st.builds(ModelName, NAMES, NAMES)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("registry.yaml", Kind.SETTINGS),
        ("access.yaml", Kind.ACCESS),
        ("keys/allowed_signers", Kind.KEYS),
        (model_path(MODEL), Kind.MODEL),
        (card_path(MODEL), Kind.CARD),
        (version_path(MODEL, VERSION), Kind.VERSION),
        (deployment_path(PROD, MODEL), Kind.DEPLOYMENT),
        (status_path(PROD, MODEL), Kind.STATUS),
        (approval_path(MODEL, VERSION, PROD, DANA), Kind.APPROVAL),
        ("README.md", Kind.FREE),
        (".github/workflows/check.yaml", Kind.FREE),
        ("docs/models/x", Kind.FREE),
    ],
)
def test_every_path_has_its_meaning(path: str, kind: Kind) -> None:
    found = place(path)
    assert (found.kind, found.path) == (kind, path)


def test_a_paths_parts_are_understood() -> None:
    approval = place(approval_path(MODEL, VERSION, PROD, DANA))
    assert (approval.model, approval.version, approval.environment, approval.user) == (MODEL, VERSION, PROD, DANA)
    pointer = place(deployment_path(PROD, MODEL))
    assert (pointer.model, pointer.environment) == (MODEL, PROD)


@given(MODELS, NAMES.map(EnvironmentName), NAMES.map(UserName))
def test_what_is_written_is_read_back(model: ModelName, environment: EnvironmentName, user: UserName) -> None:
    assert place(version_path(model, VERSION)).model == model
    assert place(approval_path(model, VERSION, environment, user)).user == user
    assert place(deployment_path(environment, model)).environment == environment
    tag = DeployTag(environment, model, 7)
    assert DeployTag.parse(tag.ref) == tag
    assert tag.ref.startswith(deploy_tag_prefix(environment, model))


@pytest.mark.parametrize(
    "path",
    [
        "models",
        "models/x.yaml",
        "models/risk/fraud.yaml",
        "models/risk/fraud/notes.txt",
        "models/risk/fraud/1.0.yaml",
        "models/risk/fraud/1.0.0.yml",
        "models/risk/fraud/v1.0.0.yaml",
        "models/risk/fraud/1.0.0/model.safetensors",
        "models/Risk/fraud/1.0.0.yaml",
        "models/risk/fraud/.yaml",
        "models/risk/x.lock/1.0.0.yaml",
        "deployments/prod/risk/fraud",
        "deployments/prod/fraud.yaml",
        "deployments/Prod/risk/fraud.yaml",
        "status/prod/risk/fraud/x.yaml",
        "approvals/risk/fraud/1.0.0/prod/Dana.yaml",
        "approvals/risk/fraud/1.0.0/prod/dana/x.yaml",
        "keys/others",
        "Models/risk/fraud/1.0.0.yaml",
        "MODELS",
        "Registry.yaml",
        "ACCESS.YAML",
        "\u212aeys/allowed_signers",
        "\u017ftatus/x",
    ],
)
def test_other_paths_in_governed_folders_are_refused(path: str) -> None:
    with pytest.raises(InvalidError):
        place(path)


def test_a_refused_path_is_told_what_may_be_there() -> None:
    with pytest.raises(
        InvalidError, match=r"models/ holds <project>/<model>/model\.yaml, README\.md and <version>\.yaml"
    ):
        place("models/risk/fraud/notes.txt")


@given(st.text(min_size=1, max_size=40))
def test_any_path_is_understood_or_refused(path: str) -> None:
    for text in (path, f"models/{path}", f"approvals/{path}", f"deployments/{path}.yaml"):
        try:
            assert place(text).path == text
        except InvalidError:
            continue


@pytest.mark.parametrize(
    "ref",
    [
        "refs/tags/deploy/prod/risk/fraud/0",
        "refs/tags/deploy/prod/risk/fraud/01",
        "refs/tags/deploy/prod/risk/fraud/1234567890",
        "refs/tags/deploy/prod/risk/fraud/\u0661",
        "refs/tags/deploy/prod/risk/1",
        "refs/tags/deploy/Prod/risk/fraud/1",
        "refs/tags/deploy/prod/risk/fraud/1/2",
        "refs/tags/deploy/prod/risk/fraud/1\n",
        "refs/tags/v1",
        "deploy/prod/risk/fraud/1",
    ],
)
def test_other_refs_are_no_deploy_tags(ref: str) -> None:
    with pytest.raises(InvalidError):
        DeployTag.parse(ref)


def test_a_proposal_names_its_user() -> None:
    assert proposal_user("refs/heads/proposals/dana/any/thing") == "dana"
    for ref in (
        "refs/heads/proposals/dana",
        "refs/heads/proposals/dana/",
        "refs/heads/main",
        "refs/heads/proposals/A/b",
    ):
        with pytest.raises(InvalidError):
            proposal_user(ref)
