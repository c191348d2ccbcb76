"""Any number of versions side by side."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitreg.digest import Digest
from gitreg.errors import InvalidError
from gitreg.manifest import Artifact, Evaluation, Goal, Manifest, Person, Training, diff, side_by_side
from gitreg.manifest.comparison import MOST, goal_of
from gitreg.manifest.parts import Dataset
from gitreg.names import ModelName, Version
from gitreg.records import replace

FIRST = Manifest(
    model=ModelName("risk", "fraud"),
    version=Version("1.0.0"),
    created="2026-01-31T12:00:00Z",
    author=Person(name="Alice Doe", email="alice@example.org"),
    artifacts=(Artifact(path="m.onnx", digest=Digest("0" * 64), size=7, format="onnx"),),
    training=Training(hyperparameters={"epochs": 20, "optimizer": {"name": "adam", "lr": 0.1}}),
    metrics={"auc": 0.9, "loss": 1.0, "ttft": 12.0},
    license="MIT",
)
SECOND = replace(
    FIRST,
    version=Version("1.1.0"),
    metrics={"auc": 0.95, "loss": 0.5},
    training=Training(hyperparameters={"epochs": 20, "optimizer": {"name": "sgd", "lr": 0.1}}),
)
THIRD = replace(
    SECOND,
    version=Version("2.0.0"),
    metrics={"auc": 0.95, "ttft": 8.0},
    evaluations=(Evaluation(dataset=Dataset(name="hard"), split="test", metrics={"auc": 0.7}),),
)


def test_each_metric_has_its_differences_and_its_best() -> None:
    rows = {(row.name, row.dataset): row for row in side_by_side([FIRST, SECOND, THIRD]).metrics}

    assert rows["auc", None].values == (0.9, 0.95, 0.95)
    assert rows["auc", None].deltas == (0, 0.05, 0.05)
    assert rows["auc", None].best == (1, 2)
    assert rows["loss", None].values == (1.0, 0.5, None)
    assert rows["loss", None].deltas == (0, -0.5, None)
    assert (rows["loss", None].goal, rows["loss", None].best) == (Goal.MINIMIZE, (1,))
    assert (rows["ttft", None].goal, rows["ttft", None].best) == (None, ())
    assert rows["auc", "hard/test"].values == (None, None, 0.7)
    assert rows["auc", "hard/test"].deltas == (None, None, None)
    assert rows["auc", "hard/test"].best == ()


def test_the_user_says_which_way_is_better_where_the_name_does_not() -> None:
    found = side_by_side([FIRST, THIRD], {"ttft": Goal.MINIMIZE, "auc": Goal.MINIMIZE})

    assert [row.best for row in found.metrics if row.name in {"ttft", "auc"} and row.dataset is None] == [(0,), (1,)]


def test_only_what_differs_is_told_beside_metrics() -> None:
    found = side_by_side([FIRST, SECOND, THIRD])

    assert [(row.name, row.values) for row in found.hyperparameters] == [("optimizer.name", ("adam", "sgd", "sgd"))]
    assert found.datasets == found.artifacts == found.fields == ()
    assert found.versions == ("risk/fraud@1.0.0", "risk/fraud@1.1.0", "risk/fraud@2.0.0")
    assert found.sizes == (7, 7, 7)


@pytest.mark.parametrize("count", [0, 1, MOST + 1])
def test_one_version_or_too_many_are_refused(count: int) -> None:
    with pytest.raises(InvalidError, match=f"not {count}$"):
        side_by_side([FIRST] * count)


def test_a_goal_for_what_nobody_measured_is_refused() -> None:
    with pytest.raises(InvalidError, match="'f1'") as caught:
        side_by_side([FIRST, SECOND], {"f1": Goal.MAXIMIZE})
    assert caught.value.hint == "they have auc, loss, ttft"


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("accuracy", Goal.MAXIMIZE),
        ("val_loss", Goal.MINIMIZE),
        ("test/F1", Goal.MAXIMIZE),
        ("eval.rouge1", Goal.MAXIMIZE),
        ("latency-p99", Goal.MINIMIZE),
        ("error_accuracy", None),
        ("count", None),
        ("lossless", None),
    ],
)
def test_names_tell_which_way_is_better(name: str, goal: Goal | None) -> None:
    assert goal_of(name) is goal


VALUES = st.dictionaries(st.sampled_from(["auc", "loss", "x"]), st.floats(-1e6, 1e6) | st.integers(-9, 9))


@given(left=VALUES, right=VALUES)
def test_of_two_versions_it_says_what_diff_says(left: dict[str, float], right: dict[str, float]) -> None:
    one, other = replace(FIRST, metrics=left), replace(SECOND, metrics=right)
    two, compared = diff(one, other), side_by_side([one, other])

    assert [(row.name, *row.values, row.deltas[1]) for row in compared.metrics] == [
        (row.name, row.left, row.right, row.delta) for row in two.metrics
    ]
    assert [(row.name, *row.values) for row in compared.hyperparameters] == [
        (row.name, row.left, row.right) for row in two.hyperparameters
    ]
