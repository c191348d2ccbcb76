"""Train the example's models, put their weights into `store/`, and write what was measured into the manifests.

    pip install -r train-requirements.txt
    python train.py             # train everything again and rewrite store/, digests, sizes and metrics
    python train.py --check     # train nothing: load the stored weights and measure them again

The manifests say what to train (`training.hyperparameters`, `parents`) and on what (`training.datasets`); this
script says how. Every metric is measured on the exported file, not on the scikit-learn object behind it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.resources
import json
import sys
import textwrap
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import safetensors.numpy
import yaml
from onnx import helper
from sklearn import datasets, metrics
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import RepeatedStratifiedKFold, train_test_split
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from weights import Weights, predict, to_onnx, to_safetensors, tree_ensemble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    Where: TypeAlias = tuple[str | int, ...]
    Measured: TypeAlias = dict[str, float]

REGISTRY = Path(__file__).parent
HISTORY = REGISTRY / "history.yaml"
BLOBS = REGISTRY / "store" / "blobs" / "sha256"
SEED = 0
DIGITS_AFTER_POINT = 4


# ---------------------------------------------------------------------------------------------------- the registry


@dataclass(frozen=True)
class Version:
    """A manifest of this registry, as far as training needs it."""

    path: Path
    model: str
    version: str
    hyperparameters: Mapping[str, Any]
    files: Mapping[str, str]  # dataset URI → digest
    parents: tuple[str, ...]
    splits: tuple[str, ...]  # of the evaluations, in their order
    artifact: str
    digest: str

    @property
    def name(self) -> str:
        """The selector that names it."""
        return f"{self.model}@{self.version}"


def read_version(path: Path) -> Version:
    manifest = yaml.safe_load(path.read_text())
    (artifact,) = manifest["artifacts"]
    return Version(
        path,
        manifest["model"],
        manifest["version"],
        manifest["training"]["hyperparameters"],
        {dataset["uri"]: dataset["digest"] for dataset in manifest["training"]["datasets"]},
        tuple(f"{parent['model']}@{parent['version']}" for parent in manifest.get("parents", ())),
        tuple(evaluation["split"] for evaluation in manifest.get("evaluations", ())),
        artifact["path"],
        artifact["digest"],
    )


def versions() -> list[Version]:
    """Read every manifest; a parent comes before its child, because a model's versions count up."""
    return [read_version(path) for path in sorted(REGISTRY.glob("models/*/*/[0-9]*.yaml"), key=_precedence)]


def _precedence(path: Path) -> tuple[Path, list[int], bool, str]:
    release, _, pre = path.stem.partition("-")
    return path.parent, [int(number) for number in release.split(".")], not pre, pre


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_path(digest: str) -> Path:
    digits = digest.removeprefix("sha256:")
    return BLOBS / digits[:2] / digits


def check_data(version: Version) -> None:
    """Stop where the installed scikit-learn ships other data than the manifest names."""
    for uri, expected in version.files.items():
        file = importlib.resources.files("sklearn").joinpath(uri.partition("#sklearn/")[2])
        if digest_of(file.read_bytes()) != expected:
            sys.exit(f"{version.path}: {uri} has other bytes here; install what train-requirements.txt pins")


def set_scalars(text: str, values: Mapping[Where, str]) -> str:
    """Replace single values in a YAML text and keep every other byte, its layout and its comments."""
    places = {where: node for where, node in _scalars(yaml.compose(text), ()) if where in values}
    for where, node in sorted(places.items(), key=lambda place: -place[1].start_mark.index):
        quote = node.style or ""
        text = text[: node.start_mark.index] + quote + values[where] + quote + text[node.end_mark.index :]
    return text


