from __future__ import annotations

import string
import subprocess
import sys
from dataclasses import replace
from textwrap import dedent
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.manifest import (
    IMMUTABLE_FIELDS,
    Artifact,
    Code,
    Dataset,
    Evaluation,
    External,
    FieldDiff,
    Framework,
    Lifecycle,
    Manifest,
    MetricDiff,
    Model,
    Parent,
    Person,
    Tombstone,
    Training,
    changed_fields,
    diff,
    missing_fields,
    parse_version,
    rewritten_measurements,
    version_from_data,
)
from gitreg.names import AliasName, ModelName, Version
from gitreg.wire import load_plain

SIGNATURE = {"inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 30, None]}]}
DIGEST = Digest.of(b"weights")
MANIFEST = Manifest(
    model=ModelName("risk", "fraud-detector"),
    version=Version("1.4.0"),
    created="2026-01-31T12:00:00Z",
    author=Person(name="Alice Doe", email="alice@example.org"),
    artifacts=(Artifact(path="model.safetensors", digest=DIGEST, size=7, format="safetensors"),),
    training=Training(
        datasets=(Dataset(name="ledger", version="2026.01"),),
        framework=Framework(name="pytorch", version="2.13.0"),
        code=Code(repository="https://git.example.org/risk.git", commit="a" * 40),
        hyperparameters={"learning_rate": 0.001, "epochs": 20},
    ),
    metrics={"auc": 0.981, "accuracy": 0.934},
    evaluations=(Evaluation(dataset=Dataset(name="ledger"), split="test", metrics={"auc": 0.97}),),
    parents=(Parent(model=ModelName("risk", "base"), version=Version("2.0.0"), relation="finetuned-from"),),
    base="hf://org/model@main",
    license="Apache-2.0",
    labels={"team": "risk"},
)


def problems_of(data: bytes | str, path: str = "models/risk/fraud-detector/1.4.0.yaml") -> list[str]:
    with pytest.raises(InvalidError) as caught:
        parse_version(data.encode() if isinstance(data, str) else data, path)
    return [f"{problem.line}: {problem.field}: {problem.message}" for problem in caught.value.problems]


def problems_with(**changes: Any) -> list[str]:  # noqa: ANN401 - any field's value
    return problems_of(replace(MANIFEST, **changes).to_bytes())


# Strategies


def names(size: int = 8) -> st.SearchStrategy[str]:
    first = st.sampled_from(string.ascii_lowercase + string.digits)
    rest = st.text(string.ascii_lowercase + string.digits + "_-", max_size=size)
    return st.builds(str.__add__, first, rest)


def lines(size: int = 8) -> st.SearchStrategy[str]:
    characters = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="\ufffe\uffff")
    return st.text(characters, min_size=1, max_size=size)


def texts() -> st.SearchStrategy[str]:
    return st.lists(lines() | st.sampled_from(["\n", "\t", ": ", " #", "- "]), max_size=6).map("".join)


def numbers() -> st.SearchStrategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**63), 2**63 - 1)


def values() -> st.SearchStrategy[Any]:
    leaves = st.none() | st.booleans() | numbers() | texts()
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(lines(), inner, max_size=3), max_leaves=6
    )


def metrics() -> st.SearchStrategy[dict[str, float]]:
    return st.dictionaries(
        st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._/@:%+-]{0,20}", fullmatch=True), numbers(), max_size=4
    )


def versions() -> st.SearchStrategy[Version]:
    number = st.integers(0, 99).map(str)
    core = st.tuples(number, number, number).map(".".join)
    return st.builds(str.__add__, core, st.sampled_from(["", "-rc.1", "-alpha", "-0"])).map(Version)


def models() -> st.SearchStrategy[ModelName]:
    return st.builds(ModelName, names(), names())


def digests() -> st.SearchStrategy[Digest]:
    return st.binary(max_size=4).map(Digest.of)


def uris() -> st.SearchStrategy[str]:
    return st.from_regex(r"s3://[a-z0-9./-]{1,20}", fullmatch=True)


def datasets() -> st.SearchStrategy[Dataset]:
    return st.builds(
        Dataset,
        name=lines(),
        version=st.none() | lines(),
        digest=st.none() | digests(),
        uri=st.none() | uris(),
    )


