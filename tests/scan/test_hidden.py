"""Files that hide a pickle from a scanner which reads them in another way than the program that loads them."""

from __future__ import annotations

import bz2
import copyreg
import datetime as dt
import decimal
import gzip
import io
import lzma
import os
import pickle
import random
import struct
import tarfile
import zipfile
import zlib
from typing import TYPE_CHECKING
from unittest.mock import patch

import numpy as np
import pytest
from joblib import numpy_pickle  # type: ignore[import-untyped] # it has no types

from gitreg.scan import Format, packed
from gitreg.scan.headers.source import Facts, Source
from gitreg.scan.imports import Verdict, verdict
from gitreg.scan.pickled import Call, Global
from tests.scan.samples import FILES, GOOD, inspected, npy, npz, problem_of, safetensors, tarred, tensor, zipped
from tests.scan.test_pickles import EVIL, TORCH, saved

if TYPE_CHECKING:
    from collections.abc import Callable

NOISE = random.Random(5).randbytes(20_000)
CALL = b"cposix\nsystem\n(S'id'\ntR"
WRAPPER = b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n"
BYTES = b"cnumpy\ndtype\n(U\x02u1tR"


def described(count: int, dtype: bytes = BYTES) -> bytes:
    """Write the state of an array of joblib's: a dictionary of a shape and a dtype."""
    rest = b"U\x05orderU\x01CU\x08subclassNU\x0aallow_mmapN"
    return b"}(U\x05shapeK" + bytes([count]) + b"\x85U\x05dtype" + dtype + rest + b"u"


def array(data: bytes, dtype: bytes = BYTES, count: int = -1) -> bytes:
    """Write an array of joblib's, and what it reads as its bytes."""
    return WRAPPER + b")\x81" + described(len(data) if count < 0 else count, dtype) + b"b" + data


# --- by how joblib reads, and how plain pickle does -----------------------------------------------------------------


class Reached(Exception):  # noqa: N818 - no error
    """An unpickler asked for what runs a command."""


def find_class(_unpickler: object, module: str, name: str) -> object:
    if name == "system":
        raise Reached
    known = (np.dtype, numpy_pickle.NumpyArrayWrapper, object, str, copyreg._reconstructor)  # type: ignore[attr-defined] # it is there
    return next(each for each in known if each.__name__ == name)


class Plain(pickle.Unpickler):
    """What `pickle.load` is."""

    find_class = find_class


