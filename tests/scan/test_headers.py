from __future__ import annotations

import io
import json
import random
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from gitreg.scan import Format, Tensor, detect_file
from gitreg.scan.headers.source import HeaderError, Source, checked_shape
from gitreg.scan.headers.source import Tensor as Stored
from tests.scan.samples import (
    FILES,
    GGUF,
    GOOD,
    ONNX,
    OPENVINO,
    SAFETENSORS,
    external,
    field,
    gguf,
    gguf_text,
    inspected,
    npy,
    npz,
    onnx,
    onnx_tensor,
    onnx_value,
    problem_of,
    safetensors,
    tarred,
    tensor,
    zipped,
)


@pytest.mark.parametrize("name", GOOD)
def test_a_sound_file_has_no_problem(name: str) -> None:
    found = inspected(GOOD[name], name)
    assert found.problem is None
    assert found.format == detect_file(io.BytesIO(GOOD[name]), name)
    assert found.size == len(GOOD[name])
    assert not found.dangers


def test_tensors_are_counted_and_listed() -> None:
    found = inspected(SAFETENSORS)
    assert set(found.tensors) == {Tensor("w", "float32", (3, 4)), Tensor("b", "float16", (3,))}
    assert (found.tensor_count, found.parameters, found.dtypes) == (2, 15, {"float32": 1, "float16": 1})


def test_an_onnx_model_says_what_goes_in_and_out() -> None:
    found = inspected(ONNX)
    assert found.inputs == (Tensor("x", "float32", ("batch", 3, None)),)  # w is a weight, not an input
    assert found.outputs == (Tensor("y", "int64", ("batch", 2)),)
    assert found.tensors == (Tensor("w", "float32", (2, 3)),)
    assert found.details == {"ir_version": 10, "producer": "by hand", "opset": 18}


def test_weights_inside_nodes_and_their_graphs_are_counted() -> None:
    constant = field(2, "c") + field(4, "Constant") + field(5, field(5, onnx_tensor("", [5], bytes(20))))
    branch = field(4, "If") + field(2, "i") + field(5, field(6, field(5, onnx_tensor("v", [7], bytes(28)))))
    found = inspected(onnx(graph=field(1, constant) + field(1, branch)))
    assert found.tensors == (Tensor("c", "float32", (5,)), Tensor("i/v", "float32", (7,)))


def test_the_other_formats_say_what_goes_in_and_out() -> None:
    assert inspected(GOOD["model.mlmodel"]).inputs == (Tensor("image", "float32", (1, 224)),)
    assert inspected(GOOD["model.mlmodel"]).outputs == (Tensor("label", "string", ()),)
    assert inspected(OPENVINO).inputs == (Tensor("x", "float32", (None, 3)),)
    assert inspected(OPENVINO).outputs == (Tensor("x", "float32", (None, 2)),)
    assert inspected(OPENVINO).files == {".bin": 12}
    assert inspected(GOOD["tiny.tflite"]).inputs == (Tensor("input", "float32", (None, 3)),)
    assert inspected(GOOD["tiny.tflite"]).outputs == (Tensor("output", "int8", (1, 2)),)
    assert inspected(GOOD["tiny.tflite"]).tensors == (Tensor("weights", "float32", (2, 3)),)


def test_the_other_formats_list_their_tensors() -> None:
    assert inspected(GGUF).tensors == (Tensor("w", "float32", (2, 4)), Tensor("q", "q8_0", (32,)))
    assert inspected(GGUF).details == {"gguf_version": 3, "architecture": "llama"}
    assert {each.name for each in inspected(GOOD["old.h5"]).tensors} == {
        "layers/kernel",
        "layers/bias",
        "layers/packed",
    }
    assert {each.name for each in inspected(GOOD["new.h5"]).tensors} == {"layers/kernel", "layers/bias"}
    assert inspected(GOOD["model.keras"]).parameters == 16
    assert inspected(GOOD["record.npy"]).tensors == (Tensor("array", "record", (3,)),)
    assert set(inspected(GOOD["weights.npz"]).tensors) == {Tensor("w", "float64", (2, 3)), Tensor("b", "float64", (3,))}