def trainings() -> st.SearchStrategy[Training]:
    return st.builds(
        Training,
        datasets=st.lists(datasets(), max_size=2).map(tuple),
        framework=st.none() | st.builds(Framework, name=lines(), version=st.none() | lines()),
        code=st.none()
        | st.builds(Code, repository=st.none() | uris(), commit=st.just("0" * 40), dirty=st.none() | st.booleans()),
        hyperparameters=st.none() | st.dictionaries(lines(), values(), min_size=1, max_size=4),
    ).filter(lambda training: training != Training())


def artifacts() -> st.SearchStrategy[tuple[Artifact, ...]]:
    artifact = st.builds(
        Artifact,
        path=names(),
        digest=digests(),
        size=st.integers(0, 2**63 - 1),
        format=st.none() | st.sampled_from(["safetensors", "onnx", "json"]),
    )
    return st.lists(artifact, min_size=1, max_size=3, unique_by=lambda each: each.path).map(tuple)


def evaluations() -> st.SearchStrategy[Evaluation]:
    return st.builds(Evaluation, dataset=datasets(), split=st.none() | lines(), metrics=metrics())


def parents() -> st.SearchStrategy[Parent]:
    relations = st.sampled_from(["finetuned-from", "merged-from"])
    return st.builds(Parent, model=models(), version=st.just(Version("0.9.0")), relation=relations)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    external = draw(st.none() | st.builds(External, provider=lines(), id=lines(), endpoint=st.none() | uris()))
    return Manifest(
        model=draw(models()),
        version=Version("1.0.0"),
        created=draw(st.datetimes().map(lambda moment: moment.isoformat() + "Z")),
        author=draw(st.builds(Person, name=lines(), email=st.just("a@example.org"))),
        description=draw(st.none() | texts()),
        artifacts=() if external else draw(artifacts()),
        external=external,
        training=draw(st.none() | trainings()),
        metrics=draw(metrics()),
        evaluations=tuple(draw(st.lists(evaluations(), max_size=2))),
        signature=draw(st.none() | st.just(SIGNATURE)),
        parents=tuple(draw(st.lists(parents(), max_size=2, unique=True))),
        base=draw(st.none() | uris()),
        license=draw(st.none() | lines()),
        labels=draw(st.dictionaries(names(), lines() | st.just(""), max_size=3)),
        lifecycle=draw(st.sampled_from(Lifecycle)),
    )


# Reading and writing


@settings(max_examples=40)
@given(manifests())
def test_a_manifest_reads_back_as_it_was_written(manifest: Manifest) -> None:
    data = manifest.to_bytes()
    assert Manifest.parse(data) == manifest
    assert parse_version(data) == manifest
    assert version_from_data(load_plain(data)) == manifest
    assert changed_fields(manifest, Manifest.parse(data)) == ()
    assert Manifest.parse(data).to_bytes() == data


@given(st.builds(Tombstone, model=models(), version=versions(), manifest_digest=digests(), reason=texts().filter(bool)))
def test_a_tombstone_reads_back_as_it_was_written(tombstone: Tombstone) -> None:
    assert Tombstone.parse(tombstone.to_bytes()) == tombstone
    assert parse_version(tombstone.to_bytes()) == tombstone
    assert version_from_data(tombstone.to_data()) == tombstone


@given(
    st.builds(
        Model,
        model=models(),
        description=st.none() | texts(),
        owners=st.lists(names(), max_size=3, unique=True).map(tuple),
        task=st.none() | st.just("tabular-classification"),
        aliases=st.dictionaries(names().filter(lambda name: name != "latest").map(AliasName), versions(), max_size=3),
        labels=st.dictionaries(names(), lines(), max_size=3),
    )
)
def test_a_model_reads_back_as_it_was_written(model: Model) -> None:
    assert Model.parse(model.to_bytes()) == model
    assert Model.from_data(load_plain(model.to_bytes())) == model


def test_the_canonical_form_is_the_designs_order_with_a_line_for_editors() -> None:
    text = MANIFEST.to_bytes().decode()
    schema = "../../../.gitreg/schemas/manifest.schema.json"
    assert text.splitlines()[:3] == [
        f"# yaml-language-server: $schema={schema}",
        "api_version: gitreg/v1",
        "kind: ModelVersion",
    ]
    assert text.index("accuracy") < text.index("auc")
    assert list(MANIFEST.to_data())[-3:] == ["license", "labels", "lifecycle"]
    assert "external" not in text