class Joblib(numpy_pickle.NumpyUnpickler):  # type: ignore[misc] # it has no types
    """What `joblib.load` is."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__("x", file, ensure_native_byte_order=False)

    find_class = find_class


# An array whose bytes plain pickle breaks off at: what follows hides behind it from who reads as that does.
STOPPER = array(b"\xff" * 4)[2:] + b"0"
FRAME = WRAPPER[2:] + b")\x81" + described(len(CALL) + 1) + b"b"
NO_OBJECT = b"cnumpy\ndtype\n(U\x02V8tR(K\x03U\x01|NNNK\x08K\x01K\x00}U\x01acnumpy\ndtype\n(U\x02O8tRstb"
OBJECT = b"cnumpy\ndtype\n(U\x02V8tR(K\x03U\x01|NNNK\x08K\x01K\x3ftb"
WIDER = b"cnumpy\ndtype\n(U\x02V1tR(K\x03U\x01|NNNK\x09K\x01K\x00tb"
FEW = b"\x8b" + struct.pack("<I", 5_000) + bytes([len(CALL) + 3]).ljust(5_000, b"\0")  # a number of 5,000 bytes
FRAMED = b"\x80\x04\x95" + struct.pack("<Q", 4) + b"caaa" + CALL[1:] + b"."
PADDED = described(0)[:-1] + b"U\x1bnumpy_array_alignment_bytesK\x10u"

HIDDEN: dict[str, tuple[bytes, Callable[[io.BytesIO], pickle.Unpickler]]] = {
    "in the bytes of an array": (array(CALL + b".") + b".", Plain),
    "in an array of an array of objects": (
        array(b"", b"cnumpy\ndtype\n(U\x02O8tR", 1) + array(CALL + b".") + b"..",
        Joblib,
    ),
    "behind an array that is longer to numpy": (
        b"\x80\x02" + STOPPER + array(b"x", WIDER)[2:] + b"." + b"\xff" * 7 + CALL + b".",
        Joblib,
    ),
    "in an array that is of objects to numpy": (
        b"\x80\x02" + STOPPER + array(b"", OBJECT, 200)[2:] + b"\x80\x02" + CALL + b"." * 2000,
        Joblib,
    ),
    "behind an array that is none of objects to numpy": (
        b"\x80\x02" + STOPPER + array(b"", NO_OBJECT, 1)[2:] + b"\x80\x02X" + struct.pack("<I", 40) + b"a"
        + CALL + b"." + bytes(39 - len(CALL) - 1) + b"..",
        Joblib,
    ),
    "in a frame around an array": (
        b"\x80\x04" + STOPPER + b"\x95" + struct.pack("<Q", len(FRAME + CALL) + 1) + FRAME + CALL + b"."
        + b"." * (len(CALL) + 2),
        Joblib,
    ),
    "behind a pickle of objects whose frame is longer": (
        b"\x80\x04" + STOPPER + array(b"", b"cnumpy\ndtype\n(U\x02O8tR", 1)[2:]
        + b"\x80\x04\x95" + struct.pack("<Q", 6) + b"N.N.\xff\xff" + CALL + b".",
        Joblib,
    ),
    "behind an array that is described twice": (
        b"\x80\x02" + STOPPER + WRAPPER[2:] + b")\x81q\x07" + PADDED + b"b\x000h\x07" + described(1) + b"b"
        + b"\x02..\xff" + CALL + b".",
        Joblib,
    ),
    "behind a number as only unpicklers read it": (array(b"I0x1\n0" + CALL + b".") + b".", Plain),
    "in a frame in a frame in an array": (
        array(b"\x95" + struct.pack("<Q", 12) + b"\x95" + bytes(8) + CALL + b".") + b".",
        Plain,
    ),
    "behind a frame that ends in a line": (FRAMED, Plain),
    "behind a frame that ends in a line, in an array": (array(FRAMED[2:]) + b".", Plain),
    "behind an array whose shape is a very long number": (
        b"\x80\x02" + STOPPER + WRAPPER[2:] + b")\x81" + described(0).replace(b"K\0", FEW) + b"bN."
        + b"\xff" * (len(CALL) + 1) + CALL + b".",
        Joblib,
    ),
    "behind an array whose description is written over": (
        b"\x80\x02" + STOPPER + WRAPPER[2:] + b")\x81" + described(0)[:-1] + b"c__builtin__\nstr\n(U\5shapetRK\5\x85ub"
        + b"N.\xff\xff\xff" + CALL + b".",
        Joblib,
    ),
    "behind a wrapper that protocol 0 rebuilds": (
        b"\x80\x02" + STOPPER + b"ccopy_reg\n_reconstructor\n(" + WRAPPER[2:] + b"c__builtin__\nobject\nNtR"
        + described(3) + b"bN.\xff" + CALL + b".",
        Joblib,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HIDDEN)
def test_what_joblib_or_pickle_would_run_is_found_however_it_hides(name: str) -> None:
    data, unpickler = HIDDEN[name]
    with pytest.raises(Reached):
        unpickler(io.BytesIO(data)).load()
    found = inspected(data, "a.joblib")
    assert found.problem or "posix.system" in found.dangers, found


def test_a_frame_that_ends_in_a_line_is_refused_in_every_file_of_pickles() -> None:
    said = "the frame that ends at byte 15 cuts off what begins at byte 12"
    assert said in problem_of(FRAMED, "a.pkl")
    assert said in problem_of(zipped({"m/data.pkl": FRAMED, "m/version": b"3\n"}), "a.pt")


def test_a_scalar_of_objects_may_be_anything() -> None:
    for kind, gives_data in [("f8", True), ("<U3", True), ("O8", False), ("|O", False), (Global("a", "b"), False)]:
        dtype = Call(Global("numpy", "dtype"), (kind,))
        assert Call(Global("numpy._core.multiarray", "scalar"), (dtype, b"")).gives_data is gives_data


def test_a_wrapper_by_another_name_is_dangerous() -> None:
    for module, name in [
        ("joblib.numpy_pickle_compat", "NDArrayWrapper"),
        ("sklearn.utils.parallel", "joblib.numpy_pickle.NumpyArrayWrapper"),
        ("package", "NumpyArrayWrapper"),
        ("thread", "start_new_thread"),  # an unpickler imports _thread
        ("numpy.dtypes", "__loader__.set_data"),
        ("package", "joblib.load_that"),
    ]:
        assert verdict(Global(module, name)) is Verdict.DANGEROUS, (module, name)
    assert verdict(Global("joblib.numpy_pickle", "NumpyArrayWrapper")) is Verdict.SAFE
    assert verdict(Global("numpy.dtypes", "StringDType")) is Verdict.SAFE


def test_an_old_array_whose_bytes_read_as_opcodes_is_no_danger() -> None:
    found = inspected(array(b"N(]N.") + b".", "a.joblib")
    assert (found.problem, found.dangers) == (None, ())


class Encoder:
    """A model as scikit-learn's are: its first array may be one of objects."""

    def __init__(self, *arrays: np.ndarray) -> None:
        self.copy, self.json, self.categories_, self.n = True, None, list(arrays), np.float64(3)


