from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from gitreg.errors import InvalidError, NotFoundError
from gitreg.resources import resource
from gitreg.scan import PICKLES, Format, detect, detect_file, is_model_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

NOISE = random.Random(1).randbytes(3000)


class Ran:
    """Something whose unpickling calls a function."""

    def __reduce__(self) -> tuple[object, ...]:
        """Ask the unpickler for a call."""
        return os.system, ("exit 1",)


def zipped(members: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def npy(array: np.ndarray, **options: bool) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz(*, compress: bool = False, **arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    save_arrays: Callable[..., None] = np.savez_compressed if compress else np.savez
    save_arrays(buffer, **arrays)
    return buffer.getvalue()


def tarred() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        entry = tarfile.TarInfo("model/weights")
        entry.size = len(NOISE)
        archive.addfile(entry, io.BytesIO(NOISE))
    return buffer.getvalue()


def field(number: int, value: int | bytes) -> bytes:
    """Write one field of a protobuf message."""

    def varint(rest: int) -> bytes:
        return bytes([rest]) if rest < 128 else bytes([rest & 127 | 128]) + varint(rest >> 7)

    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def joblib_like(protocol: int = 4) -> bytes:
    """Pickle as joblib does: its own wrapper's name, then the array's bytes in the middle of the stream."""
    return b"\x80" + bytes([protocol]) + b"c" + b"joblib.numpy_pickle\nNumpyArrayWrapper\n" + NOISE


TENSORS = save({"w": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.zeros(3, dtype=np.float16)})
ONNX = (
    field(1, 10) + field(2, b"pytorch") + field(3, b"2.13") + field(7, field(2, b"g") + NOISE) + field(8, field(2, 21))
)
TORCH_LEGACY = b"".join(pickle.dumps(part, 2) for part in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))
STATE = pickle.dumps(OrderedDict(weight=Ran()), 2)
XML = b'<?xml version="1.0"?>\n<net name="m" version="11">\n<layers/></net>\n'

SAMPLES: list[tuple[str, bytes, Format]] = [
    ("model.safetensors", TENSORS, Format.SAFETENSORS),
    ("no-tensors", save({}), Format.SAFETENSORS),
    ("with-metadata", save({"w": np.zeros(3)}, {"format": "pt"}), Format.SAFETENSORS),
    ("model.onnx", ONNX, Format.ONNX),
    ("model.gguf", b"GGUF" + struct.pack("<IQQ", 3, 291, 25) + NOISE, Format.GGUF),
    ("array.npy", npy(np.arange(10)), Format.NUMPY),
    ("structured.npy", npy(np.zeros(3, dtype=[("OO", "f4"), ("x", "i8", (2,))])), Format.NUMPY),
    ("weights.npz", npz(w=np.arange(10.0), b=np.zeros(2)), Format.NPZ),
    ("weights.npz", npz(compress=True, w=np.arange(10.0)), Format.NPZ),
    (
        "model.keras",
        zipped({"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": b"\x89HDF"}),
        Format.KERAS,
    ),
    ("model.h5", b"\x89HDF\r\n\x1a\n" + NOISE, Format.HDF5),
    ("model.tflite", b"\x1c\0\0\0TFL3" + NOISE, Format.TFLITE),
    ("model.mlmodel", field(1, 5) + field(2, field(1, b"input")) + field(500, NOISE), Format.COREML),
    ("model.xml", XML, Format.OPENVINO),
    ("model.pt", zipped({"m/data.pkl": STATE, "m/code/__torch__.py": b"", "m/constants.pkl": b""}), Format.TORCHSCRIPT),
    ("model.pt", zipped({"archive/data.pkl": STATE, "archive/data/0": NOISE}), Format.TORCH),
    ("model.bin", zipped({"data.pkl": STATE}), Format.TORCH),
    ("legacy.pth", TORCH_LEGACY, Format.TORCH),
    ("model.joblib", joblib_like(), Format.JOBLIB),
    ("named-otherwise", joblib_like(3), Format.JOBLIB),
    ("plain.joblib", pickle.dumps([1, 2, 3]), Format.JOBLIB),
    ("zlib", zlib.compress(joblib_like()), Format.JOBLIB),
    ("model.pkl.gz", gzip.compress(joblib_like()), Format.JOBLIB),
    ("model.pkl.bz2", bz2.compress(joblib_like()), Format.JOBLIB),
    ("model.pkl.xz", lzma.compress(joblib_like()), Format.JOBLIB),
    ("model.pkl.lzma", lzma.compress(joblib_like(), lzma.FORMAT_ALONE), Format.JOBLIB),
    ("model.joblib", b"\x04\x22\x4d\x18" + NOISE, Format.JOBLIB),
    ("data.zip", zipped({"readme.txt": b"hello"}), Format.ZIP),
    ("empty.zip", zipped({}), Format.ZIP),
    ("data.tar", tarred(), Format.TAR),
    ("data.tar.gz", gzip.compress(tarred()), Format.TAR),
    ("data.tar.xz", lzma.compress(tarred()), Format.TAR),
    ("config.json", b'{"layers": 12}', Format.JSON),
    ("list", b" [1, 2, 3]\n", Format.JSON),
    ("number.json", b"12\n", Format.JSON),
    ("params.yaml", b"layers: 12\n", Format.YAML),
    ("front-matter", b"---\nlayers: 12\n", Format.YAML),
    ("card.md", "# Modèle\n".encode(), Format.TEXT),
    ("broken.json", b'{"layers": ', Format.TEXT),
    ("page.xml", b"<?xml version='1.0'?><page/>", Format.TEXT),
    ("weights.bin", NOISE, Format.OTHER),
    ("empty", b"", Format.OTHER),
    ("latin-1.txt", "Modèle".encode("latin-1"), Format.OTHER),
    ("changelog.gz", gzip.compress(b"jq (1.7) bookworm; urgency=medium\n" * 9000), Format.OTHER),
]


def write(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def kind_of(data: bytes, name: str = "file") -> Format:
    return detect_file(io.BytesIO(data), name)


@pytest.mark.parametrize(("name", "data", "expected"), SAMPLES, ids=[f"{s[2]}-{s[0]}" for s in SAMPLES])
def test_a_file_is_known_by_its_content(tmp_path: Path, name: str, data: bytes, expected: Format) -> None:
    assert detect(write(tmp_path, name, data)) == expected


@pytest.mark.parametrize(
    ("data", "expected"), [(s[1], s[2]) for s in SAMPLES if s[2] not in {Format.JSON, Format.YAML, Format.JOBLIB}]
)
@pytest.mark.parametrize("name", ["file", "file.safetensors", "file.txt", "file.json"])
def test_an_extension_deceives_nobody(data: bytes, expected: Format, name: str) -> None:
    assert kind_of(data, name) == expected


# --- pickles --------------------------------------------------------------------------------------------------------

OBJECTS: list[object] = [
    {"weights": [1.5, 2.5], "name": "model"},
    [],
    OrderedDict(a=1),
    np.arange(5),
    Ran(),
    [{"x": (1, 2, {3})}] * 3,
    "text" * 5_000,
    {"a": list(range(100_000))},
]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("content", OBJECTS, ids=[str(n) for n in range(len(OBJECTS))])
def test_pickles_of_every_protocol_are_known(content: object, protocol: int) -> None:
    assert kind_of(pickle.dumps(content, protocol), "model.pkl") == Format.PICKLE


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_runs_something_is_known_under_any_name(protocol: int) -> None:
    for name in ("model.safetensors", "notes.txt", "data"):
        assert kind_of(pickle.dumps({"w": Ran()}, protocol), name) == Format.PICKLE


def test_a_pickle_that_breaks_off_after_its_call_is_a_pickle() -> None:
    assert kind_of(b"cos\nsystem\n(S'id'\ntR" + b"\xff" * 100) == Format.PICKLE


@pytest.mark.parametrize(
    "data",
    [
        b"GGUF\3\0\0\0\0" + b"cos\nsystem\n(S'id'\ntR.",  # G takes eight bytes as a float
        b"N0" * 2000 + b"cos\nsystem\n(S'id'\ntR.",
    ],
)
def test_a_pickle_that_hides_behind_another_format_is_a_pickle(data: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="forbidden"):
        Harmless(io.BytesIO(data)).load()
    assert kind_of(data, "model.gguf") == Format.PICKLE


class Harmless(pickle.Unpickler):
    """Prove that an unpickler would get to the call, without making it."""

    def find_class(self, module: str, name: str) -> object:
        """Refuse."""
        raise pickle.UnpicklingError(f"forbidden: {module}.{name}")


@pytest.mark.parametrize(
    "start", [b"(see below) the model\n", b"I am happy\n", b"hello.", b"Pickles\nand\nplums.\n", b"N."]
)
def test_text_that_reads_like_opcodes_is_text(start: bytes) -> None:
    assert kind_of(start + b"more text\n" * 3, "notes.txt") == Format.TEXT


def test_an_array_of_objects_is_a_pickle() -> None:
    objects = np.array([{}, None], dtype=object)
    assert kind_of(npy(objects, allow_pickle=True), "a.npy") == Format.PICKLE
    assert kind_of(npy(np.zeros(2, dtype=[("a", "f4"), ("b", "O")]), allow_pickle=True), "a.npy") == Format.PICKLE
    assert kind_of(npz(w=np.zeros(3), o=objects), "a.npz") == Format.PICKLE


def test_what_runs_code_when_loaded_is_listed() -> None:
    assert {"pickle", "torch", "joblib", "torchscript"} == PICKLES
    assert "safetensors" not in PICKLES


def test_the_formats_are_those_of_the_manifest_s_schema() -> None:
    schema = json.loads((resource("schemas") / "manifest.schema.json").read_bytes())
    assert set(schema["$defs"]["artifact"]["properties"]["format"]["enum"]) == set(Format)


def test_the_gate_refuses_the_same_formats_by_default() -> None:
    from gitreg.gate import version_rules

    assert version_rules.PICKLES == PICKLES


# --- headers that lie -----------------------------------------------------------------------------------------------


def safetensors_with(header: object, data: bytes) -> bytes:
    encoded = json.dumps(header).encode()
    return struct.pack("<Q", len(encoded)) + encoded + data


def tensor(start: object, end: object) -> dict[str, object]:
    return {"dtype": "U8", "shape": [1], "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "data",
    [
        TENSORS[:-1],
        TENSORS + b"x",
        b"\xff" * 8 + TENSORS[8:],
        struct.pack("<Q", 1 << 40) + TENSORS[8:],
        safetensors_with({"a": tensor(0, 4), "b": tensor(2, 4)}, b"1234"),
        safetensors_with({"a": tensor(0, 8)}, b"1234"),
        safetensors_with({"a": tensor(-4, 0)}, b""),
        safetensors_with({"a": tensor("0", "4")}, b"1234"),
        safetensors_with({"a": {"dtype": "U8"}}, b""),
        safetensors_with([], b""),
        struct.pack("<Q", 200_001) + b'{"a":' + b"[" * 199_996,
    ],
)
def test_a_safetensors_header_that_lies_is_not_believed(data: bytes) -> None:
    assert kind_of(data, "model.safetensors") != Format.SAFETENSORS


def test_a_safetensors_header_as_long_as_a_pickle_starts_is_no_pickle() -> None:
    for wanted in (0x280, 0x380, 0x480, 0x580):
        data = struct.pack("<Q", wanted) + json.dumps({"w": tensor(0, 4)}).encode().ljust(wanted) + b"1234"
        assert data[:1] == b"\x80"
        assert kind_of(data) == Format.SAFETENSORS


@pytest.mark.parametrize("data", [ONNX[:-1], ONNX + b"\x3a", b"\x08\x0a", ONNX + field(99, 1), b"\x08" + b"\xff" * 30])
def test_an_onnx_file_must_hold_together(data: bytes) -> None:
    assert kind_of(data, "model.onnx") == Format.OTHER


def test_a_zip_whose_directory_is_too_long_or_damaged_is_just_a_zip() -> None:
    many = zipped({f"{'x' * 200}{number}": b"" for number in range(20_000)} | {"archive/data.pkl": b""})
    assert kind_of(many, "file") == Format.ZIP
    assert kind_of(many, "model.pt") == Format.TORCH
    assert kind_of(zipped({"a.npy": npy(np.zeros(1))})[:-30], "a.npz") == Format.ZIP
    assert kind_of(zipped({"a.npy": npy(np.zeros(1))}, zipfile.ZIP_LZMA), "a.npz") == Format.ZIP


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=200)
@given(data=st.data())
def test_no_damage_makes_detection_fail(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from([s[1] for s in SAMPLES])))
    for _ in range(data.draw(st.integers(0, 4))):
        if content:
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    assert kind_of(bytes(content), data.draw(st.sampled_from(["a", "a.pt", "a.json", "a.npz"]))) in set(Format)


