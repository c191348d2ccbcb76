from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from gitreg.access import Action
from gitreg.digest import Digest
from gitreg.gate import Code
from gitreg.manifest import IMMUTABLE_FIELDS
from gitreg.names import ModelName
from tests.gate.support import (
    ALICE,
    BLOB,
    BLOB_SIZE,
    ERIN,
    FRAUD,
    PROD,
    ROOT,
    SETTINGS,
    Judge,
    MemoryFacts,
    manifest,
    model_file,
    only,
    pointer_file,
    start,
    tombstone_file,
    version_file,
)

PATH = "models/risk/fraud/1.0.0.yaml"


def test_a_new_version_of_a_model_is_accepted() -> None:
    assert Judge(ALICE).codes(start(), version_file("1.1.0")) == []


def test_a_new_model_comes_with_its_first_version() -> None:
    other = ModelName("risk", "churn")

    assert Judge(ALICE).codes(start(), {**model_file(other), **version_file("1.0.0", other)}) == []


def test_a_version_needs_a_model_file() -> None:
    other = ModelName("risk", "churn")

    assert Judge(ALICE).codes(start(), version_file("1.0.0", other)) == [Code.MODEL_MISSING]


def test_a_card_needs_a_model_file() -> None:
    card = {"models/risk/churn/README.md": b"# Churn\n"}

    assert Judge(ALICE).codes(start(), card) == [Code.MODEL_MISSING]
    assert Judge(ALICE).codes(start(), {**card, **model_file(ModelName("risk", "churn"))}) == []


def test_a_model_file_stays_while_anything_of_the_model_does() -> None:
    gone = {"models/risk/churn/model.yaml": None}
    before = start(model_file(ModelName("risk", "churn")))

    assert Judge(ALICE).codes(before, gone) == []
    assert Judge(ALICE).codes({**before, "models/risk/churn/README.md": b"# Churn\n"}, gone) == [Code.MODEL_MISSING]
    assert Judge(ALICE).codes(start(), {"models/risk/fraud/model.yaml": None}) == [Code.MODEL_MISSING]


@pytest.mark.parametrize(("said", "field"), [("1.2.0", "version"), ("1.0.0", "model")])
def test_what_a_manifest_says_equals_its_path(said: str, field: str) -> None:
    model = ModelName("risk", "churn") if field == "model" else FRAUD
    edits = {"models/risk/fraud/1.1.0.yaml": manifest(said if field == "version" else "1.1.0", model).to_bytes()}

    found = Judge().violations(start(model_file(ModelName("risk", "churn"))), edits)

    assert [(each.code, each.field) for each in found] == [(Code.PATH_MISMATCH, field)]


def test_a_violation_names_commit_path_line_and_remedy() -> None:
    edits = {"models/risk/fraud/1.1.0.yaml": manifest("1.2.0").to_bytes()}

    [found] = Judge().violations(start(), edits)

    line = manifest("1.2.0").to_bytes().decode().splitlines().index("version: 1.2.0") + 1
    assert (found.commit, found.path, found.line) == ("c" * 40, "models/risk/fraud/1.1.0.yaml", line)
    assert found.remedy
    assert str(found).startswith(f"[path-mismatch] models/risk/fraud/1.1.0.yaml:{line}: version: found '1.2.0'")


IMMUTABLE: dict[str, Any] = {
    "created": "2025-12-30T12:00:00Z",
    "author": {"name": "Mallory", "email": "alice@example.org"},
    "artifacts": [{"path": "other.safetensors", "digest": str(BLOB), "size": BLOB_SIZE, "format": "safetensors"}],
    "external": {"provider": "acme", "id": "fraud-2"},
    "training": {"hyperparameters": {"epochs": 20.0}},
    "parents": [{"model": "risk/fraud", "version": "1.0.0", "relation": "finetuned-from"}],
    "base": {"uri": "hf://other/model"},
    "signature": {"inputs": [{"name": "y", "dtype": "float32", "shape": [1]}]},
}


@pytest.mark.parametrize("field", sorted(IMMUTABLE))
def test_an_immutable_field_never_changes(field: str) -> None:
    whole: dict[str, Any] = {
        "training": {"hyperparameters": {"epochs": 20}},
        "base": {"uri": "hf://org/model"},
        "signature": {"inputs": [{"name": "x", "dtype": "float32", "shape": [1]}]},
    }
    if field == "external":
        whole |= {"artifacts": None, "external": {"provider": "acme", "id": "fraud"}}
    before = start(version_file("1.1.0", **whole))

    found = Judge().violations(before, version_file("1.1.0", **{**whole, field: IMMUTABLE[field]}))

    assert [(each.code, each.field) for each in found] == [(Code.VERSION_IMMUTABLE, field)]