OBJECTS = [
    np.array(["a", "bb", None], dtype=object),
    np.array([{}, (1, 2), np.arange(3), np.float32(1), np.datetime64("2026-01-01")], dtype=object),
    np.array([dt.datetime(2026, 1, 1, tzinfo=dt.UTC), decimal.Decimal(1), dt.timedelta(1), decimal.Decimal(2)]),
    np.zeros(2, dtype=[("a", "O"), ("b", "f4", (2,))]),
    np.zeros(2, dtype=np.dtype([("a", "i1"), ("b", "f8")], align=True)),
    np.asfortranarray(np.zeros((2, 3), dtype=">f2")),
    np.array([["x", "y"]], dtype="U3"),
    np.ma.array([1, 2], mask=[True, False]),
]


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_honest_arrays_of_objects_are_no_danger_to_plain_pickle(protocol: int) -> None:
    for first in OBJECTS:
        for value in (first, {"w": first}, Encoder(first, *OBJECTS), [Encoder(first), Encoder(first)]):
            found = inspected(saved(value, protocol=protocol), "a.joblib")
            assert (found.problem, found.dangers) == (None, ()), (first, value)


# --- by another format ----------------------------------------------------------------------------------------------

BEHIND_TEXT = b"V" + b"text " * 20_000 + b"\n0" + CALL + b"."
HEADER = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}'
POLYGLOT = HEADER % (len(CALL) + 2, len(CALL) + 2)
POLYGLOT = POLYGLOT + b" " * (0x56 - 1 - len(POLYGLOT)) + b"\n" if len(POLYGLOT) < 0x56 else POLYGLOT


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("notes.txt", BEHIND_TEXT),
        ("notes.txt", b"S'" + b"text " * 20_000 + b"'\n0" + CALL + b"."),
        ("notes.txt", b"I" + b"1" * 100_000 + b"\n0" + CALL + b"."),
        ("model.pkl", safetensors(POLYGLOT, b"0" + CALL + b".")),
        ("model.joblib", b"ZF" + b"0x64".ljust(19) + zlib.compress(EVIL)),
        ("lzma", lzma.compress(EVIL, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}])),
    ],
)
def test_a_pickle_that_is_something_else_as_well_is_a_pickle(name: str, data: bytes) -> None:
    assert inspected(data, name).runs_code


def test_a_second_pickle_is_followed_however_it_begins() -> None:
    assert inspected(pickle.dumps([1]) + BEHIND_TEXT, "a.pkl").dangers == ("posix.system",)
    assert inspected(pickle.dumps([1]) + b"text " * 20_000, "a.pkl").dangers == ()


def test_text_and_numbers_that_begin_like_a_pickle_are_none() -> None:
    for data in (b"config\nof the model\n", b"V" + b"text " * 20_000, b"cat\ndog\n(R\n", b"(" * 100):
        found = inspected(data, "notes.txt")
        assert not found.runs_code
        assert found.problem is None


# --- archives in archives -------------------------------------------------------------------------------------------


def nested(data: bytes, depth: int) -> bytes:
    for _ in range(depth):
        data = zipped({"inner.zip": data})
    return data