def test_the_order_of_metrics_does_not_change_the_bytes() -> None:
    turned = dict(sorted(MANIFEST.metrics.items(), reverse=True))
    assert replace(MANIFEST, metrics=turned).to_bytes() == MANIFEST.to_bytes()


def test_what_is_left_out_has_the_default_of_the_design() -> None:
    manifest = Manifest.parse(
        dedent(f"""\
            kind: ModelVersion
            api_version: gitreg/v1
            version: 1.0.0
            model: risk/tiny
            created: 2026-01-31T12:00:00.5Z
            author: {{name: A, email: a@example.org}}
            artifacts: [{{path: m.onnx, digest: "{DIGEST}", size: 1.0}}]
            training: {{hyperparameters: {{}}}}
            """).encode()
    )
    assert manifest.lifecycle is Lifecycle.ACTIVE
    assert manifest.training is None
    assert manifest.metrics == {}
    assert manifest.total_size == 1
    assert str(manifest) == "risk/tiny@1.0.0"


def test_accepted_data_is_built_without_validators_and_fast_imports() -> None:
    script = dedent(f"""\
        import sys
        from gitreg.manifest import version_from_data
        version_from_data({MANIFEST.to_data()!r})
        print(sorted({{"jsonschema", "jsonschema_rs", "yaml", "semver", "gitreg.schema"}} & set(sys.modules)))
        """)
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


# What is refused


def test_every_problem_is_found_at_once_with_line_and_field() -> None:
    found = problems_of(
        dedent(f"""\
            api_version: gitreg/v1
            kind: ModelVersion
            model: risk/fraud-detector
            version: 1.4.0
            created: 2026-02-30T12:00:00Z
            author: {{name: A, email: nowhere}}
            artifacts:
              - {{path: Model.onnx, digest: "{DIGEST}", size: 1}}
              - {{path: model.onnx, digest: "{DIGEST}", size: 1}}
              - {{path: .GIT/hooks/post-checkout, digest: "{DIGEST}", size: 1}}
            parents:
              - {{model: risk/fraud-detector, version: 1.4.0, relation: merged-from}}
            lifecycle: retired
            """)
    )
    assert [line.rsplit(": ", 1)[0].split(": ")[:2] for line in found] == [
        ["5", "created"],
        ["6", "author.email"],
        ["9", "artifacts[1].path"],
        ["10", "artifacts[2].path"],
        ["12", "parents[0]"],
        ["13", "lifecycle"],
    ]


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../b", "a//b", ".", "a\\b", "x/.git/config", ".gi\u200ct/x"]
)
def test_an_artifact_stays_in_its_folder_and_out_of_repositories(path: str) -> None:
    artifact = Artifact(path=path, digest=DIGEST, size=1)
    (found,) = problems_with(artifacts=(artifact,))
    assert "artifacts[0].path" in found


@pytest.mark.parametrize(
    ("first", "second"),
    [("a", "a"), ("a", "A"), ("straße", "STRASSE"), ("caf\u00e9", "cafe\u0301"), ("a", "a/b"), ("A/b", "a")],
)
def test_two_artifacts_never_need_one_place(first: str, second: str) -> None:
    found = problems_with(artifacts=tuple(Artifact(path=path, digest=DIGEST, size=1) for path in (first, second)))
    assert len(found) == 1


def test_neighbours_in_one_folder_are_fine() -> None:
    paths = ("a/b", "a/c", "a-b", "a.b", "ab/.gitignore")
    manifest = replace(MANIFEST, artifacts=tuple(Artifact(path=path, digest=DIGEST, size=1) for path in paths))
    assert Manifest.parse(manifest.to_bytes()) == manifest


def test_ten_thousand_artifacts_are_judged_in_time() -> None:
    data = replace(
        MANIFEST,
        artifacts=tuple(Artifact(path=f"{index}/{'a/' * 20}x", digest=DIGEST, size=1) for index in range(3000)),
    ).to_bytes()
    assert len(Manifest.parse(data).artifacts) == 3000


def test_the_same_parent_twice_is_refused_but_not_in_another_relation() -> None:
    (parent,) = MANIFEST.parents
    assert len(problems_with(parents=(parent, parent))) == 1
    Manifest.parse(replace(MANIFEST, parents=(parent, replace(parent, relation="merged-from"))).to_bytes())