def test_every_immutable_field_has_its_case() -> None:
    assert {*IMMUTABLE, "model", "version"} == set(IMMUTABLE_FIELDS)


@pytest.mark.parametrize(("field", "value"), [("model", "risk/churn"), ("version", "1.2.0")])
def test_the_identity_of_a_version_never_changes(field: str, value: str) -> None:
    before = start()
    edited = before[PATH].replace(
        f"{field}: {'risk/fraud' if field == 'model' else '1.0.0'}".encode(), f"{field}: {value}".encode()
    )

    assert Code.VERSION_IMMUTABLE in Judge().codes(before, {PATH: edited})


@pytest.mark.parametrize(
    "change",
    [
        {"description": "Retrained."},
        {"labels": {"team": "risk"}},
        {"license": "Apache-2.0"},
        {"lifecycle": "deprecated"},
        {"metrics": {"auc": 0.9, "f1": 0.8}},
        {"evaluations": [{"dataset": {"name": "ledger"}, "metrics": {"auc": 0.91}}]},
    ],
)
def test_the_rest_of_a_manifest_may_be_edited(change: dict[str, Any]) -> None:
    assert Judge(ALICE).codes(start(), version_file(**change)) == []


EVALUATED = [{"dataset": {"name": "ledger"}, "split": "test", "metrics": {"auc": 0.91}}]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metrics": {"auc": 0.99}}, "metrics.auc"),
        ({"metrics": {}}, "metrics.auc"),
        ({"evaluations": []}, "evaluations[0]"),
        ({"evaluations": [{**EVALUATED[0], "metrics": {"auc": 0.99}}]}, "evaluations[0].metrics.auc"),
        ({"evaluations": [{**EVALUATED[0], "split": "train"}]}, "evaluations[0]"),
    ],
)
def test_a_measurement_is_never_rewritten(change: dict[str, Any], field: str) -> None:
    before = start(version_file(evaluations=EVALUATED))

    found = Judge(ALICE).violations(before, version_file(**{"evaluations": EVALUATED, **change}))

    assert [(each.code, each.field) for each in found] == [(Code.MEASUREMENT_REWRITTEN, field)]


def test_required_metadata_stays() -> None:
    judge = Judge(ALICE, settings=replace(SETTINGS, required=("license", "training.datasets")))
    whole = {"license": "MIT", "training": {"datasets": [{"name": "ledger"}]}}

    assert judge.codes(start(), version_file("1.1.0", **whole)) == []
    assert judge.codes(start(), version_file("1.1.0", license="MIT")) == [Code.METADATA_MISSING]
    assert judge.codes(start(version_file("1.1.0", **whole)), version_file("1.1.0", **{**whole, "license": None})) == [
        Code.METADATA_MISSING
    ]


def test_metadata_that_was_never_there_is_not_asked_of_an_edit() -> None:
    judge = Judge(ALICE, settings=replace(SETTINGS, required=("license",)))

    assert judge.codes(start(), version_file(description="Old, and still without a license.")) == []


def test_all_violations_come_at_once() -> None:
    judge = Judge(ALICE, settings=replace(SETTINGS, required=("license",)))
    artifact = {"path": "w.pkl", "digest": str(Digest.of(b"none")), "size": 1, "format": "pickle"}
    parent = {"model": "risk/fraud", "version": "9.0.0", "relation": "derived-from"}

    codes = judge.codes(start(), {**version_file("1.1.0", artifacts=[artifact], parents=[parent]), "README.md": b"hi"})

    assert set(codes) == {
        Code.METADATA_MISSING,
        Code.FORMAT_REFUSED,
        Code.BLOB_MISSING,
        Code.PARENT_UNKNOWN,
        Code.ACCESS_DENIED,
    }


def test_a_new_version_is_active() -> None:
    assert Judge().codes(start(), version_file("1.1.0", lifecycle="yanked")) == [Code.VERSION_STATE]
    assert Judge(None, transition=False).codes({}, start(version_file("1.1.0", lifecycle="yanked"))) == []


def test_a_version_is_not_made_in_the_future() -> None:
    assert Judge().codes(start(), version_file("1.1.0", created="2026-01-01T23:00:00Z")) == []
    assert Judge().codes(start(), version_file("1.1.0", created="2026-02-01T00:00:00Z")) == [Code.TIME_IN_FUTURE]


# Parents


def parents(version: str, model: str = "risk/fraud") -> dict[str, Any]:
    return {"parents": [{"model": model, "version": version, "relation": "finetuned-from"}]}