DEFLATED = zipfile.ZIP_DEFLATED
PICKLE_ZIP = zipped({"model.pkl": EVIL})
LZMA = {"id": lzma.FILTER_LZMA1, "lc": 2, "lp": 0, "pb": 1}
ARCHIVES: dict[str, bytes] = {
    "zip in zip": zipped({"inner.zip": PICKLE_ZIP}),
    "zip in zip, deflated": zipped({"inner.bin": zipped({"model.pkl": EVIL}, DEFLATED)}, DEFLATED),
    "tar.gz in zip": zipped({"inner.tar.gz": tarred({"model.pkl": EVIL}, "w:gz")}),
    "zip in tar": tarred({"inner": PICKLE_ZIP}),
    "zip in tar.xz": tarred({"inner": PICKLE_ZIP}, "w:xz"),
    "tar in tar in tar.bz2": tarred({"a": tarred({"b": tarred({"model.pkl": EVIL})})}, "w:bz2"),
    "torch in zip in tar": tarred({"a": zipped({"b": TORCH})}),
    "joblib in zip in zip": zipped({"a": zipped({"b.joblib": saved({"w": os.system}, compress=3)})}),
    "pickle in keras in zip": zipped(
        {"a": zipped({"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": GOOD["new.h5"], "x": EVIL})}
    ),
    "lambda in h5 in zip": zipped({"a.h5": (FILES / "lambda.h5").read_bytes()}, DEFLATED),
    "zip, compressed": gzip.compress(PICKLE_ZIP),
    "gzip in bz2": bz2.compress(gzip.compress(EVIL)),
    "gzip in gzip in zip": zipped({"a": gzip.compress(gzip.compress(EVIL))}),
    "behind text in zip": zipped({"notes.txt": BEHIND_TEXT}),
    "behind text in zip, deflated": zipped({"notes.txt": BEHIND_TEXT}, DEFLATED),
    "behind text, compressed": gzip.compress(BEHIND_TEXT),
    "safetensors in zip": zipped({"a.safetensors": safetensors(POLYGLOT, b"0" + CALL + b".")}),
    "second part of a tar.gz": gzip.compress(tarred({"a": b"x"})[:1024]) + gzip.compress(tarred({"model.pkl": EVIL})),
    "four deep": nested(PICKLE_ZIP, 4),
    "zip behind text": b"text\n" + PICKLE_ZIP,
    "zip behind text, in tar": tarred({"a": b"text\n" + PICKLE_ZIP}),
    "zip behind text, in zip, deflated": zipped({"a": b"text\n" + PICKLE_ZIP}, DEFLATED),
    "zip behind much text, in zip, deflated": zipped({"a": b"text\n" * 40_000 + PICKLE_ZIP}, DEFLATED),
    "zip behind noise, in zip in zip, deflated": zipped(
        {"a": zipped({"b": b"\x81" + random.Random(1).randbytes(200_000) + PICKLE_ZIP}, DEFLATED)}
    ),
    "zip behind much text, compressed": gzip.compress(b"text\n" * 40_000 + PICKLE_ZIP),
    "zip behind much text, in parts": bz2.compress(b"text\n" * 40_000) + bz2.compress(PICKLE_ZIP),
    "zip behind a model": (FILES / "tiny.tflite").read_bytes() + PICKLE_ZIP,
    "lzma of other properties": lzma.compress(EVIL * 9, lzma.FORMAT_ALONE, filters=[LZMA]),
    "tar in lzma of other properties in zip": zipped(
        {
            "a": lzma.compress(
                tarred({"m.pkl": EVIL}), lzma.FORMAT_ALONE, filters=[LZMA | {"lp": 1, "dict_size": 3 << 20}]
            )
        }
    ),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_a_pickle_in_an_archive_in_an_archive_is_found(name: str) -> None:
    found = inspected(ARCHIVES[name], "file")
    assert found.problem is None
    assert found.dangers, found
    assert found.runs_code or "lambda" in name


def test_a_model_that_has_its_labels_in_a_zip_behind_it_is_sound() -> None:
    """As TFLite's metadata are: places in the zip count from the model's beginning."""
    buffer = io.BytesIO(GOOD["tiny.tflite"])
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    found = inspected(buffer.getvalue(), "a.tflite")
    assert (found.format, found.problem, found.dangers, found.holds) == (Format.TFLITE, None, (), ("text",))
    assert inspected(GOOD["tiny.tflite"] + b"PK\5\6" + bytes(18), "a.tflite").problem is None


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"


@pytest.mark.parametrize(
    "pack", [zipped, tarred, lambda files: zipped(files, DEFLATED), lambda files: tarred(files, "w:gz")]
)
def test_a_name_in_an_archive_is_held_against_the_content(pack: Callable[[dict[str, bytes]], bytes]) -> None:
    whole = safetensors({"w": tensor(0, 4)}, bytes(4))
    assert problem_of(pack({"a/model.safetensors": whole[:-1]}), "file") == (
        "'a/model.safetensors' in the archive: its name says safetensors, its content does not:"
        " truncated, damaged or something else"
    )
    assert "'b.bin' in the archive: this is Git LFS's pointer" in problem_of(
        pack({"a": b"x", "b.bin": POINTER}), "file"
    )
    fine = {
        "a.safetensors": whole,
        "b.h5": GOOD["new.h5"],
        "c.npy": GOOD["new.h5"],
        "d.npy": GOOD["array.npy"],
        "e": b"x",
    }
    assert inspected(pack(fine), "file").problem is None


def test_the_way_to_what_is_dangerous_is_told() -> None:
    found = inspected(zipped({"a/inner.zip": PICKLE_ZIP}), "file")
    assert found.dangers == ("posix.system (in a/inner.zip/model.pkl)",)
    assert found.holds == ("pickle", "zip")
    broken = zipped({"a.zip": zipped({"b.tar": tarred({"c": bytes(2000)})[:1024]})})
    assert "'a.zip' in the archive: 'b.tar' in the archive: the file at byte 0" in problem_of(broken, "file")


def test_archives_are_not_looked_into_for_ever() -> None:
    assert "nested more than 4 deep" in problem_of(nested(PICKLE_ZIP, 5), "file")
    with patch.object(packed, "MAX_FILES", 10):
        many = zipped({f"{number}.zip": zipped({"a": b"x", "b": b"y"}) for number in range(4)})
        assert "more than 10 files in all archives together" in problem_of(many, "file")
    with patch.object(packed, "MAX_BYTES", 5_000):
        bomb = zipped({f"{number}": zipped({"a": bytes(1500)}, DEFLATED) for number in range(4)})
        assert "more than 5,000 bytes to unpack, in all archives together" in problem_of(bomb, "file")
    with patch.object(packed, "MAX_UNPACKED", 100_000):
        large = zipped({"a": zipped({"x": NOISE * 10})}, DEFLATED)
        assert "more than is unpacked to look into it" in problem_of(large, "file")


@pytest.mark.parametrize(
    ("packing", "data"),
    [
        ("zstd", b"\x28\xb5\x2f\xfd\x04\x00"),
        ("lz4", b"\x04\x22\x4d\x18\x64\x40"),
        ("zstd or lz4", b"\x50\x2a\x4d\x18\4\0\0\0abcd\x28\xb5\x2f\xfd"),
        ("7z", b"7z\xbc\xaf\x27\x1c\0\4"),
        ("rar", b"Rar!\x1a\x07\x01\0"),
        ("joblib before 0.10", b"ZF" + b"0x64".ljust(19) + zlib.compress(EVIL)),
    ],
)
def test_what_cannot_be_unpacked_is_refused_wherever_it_is(packing: str, data: bytes) -> None:
    said = f"packed by {packing}, which is not looked into: pack it with"
    data += bytes(100)
    assert said in problem_of(data, "weights.bin")
    assert said in problem_of(data, "model.joblib")
    assert said in problem_of(zipped({"model.pkl.zst": data}), "a.zip")
    assert said in problem_of(tarred({"model.pkl.lz4": data}), "a.tar")


def test_what_follows_compressed_data_is_refused() -> None:
    whole = tarred({"model.gguf": GOOD["model.gguf"]}, "w:gz")
    assert inspected(whole + bytes(64), "a.tar.gz").problem is None
    assert "damaged" in problem_of(whole + b"more", "a.tar.gz")
    assert "truncated" in problem_of(whole + gzip.compress(b"more")[:-4], "a.tar.gz")
    assert inspected(gzip.compress(b"text\n") * 3, "log.gz").problem is None


def test_a_dictionary_that_is_too_large_to_unpack_is_refused() -> None:
    data = bytearray(lzma.compress(EVIL, lzma.FORMAT_ALONE, filters=[{"id": lzma.FILTER_LZMA1, "dict_size": 1 << 16}]))
    data[1:5] = struct.pack("<I", 1 << 31)
    assert "Memory usage limit" in problem_of(bytes(data), "file")
    assert "Memory usage limit" in problem_of(zipped({"a": bytes(data)}), "file")


def test_numbers_that_begin_as_if_compressed_are_just_numbers() -> None:
    alike = struct.pack("<4i", 1, 1 << 24, 7, 0)  # LZMA's header
    for magic in (b"\x1f\x8b", b"BZh9", b"\x5d\0\0", b"\x78\x9c", alike, alike + bytes(5_000)):
        found = inspected(magic + NOISE, "weights.bin")
        assert (found.format, found.problem, found.holds) == (Format.OTHER, None, ())
        assert inspected(zipped({"PKGINFO": b"PK text", "w.bin": magic + NOISE}), "a.zip").problem is None


def test_a_pickle_before_damage_in_what_is_compressed_is_found() -> None:
    data = bytearray(zlib.compress(pickle.dumps({"w": NOISE}) + EVIL + NOISE, 9))
    data[-500:] = bytes(500)
    for name in ("model.joblib", "data"):
        assert inspected(bytes(data), name).runs_code


# --- tar files that readers understand in two ways ------------------------------------------------------------------


def entry(name: str, data: bytes, kind: bytes = b"0", **fields: object) -> bytes:
    made = tarfile.TarInfo(name)
    made.size, made.type = len(data), kind
    for key, value in fields.items():
        setattr(made, key, value)
    return made.tobuf(tarfile.PAX_FORMAT) + data + bytes(-len(data) % 512)


END = bytes(1024)


def test_a_file_of_an_unknown_kind_is_a_file() -> None:
    data = entry("model.pkl", EVIL, b"Z") + END
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert archive.extractfile("model.pkl").read() == EVIL  # type: ignore[union-attr] # there it is
    assert inspected(data, "a.tar").dangers == ("posix.system (in model.pkl)",)


def test_a_tar_with_room_for_another_reading_is_refused() -> None:
    assert "bytes follow the tar's end" in problem_of(entry("a", b"x") + END + entry("b.pkl", EVIL) + END, "a.tar")
    assert "is no file, and has" in problem_of(entry("a", b"x" * 512, b"5") + END, "a.tar")
    assert "with holes" in problem_of(entry("a", EVIL, b"S") + END, "a.tar")
    holes = entry("a", b"1\n0\n1\n".ljust(512, b"\0") + EVIL, pax_headers={"GNU.sparse.major": "1"})
    assert "without holes" in problem_of(holes + END, "a.tar")
    sized = tarfile.TarInfo.create_pax_global_header({"size": "1"}) + entry("a", b"x") + END
    assert "without holes" in problem_of(sized, "a.tar")
    sound = tarfile.TarInfo.create_pax_global_header({"comment": "x"}) + entry("a", b"x") + END
    assert inspected(sound, "a.tar").problem is None


# --- sizes ----------------------------------------------------------------------------------------------------------


def test_what_is_stored_in_an_archive_counts_as_no_header() -> None:
    def read(data: bytes, found: Format) -> Facts:
        return packed.read(Source(io.BytesIO(data), len(data), budget=100_000), found)

    weights = GOOD["new.h5"] + bytes(300_000)
    model = zipped({"metadata.json": b"{}", "config.json": b"{}", "model.weights.h5": weights})
    assert sum(each.elements for each in read(model, Format.KERAS).tensors) == 16
    assert read(zipped({f"{number}.bin": b"\xff" + bytes(70_000) for number in range(9)}), Format.ZIP).holds == (
        "other",
    )
    assert read(npz(**{f"w{number}": np.zeros(9_000) for number in range(9)}), Format.NPZ).tensors
    assert read(zipped({f"{number}.npy": npy(np.zeros(9_000)) for number in range(9)}), Format.NPZ).tensors