@pytest.mark.parametrize(
    "uri", ["https://alice:hunter2@example.org/x", "https://ghp_token@example.org/x", "ssh://a:b@h/x"]
)
def test_credentials_never_enter_a_manifest(uri: str) -> None:
    assert MANIFEST.training is not None
    dataset = Dataset(name="ledger", uri=uri)
    found = problems_with(
        base=uri,
        training=replace(MANIFEST.training, datasets=(dataset,), code=Code(repository=uri, commit="a" * 40)),
        evaluations=(Evaluation(dataset=dataset, metrics={}),),
    )
    assert [line.split(": ")[1] for line in found] == [
        "training.datasets[0].uri",
        "training.code.repository",
        "evaluations[0].dataset.uri",
        "base.uri",
    ]
    assert "hunter2" not in "".join(found)
    external = External(provider="p", id="i", endpoint=uri)
    assert len(problems_with(external=external, artifacts=())) == 1


def test_a_user_without_a_password_is_fine_where_the_scheme_needs_one() -> None:
    manifest = replace(MANIFEST, base="ssh://git@example.org/x@v1:2")
    assert Manifest.parse(manifest.to_bytes()) == manifest


def test_a_mistyped_kind_gets_a_suggestion() -> None:
    (found,) = problems_of(MANIFEST.to_bytes().replace(b"kind: ModelVersion", b"kind: Tombstonne"))
    assert found == "3: kind: found 'Tombstonne', allowed: ModelVersion, Tombstone; did you mean Tombstone?"
    assert problems_of("kind: [1]\n")


def test_an_absent_kind_is_named() -> None:
    assert any("kind" in line for line in problems_of(MANIFEST.to_bytes().replace(b"kind: ModelVersion\n", b"")))


def test_the_error_names_the_file() -> None:
    with pytest.raises(InvalidError, match=r"here\.yaml is not a valid manifest"):
        parse_version(b"kind: ModelVersion\n", "here.yaml")


# Changes


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("description", "new"),
        ("metrics", {"auc": 1}),
        ("labels", {}),
        ("license", None),
        ("lifecycle", Lifecycle.YANKED),
        ("base", "hf://other/model"),
        ("signature", {"inputs": []}),
        ("author", Person(name="Mallory", email="m@example.org")),
    ],
)
def test_a_changed_field_is_named(field: str, value: object) -> None:
    assert changed_fields(MANIFEST, replace(MANIFEST, **{field: value})) == (field,)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [1.0, True, "1"])
def test_a_hyperparameter_cannot_change_its_type_unseen(value: object) -> None:
    before = replace(MANIFEST, training=Training(hyperparameters={"deep": [{"epochs": 1}]}))
    after = replace(MANIFEST, training=Training(hyperparameters={"deep": [{"epochs": value}]}))
    assert changed_fields(before, after) == ("training",)
    assert "training" in IMMUTABLE_FIELDS


def test_immutable_fields_exist() -> None:
    assert set(IMMUTABLE_FIELDS) <= set(Manifest.__dataclass_fields__)


def test_measurements_may_be_added() -> None:
    more = Evaluation(dataset=Dataset(name="ledger"), split="test", metrics={"auc": 0.97, "f1": 0.5})
    other = Evaluation(dataset=Dataset(name="new"), metrics={})
    after = replace(MANIFEST, metrics={**MANIFEST.metrics, "f1": 0.8}, evaluations=(other, more))
    assert rewritten_measurements(MANIFEST, after) == ()


def test_measurements_may_not_be_rewritten_or_removed() -> None:
    changed = Evaluation(dataset=Dataset(name="ledger"), split="test", metrics={"auc": 0.98})
    after = replace(MANIFEST, metrics={"auc": 0.982}, evaluations=(changed,))
    assert rewritten_measurements(MANIFEST, after) == ("metrics.auc", "metrics.accuracy", "evaluations[0].metrics.auc")
    assert rewritten_measurements(MANIFEST, replace(MANIFEST, evaluations=())) == ("evaluations[0]",)


def test_two_evaluations_alike_cannot_become_one() -> None:
    (evaluation,) = MANIFEST.evaluations
    twice = replace(MANIFEST, evaluations=(evaluation, evaluation))
    assert rewritten_measurements(twice, MANIFEST) == ("evaluations[1]",)
    assert rewritten_measurements(MANIFEST, twice) == ()
    longer = replace(evaluation, metrics={**evaluation.metrics, "f1": 1})
    short_first = replace(MANIFEST, evaluations=(evaluation, longer))
    assert rewritten_measurements(short_first, replace(MANIFEST, evaluations=(longer, longer))) == ()