def test_parents_exist() -> None:
    assert Judge().codes(start(), version_file("1.1.0", **parents("1.0.0"))) == []
    assert Judge().codes(start(), version_file("1.1.0", **parents("0.9.0"))) == [Code.PARENT_UNKNOWN]


def test_a_tombstone_is_no_parent() -> None:
    before = start(tombstone_file("0.9.0"))

    assert Judge().codes(before, version_file("1.1.0", **parents("0.9.0"))) == [Code.PARENT_UNKNOWN]


def test_a_parent_may_come_in_the_same_commit_but_not_in_a_circle() -> None:
    edits = {**version_file("1.1.0", **parents("1.0.0")), **version_file("1.2.0", **parents("1.1.0"))}
    circle = {**version_file("1.1.0", **parents("1.2.0")), **version_file("1.2.0", **parents("1.1.0"))}

    assert Judge().codes(start(), edits) == []
    assert Judge().codes(start(), circle) == [Code.PARENT_UNKNOWN] * 2


# Artifacts


def artifacts(**changes: object) -> dict[str, object]:
    whole = {"path": "model.bin", "digest": str(BLOB), "size": BLOB_SIZE, "format": "other", **changes}
    return {"artifacts": [{key: value for key, value in whole.items() if value is not None}]}


def test_a_digest_is_in_the_store_with_its_size() -> None:
    assert Judge().codes(start(), version_file("1.1.0", **artifacts())) == []
    assert Judge().codes(start(), version_file("1.1.0", **artifacts(digest=str(Digest.of(b"x"))))) == [
        Code.BLOB_MISSING
    ]
    assert Judge().codes(start(), version_file("1.1.0", **artifacts(size=8))) == [Code.BLOB_SIZE]


def test_a_store_that_cannot_be_asked_refuses() -> None:
    judge = Judge(facts=MemoryFacts(reachable=False))

    assert judge.codes(start(), version_file("1.1.0")) == [Code.STORE_UNAVAILABLE]


@pytest.mark.parametrize("name", ["pickle", "torch", "joblib", "torchscript"])
def test_pickles_are_refused_unless_they_are_allowed(name: str) -> None:
    edits = version_file("1.1.0", **artifacts(format=name))

    assert Judge().codes(start(), edits) == [Code.FORMAT_REFUSED]
    assert Judge(settings=replace(SETTINGS, formats=(name,))).codes(start(), edits) == []


@pytest.mark.parametrize("path", ["model.pkl", "w/MODEL.PT", "a.pth", "b.joblib", "c.pickle", "d.ckpt"])
def test_a_file_of_no_stated_format_is_what_its_name_says(path: str) -> None:
    assert Judge().codes(start(), version_file("1.1.0", **artifacts(path=path, format=None))) == [Code.FORMAT_REFUSED]


def test_only_allowed_formats_come_where_formats_are_listed() -> None:
    judge = Judge(settings=replace(SETTINGS, formats=("safetensors", "onnx")))

    for allowed in ("safetensors", "onnx", "json", "text", "yaml"):
        assert judge.codes(start(), version_file("1.1.0", **artifacts(format=allowed))) == []
    for other in ("gguf", "keras", "other", "pickle", None):
        assert judge.codes(start(), version_file("1.1.0", **artifacts(format=other))) == [Code.FORMAT_REFUSED]


def test_a_new_version_needs_a_signature_where_the_settings_say_so() -> None:
    judge = Judge(settings=replace(SETTINGS, signatures="required"))
    first = {"path": "model.bin", "digest": str(BLOB), "size": BLOB_SIZE, "format": "other"}
    signed = [first, {**first, "path": "model.sig", "format": "json"}]
    elsewhere = [first, {**first, "path": "sub/model.sig", "format": "json"}]

    assert judge.codes(start(), version_file("1.1.0", artifacts=signed)) == []
    assert judge.codes(start(), version_file("1.1.0", artifacts=elsewhere)) == [Code.MODEL_UNSIGNED]
    [found] = judge.violations(start(), version_file("1.1.0"))
    assert (found.code, found.field) == (Code.MODEL_UNSIGNED, "artifacts")
    assert "gitreg sign" in (found.remedy or "")
    assert Judge().codes(start(), version_file("1.1.0")) == []


# Removing, tombstones


def test_a_version_is_never_removed_and_the_way_out_is_told() -> None:
    [found] = Judge().violations(start(), {PATH: None})

    assert found.code is Code.VERSION_REMOVED
    assert "gitreg yank risk/fraud@1.0.0" in str(found.remedy)
    assert "gitreg delete risk/fraud@1.0.0" in str(found.remedy)