# --- what lies is refused -------------------------------------------------------------------------------------------

DEEP = struct.pack("<Q", 200_001) + b'{"a":' + b"[" * 199_996
LIES: list[tuple[str, bytes, str]] = [
    ("a.safetensors", SAFETENSORS[:-1], "truncated"),
    ("a.safetensors", SAFETENSORS + b"x", "follow the header"),
    ("a.safetensors", struct.pack("<Q", 1 << 40) + SAFETENSORS[8:], "says that it has"),
    ("a.safetensors", struct.pack("<Q", 50_000_000) + SAFETENSORS[8:], "truncated"),
    ("a.safetensors", safetensors({"a": tensor(0, 4), "b": tensor(2, 6)}, bytes(6)), "'a' and 'b' overlap"),
    ("a.safetensors", safetensors({"a": tensor(0, 4), "b": tensor(8, 12)}, bytes(12)), "12 follow"),
    ("a.safetensors", safetensors({"a": tensor(0, 4, "F32")}, bytes(4)), "cannot have the bytes"),
    ("a.safetensors", safetensors({"a": tensor(0, 4, "F99")}, bytes(4)), "unknown dtype"),
    ("a.safetensors", safetensors({"a": tensor(0, 4, shape=[-4])}, bytes(4)), "a dimension of -4"),
    ("a.safetensors", safetensors({"a": tensor(0, 4, shape=[1 << 40, 1 << 40])}, bytes(4)), "more elements"),
    ("a.safetensors", safetensors({"a": tensor(0, 1, shape=[1] * 33)}, bytes(1)), "33 dimensions"),
    ("a.safetensors", safetensors({"a" * 2000: tensor(0, 4)}, bytes(4)), "a name of 2,000 bytes"),
    ("a.safetensors", safetensors(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{}}'), "there twice"),
    ("a.safetensors", safetensors({"__metadata__": {"a": 1}}), "__metadata__"),
    ("a.safetensors", safetensors({"a": tensor(True, 4)}, bytes(4)), "no data_offsets"),
    ("a.safetensors", safetensors(b'{"a": NaN}'), "not described"),
    ("a.safetensors", DEEP, "not JSON"),
    ("a.safetensors", safetensors(b'{"a":[' + b"[]," * 700_000 + b"[]]}"), "more lists and items than"),
    ("a.safetensors", safetensors(b'{"a":[' + b"256," * 4_000_001 + b"1]}"), "more lists and items than"),
    ("a.onnx", ONNX[:-1], "its name says onnx"),
    ("a.onnx", onnx(onnx_tensor("w", [2, 3], bytes(23))), "has 23 bytes"),
    ("a.onnx", onnx(onnx_tensor("w", [2, 3], b"")), "has no data"),
    ("a.onnx", onnx(onnx_tensor("w", [2, -3], bytes(24))), "a dimension of -3"),
    ("a.onnx", onnx(onnx_tensor("w", [1] * 40, bytes(4))), "dimensions"),
    ("a.onnx", onnx(onnx_tensor("w", [6], bytes(24), kind=99)), "unknown type 99"),
    ("a.onnx", external("../../etc/passwd"), "no file beside the model"),
    ("a.onnx", external("/etc/passwd"), "no file beside the model"),
    ("a.onnx", external("a\\..\\b"), "no file beside the model"),
    ("a.onnx", external("w.bin", length="23"), "its shape needs 24"),
    ("a.onnx", external("w.bin", offset="-1"), "at no offset"),
    ("a.onnx", onnx(graph=field(11, onnx_value("z", 1, [1] * 40))), "40 dimensions"),
    ("a.gguf", GGUF[:-1], "truncated"),
    ("a.gguf", GGUF[:40], "truncated"),
    ("a.gguf", gguf(data=64, version=9), "version 9"),
    ("a.gguf", gguf(count=1 << 40), "tensors and"),
    ("a.gguf", gguf(keys=1 << 40), "keys"),
    ("a.gguf", gguf([("a", [8], 0, 0), ("b", [8], 0, 0)]), "'a' and 'b' overlap"),
    ("a.gguf", gguf([("a", [8], 0, 0), ("a", [8], 0, 32)]), "one name"),
    ("a.gguf", gguf([("a", [8], 0, 8)]), "not aligned"),
    ("a.gguf", gguf([("a", [8], 999, 0)]), "unknown type 999"),
    ("a.gguf", gguf([("a", [31], 8, 0)]), "whole blocks"),
    ("a.gguf", gguf([("a", [1] * 5, 0, 0)]), "5 dimensions"),
    ("a.gguf", gguf(keys=3, pairs=gguf_text("x") + struct.pack("<IIQ", 9, 0, 1 << 50)), "more than is read"),
    ("a.gguf", gguf(keys=3, pairs=gguf_text("general.alignment") + struct.pack("<II", 4, 3)), "general.alignment"),
    ("a.npy", GOOD["array.npy"][:-1], "truncated"),
    ("a.npy", GOOD["array.npy"] + b"x" * 20, "no array"),
    ("a.npy", b"\x93NUMPY\1\0" + struct.pack("<H", 10) + b"{'descr':1", "breaks off"),
    ("a.npz", zipped({"a.npy": npy(np.zeros(8))[:-8]}), "needs"),
    ("a.tflite", GOOD["tiny.tflite"][:-100], "truncated"),
    ("a.h5", GOOD["old.h5"][:-8], "truncated"),
    ("a.h5", (FILES / "elsewhere.h5").read_bytes(), "lies in another file"),
    ("a.h5", (FILES / "link.h5").read_bytes(), "a link to another file"),
    ("a.xml", OPENVINO.replace(b'size="12"', b'size="13"'), "has 13 bytes"),
    ("a.xml", OPENVINO[:-8], "breaks off"),
    ("a.xml", OPENVINO.replace(b"\n<net", b"\n<!--x--><net").replace(b"f16", b"f17"), "unknown element type"),
    ("a.tar", tarred({"../up": b"x"}), "leads out of the tar"),
    ("a.tar", tarred({"/top": b"x"}), "leads out of the tar"),
    ("a.tar", tarred({"a": bytes(2000)})[:1024], "truncated"),
    ("a.tar.gz", tarred({"a": bytes(2000)}, "w:gz")[:-12], "truncated"),
    ("a.zip", zipped({"../up": b"x"}), "leads out of the zip"),
    ("a.zip", zipped({"a": b"x"}) + b"tail", "bytes follow the zip's end"),
    ("model.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "git lfs pull"),
    ("model.onnx", b"not found\n", "its name says onnx"),
    ("model.npz", b"", "its name says npz"),
]


@pytest.mark.parametrize(("name", "data", "said"), LIES, ids=[f"{row[0]}-{row[2][:30]}" for row in LIES])
def test_a_header_that_lies_is_refused_and_said_to(name: str, data: bytes, said: str) -> None:
    assert said in problem_of(data, name)


def test_what_a_flatbuffer_points_at_lies_in_it() -> None:
    data = GOOD["tiny.tflite"]
    assert inspected(data, "a.tflite").problem is None
    problems = 0
    for at in range(8, len(data) - 4, 4):
        broken = data[:at] + b"\xff\xff\xff\x7f" + data[at + 4 :]
        found = inspected(broken, "a.tflite")
        problems += found.problem is not None
    assert problems > 20


def test_a_zip_that_two_readers_would_understand_differently_is_refused() -> None:
    sound = zipped({"first": b"one", "other": b"two"})
    at = sound.index(b"PK\1\2")
    renamed = sound[:at] + sound[at:].replace(b"first", b"fIrst", 1)
    assert "another name before its bytes" in problem_of(renamed, "a.zip")
    row = bytearray(sound)
    row[at + 24 : at + 28] = struct.pack("<I", 7)  # the size in the directory
    assert "other sizes before its bytes" in problem_of(bytes(row), "a.zip")
    twice = sound.replace(b"other", b"first")
    assert "in the zip twice" in problem_of(twice, "a.zip")
    overlap = bytearray(sound)
    second = sound.index(b"PK\1\2", at + 4)
    overlap[second : second + 51] = sound[at : at + 51]
    overlap[second + 46 : second + 51] = b"other"
    assert problem_of(bytes(overlap), "a.zip")
    encrypted = bytearray(sound)
    encrypted[at + 8] |= 1
    assert "is encrypted" in problem_of(bytes(encrypted), "a.zip")
    bomb = bytearray(zipped({"a": bytes(100_000)}, zipfile.ZIP_DEFLATED))
    for place, offset in ((0, 22), (bytes(bomb).index(b"PK\1\2"), 24)):
        bomb[place + offset : place + offset + 4] = struct.pack("<I", 1 << 31)
    assert "more than deflate can" in problem_of(bytes(bomb), "a.zip")


def test_a_tar_whose_files_have_two_sizes_is_refused() -> None:
    def made(size: int, said: str) -> bytes:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            entry = tarfile.TarInfo("a")
            entry.size, entry.pax_headers = size, {"size": said}
            archive.addfile(entry, io.BytesIO(bytes(size)))
        return buffer.getvalue()

    assert "has two sizes" in problem_of(made(10, "600"), "a.tar")
    assert "has two sizes" in problem_of(made(0, "x"), "a.tar")
    assert "truncated" in problem_of(made(0, "99999999"), "a.tar")
    assert inspected(made(10, "10"), "a.tar").problem is None
    long = tarred({"x" * 300 + "/model.onnx": ONNX})
    assert inspected(long, "a.tar").holds == ("onnx",)


def test_an_xml_with_entities_is_refused_before_they_grow() -> None:
    from gitreg.scan.headers import openvino

    entities = b'<!DOCTYPE net [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]>'
    bomb = b'<?xml version="1.0"?>\n' + entities + b'<net version="11">&b;</net>'
    with pytest.raises(HeaderError, match="document type"):
        openvino.read(Source(io.BytesIO(bomb), len(bomb)))


def test_what_is_read_of_a_file_is_bounded() -> None:
    source = Source(io.BytesIO(bytes(100)), 100, budget=50)
    source.read(0, 40, "one")
    with pytest.raises(HeaderError, match="more header than is read"):
        source.read(0, 20, "two")
    with pytest.raises(HeaderError, match="truncated"):
        source.read(90, 20, "three")


def test_a_shape_is_checked_as_stored() -> None:
    assert checked_shape("w", [2, 3]) == (2, 3)
    assert Stored("w", "float32", (2, "n")).elements == 0
    for wrong in ([True], [1.0], [1 << 63], ["n"], [None]):
        with pytest.raises(HeaderError):
            checked_shape("w", wrong)


@pytest.mark.parametrize("name", GOOD)
def test_no_damage_makes_an_inspection_fail(name: str) -> None:
    chance = random.Random(name)
    data = GOOD[name]
    for _ in range(150):
        broken = bytearray(data)
        for _ in range(chance.randint(1, 3)):
            broken[chance.randrange(len(broken))] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
        if chance.random() < 0.3:
            del broken[chance.randrange(len(broken)) :]
        found = inspected(bytes(broken), name)
        assert found.format in set(Format)
        assert len(json.dumps(found.to_data())) < 100_000


@pytest.mark.parametrize(
    "name", [each for each in GOOD if not each.startswith(("model.tar", "model.zip", "model.keras"))]
)
def test_a_truncated_file_is_refused_at_every_length(name: str) -> None:
    data = GOOD[name]
    for length in sorted({*range(1, len(data), max(1, len(data) // 60)), len(data) - 1}):
        found = inspected(data[:length], name)
        if name.endswith(".xml"):
            assert found.problem or found.format != Format.OPENVINO or length == len(data) - 1  # a line break
        else:
            assert found.problem, (name, length, found)


def test_npz_of_any_packing_is_read() -> None:
    assert inspected(npz(w=np.zeros(1000)), "w.npz").parameters == 1000
    buffer = io.BytesIO()
    np.savez(buffer, w=np.ones(1000))
    assert inspected(buffer.getvalue(), "w.npz").parameters == 1000