def _scalars(node: yaml.Node | None, where: Where) -> Iterator[tuple[Where, yaml.ScalarNode]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(value, (*where, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _scalars(value, (*where, index))
    elif isinstance(node, yaml.ScalarNode):
        yield where, node


# -------------------------------------------------------------------------------------------------------- the data


@dataclass(frozen=True)
class Table:
    """A data set cut in two: a row a case, a column a feature, as float32, targets as numbers."""

    train: np.ndarray
    train_targets: np.ndarray
    test: np.ndarray
    test_targets: np.ndarray

    def columns(self, chosen: list[int]) -> Table:
        """Keep some of the features."""
        return replace(self, train=self.train[:, chosen], test=self.test[:, chosen])


_LOADERS: dict[str, tuple[Callable[[], datasets.Bunch], float]] = {
    "vision/digit-reader": (datasets.load_digits, 0.25),
    "health/tumour-screening": (datasets.load_breast_cancer, 0.25),
    "health/progression": (lambda: datasets.load_diabetes(scaled=False), 0.25),
    "cellar/wine-cultivar": (datasets.load_wine, 0.4),
}


def load(version: Version) -> Table:
    """Load the data of a version: the same split for every version of a model, so that metrics compare."""
    loader, share = _LOADERS[version.model]
    bunch = loader()
    targets = bunch.target
    if version.model == "health/tumour-screening":
        targets = 1 - targets  # scikit-learn calls benign 1; here a positive is a malignant tumour
    classes = None if version.model == "health/progression" else targets
    rows, held_out, row_targets, held_out_targets = train_test_split(
        bunch.data.astype(np.float32), targets, test_size=share, random_state=SEED, stratify=classes
    )
    table = Table(rows, row_targets, held_out, held_out_targets)
    if "features" in version.hyperparameters:
        known = list(bunch.feature_names)
        table = table.columns([known.index(name) for name in version.hyperparameters["features"]])
    return table


def shifted(images: np.ndarray) -> np.ndarray:
    """Move every 8 by 8 image one pixel to the right, and one to the left; what leaves the frame is lost."""
    square = images.reshape(-1, 8, 8)
    right, left = np.zeros_like(square), np.zeros_like(square)
    right[:, :, 1:], left[:, :, :-1] = square[:, :, :-1], square[:, :, 1:]
    return np.concatenate([right, left]).reshape(-1, 64)


# ---------------------------------------------------------------------------------------------------------- weights


def layers(scaling: Mapping[str, np.ndarray], *pairs: tuple[np.ndarray, np.ndarray]) -> Weights:
    """Name scaling, weights (a row an output) and biases as `forward` reads them."""
    named = dict(scaling)
    for number, (weight, bias) in enumerate(pairs):
        named |= {f"layers.{number}.weight": weight, f"layers.{number}.bias": np.atleast_1d(bias)}
    return named


def scaling_of(rows: np.ndarray) -> Weights:
    """Measure mean and standard deviation of each feature."""
    wide = rows.astype(np.float64)
    return {"input.mean": wide.mean(axis=0), "input.scale": wide.std(axis=0)}


def scaled(scaling: Weights, rows: np.ndarray) -> np.ndarray:
    return np.asarray((rows - scaling["input.mean"]) / scaling["input.scale"])


PIXELS: Weights = {"input.mean": np.zeros(1), "input.scale": np.full(1, 16.0)}  # the images hold 0 to 16


# ---------------------------------------------------------------------------------------------------------- training


def train_linear(version: Version, table: Table) -> Weights:
    """Fit a logistic regression on pixels or on standardised features."""
    scaling = PIXELS if version.model == "vision/digit-reader" else scaling_of(table.train)
    fitted = LogisticRegression(C=version.hyperparameters["c"], solver="newton-cholesky", tol=1e-12)
    fitted.fit(scaled(scaling, table.train), table.train_targets)
    return layers(scaling, (fitted.coef_, fitted.intercept_))


def train_linear_as_onnx(version: Version, table: Table) -> bytes:
    """Fit a logistic regression and write it as four plain ONNX operators."""
    weights = train_linear(version, table)
    names = {"input.mean": "mean", "input.scale": "scale", "layers.0.weight": "weight", "layers.0.bias": "bias"}
    nodes = [
        helper.make_node("Sub", ["features", "mean"], ["centred"]),
        helper.make_node("Div", ["centred", "scale"], ["scaled"]),
        helper.make_node("Gemm", ["scaled", "weight", "bias"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    tensors = {names[key]: value for key, value in weights.items()}
    return to_onnx(nodes, tensors, table.train.shape[1], len(tensors["bias"]))


def train_ridge(version: Version, table: Table) -> Weights:
    """Fit a ridge regression; at alpha 0 it is ordinary least squares."""
    scaling = scaling_of(table.train)
    fitted = Ridge(alpha=version.hyperparameters["alpha"]).fit(scaled(scaling, table.train), table.train_targets)
    named = layers(scaling, (fitted.coef_.reshape(1, -1), fitted.intercept_))
    return named | {"output.identity": np.ones(1)}


def _perceptron(version: Version) -> MLPClassifier:
    given = version.hyperparameters
    return MLPClassifier(
        hidden_layer_sizes=(given["hidden_units"],),
        alpha=given["alpha"],
        learning_rate_init=given["learning_rate"],
        batch_size=given["batch_size"],
        random_state=SEED,
    )


def _epochs(fitted: MLPClassifier, rows: np.ndarray, targets: np.ndarray, epochs: int) -> Weights:
    for _ in range(epochs):
        fitted.partial_fit(rows, targets, classes=np.arange(10))
    pairs = zip(fitted.coefs_, fitted.intercepts_, strict=True)
    return layers(PIXELS, *((weight.T, bias) for weight, bias in pairs))


def train_perceptron(version: Version, table: Table) -> Weights:
    """Train a perceptron with one hidden layer on the images as they are."""
    rows = scaled(PIXELS, table.train)
    return _epochs(_perceptron(version), rows, table.train_targets, int(version.hyperparameters["epochs"]))


def finetune_perceptron(version: Version, table: Table) -> Weights:
    """Go on training the parent's weights, on the images and on copies shifted by one pixel."""
    (parent,) = (each for each in versions() if each.name == version.parents[0])
    start = safetensors.numpy.load(blob_path(parent.digest).read_bytes())
    rows = scaled(PIXELS, np.concatenate([table.train, shifted(table.train)]))
    targets = np.tile(table.train_targets, 3)
    fitted = _perceptron(version)
    fitted.partial_fit(rows[: fitted.batch_size], targets[: fitted.batch_size], classes=np.arange(10))
    for layer, (weight, bias) in enumerate(zip(fitted.coefs_, fitted.intercepts_, strict=True)):
        # In place: the optimiser holds on to these very arrays.
        weight[...], bias[...] = start[f"layers.{layer}.weight"].T, start[f"layers.{layer}.bias"]
    return _epochs(fitted, rows, targets, int(version.hyperparameters["epochs"]))


def _boosted(version: Version) -> GradientBoostingClassifier:
    given = version.hyperparameters
    return GradientBoostingClassifier(
        n_estimators=given["trees"],
        max_depth=given["depth"],
        learning_rate=given["learning_rate"],
        random_state=SEED,
    )


def train_boosted_as_onnx(version: Version, table: Table) -> bytes:
    """Fit gradient-boosted trees for two classes and write them as one ONNX tree ensemble."""
    fitted = _boosted(version).fit(table.train, table.train_targets)
    prior = float(table.train_targets.mean())
    nodes = [
        helper.make_node(
            "TreeEnsembleRegressor",
            ["features"],
            ["score"],
            domain="ai.onnx.ml",
            n_targets=1,
            base_values=[float(np.log(prior / (1 - prior)))],
            **tree_ensemble(fitted),
        ),
        helper.make_node("Sigmoid", ["score"], ["malignant"]),
        helper.make_node("Sub", ["one", "malignant"], ["benign"]),
        helper.make_node("Concat", ["benign", "malignant"], ["probabilities"], axis=1),
    ]
    return to_onnx(nodes, {"one": np.ones(1)}, table.train.shape[1], 2)


_TRAINERS: dict[str, Callable[[Version, Table], Weights | bytes]] = {
    "logistic regression": train_linear,
    "logistic regression as onnx": train_linear_as_onnx,
    "ridge regression": train_ridge,
    "perceptron": train_perceptron,
    "perceptron fine-tuned on shifted images": finetune_perceptron,
    "gradient-boosted trees as onnx": train_boosted_as_onnx,
}


def train(version: Version, table: Table) -> bytes:
    """Train what the manifest's hyperparameters name; give the file as it goes into the store."""
    made = _TRAINERS[str(version.hyperparameters["recipe"])](version, table)
    return made if isinstance(made, bytes) else to_safetensors(made)


# --------------------------------------------------------------------------------------------------------- measuring


def measure(version: Version, file: bytes, table: Table) -> Measured:
    """Measure a file on the held-out rows."""
    found = predict(file, version.artifact, table.test)
    if found.ndim == 1:
        return {
            "r2": metrics.r2_score(table.test_targets, found),
            "mean_absolute_error": metrics.mean_absolute_error(table.test_targets, found),
            "root_mean_squared_error": metrics.root_mean_squared_error(table.test_targets, found),
        }
    if found.shape[1] == 2:
        return _two_classes(table.test_targets, found)
    chosen = found.argmax(axis=1)
    return {
        "accuracy": metrics.accuracy_score(table.test_targets, chosen),
        "macro_f1": metrics.f1_score(table.test_targets, chosen, average="macro"),
        "log_loss": metrics.log_loss(table.test_targets, found),
    }


def _two_classes(targets: np.ndarray, probabilities: np.ndarray) -> Measured:
    chosen = probabilities.argmax(axis=1)
    return {
        "accuracy": metrics.accuracy_score(targets, chosen),
        "recall": metrics.recall_score(targets, chosen),
        "precision": metrics.precision_score(targets, chosen),
        "auc": metrics.roc_auc_score(targets, probabilities[:, 1]),
    }


def on_shifted(version: Version, file: bytes, table: Table) -> Measured:
    """Measure a file on held-out images moved by one pixel."""
    moved = replace(table, test=shifted(table.test), test_targets=np.tile(table.test_targets, 2))
    return measure(version, file, moved)


def cross_validated(version: Version, _file: bytes, table: Table) -> Measured:
    """Measure the recipe, not the file: train it anew on each of twenty splits of all rows, and take the means."""
    rows = np.concatenate([table.train, table.test])
    targets = np.concatenate([table.train_targets, table.test_targets])
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=4, random_state=SEED).split(rows, targets)
    parts = (Table(rows[use], targets[use], rows[hold], targets[hold]) for use, hold in folds)
    found = [measure(version, train(version, part), part) for part in parts]
    return {key: float(np.mean([each[key] for each in found])) for key in found[0]}


_EVALUATIONS = {"test shifted by one pixel": on_shifted, "5-fold, 4 times": cross_validated}


def measurements(version: Version, file: bytes, *, retrain: bool) -> dict[Where, float]:
    """Measure everything that the manifest reports, by where it stands there."""
    table = load(version)
    found: dict[Where, float] = {("metrics", key): value for key, value in measure(version, file, table).items()}
    for index, split in enumerate(version.splits):
        if retrain or _EVALUATIONS[split] is not cross_validated:
            again = _EVALUATIONS[split](version, file, table)
            found |= {("evaluations", index, "metrics", key): value for key, value in again.items()}
    return {where: round(float(value), DIGITS_AFTER_POINT) for where, value in found.items()}


# ------------------------------------------------------------------------------------------------------ the commands


def rewrite() -> None:
    """Train every version; rewrite the store, and every file that names a digest, a size or a metric."""
    kept: set[Path] = set()
    for version in versions():
        check_data(version)
        file = train(version, load(version))
        kept.add(_put(file))
        found = measurements(version, file, retrain=True)
        said = {where: json.dumps(value) for where, value in found.items()}
        said |= {("artifacts", 0, "digest"): digest_of(file), ("artifacts", 0, "size"): str(len(file))}
        _restate(version.path, said)
        print(f"{version.name:34} {len(file):6} bytes  {said['artifacts', 0, 'digest'][:19]}  {_shown(found)}")
    for path in set(BLOBS.glob("*/*")) - kept:
        path.unlink()
    for folder in BLOBS.iterdir():
        if not any(folder.iterdir()):
            folder.rmdir()
    for path in REGISTRY.glob("approvals/*/*/*/*/*.yaml"):
        _reapprove(path)


def _put(file: bytes) -> Path:
    path = blob_path(digest_of(file))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file)
    return path


def _restate(path: Path, said: Mapping[Where, str]) -> None:
    """Correct a manifest, and the earlier states of it that history.yaml holds."""
    path.write_text(set_scalars(path.read_text(), said))
    history = HISTORY.read_text()
    for step in yaml.safe_load(history)["steps"]:
        for file in step["files"]:
            if isinstance(file, dict) and REGISTRY / file["path"] == path:
                old, new = file["text"], set_scalars(file["text"], said)
                history = history.replace(textwrap.indent(old, " " * 10), textwrap.indent(new, " " * 10))
    HISTORY.write_text(history)


def _reapprove(path: Path) -> None:
    """Let an approval name the manifest's new bytes: right in an example only, where nobody really approved."""
    approval = yaml.safe_load(path.read_text())
    manifest = REGISTRY / "models" / approval["model"] / f"{approval['version']}.yaml"
    path.write_text(set_scalars(path.read_text(), {("manifest_digest",): digest_of(manifest.read_bytes())}))


def check() -> None:
    """Measure the stored weights; stop at the first number that differs from its manifest."""
    for version in versions():
        check_data(version)
        file = blob_path(version.digest).read_bytes()
        if digest_of(file) != version.digest:
            sys.exit(f"{version.name}: the stored blob is damaged")
        said = dict(_scalars(yaml.compose(version.path.read_text()), ()))
        found = measurements(version, file, retrain=False)
        for where, value in found.items():
            if float(said[where].value) != value:
                sys.exit(f"{version.name}: {where} is {value} here, {said[where].value} in the manifest")
        print(f"{version.name:34} {_shown(found)}")


def _shown(found: Mapping[Where, float]) -> str:
    return "  ".join(f"{where[-1]} {value}" for where, value in found.items() if where[0] == "metrics")


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the example's models, or measure the stored ones again.")
    parser.add_argument("--check", action="store_true", help="train nothing; measure what the store holds")
    # One thread: the order of additions, and so the last bit of a sum, does not depend on the number of cores.
    with threadpool_limits(1):
        if parser.parse_args().check:
            check()
        else:
            rewrite()


if __name__ == "__main__":
    main()