def test_a_tombstone_takes_the_place_of_a_version() -> None:
    assert Judge(ERIN).codes(start(), tombstone_file()) == []


def test_a_tombstone_is_not_a_first_version() -> None:
    assert Judge().codes(start(), tombstone_file("1.1.0")) == [Code.TOMBSTONE]


def test_a_tombstone_names_the_digest_of_the_file() -> None:
    assert Judge(ERIN).codes(start(), tombstone_file(data=b"other")) == [Code.TOMBSTONE]


def test_a_tombstone_is_never_edited_or_removed() -> None:
    before = start(tombstone_file())

    assert Judge().codes(before, tombstone_file(reason="another")) == [Code.TOMBSTONE]
    assert Judge().codes(before, {PATH: None}) == [Code.VERSION_REMOVED]


def test_a_tombstone_gives_way_only_to_the_same_bytes() -> None:
    before = start(tombstone_file())

    assert Judge(ALICE).codes(before, version_file()) == []
    assert Judge(ALICE).codes(before, version_file(description="Slightly different.")) == [Code.TOMBSTONE]


def test_a_restored_version_needs_its_blobs() -> None:
    judge = Judge(ALICE, facts=MemoryFacts(sizes={}))

    assert judge.codes(start(tombstone_file()), version_file()) == [Code.BLOB_MISSING]


@pytest.mark.parametrize(
    "user",
    [
        pointer_file("1.0.0"),
        pointer_file("2.0.0", PROD, canary="1.0.0"),
        model_file(aliases={"champion": "1.0.0"}),
    ],
)
def test_a_version_in_use_is_not_deleted(user: dict[str, bytes]) -> None:
    assert Judge(ERIN).codes(start(user), tombstone_file()) == [Code.VERSION_IN_USE]


def test_a_version_may_be_deleted_in_the_commit_that_takes_its_last_pointer_away() -> None:
    before = start(pointer_file("1.0.0"))

    assert Judge().codes(before, {**tombstone_file(), "deployments/staging/risk/fraud.yaml": None}) == []


# Aliases


def test_an_alias_names_a_version_that_exists() -> None:
    assert Judge(ALICE).codes(start(), model_file(aliases={"champion": "1.0.0"})) == []
    assert Judge(ALICE).codes(start(), model_file(aliases={"champion": "1.1.0"})) == [Code.VERSION_UNKNOWN]
    assert Judge(ALICE).codes(start(tombstone_file("0.9.0")), model_file(aliases={"champion": "0.9.0"})) == [
        Code.VERSION_UNKNOWN
    ]


def test_an_alias_is_no_environment_and_not_latest() -> None:
    latest = model_file(aliases={"newest": "1.0.0"})["models/risk/fraud/model.yaml"].replace(b"newest", b"latest")

    assert Judge(ALICE).codes(start(), model_file(aliases={"prod": "1.0.0"})) == [Code.ALIAS_RESERVED]
    assert Judge(ALICE).codes(start(), {"models/risk/fraud/model.yaml": latest}) == [Code.FILE_INVALID]


def test_a_new_environment_takes_no_alias_s_name() -> None:
    before = start(model_file(aliases={"canary": "1.0.0"}))
    environments = (*SETTINGS.environments, replace(SETTINGS.environments[0], name=type(PROD)("canary")))
    settings = replace(SETTINGS, environments=environments)

    assert Judge(ROOT).codes(start(), {"registry.yaml": settings.to_bytes()}) == []
    assert Judge(ROOT).codes(before, {"registry.yaml": settings.to_bytes()}) == [Code.ALIAS_RESERVED]


def test_a_model_says_its_own_name() -> None:
    edits = {"models/risk/fraud/model.yaml": model_file(ModelName("risk", "churn"))["models/risk/churn/model.yaml"]}

    assert Judge().codes(start(), edits) == [Code.PATH_MISMATCH]


def test_a_change_of_nothing_but_form_needs_update() -> None:
    edits = {PATH: start()[PATH] + b"# a remark\n"}

    assert Judge(ALICE).codes(start(), edits) == []
    assert Judge(ERIN).codes(start(), edits) == [Code.ACCESS_DENIED]


def test_whoever_yanks_edits_nothing_beside() -> None:
    judge = Judge(ERIN, access=only(ERIN, Action.YANK))

    assert judge.codes(start(), version_file(lifecycle="yanked")) == []
    assert judge.codes(start(), version_file(lifecycle="yanked", description="Bad.")) == [Code.ACCESS_DENIED]
