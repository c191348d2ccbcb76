from __future__ import annotations

import json
import os
import pickle
from typing import TYPE_CHECKING

from tests.scan.samples import ONNX, SAFETENSORS, external

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Result


def test_a_model_is_shown_without_a_registry(gitreg: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(ONNX)
    done = gitreg("inspect", path)
    assert done.code == 0
    assert done.lines[0] == str(path)
    said = " ".join(done.out.split())
    assert "format: onnx" in said
    assert "parameters: 6" in said
    assert "x float32 batchx3x?" in said
    assert "w float32 2x3" in said


def test_json_says_all_of_it(gitreg: Callable[..., Result], tmp_path: Path) -> None:
    for name, data in (("a.safetensors", SAFETENSORS), ("b.onnx", ONNX)):
        (tmp_path / name).write_bytes(data)
    one = json.loads(gitreg("inspect", "--json", tmp_path / "b.onnx").out)
    assert one["inputs"] == [{"name": "x", "dtype": "float32", "shape": ["batch", 3, None]}]
    assert one["tensors"] == [{"name": "w", "dtype": "float32", "shape": [2, 3]}]
    both = json.loads(gitreg("inspect", "--json", tmp_path / "a.safetensors", tmp_path / "b.onnx").out)
    assert [each["format"] for each in both] == ["safetensors", "onnx"]


def test_what_is_not_to_be_loaded_is_told_by_the_exit_code(gitreg: Callable[..., Result], tmp_path: Path) -> None:
    files = {
        "cut.safetensors": SAFETENSORS[:-1],
        "bad.pkl": pickle.dumps(os.system),
        "short.onnx": external("weights.bin"),
        "weights.bin": bytes(3),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for name, said in (
        ("cut.safetensors", "truncated"),
        ("bad.pkl", "posix.system"),
        ("short.onnx", "has 3: truncated"),
    ):
        done = gitreg("inspect", tmp_path / name)
        assert done.code == 6
        assert said in done.out
        assert f"not to be loaded: {tmp_path / name}" in done.err
    assert json.loads(gitreg("inspect", "--json", tmp_path / "bad.pkl").out)["dangers"] == ["posix.system"]


def test_twenty_tensors_are_shown_unless_all_are_wanted(gitreg: Callable[..., Result], tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save

    path = tmp_path / "m.safetensors"
    path.write_bytes(save({f"t{number:02}": np.zeros(1) for number in range(30)}))
    assert "and 10 more" in gitreg("inspect", path).out
    assert "t29" in gitreg("inspect", path, "--tensors").out


def test_what_is_not_there_is_an_error(gitreg: Callable[..., Result], tmp_path: Path) -> None:
    assert gitreg("inspect", tmp_path / "missing.onnx").code == 3
    assert gitreg("inspect", tmp_path).code == 2
    assert gitreg("inspect").code == 2


def test_what_was_found_is_shown_and_compared(
    own_registry: Path, gitreg: Callable[..., Result], tmp_path: Path
) -> None:
    for number, data in enumerate((ONNX, ONNX.replace(b"batch", b"BATCH"))):
        (tmp_path / "model.onnx").write_bytes(data)
        done = gitreg(
            "--registry", own_registry, "register", "risk/graph", tmp_path / "model.onnx", "--version", f"{number}.0.0"
        )
        assert done.code == 0, done.err
    shown = gitreg("--registry", own_registry, "show", "risk/graph@0.0.0").out
    assert "parameters: 6" in shown
    assert "input   x     float32  batchx3x?" in shown
    differs = " ".join(gitreg("--registry", own_registry, "diff", "risk/graph@0.0.0", "@1.0.0").out.split())
    assert "signature.inputs.x float32[batch, 3, ?] float32[BATCH, 3, ?]" in differs
    assert "inspection" not in differs