@given(data=st.binary(max_size=400), prefix=st.sampled_from([b"", b"PK\3\4", b"\x93NUMPY\1\0", b"(", b"c", b"x\x9c"]))
def test_any_bytes_have_a_format(data: bytes, prefix: bytes) -> None:
    assert kind_of(prefix + data) in set(Format)


def test_a_small_file_cannot_make_detection_use_much_memory() -> None:
    bomb = zlib.compress(bytes(1 << 25))
    assert kind_of(bomb) == Format.OTHER
    assert kind_of(zipped({"a.npy": bytes(1 << 25)}, zipfile.ZIP_DEFLATED)) == Format.ZIP


# --- files ----------------------------------------------------------------------------------------------------------


def test_what_is_no_file_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("", "pipe"):
        with pytest.raises(InvalidError, match="not a regular file"):
            detect(tmp_path / name)
    with pytest.raises(NotFoundError, match="missing' does not exist"):
        detect(tmp_path / "missing")


MEGABYTE = 1_000_000


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("model", TENSORS, "is a model file (safetensors, "),
        ("readme.txt", STATE, "is a model file (pickle, "),
        ("model.ckpt", NOISE, "has the extension of a model file (.ckpt)"),
        ("MODEL.PT", NOISE, "has the extension of a model file (.PT)"),
        ("weights.bin", bytes(1_500_000), "has 1.5 MB, more than the 1.0 MB allowed here"),
        ("model.json", b"[" + b"1," * 600_000 + b"1]", "has 1.2 MB, more than"),
    ],
)
def test_a_stray_model_file_is_found_and_the_way_out_is_told(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    path = write(tmp_path, name, data)
    found = is_model_file(path, MEGABYTE)

    assert found is not None
    assert found.startswith(f"{path} {reason}")
    assert f"`gitreg register PROJECT/MODEL {path} --bump minor`" in found


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("train.py", b"print(1)\n"),
        ("fixture.npy", npy(np.arange(3))),
        ("page.pt", b"<html tal:content='x'/>\n"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n"),
        ("image.png", b"\x89PNG\r\n\x1a\n" + NOISE),
        ("empty.pt", b""),
    ],
)
def test_an_ordinary_file_passes(tmp_path: Path, name: str, data: bytes) -> None:
    assert is_model_file(write(tmp_path, name, data), MEGABYTE) is None


def test_a_symlink_and_a_folder_pass(tmp_path: Path) -> None:
    (tmp_path / "link.pt").symlink_to(write(tmp_path, "model.pt", STATE))
    (tmp_path / "broken.pt").symlink_to("nothing")
    for name in ("link.pt", "broken.pt", ""):
        assert is_model_file(tmp_path / name, MEGABYTE) is None
    with pytest.raises(NotFoundError):
        is_model_file(tmp_path / "missing.pt", MEGABYTE)


def test_a_file_s_name_is_quoted_for_the_shell(tmp_path: Path) -> None:
    found = is_model_file(write(tmp_path, "my model.pt", TENSORS), MEGABYTE)
    assert found is not None
    assert f"gitreg register PROJECT/MODEL '{tmp_path}/my model.pt'" in found
