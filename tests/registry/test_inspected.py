from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save

from gitreg.errors import ConflictError, InvalidError
from gitreg.manifest import Manifest, parse_version
from gitreg.registry import Mode, open_registry
from gitreg.registry.inspected import MAX_TENSORS, inspect
from tests.registries import Forge, request
from tests.scan.samples import ONNX, OPENVINO, external, onnx, onnx_tensor, tarred, zipped

if TYPE_CHECKING:
    from gitreg.registry import Registry

TENSORS = save({"w": np.zeros((2, 3), dtype=np.float32), "b": np.zeros(3, dtype=np.int64)})
DRY = Mode(dry_run=True)


def register(registry: Registry, files: dict[str, bytes], mode: Mode | None = None, **fields: Any) -> Manifest:  # noqa: ANN401 - the request's own fields
    folder = Path("files")
    shutil.rmtree(folder, ignore_errors=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    written = registry.register(request(version="3.0.0", paths=(folder,), **fields), mode or Mode())
    assert isinstance(written.about, Manifest)
    return written.about


def test_what_the_files_hold_is_in_the_manifest(bare: Registry) -> None:
    found = register(bare, {"model.safetensors": TENSORS, "graph/model.onnx": ONNX, "config.json": b"{}"})
    assert found.signature == {
        "inputs": [{"name": "x", "dtype": "float32", "shape": ["batch", 3, None]}],
        "outputs": [{"name": "y", "dtype": "int64", "shape": ["batch", 2]}],
        "tensors": {"b": "int64[3]", "w": "float32[2, 3]"},
        "parameters": 9,
    }
    reports = {each.path: each.inspection for each in found.artifacts}
    assert reports == {
        "config.json": None,
        "graph/model.onnx": {
            "tensors": 1,
            "parameters": 6,
            "dtypes": {"float32": 1},
            "details": {"ir_version": 10, "producer": "by hand", "opset": 18},
        },
        "model.safetensors": {"tensors": 2, "parameters": 9, "dtypes": {"float32": 1, "int64": 1}},
    }
    assert parse_version(found.to_bytes()) == found


def test_a_dry_run_inspects_too(bare: Registry) -> None:
    assert register(bare, {"model.safetensors": TENSORS}, DRY).signature
    with pytest.raises(InvalidError, match="truncated"):
        register(bare, {"model.safetensors": TENSORS[:-1]}, DRY)


def test_the_user_s_signature_is_left_as_it_is(bare: Registry) -> None:
    own = {"inputs": [{"name": "text", "dtype": "string", "shape": []}]}
    assert register(bare, {"model.onnx": ONNX}, signature=own).signature == own


def test_graphs_that_disagree_give_no_inputs(bare: Registry) -> None:
    other = ONNX.replace(b"batch", b"BATCH")
    assert set(register(bare, {"a.onnx": ONNX, "b.onnx": other}).signature or {}) == {"parameters"}


def test_many_tensors_are_counted_and_not_listed(bare: Registry) -> None:
    many = save({f"t{number}": np.zeros(2, dtype=np.float32) for number in range(MAX_TENSORS + 1)})
    found = register(bare, {"model.safetensors": many})
    assert found.signature == {"parameters": 2 * MAX_TENSORS + 2}
    assert found.artifacts[0].inspection == {
        "tensors": MAX_TENSORS + 1,
        "parameters": 2 * MAX_TENSORS + 2,
        "dtypes": {"float32": MAX_TENSORS + 1},
    }


def test_names_that_no_manifest_can_hold_stay_out(bare: Registry) -> None:
    tensors = save({"a\nb": np.zeros(2, dtype=np.float32)})
    assert register(bare, {"model.safetensors": tensors}).signature == {"parameters": 2}


REFUSED: list[tuple[dict[str, bytes], str]] = [
    ({"model.safetensors": TENSORS[:-1]}, r"model\.safetensors: safetensors: tensor .* truncated"),
    ({"model.onnx": onnx(onnx_tensor("w", [2, 3], bytes(20)))}, "has 20 bytes"),
    ({"a/model.onnx": ONNX[:-4]}, "its name says onnx"),
    ({"model.onnx": external("weights.bin")}, "not among the files: register the folder"),
    ({"model.onnx": external("weights.bin"), "weights.bin": bytes(23)}, "which has 23: truncated"),
    ({"model.xml": OPENVINO, "model.bin": bytes(11)}, "which has 11: truncated"),
    ({"model.zip": zipped({"m.bin": pickle.dumps([1])})}, "holds pickle, which runs code"),
    ({"model.tar": tarred({"m.bin": pickle.dumps(os.system)})}, "loading it would run code: posix.system"),
    ({"a.safetensors": TENSORS[:-1], "b.onnx": ONNX[:-4]}, "(?s)the files cannot be registered.*a.safe.*b.onnx"),
]


@pytest.mark.parametrize(("files", "said"), REFUSED)
def test_a_file_that_lies_or_runs_code_is_refused_before_the_upload(
    forge: Forge, bare: Registry, files: dict[str, bytes], said: str
) -> None:
    blobs = sorted((forge.folder / "store").rglob("*"))
    with pytest.raises(InvalidError, match=said):
        register(bare, files)
    assert sorted((forge.folder / "store").rglob("*")) == blobs


def test_tensors_beside_the_model_are_found(bare: Registry) -> None:
    found = register(bare, {"m/model.onnx": external("weights.bin"), "m/weights.bin": bytes(24)})
    assert (found.signature or {})["parameters"] == 6


def test_the_weights_of_an_openvino_model_are_its_bin_file(bare: Registry) -> None:
    assert register(bare, {"model.xml": OPENVINO, "model.bin": bytes(12)}, DRY).signature


def test_an_allowed_pickle_is_scanned_and_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files = {"good.pkl": pickle.dumps({"a": np.arange(3)}), "bad.pkl": pickle.dumps(os.system)}
    for name, data in files.items():
        Path(name).write_bytes(data)
    allowed = ("pickle", "onnx")
    good = inspect([("good.pkl", Path("good.pkl"))], allowed)
    assert good.report("good.pkl")["imports"] == [
        "numpy._core.multiarray._reconstruct",
        "numpy.dtype",
        "numpy.ndarray",
    ]
    with pytest.raises(InvalidError, match=r"bad\.pkl: loading it would run code: posix\.system"):
        inspect([("bad.pkl", Path("bad.pkl"))], allowed)
    # A format that is not allowed is the gate's to refuse.
    assert inspect([("bad.pkl", Path("bad.pkl"))], None).report("bad.pkl")


def test_a_file_that_changes_after_its_inspection_is_a_conflict(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(TENSORS)
    found = inspect([("model.safetensors", path)], None)
    found.check_unchanged()
    path.write_bytes(TENSORS + b" ")
    with pytest.raises(ConflictError, match="changed while it was registered"):
        found.check_unchanged()


def test_the_gate_takes_what_was_written(forge: Forge, bare: Registry) -> None:
    register(bare, {"model.onnx": ONNX})
    with open_registry(forge.bare) as registry:
        assert registry.show("risk/fraud@3.0.0").manifest.signature


def test_no_byte_of_a_file_is_parsed_in_the_process_that_registers(
    bare: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitreg.scan import content

    def fail(*_: object) -> None:
        raise AssertionError("parsed here")

    monkeypatch.setattr(content, "detect_file", fail)
    monkeypatch.setattr("gitreg.scan.detect_file", fail)
    files = {"model.safetensors": TENSORS, "config.json": b"{}", "card.md": b"# card\n", "w.bin": b"\xff\0"}
    for mode in (DRY, Mode()):
        found = register(bare, files, mode)
        assert {each.path: each.format for each in found.artifacts} == {
            "model.safetensors": "safetensors",
            "config.json": "json",
            "card.md": "text",
            "w.bin": "other",
        }
