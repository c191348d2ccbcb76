"""Read, run and write the example's weights: safetensors and ONNX. Running them needs no scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
import safetensors.numpy
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.ensemble import GradientBoostingClassifier

Weights: TypeAlias = dict[str, np.ndarray]


def predict(file: bytes, name: str, rows: np.ndarray) -> np.ndarray:
    """Run an exported model: class probabilities (a column a class), or a number a row. Needs no scikit-learn."""
    if name.endswith(".onnx"):
        (output,) = ReferenceEvaluator(onnx.load_from_string(file)).run(None, {"features": rows})
        probabilities = np.asarray(output, dtype=np.float64)
        return np.asarray(probabilities / probabilities.sum(axis=1, keepdims=True))  # float32 sums miss 1 by 1e-7
    return forward({key: value.astype(np.float64) for key, value in safetensors.numpy.load(file).items()}, rows)


def forward(weights: Weights, rows: np.ndarray) -> np.ndarray:
    """Scale the input, go through the layers with ReLU between them, end in softmax, sigmoid or the number itself."""
    values = (rows - weights["input.mean"]) / weights["input.scale"]
    depth = sum(key.endswith(".weight") for key in weights)
    for layer in range(depth):
        values = values @ weights[f"layers.{layer}.weight"].T + weights[f"layers.{layer}.bias"]
        if layer < depth - 1:
            values = np.maximum(values, 0)
    if "output.identity" in weights:
        return np.asarray(values[:, 0])
    if values.shape[1] == 1:
        positive = 1 / (1 + np.exp(-values))
        return np.concatenate([1 - positive, positive], axis=1)
    exponentials = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=1, keepdims=True))


def to_safetensors(weights: Mapping[str, np.ndarray]) -> bytes:
    """Write tensors as float32, in the order of their names."""
    return safetensors.numpy.save({key: np.ascontiguousarray(weights[key], np.float32) for key in sorted(weights)})


def to_onnx(nodes: list[onnx.NodeProto], tensors: Weights, features: int, classes: int) -> bytes:
    """Write a graph from `features` to `probabilities`, both with a row a case."""
    graph = helper.make_graph(
        nodes,
        "classifier",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["rows", features])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", classes])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, producer_name="acme-models", opset_imports=opsets, ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def tree_ensemble(fitted: GradientBoostingClassifier) -> dict[str, list[int] | list[float] | list[str]]:
    """Lay trees out as https://onnx.ai/onnx/operators/onnx_aionnxml_TreeEnsembleRegressor.html wants them."""
    rows: list[tuple[int, int, int, float, str, int, int]] = []
    leaves: list[tuple[int, int, float]] = []
    for number, estimator in enumerate(fitted.estimators_[:, 0]):
        tree = estimator.tree_
        for node in range(tree.node_count):
            if tree.children_left[node] < 0:
                rows.append((number, node, 0, 0.0, "LEAF", 0, 0))
                leaves.append((number, node, float(fitted.learning_rate * tree.value[node, 0, 0])))
            else:
                branches = int(tree.children_left[node]), int(tree.children_right[node])
                rows.append(
                    (number, node, int(tree.feature[node]), _floor(tree.threshold[node]), "BRANCH_LEQ", *branches)
                )
    keys = ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    columns = {f"nodes_{key}": list(column) for key, column in zip(keys, zip(*rows, strict=True), strict=True)}
    trees, nodes, values = (list(column) for column in zip(*leaves, strict=True))
    targets = {"target_treeids": trees, "target_nodeids": nodes, "target_ids": [0] * len(nodes)}
    return columns | targets | {"target_weights": values}


def _floor(threshold: float) -> float:
    """Give the largest float32 that is not above: `x <= threshold` then means the same for every float32 x."""
    near = np.float32(threshold)
    return float(near if near <= threshold else np.nextafter(near, np.float32(-np.inf)))