@given(metrics(), metrics(), st.lists(evaluations(), max_size=3), st.lists(evaluations(), max_size=3))
def test_adding_measurements_is_never_a_rewrite(
    old: dict[str, float], new: dict[str, float], first: list[Evaluation], more: list[Evaluation]
) -> None:
    before = replace(MANIFEST, metrics=old, evaluations=tuple(first))
    after = replace(MANIFEST, metrics={**new, **old}, evaluations=(*more, *reversed(first)))
    assert rewritten_measurements(before, after) == ()


# What a registry demands


def test_required_fields_are_looked_up_by_their_dotted_names() -> None:
    required = (
        "training.datasets",
        "training.hyperparameters.epochs",
        "metrics",
        "metrics.auc",
        "metrics.f1",
        "license",
        "labels.team",
        "labels.owner",
        "external",
        "description",
        "author.email",
        "training.code.commit",
        "signature.inputs",
    )
    assert missing_fields(MANIFEST, required) == (
        "metrics.f1",
        "labels.owner",
        "external",
        "description",
        "signature.inputs",
    )


def test_zero_and_false_are_there_and_an_empty_text_is_not() -> None:
    manifest = replace(MANIFEST, metrics={"loss": 0, "a.b": 0.0}, labels={"team": ""}, description="")
    assert missing_fields(manifest, ("metrics.loss", "metrics.a.b", "labels.team", "description")) == (
        "labels.team",
        "description",
    )
    assert missing_fields(replace(MANIFEST, training=None), ("training.datasets",)) == ("training.datasets",)


# Differences


def test_a_diff_has_every_metric_with_its_delta() -> None:
    right = replace(MANIFEST, metrics={"accuracy": 0.944, "f1": 1}, version=Version("1.5.0"))
    found = diff(MANIFEST, right)
    assert (found.left, found.right) == ("risk/fraud-detector@1.4.0", "risk/fraud-detector@1.5.0")
    assert found.metrics == (
        MetricDiff(name="accuracy", left=0.934, right=0.944, delta=0.01),
        MetricDiff(name="auc", left=0.981, right=None, delta=None),
        MetricDiff(name="auc", dataset="ledger/test", left=0.97, right=0.97, delta=0.0),
        MetricDiff(name="f1", left=None, right=1, delta=None),
    )


def test_a_diff_shows_what_was_added_removed_and_changed() -> None:
    assert MANIFEST.training is not None
    right = replace(
        MANIFEST,
        version=Version("1.5.0"),
        created="2026-02-28T12:00:00Z",
        artifacts=(Artifact(path="model.onnx", digest=DIGEST, size=7),),
        training=replace(
            MANIFEST.training,
            datasets=(Dataset(name="ledger", version="2026.02"), Dataset(name="ledger", version="2026.01")),
            hyperparameters={"learning_rate": 0.001, "epochs": 20.0, "optimizer": {"name": "adam"}},
            framework=None,
        ),
        labels={"team": "risk", "tier": "1"},
    )
    found = diff(MANIFEST, right)
    assert found.hyperparameters == (
        FieldDiff(name="epochs", left=20, right=20.0),
        FieldDiff(name="optimizer.name", left=None, right="adam"),
    )
    assert [each.name for each in found.datasets] == ["ledger", "ledger (2)"]
    assert [(each.name, each.left is None, each.right is None) for each in found.artifacts] == [
        ("model.safetensors", False, True),
        ("model.onnx", True, False),
    ]
    assert found.fields == (
        FieldDiff(name="training.framework", left={"name": "pytorch", "version": "2.13.0"}),
        FieldDiff(name="labels.tier", right="1"),
    )


def test_a_diff_has_no_delta_that_json_cannot_say() -> None:
    left, right = replace(MANIFEST, metrics={"x": -1e308}), replace(MANIFEST, metrics={"x": 1e308})
    assert diff(left, right).metrics[0].delta is None
    large = replace(MANIFEST, metrics={"x": 2**62})
    assert diff(large, replace(MANIFEST, metrics={"x": 2**62 + 1})).metrics[0].delta == 1


@settings(max_examples=40)
@given(manifests())
def test_a_version_does_not_differ_from_itself(manifest: Manifest) -> None:
    found = diff(manifest, manifest)
    assert (found.hyperparameters, found.datasets, found.artifacts, found.fields) == ((), (), (), ())
    assert all(metric.delta == 0 for metric in found.metrics)
